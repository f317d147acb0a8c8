"""A consumer of Redis Streams: requests come as messages, answers go to another stream, and nothing is lost between.

A message is a request body of the inference protocol in the field ``body``. It is delivered at least once: its id is
its idempotency key, so that a second delivery decides nothing. Its answer is added and its receipt acknowledged in one
transaction of Redis, so that it has one answer whenever this process dies. What another consumer took and did not
finish is claimed; what fails again and again goes to a stream of dead letters, where somebody can look at it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from redis.exceptions import ResponseError

from reference_service.api.core import Answered, Core
from reference_service.guards.idempotency import KEY

if TYPE_CHECKING:
    from redis.asyncio import Redis

_BODY: Final = b"body"
_FIRST_FAILURE: Final = 500
_OVERLOADED: Final = 429
_SECOND_NS: Final = 1_000_000_000

Message = tuple[bytes, dict[bytes, bytes]]


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """Where messages come from and go to, and how patient we are with them."""

    requests: str = "requests"
    answers: str = "answers"
    dead: str = "dead-letters"
    group: str = "seatrial-service"
    batch: int = 64  # messages taken at a time
    wait_ms: int = 1000  # for new ones; also how soon a stop is noticed
    stale_ms: int = 30_000  # without a receipt for so long, a message is someone else's to take
    deliveries: int = 5  # that may fail, before a message is a dead letter


class Consumer:
    """One member of the group.

    Args:
        core: answers.
        client: of a Redis that answers in bytes, whose patience is longer than `wait_ms`.
        name: of this member, its own among all that run.
        streams: see there.
    """

    def __init__(self, core: Core, client: Redis, name: str, streams: Streams) -> None:
        self._core = core
        self._client = client
        self._name = name
        self._streams = streams
        self.answered = 0
        self.buried = 0

    async def run(self, stopped: asyncio.Event) -> None:
        """Take, answer, acknowledge; until told to stop, and then what was taken is still answered."""
        streams, client = self._streams, self._client
        try:
            await client.xgroup_create(streams.requests, streams.group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):  # there already is what is wanted
                raise
        while not stopped.is_set():
            for message in await self._left_behind():
                await self._deliver(message)
            taken = await client.xreadgroup(
                streams.group, self._name, {streams.requests: ">"}, count=streams.batch, block=streams.wait_ms
            )
            for _, messages in cast("list[tuple[bytes, list[Message]]]", taken or []):
                for message in messages:
                    await self._deliver(message)

    async def _left_behind(self) -> list[Message]:
        """Messages that a member took and has not finished for long; those that failed too often are buried."""
        streams, client = self._streams, self._client
        found = await client.xautoclaim(
            streams.requests, streams.group, self._name, min_idle_time=streams.stale_ms, count=streams.batch
        )
        claimed = [message for message in cast("list[Message]", found[1]) if message[1]]
        kept = []
        for message in claimed:
            known = await client.xpending_range(
                streams.requests, streams.group, min=message[0], max=message[0], count=1
            )
            if known and known[0]["times_delivered"] > streams.deliveries:
                await self._bury(message)
            else:
                kept.append(message)
        return kept

    async def _deliver(self, message: Message) -> None:
        answer = await self._answer(message)
        if answer.status >= _FIRST_FAILURE:
            return  # no receipt: it comes again when it is stale, and a client that waited would do no better
        fields = {b"request": message[0], b"status": b"%d" % answer.status, _BODY: answer.body}
        await self._finish(message, self._streams.answers, fields)
        self.answered += 1

    async def _answer(self, message: Message) -> Answered:
        """The answer, however long the queue before the model is: a stream can wait, and its length is told by it."""
        core, service = self._core, self._core.service
        who: Sequence[Any] = (self._streams.requests,)
        while True:
            arrived_ns = service.clock.now_ns()
            service.counters.arrived += 1
            ticket = service.limiter.admit(who, arrived_ns)
            if ticket:
                break
            service.counters.statuses[_OVERLOADED] += 1
            await service.clock.sleep(_SECOND_NS * service.limiter.retry_after_s(arrived_ns))
        service.limiter.turn(arrived_ns, ticket)
        status = 0
        try:
            headers = ((KEY, message[0]),)
            found = core.infer(message[1].get(_BODY, b""), headers, arrived_ns, arrived_ns, client=who)
            answer = await core.settle(found)
            status = answer.status
        except Exception as error:  # noqa: BLE001  # whatever it is, the next message is answered
            answer = core.failed(error)
            status = answer.status
        finally:
            core.finish(status, arrived_ns)
        return answer

    async def _bury(self, message: Message) -> None:
        await self._finish(message, self._streams.dead, {b"request": message[0], **message[1]})
        self.buried += 1

    async def _finish(self, message: Message, stream: str, fields: dict[bytes, bytes]) -> None:
        """Add to a stream and acknowledge, both or neither."""
        async with self._client.pipeline(transaction=True) as both:
            both.xadd(stream, cast("Any", fields))
            both.xack(self._streams.requests, self._streams.group, message[0])
            await both.execute()
