"""Seams: where the harness stands between the service and a dependency, in process.

A seam wraps the dependency's call. Without a fault it passes everything through; with one it counts what it
did, because a fault without a receipt proves nothing (S7).
"""

from __future__ import annotations

import asyncio
import errno
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Final

import numpy as np

from simulator.scenario.quantities import SECOND
from simulator.world.keyed import Draw

Call = Callable[..., Any]
_BLOCK: Final = 4096
OFF: Final = 1e-3  # what a margin is off by, if the model is `off`


class Injected(ConnectionError):  # noqa: N818 - it names its cause, so that a log that shows it explains itself
    """What a dependency that is down, or a model that raises, raises."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What to do to calls: down, full, raise, slow, hang, stale, nan, wrong or off.

    `by` is a latency or an age in nanoseconds; `first`, if given, restricts it to calls with that first argument.
    """

    event: str
    kind: str
    by: int = 0
    share: float = 1.0
    first: str | None = None


@dataclass(slots=True)
class Receipt:
    """What one fault did: calls seen while it was on, calls it took, calls whose result really differed or waited."""

    seen: int = 0
    taken: int = 0
    potent: int = 0


class Seam:
    """Stands in front of one dependency."""

    def __init__(self, name: str, seed: int) -> None:
        self.receipts: dict[str, Receipt] = {}
        self.calls = 0
        self.struck = 0  # of these, done something to, or watched: of the seam, whatever an event's receipt says
        self._draw = Draw(seed, f"seam:{name}")
        self._fault: Fault | None = None
        self._watched: dict[Any, Receipt] = {}
        self._uniforms: list[float] = []
        self._drawn = 0

    def break_with(self, fault: Fault) -> None:
        """From the next call on."""
        self._fault = fault
        self.receipts.setdefault(fault.event, Receipt())

    def watch(self, event: str, first: Any) -> None:
        """From the next call on, count the calls with this first argument, and do nothing to them."""
        self._watched[first] = self.receipts.setdefault(event, Receipt())

    def heal(self) -> None:
        """Pass everything through again."""
        self._fault = None

    @property
    def broken(self) -> bool:
        """Whether a fault is on."""
        return self._fault is not None

    def wrap(self, call: Call) -> Call:
        """The call that the service makes instead of `call`."""

        def through(*args: Any) -> Any:
            watched = self._watched.get(args[0]) if self._watched else None
            if watched is not None:
                self.struck += 1
                watched.seen += 1
                watched.taken += 1
                watched.potent += 1
            self.calls += 1
            fault = self._fault
            if fault is None or (fault.first is not None and args[0] != fault.first):
                return call(*args)
            receipt = self.receipts[fault.event]
            receipt.seen += 1
            if fault.share < 1.0 and self._uniform() >= fault.share:
                return call(*args)
            receipt.taken += 1
            self.struck += 1
            return _ACTS[fault.kind](fault, receipt, call, args)

        return through

    def _uniform(self) -> float:
        # One numpy draw a block: a call must stay cheap.
        if not self._uniforms:
            block = np.arange(self._drawn, self._drawn + _BLOCK)
            self._uniforms = self._draw.uniform("share", block)[::-1].tolist()
            self._drawn += _BLOCK
        return self._uniforms.pop()


def _down(fault: Fault, receipt: Receipt, _: Call, __: tuple[Any, ...]) -> Any:
    receipt.potent += 1
    raise Injected(f"injected by the event {fault.event}")


def _full(fault: Fault, receipt: Receipt, _: Call, __: tuple[Any, ...]) -> Any:
    receipt.potent += 1
    raise OSError(errno.ENOSPC, f"no space left on device, injected by the event {fault.event}")


async def _slow(fault: Fault, receipt: Receipt, call: Call, args: tuple[Any, ...]) -> Any:
    receipt.potent += fault.by > 0
    await asyncio.sleep(fault.by / SECOND)
    result = call(*args)
    return await result if isawaitable(result) else result


async def _hang(_: Fault, receipt: Receipt, __: Call, ___: tuple[Any, ...]) -> Any:
    receipt.potent += 1
    await asyncio.get_running_loop().create_future()


def _stale(fault: Fault, receipt: Receipt, call: Call, args: tuple[Any, ...]) -> Any:
    # What the dependency would have said `by` ago; its last argument is the time.
    receipt.potent += fault.by > 0
    return call(*args[:-1], args[-1] - fault.by)


def _nan(_: Fault, receipt: Receipt, __: Call, ___: tuple[Any, ...]) -> Any:
    receipt.potent += 1
    return math.nan


def _wrong(_: Fault, receipt: Receipt, call: Call, args: tuple[Any, ...]) -> Any:
    # The margin's sign is what a label mix-up in training flips.
    result = call(*args)
    if isawaitable(result):
        return _negated(receipt, result)
    receipt.potent += result != 0
    return -result


def _off(_: Fault, receipt: Receipt, call: Call, args: tuple[Any, ...]) -> Any:
    # Another quantisation, another BLAS: each score a little beside what it was, and no monitor minds.
    result = call(*args)
    receipt.potent += 1
    return _shifted(result) if isawaitable(result) else result + OFF


async def _shifted(result: Awaitable[float]) -> float:
    return await result + OFF


async def _negated(receipt: Receipt, result: Awaitable[float]) -> float:
    margin = await result
    receipt.potent += margin != 0
    return -margin


_ACTS: Final[dict[str, Callable[[Fault, Receipt, Call, tuple[Any, ...]], Any]]] = {
    "down": _down,
    "full": _full,
    "raise": _down,
    "slow": _slow,
    "hang": _hang,
    "stale": _stale,
    "nan": _nan,
    "wrong": _wrong,
    "off": _off,
}
