"""S3, S7, S9 once more: what must be so for anybody to judge."""

from __future__ import annotations

import math
from typing import Any, Final

from simulator.controls.naive.book import Book, Row
from simulator.controls.naive.court import MINUTE, NOISE, SECOND, Court, Doubt, must
from simulator.history.schema import NEVER, EventRecord, Outcome, Source
from simulator.scenario.model import Expectation, Scenario


def notes(run: Book, kind: str) -> list[dict[str, Any]]:
    """The data of all notes of a kind."""
    return [note.data for note in run.notes if note.kind == kind]


def sound(run: Book, scenario: Scenario, lag_ns: int = 100 * 10**6) -> None:
    """S3, S9: nothing of the harness broke, the state was steady, the driver on time, the end healed."""
    must(not notes(run, "harness"), "harness")
    steady = notes(run, "steady_state")
    must(all(data.get("holds") is True for data in steady), "steady")
    must(bool(steady) or not scenario.given.steady_state, "steady state never judged")
    punctual(run, lag_ns)
    must(run.kept, "records that cannot be")
    reactions = notes(run, "feedback")
    must(not reactions or any(any(data.values()) for data in reactions), "nobody reacted")
    heals = notes(run, "heal")
    must(all(data.get("healed") is True for data in heals), "healed")
    if "serving" in scenario.given.model_fields_set:
        must(not strangers(run, scenario), "another version serves")
    must(bool(heals) or not scenario.when, "never healed")


_REWRITES: Final = {
    "nulls", "rename", "drop", "add", "nest", "retype", "scale", "respell", "outlier", "reorder", "garble", "drift",
}  # fmt: skip


def sent(court: Court, scenario: Scenario) -> None:
    """S7: what an event changed was sent in other bytes than in the clean twin, at least half of it."""
    twin = court.twin
    if twin is None or twin.events or any(row.touched for row in twin.rows) or len(twin.by_key) < len(twin.rows):
        return
    for event in scenario.when:
        if event.verb in _REWRITES and event.event in court.main.events:
            bit = 1 << court.main.events[event.event].index
            pairs = []
            for row in court.main.rows:
                other = twin.by_key.get((row.stream, row.number, row.copy))
                if row.potent & bit and not row.copy and row.sent_ns != NEVER and other is not None:
                    pairs.append(row.sent_digest == other.sent_digest)
            must(2 * sum(pairs) <= len(pairs), "sent as if nothing had happened")


def early(run: Book, scenario: Scenario) -> list[Row]:
    """What was answered before anything happened."""
    first = min([run.header.end_ns, *(event.at for event in scenario.when)])
    return [row for row in run.rows if row.replied_ns < first and row.outcome == Outcome.OK]


def strangers(run: Book, scenario: Scenario) -> list[Row]:
    """Answers before anything happened by another version than the one that is to serve."""
    return [row for row in early(run, scenario) if row.version not in ("", scenario.given.serving)]


def served(run: Book, scenario: Scenario) -> None:
    """S3: the version that is to serve from the start does, and says so."""
    must(not strangers(run, scenario), "another version serves")
    must(any(row.version for row in early(run, scenario)), "nobody knows which version serves")


def punctual(run: Book, lag_ns: int) -> None:
    """The driver kept its schedule."""
    lags = notes(run, "driver")
    must(bool(lags), "lag not on record")
    for data in lags:
        must(data["late_p99_ns"] <= lag_ns and data["late_max_ns"] <= SECOND, "driver late")


def event(run: Book, name: str) -> EventRecord:
    """The record of an event."""
    must(name in run.events, "no record")
    return run.events[name]


def needed(expectation: Expectation, scenario: Scenario) -> list[str]:
    """S3: the events whose receipts an expectation needs."""
    asked = [expectation]
    asked += [scenario.expectation(other) for other in (expectation.resolved, expectation.at) if other]
    names: list[str] = []
    for one in asked:
        names += [name for name in (one.during, one.outside, one.of) if name]
        names += [one.after.replace(".end", "")] if one.after else []
    untouched = "untouched" in names or (expectation.family == "harmed" and not expectation.of)
    everything = [one.event for one in scenario.when]
    return everything if untouched or not names else [name for name in everything if name in names]


