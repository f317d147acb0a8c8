"""Guard rails: what cannot be rehearsed in virtual time raises, and is recorded in case somebody swallows it.

Audit hooks cannot be removed, so this is for a process that runs one rehearsal and ends.
"""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable
from typing import Any, Final

from simulator.drivers.virtual.loop import VirtualLoop, VirtualTimeError

_FORBIDDEN: Final = {
    "socket.connect": "opened a real socket; name that dependency as a seam in the target file",
    "socket.bind": "bound a real socket; start the service through its ASGI app",
    "socket.getaddrinfo": "asked the real DNS; name that dependency as a seam in the target file",
    "socket.sendto": "sent a UDP packet; switch that client off in virtual time",
    "subprocess.Popen": "started a subprocess; certify this target live",
    "os.fork": "forked; certify this target live",
    "os.posix_spawn": "started a process; certify this target live",
}


def raise_rails(loop: VirtualLoop, *, stall_seconds: int = 60) -> Callable[[], None]:
    """Forbid sockets, processes and threads, and interrupt a callback that computes for `stall_seconds` of real time.

    Returns the function that lowers the rails again, for the harness' own work after the run.
    """
    up = [True]

    def audit(event: str, _: tuple[Any, ...]) -> None:
        if up[0] and event in _FORBIDDEN:
            _violate(loop, f"the service {_FORBIDDEN[event]}")

    def no_thread(*_: Any, **__: Any) -> int:
        _violate(loop, "the service started a thread; use the event loop, or certify this target live")
        return 0  # never reached

    import sys  # noqa: PLC0415 - beside its one use

    sys.addaudithook(audit)
    real_start, real_threading_start = _thread.start_new_thread, threading._start_new_thread  # type: ignore[attr-defined]  # noqa: SLF001 - 3.11 raises no audit event for threads
    _thread.start_new_thread = no_thread
    threading._start_new_thread = no_thread  # type: ignore[attr-defined]  # noqa: SLF001
    last = [-1]

    def stalled(*_: Any) -> None:
        if loop.now_ns == last[0]:
            raise VirtualTimeError(
                f"stalled at {loop.time():.3f}s: {stall_seconds} s of real time without the virtual clock moving "
                "(an endless loop, or a blocking call that never returns)"
            )
        last[0] = loop.now_ns

    signal.signal(signal.SIGALRM, stalled)
    signal.setitimer(signal.ITIMER_REAL, stall_seconds, stall_seconds)

    def lower() -> None:
        up[0] = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        _thread.start_new_thread = real_start
        threading._start_new_thread = real_threading_start  # type: ignore[attr-defined]  # noqa: SLF001

    return lower


def _violate(loop: VirtualLoop, what: str) -> None:
    loop.violations.append(what)
    raise VirtualTimeError(f"{what}: not possible in virtual time")
