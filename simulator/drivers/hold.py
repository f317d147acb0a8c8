"""Holds a fault over a session of processes until its standard input ends: then it lifts it, whoever is still there.

A process of its own, so that neither an interrupted run nor a killed one leaves a service frozen or starved, and so
that it watches without making the driver late. It imports nothing but the standard library: it must be there in no
time. Linux only.

Called as ``hold.py SESSION pause``, ``cpu CORES`` or ``memory BYTES``. Says, a JSON object a line, first whether it
holds, and at the end what it saw.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

PERIOD: Final = 0.1  # seconds, in which a quota of CPU time is spent: the kernel's own default for its cgroups
_TICK: Final = 0.002  # seconds between two looks at what was spent
_SAMPLE: Final = 0.05  # seconds between two looks at memory
_TAKES: Final = 1.0  # seconds that a signal may take to be obeyed by all
_SCHED: Final = 2  # the kind of clock that counts a process' CPU time, in clock_getcpuclockid(3)'s encoding
_FULL: Final = 0.9  # of the headroom, from where on it counts as used up: the next piece asked for may be a large one


def session_of(session: int) -> list[int]:
    """Pids of the living processes of a session, ascending; none where there is no /proc."""
    return [pid for pid, _ in _states(session)]


_PROC: Final = Path("/proc/self/stat").exists()


def _states(session: int) -> Iterator[tuple[int, str]]:
    """(pid, state) of a session's living processes: R running, S sleeping, D waiting for a device, T stopped."""
    for pid in sorted(int(entry.name) for entry in Path("/proc").glob("[0-9]*")) if _PROC else ():
        with contextlib.suppress(OSError):
            state, _, _, of, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if int(of) == session and state not in "ZX":
                yield pid, state


def _over(wait: float) -> bool:
    """Wait so long; whether standard input has ended meanwhile."""
    ready, _, _ = select.select([sys.stdin], [], [], max(0.0, wait))
    return bool(ready)


def _say(**what: Any) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more, and there is still something to lift
        sys.stdout.write(f"{json.dumps(what)}\n")
        sys.stdout.flush()


def _signal(session: int, number: signal.Signals) -> None:
    for pid in session_of(session):
        # One that is not ours to signal must not leave the others as they are: whether all obeyed is looked at.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def stopped(session: int) -> tuple[int, int]:
    """How many of the session's processes stand still, and how many there are."""
    states = [state for _, state in _states(session)]
    return states.count("T"), len(states)


def pause(session: int) -> None:
    """SIGSTOP to all until each is in state T; SIGCONT at the end."""
    until = time.monotonic() + _TAKES
    while True:
        _signal(session, signal.SIGSTOP)  # again and again: one of them may just have started another
        still, there = stopped(session)
        if still == there or time.monotonic() > until:
            break
        time.sleep(_TICK)
    _say(holds=0 < still == there, why=f"{still} of {there} processes are stopped")
    while not _over(3600.0):
        pass
    still, there = stopped(session)
    _signal(session, signal.SIGCONT)
    _say(units=1, bit=int(0 < still == there), why=f"{still} of {there} processes were in state T at the end")


