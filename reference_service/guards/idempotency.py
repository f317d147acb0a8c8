"""One answer per key: a request that is sent again gets the first answer, and nothing is decided twice.

A caller that heard no answer cannot know whether there was one, so it asks again with the same `Idempotency-Key`
(IETF draft-ietf-httpapi-idempotency-key-header; a draft, expired). The key belongs to the caller and to one payload:

- answered before: the stored status and body, byte for byte, whichever version answers by now;
- being answered in this process: wait for that answer, within one's own deadline. A caller that retries early wants
  the answer and not an error, and waiting costs no work;
- still being answered then, or in another process: `Busy`, and the caller asks again;
- another payload under the same key: `Reused`.

Where the store cannot be reached, an operator chooses: to answer all the same, perhaps twice (`unguarded`), or to
refuse (`Unreachable`), so that nothing is decided twice.

What a retry may repair (5xx, 429) is shared with those who wait and not stored. Work that came to nothing, since its
client left, passes on to the next who waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Protocol

from reference_service.clock import SECOND, Clock
from reference_service.guards.deadline import within

KEY: Final = b"idempotency-key"
REPLAYED: Final = (b"idempotent-replayed", b"true")
_LONGEST: Final = 255  # bytes of a key; a UUID has 36
_SERVER_ERROR: Final = 500
_TOO_MANY: Final = 429
_PAUSE_NS: Final = SECOND // 4  # before an answer is offered to the store again …
_OFFERS: Final = 20  # … for 5 seconds: within the lease of its claim


class BadKey(Exception):  # noqa: N818  # named after what the key is
    """Not one key of 1 to 255 visible ASCII characters."""


class Reused(Exception):  # noqa: N818  # named after what the key is
    """The key stands for another payload."""


class Busy(Exception):  # noqa: N818  # an outcome that the caller answers for
    """The first request with this key is not answered yet."""


class Unreachable(Exception):  # noqa: N818  # named after what the store is
    """Nobody knows whether this key was answered before."""


class Kept(NamedTuple):
    """What is known of a key."""

    payload: bytes  # fingerprint
    status: int  # 0: in flight
    body: bytes
    at_ns: int


class Answer(NamedTuple):
    """Status, body, and whether they are another request's."""

    status: int
    body: bytes
    replayed: bool


class Store(Protocol):
    """Where answers are kept: in memory, or shared by several processes. Raises OSError where it cannot be reached.

    A shared store gives a claim a lease somewhat longer than the deadline, since whoever made it may die.
    """

    async def claim(self, scope: bytes, payload: bytes, now_ns: int) -> Kept | None:
        """In one step: None, and the scope is the caller's to answer; or what is there already, and nothing changes."""

    async def keep(self, scope: bytes, kept: Kept) -> None:
        """Turn a claim into an answer. An answer that is there already stays."""

    async def drop(self, scope: bytes) -> None:
        """Give a claim back, unanswered."""