def received(run: Book, scenario: Scenario, name: str) -> None:
    """S7: the event happened, got there, had an effect, and was seen to have by whoever stands in between."""
    record = event(run, name)
    must(record.supported, "unsupported")
    must(record.planned > 0 and record.start_ns != NEVER, "never happened")
    must(record.delivered >= 0.99 * record.planned, "not delivered")
    must(record.potent > 0 and record.potent >= 0.5 * record.delivered, "impotent")
    verb = scenario.event(name)
    if verb.dependency or verb.model or (verb.release and (verb.release.defect or verb.release.by == "shadow")):
        counts = [data["units"] for data in notes(run, "counted") if data.get("event") == name]
        must(sum(counts) >= record.delivered, "only promised")


def watched(run: Book, spans: list[tuple[int, int]], only: str | None = None) -> None:
    """S3: on one route (that one, if it is named), no three heartbeats in a row missed throughout all the spans."""
    end_ns = run.header.end_ns
    gap = 3 * MINUTE
    for note in run.notes:
        if note.kind == "unread" and only in (None, note.data.get("route")):
            must(all(end <= note.at_ns for _, end in spans), "something came that nobody could read")
        if note.kind == "heartbeat" and "every_ns" in note.data:
            gap = 3 * note.data["every_ns"]
    routes = {note.data.get("route", "") for note in run.notes if note.kind == "heartbeat"}
    for route in routes & {only} if only else routes:
        beats = [n.at_ns for n in run.notes if n.kind == "heartbeat" and n.data.get("route", "") == route]
        good = True
        for start, end in spans:
            good = good and any(start - gap <= at <= end + gap for at in beats)
            last = None
            for at in sorted([*beats, 0, end_ns]):
                if last is not None and at - last > gap and last < end and at > start:
                    good = False
                last = at
        if good:
            return
    raise Doubt("nobody watched")


def clean(court: Court, scenario: Scenario) -> Book:
    """S9: the twin, itself a sound run."""
    if court.twin is None:
        raise Doubt("no twin")
    side(court, court.twin, scenario)
    return court.twin


def side(court: Court, run: Book, scenario: Scenario, *, elsewhere: bool = False) -> None:
    """S9: the same world, in which nothing happened, soundly run; `elsewhere`: of another target."""
    ours, theirs = court.main.header, run.header
    must((ours.seed, ours.driver) == (theirs.seed, theirs.driver), "another world")
    for row in run.rows:
        same = court.main.by_key.get((row.stream, row.number, row.copy))
        if same is None or row.copy:
            continue
        shifted = any(event.verb == "prior" and same.touched >> k & 1 for k, event in enumerate(scenario.when))
        must(same.event_ns == row.event_ns and (shifted or same.entity == row.entity), "other customers")
    longest = theirs.end_ns
    for event in scenario.when:  # what comes late, or once more, may come after everything else
        if event.verb in {"late", "duplicate"}:
            longest += int(event.params.by if event.verb == "late" else event.params.after)
    must(theirs.end_ns <= ours.end_ns <= longest, "another length")
    must(elsewhere or ours.target_digest == theirs.target_digest, "another target")
    must(not run.events and not any(row.touched for row in run.rows), "not clean")
    sound(run, scenario.clean())


def noise(court: Court, scenario: Scenario) -> tuple[Book, set[tuple[str, int, int]], int]:
    """S8: the twin, the rows on which two clean runs disagree (0.1 % at most), and the pairs compared."""
    twin = clean(court, scenario)
    if court.aa is None:
        raise Doubt("no second clean run")
    side(court, court.aa, scenario)
    noisy, pairs = court.disagreement
    must(pairs > 0 and len(noisy) / pairs <= NOISE, "not reproducible")
    own = [
        row for row in twin.rows if row.outcome == Outcome.OK and row.source not in (Source.DEFAULT, Source.FALLBACK)
    ]
    scores = [row.score for row in own if math.isfinite(row.score)]
    must(2 * len(scores) >= len(twin.rows), "the twin answers hardly anybody")
    must(max(scores) - min(scores) > court.tolerance, "the twin says one thing to all")
    return twin, noisy, pairs
