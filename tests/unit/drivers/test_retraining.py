"""Setting a retraining going, and reading in its journal what becomes of it."""

from __future__ import annotations

import asyncio
import json

import pytest

from simulator.drivers.retraining import LOOK_NS, Retraining
from simulator.history.schema import NEVER
from simulator.scenario.quantities import SECOND
from simulator.scenario.verbs import Event
from simulator.targets.model import Target

EVENT = Event.model_validate({"event": "e", "at": "1m", "retrain": {"version": "v9", "on": "evidence"}})
TARGET = {
    "target": 1,
    "start": {"asgi": "x:y"},
    "protocol": "json",
    "admin": {"retrain": "POST /learn"},
    "retraining": "/journal",
}
EPOCH = 10**18
BEGUN = {"at_ns": EPOCH + 75 * SECOND, "step": "begun", "why": "drift"}
REFUSED = {"at_ns": EPOCH + 75 * SECOND, "step": "refused"}


def followed(answer, *, target=None, until=120):
    """(the retraining, what was noted, what was asked): `answer` is given (action, seconds) and says (status, body)."""
    now, notes, asked = [60 * SECOND], [], []

    async def call(action, body):
        asked.append((action, body, now[0] // SECOND))
        return answer(action, now[0] // SECOND)

    async def wait(when_ns):
        now[0] = when_ns

    found = Retraining(
        EVENT, Target.model_validate(TARGET if target is None else target), call=call, now=lambda: now[0], wait=wait,
        note=lambda **data: notes.append(data), asked=lambda: now[0] // SECOND, epoch_ns=EPOCH,
    )  # fmt: skip
    asyncio.run(found.go(until * SECOND))
    return found, notes, asked


def journal(*steps, version="v9"):
    asked_for = []

    def answer(action, at):
        if action.startswith("POST"):
            asked_for.append(at)
            return 202, b"{}"
        told = [s for s in steps if asked_for and s["at_ns"] <= EPOCH + at * SECOND]
        return 200, json.dumps({"version": version if asked_for else "", "steps": told})

    return answer


def test_it_asks_once_and_looks_until_there_is_an_end():
    found, notes, asked = followed(journal(BEGUN, REFUSED))
    assert asked[0] == ("GET /journal", b"", 60)
    assert asked[1] == ("POST /learn", b'{"version":"v9","on":"evidence"}', 60)
    assert [(action, at) for action, _, at in asked[2:]] == [
        ("GET /journal", 60),
        ("GET /journal", 70),
        ("GET /journal", 80),
    ]
    # Both are on record once, with when it was looked before, and how often the version had been asked by then.
    assert [(n["step"], n["said_ns"] // SECOND, n["last_ns"] // SECOND, n["asked"]) for n in notes] == [
        ("begun", 75, 70, 70), ("refused", 75, 70, 70),
    ]  # fmt: skip
    assert (found.receipt.at_ns, found.receipt.delivered, found.receipt.potent) == (75 * SECOND, 1, 1)
    assert not found.met


def test_what_waits_for_evidence_that_never_comes_never_happened():
    found, notes, asked = followed(journal({"at_ns": EPOCH + 60 * SECOND, "step": "waiting"}))
    assert [n["step"] for n in notes] == ["waiting"]
    assert (found.receipt.at_ns, found.receipt.detail) == (NEVER, "it never began")
    assert asked[-1][2] == 120
    assert LOOK_NS == 10 * SECOND


def test_a_version_that_got_as_far_as_a_canary_has_to_be_taken_back():
    canary = BEGUN | {"step": "canary"}
    assert followed(journal(BEGUN, canary))[0].met


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda action, _: (409 if action.startswith("POST") else 404, b""), "status 409"),
        (lambda action, _: (202 if action.startswith("POST") else 500, b""), "its journal answered 500"),
        (journal(BEGUN, version="v8"), "tells nothing of it"),
    ],
)
def test_what_became_of_it_when_nobody_says(answer, said):
    found, notes, _ = followed(answer)
    assert notes == []
    assert found.receipt.at_ns == NEVER
    assert said in found.receipt.detail


YESTERDAY = [
    {"at_ns": EPOCH - (90_000 - 600 * k) * SECOND, "step": step, "why": ""}
    for k, step in enumerate(("begun", "shadow", "canary", "live"))
]


@pytest.mark.parametrize(
    ("today", "noted"),
    [
        (lambda _: YESTERDAY, []),
        (lambda at: [*YESTERDAY, *([BEGUN, REFUSED] if at >= 75 else [])], ["begun", "refused"]),
        (lambda at: [BEGUN, REFUSED] if at >= 75 else [], ["begun", "refused"]),
    ],
    ids=["forgotten", "goes on", "begun anew"],
)
def test_the_journal_of_an_earlier_run_is_no_part_of_this_one(today, noted):
    """A service that was there before the run may have made this very version yesterday."""
    asked_for = []

    def answer(action, at):
        if action.startswith("POST"):
            asked_for.append(at)
            return 202, b"{}"
        return 200, json.dumps({"version": "v9", "steps": today(at) if asked_for else YESTERDAY})

    found, notes, _ = followed(answer)
    assert [note["step"] for note in notes] == noted
    assert (found.receipt.at_ns, found.receipt.potent) == ((75 * SECOND, 1) if noted else (NEVER, 0))
    assert not found.met  # nothing of this run's has to be taken back


def test_a_journal_that_could_not_be_read_before_says_nothing_of_today():
    """Who does not know yesterday's steps would take them for this run's."""
    seen = []

    def answer(action, at):
        if action.startswith("POST"):
            return 202, b"{}"
        seen.append(at)
        return (503, b"") if len(seen) == 1 else (200, json.dumps({"version": "v9", "steps": YESTERDAY}))

    found, notes, asked = followed(answer)
    assert notes == []
    assert found.receipt.at_ns == NEVER
    assert "503 before anything was asked for" in found.receipt.detail
    assert [action for action, *_ in asked] == ["GET /journal"]  # and nothing was


@pytest.mark.parametrize("lacks", ["retraining", "admin"])
def test_a_target_that_cannot_is_told_so(lacks):
    found, _, asked = followed(journal(), target={k: v for k, v in TARGET.items() if k != lacks})
    assert not asked
    assert not found.receipt.supported
