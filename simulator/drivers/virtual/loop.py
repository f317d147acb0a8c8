# mypy: disable-error-code="override"
# typeshed spells asyncio's signatures with variadic generics and overloads; ours accept the same calls.
"""An asyncio event loop whose clock jumps to the next timer: days in seconds, and the same every time.

Integer nanoseconds; timers of one instant run in the order in which they were set; sync work given to an
executor runs inline; what would make a run depend on the machine (threads, real sockets) is an error.
"""

from __future__ import annotations

import asyncio
import heapq
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextvars import Context
from typing import Any, Final, NoReturn
from weakref import WeakSet

from simulator.drivers.virtual.network import Network

SECOND: Final = 1_000_000_000
# Callbacks at one instant before it counts as no progress: far above any honest cascade, about a second of CPU.
RUNAWAY: Final = 100_000

_SWEPT: Final = 256  # tasks noted before those that have ended are let go


class VirtualTimeError(RuntimeError):
    """The service did something that cannot be rehearsed in virtual time; the message says what and the way out."""


class _Tasks(WeakSet):  # type: ignore[type-arg]  # generic in the stubs only
    """asyncio's register of tasks. A task of `start_now` is noted in it only if its first step did not end it.

    It is noted in a plain dict, which costs a tenth of a weak reference with its callback. Those that have ended are
    let go when as many as that have been noted again; until then nobody sees them, as asyncio shows no ended task.
    """

    newborn: asyncio.Task[Any] | None = None  # is taking its first step
    add: Callable[[Any], Any]  # type: ignore[assignment]  # set on the one instance, for the time of a birth
    noted: dict[asyncio.Task[Any], None]
    full = _SWEPT

    def note(self, task: asyncio.Task[Any]) -> None:
        """Enter a task of `start_now`."""
        noted = self.noted
        noted[task] = None
        if len(noted) >= self.full:
            self.noted = noted = {task: None for task in noted if not task.done()}
            self.full = max(_SWEPT, 2 * len(noted))

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        yield from super().__iter__()
        yield from self.noted
        if self.newborn is not None:
            yield self.newborn


# The one register of the process, which asyncio's C code writes to.
_TASKS: Final[Any] = asyncio.tasks._all_tasks  # type: ignore[attr-defined]  # noqa: SLF001
_TASKS.__class__ = _Tasks
_TASKS.noted = {}
_enter: Final = _TASKS.add
_ignore: Final = callable  # takes a task, does nothing, is no Python function, and (unlike `id`) tells no audit hook


