"""Makes the process' clocks virtual, for services that read the time themselves.

Wall clocks (time.time, datetime.now, …) go through time-machine, whose traveller we make lazy: it computes the
time when asked, so that a jump costs nothing. Monotonic clocks and time.sleep are not covered by it; they are
swapped inside the built-in function objects, which also reaches ``from time import monotonic`` done earlier.

Out of reach, hence documented: time.ctime, numpy's datetime64("now"), SQLite's CURRENT_TIMESTAMP, file times.
For one process that runs one rehearsal and ends; nothing is restored.
"""

from __future__ import annotations

import ctypes
import sys
import time
from typing import Any, Final

import time_machine

from simulator.drivers.virtual.loop import SECOND, VirtualLoop

EPOCH_NS: Final = 1_767_225_600 * SECOND  # 2026-01-01T00:00:00Z: where virtual wall time starts


class _MethodDef(ctypes.Structure):
    # CPython's PyMethodDef (Include/cpython/methodobject.h), stable through 3.11.
    _fields_ = (
        ("ml_name", ctypes.c_char_p),
        ("ml_meth", ctypes.c_void_p),
        ("ml_flags", ctypes.c_int),
        ("ml_doc", ctypes.c_char_p),
    )


class _BuiltinFunction(ctypes.Structure):
    # CPython's PyCFunctionObject, up to the pointer that we need.
    _fields_ = (
        ("ob_refcnt", ctypes.c_ssize_t),
        ("ob_type", ctypes.c_void_p),
        ("m_ml", ctypes.POINTER(_MethodDef)),
    )


# METH_NOARGS passes NULL as the arguments, which py_object would refuse: hence a void pointer.
_NO_ARGUMENTS: Final = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p)
_ONE_ARGUMENT: Final = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object)
_METH_O: Final = 0x0008
_kept: Final[list[Any]] = []  # the C side holds no reference to a callback


class _Traveller:
    """What time-machine asks for the time; it wants these two members."""

    _destination_tzname = None

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def time_ns(self) -> int:
        return EPOCH_NS + self._loop.now_ns + self._loop.wall_ahead_ns

    def time(self) -> float:
        return self.time_ns() / SECOND


def patch_clocks(loop: VirtualLoop) -> None:
    """From now on this process' wall and monotonic clocks follow `loop`; time.sleep blocks virtual time."""
    if sys.implementation.name != "cpython" or sys.version_info[:2] != (3, 11):
        raise RuntimeError("the clock patch knows the layout of CPython 3.11 only")
    traveller = time_machine.travel(0, tick=False)
    traveller.start()
    time_machine.traveller_stack[-1] = _Traveller(loop)  # type: ignore[call-overload]
    _kept.append(traveller)
    _swap(time.monotonic, lambda *_: loop.now_ns / SECOND)
    _swap(time.monotonic_ns, lambda *_: loop.now_ns)
    _swap(time.perf_counter, lambda *_: loop.now_ns / SECOND)
    _swap(time.perf_counter_ns, lambda *_: loop.now_ns)

    def sleep(_: Any, seconds: float) -> None:
        # A blocking sleep stops the event loop for that long; that is what production does, too.
        loop.now_ns += round(seconds * SECOND)
        loop.violations.append(f"time.sleep({seconds}) blocked the event loop; use asyncio.sleep")

    _swap(time.sleep, sleep, _ONE_ARGUMENT)


def _swap(builtin: Any, replacement: Any, prototype: Any = _NO_ARGUMENTS) -> None:
    # A callback must not raise: ctypes would swallow the exception and hand garbage to the caller.
    definition = _BuiltinFunction.from_address(id(builtin)).m_ml.contents
    callback = prototype(replacement)
    _kept.append(callback)
    definition.ml_meth = ctypes.cast(callback, ctypes.c_void_p).value
    if prototype is _ONE_ARGUMENT:
        definition.ml_flags = _METH_O


def inline_worker_threads() -> None:
    """Let anyio (Starlette, FastAPI) run sync handlers on the loop's own thread instead of a worker thread."""
    try:
        from anyio._backends import _asyncio  # noqa: PLC0415 - only where the target brings anyio
    except ImportError:
        return
    import contextvars  # noqa: PLC0415 - rarely needed

    async def inline(cls: Any, func: Any, args: Any, abandon_on_cancel: bool = False, limiter: Any = None) -> Any:  # noqa: FBT001, FBT002 - anyio's signature
        del abandon_on_cancel, limiter
        await cls.checkpoint()
        return contextvars.copy_context().run(func, *args)

    _asyncio.AsyncIOBackend.run_sync_in_worker_thread = classmethod(inline)  # type: ignore[assignment]
