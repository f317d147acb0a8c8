"""T controls of alerts: dropped, relabelled, at the deadline, again, never resolved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Final

from simulator.checks.evidence import Evidence
from simulator.controls import edits, naive
from simulator.controls.case import Case, Tampering
from simulator.history.schema import AlertRecord, History
from simulator.scenario.families import AlertIs
from simulator.verdict import Status

STRANGER: Final = "seatrial-control"  # a fingerprint of its own
STEP: Final = 10 * 10**9


def alert(case: Case) -> Iterator[Tampering]:
    """The onset is dropped, relabelled, moved to both sides of the deadline, repeated; or it proves nothing."""
    expectation, evidence, court = case.expectation, case.evidence, case.court
    selector = expectation.alert or AlertIs()
    window = naive.when(expectation, case.scenario, court.main)
    start, deadline = window.spans[0][0], window.spans[-1][1]
    matched = [s for s in naive.sirens(court.main.alerts, selector) if start <= s.onset < deadline]
    mine = {siren.fingerprint for siren in matched}
    others = [record for record in court.main.alerts if record.fingerprint not in mine]
    model = _onset(court.main.alerts, matched[0], selector)
    lasts = naive.event(court.main, str(expectation.after).removesuffix(".end")).end_ns

    def at(moment: int) -> Evidence:
        return edits.with_alerts(evidence, [*others, replace(model, at_ns=moment)])

    def until(end: int) -> Evidence:
        return edits.with_alerts(evidence, [*others, model, replace(model, at_ns=end, firing=False)])

    def relabelled() -> Evidence:
        return edits.with_alerts(evidence, [_relabelled(r) if r.fingerprint in mine else r for r in court.main.alerts])

    def twin_too() -> Evidence:
        twin = evidence.twin
        return replace(evidence, twin=replace(twin, alerts=(*twin.alerts, model)) if twin else None)

    yield "red: alert dropped", Status.FAIL, lambda: edits.with_alerts(evidence, others)
    if selector != AlertIs():
        yield "red: alert relabelled", Status.FAIL, relabelled
    yield "red: onset at the deadline", Status.FAIL, lambda: at(deadline)
    last = min(deadline, lasts) if expectation.stands else deadline
    yield "green: onset 1 ns before the deadline", Status.PASS, lambda: at(last - 1)
    if expectation.once:
        yield "red: a second episode", Status.FAIL, lambda: _more(evidence, replace(model, fingerprint=STRANGER))
    if expectation.stands:
        yield "red: over 1 ns before the event is", Status.FAIL, lambda: until(lasts - 1)
        yield "green: over when the event is", Status.PASS, lambda: until(lasts)
    if start > 0:
        firing = replace(model, at_ns=start - 1)
        yield "premise: firing before the event", Status.UNKNOWN, lambda: _more(evidence, firing)
    yield "premise: fires in the twin too", Status.UNKNOWN, twin_too


def _onset(records: tuple[AlertRecord, ...], siren: naive.Siren, selector: AlertIs) -> AlertRecord:
    there = [r for r in records if selector.route in (None, r.route)]
    return next(r for r in there if r.firing and r.fingerprint == siren.fingerprint and r.at_ns == siren.onset)


def _more(evidence: Evidence, *records: AlertRecord) -> Evidence:
    return edits.with_alerts(evidence, [*evidence.main.alerts, *records])


def _relabelled(record: AlertRecord) -> AlertRecord:
    return replace(record, name=f"not {record.name}", field=f"not {record.field}", severity=f"not {record.severity}")


def resolved(case: Case) -> Iterator[Tampering]:
    """The one episode ends on both sides of the deadline, never, or comes again while it should be over."""
    expectation, evidence, run = case.expectation, case.evidence, case.court.main
    paging = case.scenario.expectation(str(expectation.resolved))
    selector = paging.alert or AlertIs()
    due = naive.when(paging, case.scenario, run)
    deadline = naive.when(expectation, case.scenario, run).spans[-1][1]
    hold = -(-expectation.hold // STEP) * STEP
    latest = min(deadline - 1, run.header.end_ns - hold)
    found = naive.sirens(run.alerts, selector)
    paged = min((s for s in found if s.onset in due), key=lambda siren: siren.onset)
    mine = {siren.fingerprint for siren in found}
    others = [record for record in run.alerts if record.fingerprint not in mine]
    onset = _onset(run.alerts, paged, selector)

    def until(end: int | None, again: int | None = None) -> Evidence:
        records = [*others, onset]
        records += [] if end is None else [replace(onset, at_ns=end, firing=False)]
        records += [] if again is None else [replace(onset, at_ns=again, fingerprint=STRANGER)]
        return edits.with_alerts(evidence, records)

    yield "red: the episode dropped", Status.FAIL, lambda: edits.with_alerts(evidence, others)
    yield "red: never resolved", Status.FAIL, lambda: until(None)
    yield "red: resolved at the deadline", Status.FAIL, lambda: until(deadline)
    yield "red: fires again within the hold", Status.FAIL, lambda: until(latest, latest + hold - 1)
    if latest > onset.at_ns:
        yield "green: resolved at the last moment", Status.PASS, lambda: until(latest)


def no_alert(case: Case) -> Iterator[Tampering]:
    """One alert at either end of the window, or in the twin, is one too many; beside the window it is not."""
    expectation, evidence, run = case.expectation, case.evidence, case.court.main
    selector = expectation.no_alert if isinstance(expectation.no_alert, AlertIs) else AlertIs()
    spans = naive.when(expectation, case.scenario, run).spans
    name, field, severity = selector.name or "control", selector.field or "", selector.severity or "page"

    def one(at: int, *, firing: bool = True) -> AlertRecord:
        return AlertRecord(at, selector.route or "alertmanager", STRANGER, name, field, severity, firing)

    first, last = spans[0][0], spans[-1][1] - 1
    yield "red: an alert at the first instant", Status.FAIL, lambda: _more(evidence, one(first))
    yield "red: an alert at the last instant", Status.FAIL, lambda: _more(evidence, one(last))
    if evidence.twin is not None:
        yield (
            "red: an alert in the twin",
            Status.FAIL,
            lambda: replace(evidence, twin=_louder(evidence.twin, one(first))),
        )
    gap = next(((a, b) for (_, a), (b, _) in pairwise(spans)), None)
    if gap is not None:
        a, b = gap
        yield "green: an alert beside the window", Status.PASS, lambda: _more(evidence, one(a), one(b, firing=False))
    else:
        beat = replace(one(first), name="Watchdog")
        yield "green: a heartbeat is no alert", Status.PASS, lambda: _more(evidence, beat)


def _louder(history: History | None, record: AlertRecord) -> History | None:
    return None if history is None else replace(history, alerts=(*history.alerts, record))
