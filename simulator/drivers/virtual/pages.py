"""Large pages for the memory of a long run.

A run of many virtual days goes back and forth over hundreds of MiB: labels that come weeks late, the ledger in which
they are looked up, evidence of every cohort. A processor knows the places of one or two thousand pages by heart. In
pages of 4 KiB that is a few MiB, and every other access looks its page up first, on a virtual machine in two tables of
four steps each. In pages of 2 MiB all of it is known. ``python -m benchmarks.month --small-pages`` does without.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Final

LARGE: Final = 2 << 20  # bytes of a large page, on x86-64 and on ARM with pages of 4 KiB
_HUGEPAGE: Final = 14  # madvise(2): whatever is touched from now on comes in large pages
_COLLAPSE: Final = 25  # and what is there already is moved together now; Linux 6.1, no effect before
_MAPS: Final = Path("/proc/self/maps")
_ALLOWED: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def enlarge() -> int:
    """Ask for large pages wherever this process' own memory has room for one; the bytes that were asked for.

    Best effort, and nothing that a run can see. 0 where the system has no such pages or its operator wants none.
    """
    try:
        if sys.platform != "linux" or "[never]" in _ALLOWED.read_text():
            return 0
        maps = _MAPS.read_text()
    except OSError:
        return 0
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    asked = 0
    for start, length in ranges(maps):
        madvise(start, length, _HUGEPAGE)
        madvise(start, length, _COLLAPSE)
        asked += length
    return asked


def ranges(maps: str) -> list[tuple[int, int]]:
    """(address, bytes) of the whole large pages in the writable memory of a process that stands for no file.

    Args:
        maps: as in ``/proc/PID/maps``, see proc(5).
    """
    found = []
    for line in maps.splitlines():
        where, access, _, _, _, *name = line.split(maxsplit=5)
        if access == "rw-p" and (not name or name[0] == "[heap]"):
            first, after = (int(edge, 16) for edge in where.split("-"))
            start, end = -(-first // LARGE) * LARGE, after // LARGE * LARGE
            if end > start:
                found.append((start, end - start))
    return found
