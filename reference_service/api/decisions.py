"""The decision log for those who hold the token: its latest records, and all of its lines."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

import msgspec

from reference_service.audit.pages import page
from reference_service.reply import Reply, refusal
from reference_service.service import Service

_RECENT: Final = 100  # records, unless the caller says otherwise
_PAGE: Final = 1_000
_LARGEST: Final = 10_000


async def recent(service: Service, _body: bytes, query: str) -> Reply:
    """The last records of the decision log, and the head of its chain."""
    limit = _number(query, "limit", _RECENT)
    if limit is None:
        return refusal(400, "Malformed query", "limit is a whole number")
    records = service.log.recent(limit)
    return Reply(
        200,
        msgspec.json.encode({"head": service.log.head.hex(), "next_seq": service.log.seq, "decisions": records}),
    )


async def lines(service: Service, _body: bytes, query: str) -> Reply:
    """Lines of the decision log as they are on disk, records and seals: whole blocks after the record `after`."""
    after, limit = _number(query, "after", -1), _number(query, "limit", _PAGE)
    if after is None or limit is None:
        return refusal(400, "Malformed query", "after and limit are whole numbers")
    settings = service.settings
    if settings.decision_log is None:
        return refusal(404, "Not found", "decisions are kept in memory only")
    if settings.workers > 1:
        return refusal(409, "Not one log", "every worker keeps its own: read their folders")
    try:
        return Reply(200, await asyncio.to_thread(page, Path(settings.decision_log), after, min(limit, _LARGEST)))
    except LookupError as gone:
        return refusal(410, "Gone", str(gone))
    except FileNotFoundError:
        return refusal(503, "Try again", "a file of the log is being archived")


def _number(query: str, name: str, default: int) -> int | None:
    """A whole number of the query; None if it is none."""
    given = parse_qs(query).get(name, [str(default)])[0]
    return int(given) if given.isdecimal() or given == "-1" else None
