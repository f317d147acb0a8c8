"""A consumer of Redis Streams: requests come as messages, answers go to another stream, and nothing is lost between.

A message is a request body of the inference protocol in the field ``body``. It is delivered at least once: its id is
its idempotency key, so that a second delivery decides nothing. Its receipt is acknowledged and its answer added in one
step of Redis, and only if nobody has acknowledged it before, so that it has one answer whoever dies or comes back. What
another consumer took and did not finish is claimed; what fails again and again, or kills whoever takes it, goes to a
stream of dead letters, where somebody can look at it.

While Redis is away it is asked again and again, ever more seldom. The process is then not ready, and says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from redis.exceptions import RedisError, ResponseError

from reference_service.api.core import Answered, Core
from reference_service.guards.idempotency import KEY
from reference_service.monitor.stream import Stream

if TYPE_CHECKING:
    from redis.asyncio import Redis

_log: Final = logging.getLogger("reference_service")
_BODY: Final = b"body"
_FIRST_FAILURE: Final = 500
_OVERLOADED: Final = 429
_SECOND_NS: Final = 1_000_000_000
_MOST_PENDING: Final = 10_000  # that one consumer may have taken and not finished: far more than a batch
# KEYS: requests, where to; ARGV: group, message, fields and values of what is added.
# What a script has done is not undone when it fails: the receipt comes last.
_FINISH: Final = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1) == 0 then return 0 end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
"""

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
    retry_ms: int = 100  # until an absent Redis is asked again, at first; each time twice as long …
    retry_most_ms: int = 5000  # … and no longer than this


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
        self._answered: set[bytes] = set()  # by this process, and Redis has not been told
        self.state = core.service.stream = Stream()

    async def run(self, stopped: asyncio.Event) -> None:
        """Take, answer, acknowledge; until told to stop, and then what was taken is still answered."""
        clock = self._core.service.clock
        away_ns, pause_ms = clock.now_ns(), self._streams.retry_ms
        while not stopped.is_set():
            try:
                await self._join()
                if self.state.losses:
                    _log.warning("the stream is back after %.1f s", (clock.now_ns() - away_ns) / _SECOND_NS)
                self.state.connected, pause_ms = True, self._streams.retry_ms
                await self._take(stopped)
            except (RedisError, OSError) as error:
                if self.state.connected or not self.state.losses:
                    _log.warning("the stream is away, and asked again until it is back: %s", error)
                    self.state.losses += 1
                    away_ns = clock.now_ns()
                self.state.connected = False
                await self._pause(pause_ms, stopped)
                pause_ms = min(2 * pause_ms, self._streams.retry_most_ms)

    async def _pause(self, ms: int, stopped: asyncio.Event) -> None:
        """Wait so long, or until told to stop."""
        sleep = self._core.service.clock.sleep(ms * _SECOND_NS // 1000)
        both = [asyncio.ensure_future(sleep), asyncio.ensure_future(stopped.wait())]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for waiting in both:
            waiting.cancel()

    async def _join(self) -> None:
        """Be a member of the group, made if it is not there, and finish what this member had taken."""
        streams, client = self._streams, self._client
        try:
            await client.xgroup_create(streams.requests, streams.group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):  # there already is what is wanted
                raise
        for each in await client.xpending_range(
            streams.requests, streams.group, min="-", max="+", count=_MOST_PENDING, consumername=self._name
        ):
            number = each["message_id"]
            if number in self._answered:
                # Read, not claimed: that Redis was away is no failure of a message, and must not count as one.
                for message in cast("list[Message]", await client.xrange(streams.requests, number, number)):
                    await self._deliver(message)
            else:  # a namesake took it, who may have died of it
                await self._again(number, each["times_delivered"], 0)

    async def _take(self, stopped: asyncio.Event) -> None:
        streams, client = self._streams, self._client
        while not stopped.is_set():
            for each in await client.xpending_range(
                streams.requests, streams.group, min="-", max="+", count=streams.batch, idle=streams.stale_ms
            ):
                await self._again(each["message_id"], each["times_delivered"], streams.stale_ms)
            taken = await client.xreadgroup(
                streams.group, self._name, {streams.requests: ">"}, count=streams.batch, block=streams.wait_ms
            )
            for _, messages in cast("list[tuple[bytes, list[Message]]]", taken or []):
                for message in messages:
                    await self._deliver(message)

    async def _again(self, number: bytes, deliveries: int, idle_ms: int) -> None:
        """Deliver what was taken and not finished; but what has been delivered too often is buried.

        It is claimed when its turn comes, which counts as a delivery before anything is done: a message that kills
        whoever takes it is known by its number, and its neighbours, which were taken with it, are not.
        """
        streams = self._streams
        claimed = await self._client.xclaim(streams.requests, streams.group, self._name, idle_ms, [number])
        for message in cast("list[Message]", claimed):  # none, if another was quicker
            if not message[1]:
                continue  # trimmed from the stream
            if deliveries >= streams.deliveries:
                await self._bury(message, deliveries)
            else:
                await self._deliver(message)

    async def _deliver(self, message: Message) -> None:
        answer = await self._answer(message)
        if answer.status >= _FIRST_FAILURE:
            return  # no receipt: it comes again when it is stale, and a client that waited would do no better
        fields = {b"request": message[0], b"status": b"%d" % answer.status, _BODY: answer.body}
        self._answered.add(message[0])
        self.state.answered += await self._finish(message, self._streams.answers, fields)
        self._answered.discard(message[0])

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

    async def _bury(self, message: Message, deliveries: int) -> None:
        fields = {b"request": message[0], b"deliveries": b"%d" % deliveries, **message[1]}
        if await self._finish(message, self._streams.dead, fields):
            self.state.buried += 1
            _log.warning("message %s is a dead letter after %d deliveries", message[0].decode(), deliveries)

    async def _finish(self, message: Message, stream: str, fields: dict[bytes, bytes]) -> bool:
        """Acknowledge and add to a stream, both or neither; whether nobody had done it before."""
        streams = self._streams
        said = [part for pair in fields.items() for part in pair]
        done = self._client.eval(_FINISH, 2, streams.requests, stream, streams.group, message[0], *said)
        return bool(await cast("Any", done))
