"""The CPU time that a service's processes have used, as the kernel counts it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from simulator.drivers.hold import session_of

_TICK_NS: Final = 10**9 // os.sysconf("SC_CLK_TCK")
_TIMES: Final = slice(11, 15)  # utime, stime, and both of children that ended and were waited for; see proc(5)


def used_ns(session: int) -> int:
    """User and system time of all processes of a session so far, to the kernel's tick (10 ms as a rule)."""
    total = 0
    for pid in session_of(session):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            total += sum(int(ticks) for ticks in fields[_TIMES])
    return total * _TICK_NS