def cpu(session: int, cores: float) -> None:
    """All together get `cores` CPU seconds a second at most: once a period's share is spent, they wait for the next.

    The law of the kernel's own control (Turner, Rao, Rao, CPU bandwidth control for CFS, Linux Symposium 2010); what
    is spent too much, because we look only now and then, is taken off the next period.
    """
    if not session_of(session):
        _say(holds=False, why="there is no process")
        return
    _say(holds=True, why=f"{cores:g} cores in periods of {PERIOD * 1000:.0f} ms")
    periods = throttled = 0
    began = at = time.monotonic()
    spent_before: dict[int, float] = {}
    left = total = 0.0
    try:
        while not _over(0.0):
            left = min(0.0, left) + cores * PERIOD
            at, periods = max(at, time.monotonic() - PERIOD) + PERIOD, periods + 1
            pids, halted = session_of(session), False
            while (wait := at - time.monotonic()) > 0:
                if not halted:
                    spent = sum(_spent(pid, spent_before) for pid in pids)
                    left, total = left - spent, total + spent
                    if left <= 0:
                        _signal(session, signal.SIGSTOP)
                        halted, throttled = True, throttled + 1
                if _over(wait if halted else min(_TICK, wait)):
                    break
            if halted:
                _signal(session, signal.SIGCONT)
    finally:
        _signal(session, signal.SIGCONT)
    took = max(time.monotonic() - began, 1e-9)
    why = f"stopped in {throttled} of {periods} periods, {total / took:.2f} cores used of {cores:g}"
    _say(units=periods, bit=throttled, why=why)


def _spent(pid: int, before: dict[int, float]) -> float:
    """CPU seconds of a process since the last look; at the first one nothing."""
    try:
        now = time.clock_gettime((~pid << 3) | _SCHED)
    except OSError:  # it has gone
        return 0.0
    was = before.get(pid, now)
    before[pid] = now
    return now - was


def memory(session: int, headroom: int) -> None:
    """RLIMIT_AS of each process is what it has mapped and `headroom` bytes more: whoever asks for more is refused."""
    before = {pid: (_mapped(pid), resource.prlimit(pid, resource.RLIMIT_AS)[0]) for pid in session_of(session)}
    for pid, ((mapped, _), soft) in before.items():
        # One that it had already is never widened.
        _soft_limit(pid, mapped + headroom if soft == resource.RLIM_INFINITY else min(soft, mapped + headroom))
    limited = sum(_limit(pid) in range(mapped + headroom + 1) for pid, ((mapped, _), _) in before.items())
    why = f"{limited} of {len(before)} processes, {headroom} bytes more for each"
    _say(holds=0 < limited == len(before), why=why)
    took = dict.fromkeys(before, 0)
    while not _over(_SAMPLE):
        for pid, ((mapped, peak), _) in before.items():
            now, highest = _mapped(pid)
            took[pid] = max(took[pid], (highest if highest > peak else now) - mapped)
    there = session_of(session)
    gone = [pid for pid in before if pid not in there]
    for pid in there:  # also those that were started meanwhile, and inherited it
        _soft_limit(pid, before[pid][1] if pid in before else max(soft for _, soft in before.values()))
    # A worker may end for many reasons; the leader, without which there is no service, does not.
    bit = session in gone or any(took[pid] >= _FULL * headroom for pid in before)
    why = f"the most that one of them took was {max(took.values(), default=0)} of {headroom} bytes; {len(gone)} died"
    _say(units=1, bit=int(bit), why=why)


def _soft_limit(pid: int, soft: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        hard = resource.prlimit(pid, resource.RLIMIT_AS)[1]
        resource.prlimit(pid, resource.RLIMIT_AS, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _limit(pid: int) -> int:
    """The soft limit of its address space; -1 of none, or if it has gone."""
    try:
        return resource.prlimit(pid, resource.RLIMIT_AS)[0]
    except (ProcessLookupError, PermissionError):
        return resource.RLIM_INFINITY


def _mapped(pid: int) -> tuple[int, int]:
    """Bytes of address space now, and the most that it ever was; zeros if it has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Vm")}
    return found.get("VmSize", 0), found.get("VmPeak", 0)


HOLDS: Final[dict[str, Callable[..., None]]] = {"pause": pause, "cpu": cpu, "memory": memory}


def main(session: str, what: str, *amount: str) -> None:
    """Hold, until standard input ends."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # whoever ends us closes our input
        signal.signal(ignored, signal.SIG_IGN)
    try:
        HOLDS[what](int(session), *(float(a) if what == "cpu" else int(a) for a in amount))
    except OSError as error:
        _say(holds=False, units=1, bit=0, why=str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