def fingerprint(*parts: bytes) -> bytes:
    """16 bytes of BLAKE2b over the parts and their lengths, so that ("ab", "c") is not ("a", "bc")."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def scope(headers: Iterable[tuple[bytes, bytes]], client: Sequence[Any] | None) -> bytes:
    """Whose key: fingerprint of the caller and its key.

    The caller is whoever it says that it is (its `Authorization`), since a retry may come from another machine; who
    says nothing is its address.

    Args:
        headers: as ASGI has them.
        client: (address, port), as ASGI has it.

    Raises:
        BadKey: the header is there, and is not one key.
    """
    keys, caller = [], b"@" + str(client[0] if client else "").encode()
    for name, value in headers:
        if name == KEY:
            keys.append(value.strip())
        elif name == b"authorization":
            caller = b"=" + value
    key = keys[0] if len(keys) == 1 else b""
    if len(key) > 1 and key[:1] == key[-1:] == b'"':  # the draft's own form is a quoted string
        key = key[1:-1]
    if not 0 < len(key) <= _LONGEST or not all(0x21 <= byte <= 0x7E for byte in key):  # noqa: PLR2004  # visible ASCII
        raise BadKey
    return fingerprint(caller, key)


class Idempotency:
    """Answers keyed requests once. Counters for the monitors.

    Args:
        store: where answers are kept.
        clock: stamps them.
        strict: whether to refuse while the store cannot be reached.
    """

    __slots__ = ("_clock", "_running", "_strict", "busy", "replayed", "reused", "store", "unguarded", "unreachable")

    def __init__(self, store: Store, clock: Clock, *, strict: bool = False) -> None:
        self.store = store
        self._clock = clock
        self._strict = strict
        self._running: dict[bytes, asyncio.Future[tuple[int, bytes] | None]] = {}
        self.replayed = 0  # answered with another request's answer
        self.reused = 0  # refused: another payload
        self.busy = 0  # refused: in flight
        self.unguarded = 0  # the store could not be reached: answered, perhaps twice
        self.unreachable = 0  # the same: refused

    async def answer(
        self, scope: bytes, payload: bytes, until_ns: int, work: Callable[[], Awaitable[tuple[int, bytes]]]
    ) -> Answer:
        """The answer to a keyed request.

        Args:
            scope: see `scope`.
            payload: fingerprint of what was asked.
            until_ns: how long to wait for another request with this key.
            work: answers it, if nobody else has: (status, body).

        Raises:
            Reused: the key stands for another payload.
            Busy: the first request is not answered yet.
            Unreachable: the store does not answer, and this is strict about it.
        """
        while True:
            now_ns = self._clock.now_ns()
            try:
                kept = await self.store.claim(scope, payload, now_ns)
            except OSError:
                if self._strict:
                    self.unreachable += 1
                    raise Unreachable from None
                self.unguarded += 1
                return Answer(*await work(), replayed=False)
            if kept is None:
                return await self._first(scope, payload, work)
            if kept.payload != payload:
                self.reused += 1
                raise Reused
            if kept.status:
                self.replayed += 1
                return Answer(kept.status, kept.body, replayed=True)
            found = await self._wait(scope, until_ns - now_ns)
            if found is not None:
                self.replayed += 1
                return Answer(*found, replayed=True)

    async def _first(self, scope: bytes, payload: bytes, work: Callable[[], Awaitable[tuple[int, bytes]]]) -> Answer:
        running = self._running[scope] = asyncio.get_running_loop().create_future()
        found: tuple[int, bytes] | None = None
        try:
            found = await work()
        finally:
            # Also where the work was cancelled or raised: nobody may wait for what will not come.
            try:
                if found is not None and found[0] < _SERVER_ERROR and found[0] != _TOO_MANY:
                    # Shielded: whoever leaves now leaves after the decision.
                    await asyncio.shield(self._keep(scope, Kept(payload, *found, self._clock.now_ns())))
                else:
                    await self.store.drop(scope)
            except OSError:
                self.unguarded += 1
            finally:
                if self._running.get(scope) is running:
                    del self._running[scope]
                running.set_result(found)
        return Answer(*found, replayed=False)

    async def _keep(self, scope: bytes, kept: Kept) -> None:
        for _ in range(_OFFERS if self._strict else 0):
            try:
                return await self.store.keep(scope, kept)
            except OSError:  # it may be starting again
                await self._clock.sleep(_PAUSE_NS)
        return await self.store.keep(scope, kept)

    async def _wait(self, scope: bytes, budget_ns: int) -> tuple[int, bytes] | None:
        """The answer that another request is about to get; None if it will get none."""
        running = self._running.get(scope)
        if running is None:  # in another process
            self.busy += 1
            raise Busy
        try:
            # Shielded: one who no longer waits must not take the answer from the others.
            return await within(asyncio.shield(running), budget_ns)
        except TimeoutError:
            self.busy += 1
            raise Busy from None
