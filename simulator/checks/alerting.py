"""Families about alerts: alert, resolved, no_alert, labels_seen (S6)."""

from __future__ import annotations

from typing import Final

import numpy as np

from simulator.checks import evaluators, premises, selection, words
from simulator.checks.evidence import Evidence
from simulator.checks.premises import PremiseError
from simulator.checks.windows import Span, Window, resolve
from simulator.history.episodes import FOREVER, Episode, episodes
from simulator.history.schema import NEVER, History
from simulator.scenario.families import AlertIs, AtMost
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Finding, Status

ANY: Final = AlertIs()


def alert(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """eventually: an onset of the selected alert inside the window, attributable to what was done."""
    window = selection.ground(expectation, scenario, evidence)
    limit = window.text + (", once" if expectation.once else "") + (", until the end" if expectation.stands else "")
    found = _attributable(expectation, scenario, evidence, window)
    finding = evaluators.eventually(
        [(e.onset_ns, str(e)) for e in found], limit=limit, start=window.start, deadline=window.end,
        complete=window.complete,
    )  # fmt: skip
    if finding.status is not Status.PASS:
        return finding
    start, end = _incident(expectation, evidence.main, window)
    counted = [e for e in found if start <= e.onset_ns < end]
    wrong = [f"{e} at {words.moment(e.onset_ns)}" for e in counted[1:]] if expectation.once else []
    if not wrong and expectation.stands:
        wrong = _silenced(found, counted[0], premises.record_of(evidence.main, expectation.after or "").end_ns)
    if not wrong:
        return finding
    return evaluators.never(wrong, limit=limit, opportunities=len(counted), complete=True)


def _silenced(found: tuple[Episode, ...], first: Episode, lasts_ns: int) -> list[str]:
    """When nothing selected fires any more although the event still lasts; what takes over without a gap is no end."""
    if lasts_ns <= first.onset_ns:
        raise PremiseError(
            "nothing to stand through: the event was over before the alert came",
            "let the event last longer, or drop `stands`",
        )
    starts, ends = _firing(found)
    over = int(ends[np.searchsorted(starts, first.onset_ns, side="right") - 1])
    if over >= lasts_ns:
        return []
    return [f"{first} is over at {words.moment(over)}, the event at {words.moment(lasts_ns)}"]


def _attributable(
    expectation: Expectation, scenario: Scenario, evidence: Evidence, window: Window
) -> tuple[Episode, ...]:
    """Episodes of the selected alert in the main run, once it is sure that one in the window would mean something."""
    selector = _selector(expectation)
    twin = premises.clean_twin(evidence, scenario)
    longer = expectation.once or expectation.stands
    watched = _clip([_incident(expectation, evidence.main, window) if longer else window.hull], evidence.main)
    premises.observers(evidence.main, watched, selector.route)
    premises.observers(twin, _clip([window.hull], twin), selector.route)
    found = episodes(evidence.main.alerts, selector)
    before = [e for e in found if e.onset_ns < window.start < e.end_ns]
    if before:
        raise PremiseError(
            f"firing before: {before[0]} had fired since {words.moment(before[0].onset_ns)}",
            "silence it before the event: a longer warm-up, or a narrower selector",
        )
    if any(window.start <= e.onset_ns < window.end for e in found):
        clean = [e for e in episodes(twin.alerts, selector) if e.overlaps(*window.hull)]
        if clean:
            raise PremiseError(
                f"not attributable: {clean[0]} also fires in the clean twin, at {words.moment(clean[0].onset_ns)}",
                "find out why it fires when nothing is wrong, or name another alert",
            )
    return found


def _selector(expectation: Expectation) -> AlertIs:
    return expectation.alert or ANY


def _incident(expectation: Expectation, main: History, window: Window) -> Span:
    # `once` and `stands` are about the incident, not about the deadline: they look as far as the event lasts.
    name = expectation.after.removesuffix(".end") if expectation.after else None
    return window.start, max(window.end, premises.record_of(main, name).end_ns if name else 0)


def _clip(spans: list[Span], history: History) -> list[Span]:
    horizon = history.header.end_ns
    return [(start, min(end, horizon)) for start, end in spans if start < horizon]


def resolved(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """converge: an episode of the named alert came, and from some t before the deadline on it no longer fires."""
    window = selection.ground(expectation, scenario, evidence)
    paging = scenario.expectation(expectation.resolved or "")
    paged = resolve(paging, scenario, evidence.main)
    until = min(window.end + expectation.hold, evidence.main.header.end_ns)
    route = _selector(paging).route
    beats = premises.observers(evidence.main, _clip([paged.hull, (window.start, until)], evidence.main), route)
    limit = f"resolved {window.text}, for {words.moment(expectation.hold)}"
    found = episodes(evidence.main.alerts, _selector(paging))
    before = [e for e in found if e.onset_ns < paged.start < e.end_ns]
    if before:
        raise PremiseError(f"firing before: {before[0]} had fired before the event", "silence it before the event")
    onsets = [e.onset_ns for e in found if paged.start <= e.onset_ns < paged.end]
    if not onsets:
        if not paged.complete:
            raise PremiseError("window: the run ended before the alert was due", "let the run last longer")
        return Finding(
            Status.FAIL, limit, "nothing seen", f"no episode of `{paging.id}` came, so none was resolved", n=beats
        )
    starts, ends = _firing(found)
    outcome = evaluators.converge(
        starts,
        ends,
        start=max(window.start, min(onsets)),  # what has not begun cannot be over
        deadline=window.end,
        hold=expectation.hold,
        observed_until=evidence.main.header.end_ns,
    )
    told = words.few(f"{e}: {words.moment(e.onset_ns)} to {_end(e)}" for e in found if e.end_ns > window.start)
    return converged(outcome, limit=limit, window=window, hold=expectation.hold, n=beats, noun="firing", witnesses=told)


def _firing(found: tuple[Episode, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Disjoint intervals in which at least one of the episodes fires."""
    merged: list[list[int]] = []
    for episode in found:
        if merged and episode.onset_ns <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], episode.end_ns)
        else:
            merged.append([episode.onset_ns, episode.end_ns])
    table = np.array(merged, np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _end(episode: Episode) -> str:
    return "the end of the run" if episode.end_ns == FOREVER else words.moment(episode.end_ns)


def converged(
    outcome: evaluators.Converged,
    *,
    limit: str,
    window: Window,
    hold: int,
    n: int,
    noun: str,
    witnesses: tuple[str, ...],
) -> Finding:
    """What a convergence looks like in a report."""
    after = words.moment(max(0, outcome.at_ns - window.start))
    margin = (window.end - outcome.at_ns) / (window.end - window.start)
    if outcome.status is Status.PASS:
        return Finding(
            Status.PASS,
            limit,
            f"after {after}",
            f"and so for {words.moment(hold)}",
            n=n,
            margin=margin,
            witnesses=witnesses,
        )
    if outcome.status is Status.UNKNOWN:
        return Finding(
            Status.UNKNOWN,
            limit,
            f"after {after}, but not watched for {words.moment(hold)}",
            "window: the run ended before it could be seen to last",
            "let the run last longer, or hold for less",
            n=n,
            witnesses=witnesses,
        )
    still = "never" if outcome.at_ns >= evaluators.FOREVER else f"only after {after}"
    return Finding(
        Status.FAIL,
        limit,
        still,
        f"still {noun} at the deadline, or again within {words.moment(hold)}",
        n=n,
        margin=margin if still != "never" else None,
        witnesses=witnesses,
    )


def no_alert(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """never: no selected alert fires in the window, and none at any time in the clean twin."""
    window = selection.ground(expectation, scenario, evidence)
    selector = expectation.no_alert if isinstance(expectation.no_alert, AlertIs) else ANY
    limit = f"none {window.text}, nor in the clean twin"
    violations = [
        f"{e} at {words.moment(e.onset_ns)}"
        for e in episodes(evidence.main.alerts, selector)
        if any(e.overlaps(*span) for span in window.spans)
    ]
    if evidence.twin is not None and _speaks(evidence, scenario):
        horizon = evidence.twin.header.end_ns
        violations += [
            f"{e} at {words.moment(e.onset_ns)} in the clean twin"
            for e in episodes(evidence.twin.alerts, selector)
            if e.overlaps(0, horizon)
        ]
    if violations:
        # What was received is proof by itself that the receiver lived.
        return evaluators.never(violations, limit=limit, opportunities=len(violations), complete=True)
    twin = premises.clean_twin(evidence, scenario)
    premises.observers(twin, [(0, twin.header.end_ns)], selector.route)
    beats = premises.observers(evidence.main, _clip(list(window.spans), evidence.main), selector.route)
    return evaluators.never((), limit=limit, opportunities=beats, complete=window.complete)


def _speaks(evidence: Evidence, scenario: Scenario) -> bool:
    """The twin is a sound run, so that an alert in it is a false one."""
    try:
        premises.clean_twin(evidence, scenario)
    except PremiseError:
        return False
    return True


def labels_seen(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """share, as a census: how many labels of the event's rows had come when the alert did.

    Every row of the event that was scheduled before the onset is counted, so there is nothing to infer and no
    interval. An alert that never came was preceded by every label: FAIL.
    """
    paging = scenario.expectation(expectation.at or "")
    selection.ground(expectation, scenario, evidence)
    window = resolve(paging, scenario, evidence.main)
    allowed = (expectation.labels_seen or AtMost(max=0.0)).max
    limit = f"≤ {words.share(allowed)} when `{paging.id}` comes"
    onsets = [
        e.onset_ns for e in _attributable(paging, scenario, evidence, window) if window.start <= e.onset_ns < window.end
    ]
    if not onsets:
        if not window.complete:
            raise PremiseError("window: the run ended before the alert was due", "let the run last longer")
        return Finding(
            Status.FAIL, limit, f"`{paging.id}` never came", "no alert in time: every label came before it",
            window_ns=window.hull,
        )  # fmt: skip
    onset = min(onsets)
    items = evidence.main.items
    of = expectation.of or (paging.after or "").removesuffix(".end")
    record = premises.record_of(evidence.main, of)
    chosen = selection.bit(items["touched"], record.index) & (items["scheduled_ns"] < onset)
    rows = np.flatnonzero(chosen)
    if not len(rows):
        return evaluators.empty(limit, "labels due")
    if not np.any(items["label_due_ns"][rows] != NEVER):
        raise PremiseError(
            f"labels: none of these {len(rows)} rows ever gets one, so to be earlier than labels proves nothing",
            "let labels come: `labels: {missing: …}`, or the population",
        )
    came = items["label_ns"][rows]
    seen = (came != NEVER) & (came <= onset)
    found = float(seen.mean())
    witnesses = words.few(
        f"{words.item(evidence.main, int(row))}: label at {words.moment(int(items['label_ns'][row]))}"
        for row in rows[seen][: words.MOST_WITNESSES]
    )
    status = Status.PASS if found <= allowed else Status.FAIL
    return Finding(
        status,
        limit,
        f"{words.share(found)} of {len(rows)} rows",
        f"{int(seen.sum())} labels had come by the onset at {words.moment(onset)}",
        n=len(rows),
        margin=(allowed - found) / allowed if allowed > 0 else None,
        window_ns=(record.start_ns, onset),
        witnesses=witnesses,
    )
