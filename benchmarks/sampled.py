"""The service with a sampler inside: ``python -m benchmarks.sampled OUT SETTINGS [options of seatrial-service]``.

Every few milliseconds of this process's processor time (ITIMER_PROF; the kernel's tick is the finest) faulthandler
writes the stack down, from SIGUSR1 until SIGUSR2, which writes `Samples` to OUT. Nothing is switched off, replaced or
wrapped. faulthandler does so in the signal's own handler, at the very instruction; a handler in Python would run only
when the interpreter next looks for signals, and what a line did in C would be found some lines later.
"""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

EVERY_S: Final = 0.001  # or the kernel's tick
ROOT: Final = Path(__file__).parent.parent
_FRAME: Final = re.compile(rf'  File "{re.escape(str(ROOT))}/(reference_service/[^"]+)", line (\d+) in (.+)')
_STACK: Final = "Stack (most recent call first):\n"

Frame = tuple[str, str, int]
"""Of a stack: file (relative to the repository), function, line."""


class Samples(msgspec.Struct):
    """What was seen."""

    user_s: float  # processor time of the process from start to stop
    system_s: float
    stacks: list[tuple[tuple[Frame, ...], int]]  # outermost frame of the service first; empty: the event loop itself


def main() -> None:
    """Serve, sampled."""
    from reference_service.__main__ import main as serve  # who reads samples needs no service

    out = Path(sys.argv[1])
    began = os.times()
    with tempfile.TemporaryFile("w+") as seen:
        faulthandler.register(signal.SIGPROF, seen, all_threads=False)

        def start(_number: int, _frame: FrameType | None) -> None:
            nonlocal began
            began = os.times()
            signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

        def stop(_number: int, _frame: FrameType | None) -> None:
            signal.setitimer(signal.ITIMER_PROF, 0)
            now = os.times()
            seen.seek(0)
            stacks = list(read(seen.read()).items())
            fresh = out.with_suffix(".fresh")
            fresh.write_bytes(msgspec.json.encode(Samples(now.user - began.user, now.system - began.system, stacks)))
            fresh.rename(out)  # there, whole

        signal.signal(signal.SIGUSR1, start)
        signal.signal(signal.SIGUSR2, stop)
        sys.exit(serve(sys.argv[2:]))


def read(text: str) -> Counter[tuple[Frame, ...]]:
    """Stacks as faulthandler writes them, of the service's own frames."""
    found: Counter[tuple[Frame, ...]] = Counter()
    for stack in text.split(_STACK)[1:]:
        frames = [(file, name, int(line)) for file, line, name in _FRAME.findall(stack)]
        found[tuple(reversed(frames))] += 1
    return found


if __name__ == "__main__":
    main()