class VirtualLoop(asyncio.base_events.BaseEventLoop):
    """Runs callbacks in virtual time from 0. `post` is the harness' own timer, without a Handle around it."""

    _ready: Any  # BaseEventLoop's deque of handles
    _stopping: bool
    _thread_id: int | None

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self.wall_ahead_ns = 0  # by how much the time of day is wrong; no timer knows of it
        self.network = Network(self)
        self._timers: list[tuple[int, int, Callable[[Any], None] | None, Any]] = []
        self._order = 0
        self._steps = 0
        self._catch = False
        self._caught: Any = None
        self.violations: list[str] = []  # guard rails that fired where an exception could be swallowed

    def time(self) -> float:
        """Virtual seconds since the start of the loop."""
        return self.now_ns / SECOND

    # Asked for each new task and handle; the answer is always no, and bool() gives it without a Python frame.
    get_debug = staticmethod(bool)

    def skip_to(self, when_ns: int) -> bool:
        """Move the clock to `when_ns` at once, if nothing else can happen until then; whether it did.

        Waiting would end in the same state at the same instant: the loop would go to sleep, find that this timer is
        the next, and come back. Sparing it that is what makes a lone request cheap.
        """
        timers = self._timers
        if self._ready or self._stopping or (timers and timers[0][0] <= when_ns):
            return False
        self.now_ns, self._steps = when_ns, 0
        return True

    def post(self, when_ns: int, call: Callable[[Any], None], argument: Any) -> None:
        """Run ``call(argument)`` at `when_ns`, after everything posted earlier for that instant."""
        self._order += 1
        heapq.heappush(self._timers, (when_ns, self._order, call, argument))

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's, but first set, first run within one instant."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._order += 1
        # Round up so that a timer never fires before its float deadline has passed.
        when_ns = max(round(when * SECOND), self.now_ns)
        heapq.heappush(self._timers, (when_ns, self._order, None, handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's, on the integer clock, so that late in a long run no nanosecond is lost to floats."""
        handle = asyncio.TimerHandle(self.time() + delay, callback, args, self, context)
        self._order += 1
        heapq.heappush(self._timers, (self.now_ns + max(0, round(delay * SECOND)), self._order, None, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are dropped when they surface; they never move the clock."""

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Only from the loop's own thread: another thread would make the order depend on the machine."""
        if self._thread_id is not None and threading.get_ident() != self._thread_id:
            self._refuse(
                "another thread called into the event loop", "run the work inline, or certify this target live"
            )
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Run `func` inline: a worker thread would race the virtual clock."""
        del executor
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits the future
            future.set_exception(error)
        return future

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> list[Any]:
        """Names resolve to themselves; whether anybody listens there is decided on connecting."""
        name = host.decode() if isinstance(host, bytes) else str(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (name, int(port)))]

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        """Connect to a server of the harness' own network; anything else is a real socket and refused."""
        if not self.network.serves(host, port):
            self._refuse(
                f"the service opened a connection to {host}:{port}",
                "name that dependency as a seam in the target file, or certify this target live",
                kind=ConnectionRefusedError,
            )
        return self.network.connect(factory, str(host), int(port), ssl=options.get("ssl"))

    async def create_server(self, *_: Any, **__: Any) -> Any:
        """Refused: the service is called in process."""
        self._refuse("the service opened a listening socket", "start it through its ASGI app")

    async def create_datagram_endpoint(self, *_: Any, **__: Any) -> Any:
        """Refused: there is no UDP in virtual time."""
        self._refuse("the service opened a UDP socket", "switch that client off in virtual time")

    async def subprocess_exec(self, *_: Any, **__: Any) -> Any:
        """Refused: another process has another clock."""
        self._refuse("the service started a subprocess", "certify this target live")

    async def subprocess_shell(self, *_: Any, **__: Any) -> Any:
        """Refused: another process has another clock."""
        self._refuse("the service started a subprocess", "certify this target live")

    def _refuse(self, what: str, remedy: str, kind: type[Exception] = VirtualTimeError) -> NoReturn:
        # Recorded too, because clients like to wrap or swallow what we raise.
        self.violations.append(f"{what}; {remedy}")
        raise kind(f"{what}: not possible in virtual time; {remedy}")

    def _process_events(self, _: Any) -> None:
        """There is no selector."""

    def _write_to_self(self) -> None:
        """There is no selector to wake."""

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        """As asyncio's, without its checks for debug mode: this is on the path of every request."""
        if self._catch:  # the first step of a task that `start_now` is making: it is run at once, without a handle
            self._catch = False
            self._caught = callback, context
            return None  # type: ignore[return-value]
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def _run_once(self) -> None:
        timers, ready = self._timers, self._ready
        while not ready and not self._stopping:
            if not timers:
                raise VirtualTimeError(
                    f"deadlock at {self.time():.3f}s: nothing can happen any more; {self._waiting()}"
                )
            when, _, call, argument = heapq.heappop(timers)
            if call is None and argument._cancelled:  # noqa: SLF001 - asyncio's own loop does the same
                continue
            if when > self.now_ns:
                self.now_ns, self._steps = when, 0
            self._steps += 1
            if self._steps > RUNAWAY:
                self._runaway()
            if call is None:
                ready.append(argument)
            else:
                call(argument)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:  # noqa: SLF001
                self._steps += 1
                if self._steps > RUNAWAY:
                    self._runaway()
                handle._run()  # noqa: SLF001

    def _runaway(self) -> NoReturn:
        raise VirtualTimeError(
            f"runaway at {self.time():.3f}s: {RUNAWAY} callbacks without the clock moving (a busy loop around "
            f"sleep(0)?); {self._waiting()}"
        )

    def _waiting(self) -> str:
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        places = [where(task) for task in tasks[:5]]
        return "waiting: " + ("; ".join(places) if places else "no task")

    def start_now(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A real task, isolated in its own context, whose first step runs at once.

        Only from a posted callback: asyncio does not let one task be entered from within another.
        """
        self._catch = True
        _TASKS.add = _ignore
        _TASKS.newborn = task = asyncio.Task(coroutine, loop=self, name="request")
        _TASKS.add = _enter
        step, context = self._caught
        context.run(step)
        _TASKS.newborn = None
        if not task.done():
            _TASKS.note(task)
        return task

    def run_until(self, end_ns: int) -> None:
        """Run everything due before or at `end_ns`, then stop with the clock there."""
        self.post(end_ns, lambda _: self.stop(), None)
        self.run_forever()


def where(task: asyncio.Task[Any]) -> str:
    """``name at file:line`` of the innermost await of a task."""
    frame: Any = task.get_coro()
    place = "?"
    while frame is not None:
        inner = getattr(frame, "cr_frame", None) or getattr(frame, "gi_frame", None) or getattr(frame, "ag_frame", None)
        if inner is None:
            break
        place = f"{inner.f_code.co_filename}:{inner.f_lineno}"
        frame = getattr(frame, "cr_await", None) or getattr(frame, "gi_yieldfrom", None)
    return f"{task.get_name()} at {place}"


def finish(loop: VirtualLoop, awaitables: Iterable[Awaitable[Any]]) -> None:
    """Run awaitables to their end, in order."""
    for awaitable in awaitables:
        loop.run_until_complete(awaitable)
