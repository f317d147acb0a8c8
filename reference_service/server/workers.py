"""Several processes behind one socket: started, started again when they die, and stopped without losing a request.

They share the socket and nothing else on the path of a request. The control process answers nothing itself, so that
nothing a caller sends can hurt it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from typing import Final

from reference_service.clock import SECOND, Clock

_LIVED_NS: Final = 10 * SECOND  # a worker that ends earlier has not really started
_HOPELESS: Final = 3  # so many such ends in a row: it will not start
_log: Final = logging.getLogger("reference_service")


class Workers:
    """See above.

    Args:
        command: of a worker's number: what to run. A worker stops when its standard input ends, which it does with us.
        count: of workers.
        passed: file descriptors that they inherit.
        clock: for pauses.
        grace_ns: how long a worker may take to stop.
    """

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        count: int,
        *,
        passed: Sequence[int],
        clock: Clock,
        grace_ns: int,
    ) -> None:
        self._command = command
        self._count = count
        self._passed = passed
        self._clock = clock
        self._grace_ns = grace_ns
        self._running: dict[int, Process] = {}
        self._stopped = asyncio.Event()

    async def run(self) -> int:
        """Keep them running until SIGTERM or SIGINT. The exit code: 1 if a worker did not start or stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopped.set)
        keeping = [loop.create_task(self._keep(k)) for k in range(self._count)]
        stopped = loop.create_task(self._stopped.wait())
        await asyncio.wait([*keeping, stopped], return_when=asyncio.FIRST_COMPLETED)
        self._stopped.set()
        for process in list(self._running.values()):
            process.terminate()
        _, late = await asyncio.wait(keeping, timeout=2 * self._grace_ns / SECOND)
        for process in list(self._running.values()):
            process.kill()
        fine = await asyncio.gather(*keeping)
        return 0 if all(fine) and not late else 1

    async def _keep(self, number: int) -> bool:
        """One worker, life after life, until we stop; whether its last life ended well."""
        short = 0
        while not self._stopped.is_set():
            began_ns = self._clock.now_ns()
            process = await asyncio.create_subprocess_exec(
                *self._command(number), stdin=PIPE, pass_fds=tuple(self._passed), start_new_session=True
            )
            self._running[number] = process
            if self._stopped.is_set():
                process.terminate()
            code = await process.wait()
            del self._running[number]
            if self._stopped.is_set():
                return code in {0, -signal.SIGTERM}  # the latter: it had not begun to serve
            short = short + 1 if self._clock.now_ns() - began_ns < _LIVED_NS else 0
            if short == _HOPELESS:
                _log.error("worker %d does not start (exit code %d)", number, code)
                return False
            _log.error("worker %d ended with code %d and is started again", number, code)
        return True
