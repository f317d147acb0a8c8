"""The control plane of human review: what waits, what a person said, and what stands in the end."""

from __future__ import annotations

import math
from typing import Annotated, Any
from urllib.parse import parse_qs

import msgspec

from reference_service.api.labelling import labelled
from reference_service.audit.records import PERSON, Decision, Payload, packed
from reference_service.monitor.review import Verdict
from reference_service.reply import Reply, refusal
from reference_service.service import Service

_WAITING = 100  # cases, unless the caller says otherwise


class Said(msgspec.Struct, frozen=True):
    """A person's verdict on one row of one request."""

    id: str
    verdict: Verdict
    by: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    row: Annotated[int, msgspec.Meta(ge=0)] = 0


class Verdicts(msgspec.Struct, frozen=True):
    """A delivery of verdicts."""

    verdicts: list[Said]


_decode = msgspec.json.Decoder(Verdicts).decode


def _ok(body: Any, status: int = 200) -> Reply:
    return Reply(status, msgspec.json.encode(body))


async def waiting(service: Service, _body: bytes, query: str) -> Reply:
    """Cases that nobody has decided, and where the border to them has moved."""
    asked = parse_qs(query).get("limit", [str(_WAITING)])[0]
    if not asked.isdecimal():
        return refusal(400, "Malformed query", "limit is a whole number")
    service.log.recent(0)  # closes the block, so that what was just decided is there
    queue, bands = service.reviews, service.releases.champion.bands
    return _ok(
        {
            "waiting": queue.waiting(int(asked)),
            "offered": queue.offered,
            "dropped": queue.dropped,
            "review_from": bands.review_from,
            "moves": list(service.watch.review.trail),
        }
    )


async def decide(service: Service, body: bytes, _query: str) -> Reply:
    """Take verdicts: each wins over the model's decision, is written down, and is a label like any other."""
    try:
        delivery = _decode(body)
    except (ValueError, RecursionError):
        return refusal(400, "Malformed verdicts", 'needs {"verdicts": [{"id", "row", "verdict", "by"}]}')
    service.log.recent(0)
    counts = {"accepted": 0, "decided": 0, "unknown": 0}
    for said in delivery.verdicts:
        answer = service.reviews.decide(said.id, said.row, said.verdict, said.by)
        counts[answer] += 1
        if answer == "accepted":
            _write_down(service, said)
            labelled(service, said.id, said.row, int(said.verdict == "block"), service.clock.now_ns())
    return _ok(counts, 202)


async def decision(service: Service, _body: bytes, query: str) -> Reply:
    """What stands for one row, and who decided it."""
    asked = parse_qs(query)
    request_id, row = asked.get("id", [""])[0], asked.get("row", ["0"])[0]
    if not request_id or not row.isdecimal():
        return refusal(400, "Malformed query", "needs id, and row as a whole number")
    service.log.recent(0)
    case = service.reviews.find(request_id, int(row))
    if case is not None and case.verdict is not None:
        return _ok(
            {"id": request_id, "row": int(row), "decision": case.verdict, "by": "person", "model": case.decision}
        )
    made = service.ledger.find(request_id, int(row))
    if made is None or made.score is None:
        return refusal(404, "Not found", "no such decision is remembered")
    return _ok(
        {"id": request_id, "row": int(row), "decision": made.decision, "by": made.source, "model": made.decision}
    )


def _write_down(service: Service, said: Said) -> None:
    """A verdict is a record of the log of its own: the model's decision stays what it was."""
    loaded, log = service.releases.champion, service.log
    case = service.reviews.find(said.id, said.row)
    nothing = packed([math.nan] * len(loaded.bundle.contract.fields))
    record = Decision(
        log.seq, service.clock.now_ns(), said.id, said.row, 1, loaded.version, case.score if case else None,
        said.verdict, PERSON, f"review:{said.by}", loaded.tag, loaded.bands.tag,
    )  # fmt: skip
    log.append(record, Payload(log.seq, nothing), loaded.bundle)
