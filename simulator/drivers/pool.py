"""Runs, each in a process of its own, so that no run can see another; progress comes back while they work.

Processes are forked from a server that has imported what is heavy: a run starts in milliseconds and still
begins from the same memory every time.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

from simulator.drivers.spec import RunSpec

# What every run needs, and what services under asyncio usually import with their first await; names that are not
# there are skipped.
_HEAVY: Final = ("simulator.drivers.locust.fleet", "simulator.drivers.virtual.run", "anyio._backends._asyncio")
_HIDING: Final = threading.Lock()
Listener = Callable[
    [RunSpec, str, Any], None
]  # (spec, "started" | "progress" | "finished" | "died" | "interrupted", value)


@dataclass(slots=True)
class _Running:
    spec: RunSpec
    process: BaseProcess
    since: float


def carry_out(specs: Sequence[RunSpec], *, workers: int, preload: Sequence[str], listen: Listener) -> None:
    """Run all of `specs`, at most `workers` at once, in order. ``finished`` tells seconds, ``died`` the reason."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_HEAVY, *preload, "simulator.drivers.frozen"])
    # One thread per run: more would race on the machine without making a single virtual second shorter.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    waiting = list(reversed(specs))
    running: dict[Connection, _Running] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                spec = waiting.pop()
                near, far = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(spec, far), name=f"seatrial-{spec.role}")
                with _nobodys_script():
                    process.start()
                far.close()
                running[near] = _Running(spec, process, time.perf_counter())
                listen(spec, "started", None)
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)  # noqa: S101 - only connections were given
                _hear(connection, running, listen)
    finally:
        _end(running, listen)


@contextlib.contextmanager
def _nobodys_script() -> Iterator[None]:
    """Each process would first run the script again that asked for the trial. A run needs nothing of it.

    multiprocessing looks at two attributes of the script's module for what to run; they are out of sight meanwhile.
    """
    with _HIDING:
        script = sys.modules["__main__"]
        spec, file = script.__spec__, script.__dict__.pop("__file__", None)
        script.__spec__ = None
        try:
            yield
        finally:
            script.__spec__ = spec
            if file is not None:
                script.__file__ = file


def _end(running: dict[Connection, _Running], listen: Listener) -> None:
    """End what still runs. A run heals its target first: whoever interrupts that as well is told so, and waits."""
    while running:
        with contextlib.suppress(KeyboardInterrupt):
            for one in running.values():
                one.process.terminate()
                listen(one.spec, "interrupted", None)
            while running:
                for connection in wait(list(running)):
                    assert isinstance(connection, Connection)  # noqa: S101 - only connections were given
                    try:
                        connection.recv()
                    except EOFError:
                        running.pop(connection).process.join()


def _hear(connection: Connection, running: dict[Connection, _Running], listen: Listener) -> None:
    run = running[connection]
    try:
        kind, value = connection.recv()
    except EOFError:
        run.process.join()
        kind, value = "died", f"the process of the run ended with code {run.process.exitcode}"
    if kind == "progress":
        listen(run.spec, kind, value)
        return
    del running[connection]
    run.process.join()
    connection.close()
    listen(run.spec, kind, value if kind == "died" else time.perf_counter() - run.since)


def _ignore(*_: object) -> None:
    """Not SIG_IGN, which what we start would inherit."""


def _once(*_: object) -> None:
    signal.signal(signal.SIGTERM, _ignore)
    raise KeyboardInterrupt


def _work(spec: RunSpec, parent: Connection) -> None:
    """In the child: one run, then the end."""
    from simulator.drivers.live import run_live  # noqa: PLC0415 - preloaded by the fork server
    from simulator.drivers.locust.fleet import run_fleet  # noqa: PLC0415 - same
    from simulator.drivers.virtual.run import rehearse  # noqa: PLC0415 - same

    # A run that is ended heals its target first, and is ended once: a Ctrl-C is heard by the parent, too, who ends us.
    signal.signal(signal.SIGINT, _ignore)
    signal.signal(signal.SIGTERM, _once)
    runs = {"virtual": rehearse, "live": run_live, "locust": run_fleet}
    try:
        runs[spec.driver](spec, lambda share: parent.send(("progress", share)))
    except KeyboardInterrupt:
        pass  # the parent knows
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        parent.send(("died", f"{type(error).__name__}: {error}"))
    else:
        parent.send(("finished", None))
    finally:
        parent.close()
