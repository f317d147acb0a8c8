"""``seatrial-service warm``: compile the kernels now, so that no later start of a process has to.

Numba keeps what it has compiled beside the sources, or where `NUMBA_CACHE_DIR` says, and takes it again if sources,
numba and CPU are the same. An image's build runs this once, on the kind of machine that serves; where the folder cannot
be written the kernels are compiled at every start, which is slow and not wrong.
"""

from __future__ import annotations

import argparse
import time


def main(arguments: list[str]) -> int:
    """Compile, and say how much there was to do."""
    argparse.ArgumentParser(prog="seatrial-service warm", description=__doc__).parse_args(arguments)
    begin = time.perf_counter()
    from reference_service.core import evidence, kernel, reading  # noqa: PLC0415 - importing them is compiling them

    stats = [entry.stats for entry in (*kernel.ENTRIES, *evidence.ENTRIES, *reading.ENTRIES)]
    hits, misses = (
        sum(sum(of.values()) for of in each)
        for each in zip(*((of.cache_hits, of.cache_misses) for of in stats), strict=True)
    )
    took = time.perf_counter() - begin
    print(f"{misses} kernels compiled, {hits} were there: {took:.1f} s")
    return 0
