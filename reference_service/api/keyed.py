"""An inference under an idempotency key: answered once, and once for all, also across a restart.

What is remembered across a restart is read from the decision log: a decision has its key, and a reply can be written
again from its decisions. Refusals decide nothing and are not in the log; who asks again is refused again.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from reference_service.api.oip import Replies, Request
from reference_service.audit.records import Decision
from reference_service.guards.idempotency import (
    REPLAYED,
    BadKey,
    Busy,
    Idempotency,
    Kept,
    Reused,
    Store,
    Unreachable,
    fingerprint,
    scope,
)
from reference_service.reply import Reply, refusal
from reference_service.validation import Row

Headers = Sequence[tuple[bytes, bytes]]
_SOON: Final = (b"retry-after", b"1")
_MARK: Final = 32  # hex digits of each half of a mark


class Caller(NamedTuple):
    """Who asks, as ASGI has it."""

    headers: Headers
    client: Sequence[Any] | None  # (address, port)


async def once(
    guard: Idempotency,
    caller: Caller,
    asked: bytes,
    until_ns: int,
    work: Callable[[str], Awaitable[Reply]],
) -> tuple[Reply, Headers]:
    """The answer to a keyed request, and the headers that go with it.

    Args:
        guard: knows the answers.
        caller: whose key it is.
        asked: all that makes one request another one.
        until_ns: how long to wait for another request with this key.
        work: answers it, given the mark to write down with its decisions.
    """
    try:
        whose, payload = scope(*caller), fingerprint(asked)
        mark = whose.hex() + payload.hex()
        answer = await guard.answer(whose, payload, until_ns, lambda: work(mark))
    except BadKey:
        return refusal(400, "Malformed key", "Idempotency-Key is one key of 1 to 255 visible ASCII characters"), ()
    except Reused:
        return refusal(422, "Key reused", "this key stands for another request"), ()
    except Busy:
        return refusal(409, "In progress", "the first request with this key is not answered yet"), (_SOON,)
    except Unreachable:
        return refusal(503, "Answers unavailable", "whether this key was answered before cannot be known now"), (_SOON,)
    return Reply(answer.status, answer.body), (REPLAYED,) if answer.replayed else ()


async def recall(store: Store, decisions: Iterable[Decision], model: str) -> int:
    """Have a store know the answers again that were given before a restart; how many.

    Args:
        store: new.
        decisions: keyed ones, oldest first.
        model: public name.
    """
    known = 0
    for rows in _requests(decisions):
        first = rows[0]
        body = Replies(model, first.version, first.bundle).many(Request([], first.id), [_said(row) for row in rows])
        whose, payload = bytes.fromhex(first.key[:_MARK]), bytes.fromhex(first.key[_MARK:])
        await store.keep(whose, Kept(payload, 200, body, first.at_ns))
        known += 1
    return known


def _said(decided: Decision) -> Row:
    """What a reply says of a row."""
    row = Row(decided.row, [], [], None)
    row.score = math.nan if decided.score is None else decided.score
    row.decision, row.source, row.reasons = decided.decision, decided.source, [decided.reasons]
    return row


def _requests(decisions: Iterable[Decision]) -> Iterator[list[Decision]]:
    """Whole requests. Where the end is missing, nothing was acknowledged."""
    for _, group in groupby(decisions, key=lambda one: (one.key, one.seq - one.row)):
        rows = list(group)
        if len(rows) == rows[0].rows:
            yield rows
