"""What must have been so for an expectation to speak (S3). Unmet, the finding is UNKNOWN, in both directions."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import numpy as np

from simulator.checks import baseline, records
from simulator.checks.evidence import Evidence
from simulator.checks.joins import NOBODY, agreement, partners
from simulator.checks.words import moment, share
from simulator.history.schema import NEVER, EventRecord, History, Outcome, Source
from simulator.scenario.model import Scenario
from simulator.scenario.quantities import MINUTE, NS, SECOND
from simulator.scenario.verbs import Event

DELIVERED: Final = 0.99
POTENT: Final = 0.5  # some rows already are what the event makes of them; if most are, it is not the declared fault
LATE_P99_NS: Final = 100 * NS["ms"]
LATE_MAX_NS: Final = SECOND
MISSED: Final = 3  # heartbeats in a row that may be missed before silence proves nothing
HEARTBEAT_NS: Final = MINUTE  # where a target declares no interval of its own
NOISE: Final = 0.001
ANSWERED: Final = 0.5  # of the twin's rows: what answers fewer by its model has no normal service to compare with


class PremiseError(Exception):
    """A premise does not hold: `why` names it, `remedy` says what to do."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.why = why
        self.remedy = remedy


def sound_run(evidence: Evidence, history: History, scenario: Scenario) -> None:
    """No guard rail fired, the steady state held, the driver kept its schedule, the records can be, all was healed.

    Where the file says which version serves, no other one answered before anything happened.

    Raises:
        PremiseError: Naming the first of these that is not so.
    """
    role = history.header.role
    for note in history.notes:
        if note.kind == "harness":
            raise PremiseError(
                f"harness: a guard rail fired in the {role} run: {note.data.get('fault', '')}",
                "fix the harness or its target file, then run again",
            )
    _steady(history, scenario)
    on_schedule(history, LATE_P99_NS)
    why, remedy = records.flaw(evidence, history)
    if not why:
        why, remedy = records.unsent(evidence, history, scenario)
    if not why and baseline.stated(scenario):
        why, remedy = baseline.flaw(history, scenario, told=False)
    if why:
        raise PremiseError(f"{why}, in the {role} run", remedy)
    _reacted(history)
    heals = [note for note in history.notes if note.kind == "heal"]
    for note in heals:
        if note.data.get("healed") is not True:
            raise PremiseError(
                f"healing: the {role} run could not be healed: {note.data.get('why', '')}",
                "restore the target by hand, then run again",
            )
    if not heals and scenario.when:
        raise PremiseError(f"healing: the {role} run has no heal phase on record", "run it again and let it finish")


def _steady(history: History, scenario: Scenario) -> None:
    states = [note for note in history.notes if note.kind == "steady_state"]
    for note in states:
        if note.data.get("holds") is not True:
            raise PremiseError(
                f"steady state: not met in the {history.header.role} run: {note.data.get('why', '')}",
                "mend the service, or ask for a steady state that it has",
            )
    if not states and scenario.given.steady_state:
        raise PremiseError(f"steady state: never judged in the {history.header.role} run", "run again with a warm-up")


def _reacted(history: History) -> None:
    """Where people react to decisions, somebody did. A decision that is never made is a slip of the pen."""
    told = [note.data for note in history.notes if note.kind == "feedback"]
    if told and not any(value for data in told for value in data.values()):
        raise PremiseError(
            f"feedback: nobody in the {history.header.role} run got a decision that people react to",
            "write `feedback: {on: …}` as the service spells its decisions, or send more",
        )


def on_schedule(history: History, late_p99_ns: int) -> None:
    """The driver sent when it was to send: p99 of its lag at most `late_p99_ns`, never over a second.

    Raises:
        PremiseError: It did not, or there is no record of it.
    """
    role = history.header.role
    lags = [note.data for note in history.notes if note.kind == "driver"]
    if not lags:
        raise PremiseError(f"driver: its lag is not on record in the {role} run", "run it again and let it finish")
    p99, largest = max(int(lag["late_p99_ns"]) for lag in lags), max(int(lag["late_max_ns"]) for lag in lags)
    if p99 > late_p99_ns or largest > LATE_MAX_NS:
        raise PremiseError(
            f"driver: behind its schedule in the {role} run, p99 {moment(p99)}, at most {moment(largest)}",
            "give the driver more processor, a lower rate, or virtual time",
        )


def receipts(events: Iterable[Event], history: History) -> None:
    """Each event was supported, started, delivered to 99 % of what it was to touch, and changed half of that or more.

    Raises:
        PremiseError: Naming the first that was not.
    """
    for event in events:
        record = record_of(history, event.event)
        name = f"receipt: `{event.event}`"
        if not record.supported:
            raise PremiseError(
                f"{name} is unsupported: {record.detail or 'the harness cannot reach what it is to break'}",
                "declare the seam in the target file, or take the event out",
            )
        if record.planned <= 0 or record.start_ns == NEVER:
            raise PremiseError(
                f"{name} never happened: {record.detail or 'nothing was touched'}",
                "widen `where`, `share` or `for`, or see why the action was refused",
            )
        if record.delivered < DELIVERED * record.planned:
            raise PremiseError(
                f"{name} reached {record.delivered} of {record.planned}, under 99%",
                "see why the rest was lost on its way",
            )
        if record.potent <= 0 or record.potent < POTENT * record.delivered:
            raise PremiseError(
                f"{name} is impotent: of {record.delivered} deliveries {record.potent} changed anything"
                + (f" ({record.detail})" if record.detail else ""),
                "choose a value, a field or a share that makes a difference",
            )
        if event.counted:
            _counted(record, history)


def _counted(record: EventRecord, history: History) -> None:
    """Whoever stands between the service and what was broken counted as much as the receipt says was done.

    Raises:
        PremiseError: Nobody did, or less: the receipt is a promise.
    """
    told = [
        int(note.data["units"])
        for note in history.notes
        if note.kind == "counted" and note.data.get("event") == record.name
    ]
    if sum(told) < record.delivered:
        counted = f"{sum(told)} were counted" if told else "nobody counted"
        raise PremiseError(
            f"receipt: `{record.name}` is a promise: it says that {record.delivered} were struck, and {counted}",
            "see that the service goes through the seam, and that whoever stands there tells what it did",
        )


def record_of(history: History, name: str) -> EventRecord:
    """What became of that event.

    Raises:
        PremiseError: The run knows nothing of it.
    """
    try:
        return history.event(name)
    except KeyError:
        raise PremiseError(
            f"receipt: the {history.header.role} run has no record of `{name}`", "run it again"
        ) from None


def observers(history: History, spans: Iterable[tuple[int, int]], route: str | None = None) -> int:
    """Heartbeats on the alert route that covers all of `spans` best, which must do so without missing three.

    The run's own start and end bound the first and the last gap; at least one heartbeat must be near each span. Where
    an expectation names a route, no other can vouch for it. What came before their end and could not be read may have
    been any alert.

    Raises:
        PremiseError: On no route; or something could not be read.
    """
    beats: dict[str, list[int]] = {}
    patience = MISSED * HEARTBEAT_NS
    for note in history.notes:
        if note.kind == "heartbeat" and route in (None, note.data.get("route")):
            beats.setdefault(str(note.data.get("route", "")), []).append(note.at_ns)
            patience = MISSED * int(note.data.get("every_ns", HEARTBEAT_NS))
    spans = tuple(spans)
    _legible(history, max((end for _, end in spans), default=0), route)
    counts = [
        sum(start <= at < end for at in each for start, end in spans)
        for each in beats.values()
        if all(_covered(sorted(each), span, history.header.end_ns, patience) for span in spans)
    ]
    if not counts:
        raise PremiseError(
            f"observers: {f'the route {route}' if route else 'no alert route'} of the {history.header.role} run had "
            f"{'no' if route else 'a'} heartbeat every "
            f"{moment(patience)} throughout the window",
            "wire the alert receiver, and have the service send its heartbeat alert through it",
        )
    return max(counts)


def _legible(history: History, until_ns: int, route: str | None) -> None:
    unread = [
        note.data
        for note in history.notes
        if note.kind == "unread" and note.at_ns < until_ns and route in (None, note.data.get("route"))
    ]
    if unread:
        raise PremiseError(
            f"observers: {len(unread)} notifications of the {history.header.role} run could not be read: "
            f"{unread[0].get('why', '')}",
            "have alerts sent in the format of a route that the target file lists",
        )


def _covered(beats: list[int], span: tuple[int, int], end_ns: int, patience: int) -> bool:
    start, end = span
    near = [at for at in beats if start - patience <= at <= end + patience]
    if not near:
        return False
    # A gap that only touches the span from outside does not matter.
    marks = sorted({0, *beats, max(end_ns, 0)})
    return all(later - earlier <= patience for earlier, later in pairwise(marks) if earlier < end and later > start)


def clean_twin(evidence: Evidence, scenario: Scenario) -> History:
    """The twin, which must itself be a sound run (S9).

    Raises:
        PremiseError: There is none, or it is not.
    """
    if evidence.twin is None:
        raise PremiseError("twin: there is no clean run to compare with", "run again with its twin")
    _beside(evidence, evidence.twin, scenario)
    return evidence.twin


def _beside(evidence: Evidence, found: History, scenario: Scenario, *, elsewhere: bool = False) -> None:
    """A sound run of the same world in which nothing happened; `elsewhere`: of another target."""
    here, there = evidence.main.header, found.header
    same = ("seed", "driver") if elsewhere else ("seed", "driver", "target_digest")
    differ = [name for name in same if getattr(here, name) != getattr(there, name)]
    if not 0 <= here.end_ns - there.end_ns <= _pushed_ns(scenario):
        differ.append("end_ns")
    if differ:
        raise PremiseError(f"twin: the {there.role} run has another {' and '.join(differ)}", "run again with its twin")
    if not _same_world(evidence, found, scenario):
        raise PremiseError(
            f"twin: in the {there.role} run other customers came at other moments, whatever seed it says",
            "report it: this is a defect of the harness",
        )
    if found.events or bool(found.items["touched"].any()):
        raise PremiseError(f"twin: something happened in the {there.role} run, so it is not clean", "run it again")
    sound_run(evidence, found, scenario.clean())


def _same_world(evidence: Evidence, found: History, scenario: Scenario) -> bool:
    """Rows of one key are of one customer and moment in both runs: what is drawn by keys no event can change (S11).

    But a prior shift, which puts somebody else in a customer's place, at the same moment.
    """
    ours, theirs = evidence.main.items, found.items
    partner = partners(evidence, evidence.main, found)
    here = np.flatnonzero((partner != NOBODY) & (ours["copy"] == 0))
    there = partner[here]
    shifts = sum(1 << k for k, event in enumerate(scenario.when) if event.verb == "prior")
    replaced = ours["touched"][here] & np.uint64(shifts) != 0
    who = (ours["entity"][here] == theirs["entity"][there]) | replaced
    return bool(np.all(who & (ours["event_ns"][here] == theirs["event_ns"][there])))


def _pushed_ns(scenario: Scenario) -> int:
    """By how much late and second deliveries may make a run longer than one in which nothing happens."""
    late = sum(int(event.params.by) for event in scenario.when if event.verb == "late")
    return late + sum(int(event.params.after) for event in scenario.when if event.verb == "duplicate")


def served(history: History, scenario: Scenario) -> None:
    """The version that is to serve from the start does, and says so.

    Raises:
        PremiseError: Another one does, or nobody can tell.
    """
    why, remedy = baseline.flaw(history, scenario, told=True)
    if why:
        raise PremiseError(f"{why}, in the {history.header.role} run", remedy)


def served_by(version: str, evidence: Evidence, scenario: Scenario) -> History:
    """The clean run that this version (``v2``, or ``v2@target``) serves from the start, itself a sound run.

    Raises:
        PremiseError: There is none, or it is not sound.
    """
    found = evidence.serving.get(version)
    if found is None:
        raise PremiseError(f"twin: there is no clean run served by {version}", "run it: seatrial run does")
    given = scenario.given.model_copy(update={"serving": version.partition("@")[0]})
    there = scenario.model_copy(update={"given": given})
    _beside(evidence, found, there, elsewhere="@" in version)
    served(found, there.clean())
    return found


def reproducible_twin(evidence: Evidence, scenario: Scenario) -> History:
    """The twin, if two clean runs agree on all but 0.1 % of their rows (S8).

    Raises:
        PremiseError: They do not, or there is no second one.
    """
    twin = clean_twin(evidence, scenario)
    if evidence.aa is None:
        raise PremiseError(
            "reproducibility: there is no second clean run, so nobody knows what a difference means",
            "run again with its A/A pair",
        )
    _beside(evidence, evidence.aa, scenario)
    found = agreement(evidence, twin, evidence.aa)
    if not found.pairs:
        raise PremiseError("reproducibility: the two clean runs share no row", "run again")
    if found.share > NOISE:
        raise PremiseError(
            f"reproducibility: two clean runs disagree on {share(found.share)} of {found.pairs} rows, over "
            f"{share(NOISE)}",
            "find what is random in the target, or declare its tolerance",
        )
    _alive(twin, evidence.tolerance)
    return twin


def _alive(twin: History, tolerance: float) -> None:
    """Most rows of a clean run get the model's score, and it tells rows apart; else to be like the twin proves nothing.

    Raises:
        PremiseError: The service refuses everybody, always gives a default, or one score to all.
    """
    items = twin.items
    own = (items["outcome"] == Outcome.OK) & ~np.isin(items["source"], (Source.DEFAULT, Source.FALLBACK))
    scores = items["score"][own & np.isfinite(items["score"])]
    if len(scores) < ANSWERED * len(twin):
        raise PremiseError(
            f"twin: in a clean world {len(scores)} of {len(twin)} rows got the model's score, so to refuse or to "
            "give a default proves nothing",
            "see what the service refuses, and whether it takes the rows of this population",
        )
    if np.ptp(scores) <= tolerance:
        raise PremiseError(
            f"twin: one score, {scores[0]:.6g}, for all {len(scores)} rows, so an equal one proves nothing",
            "see whether the service reads its input, and whether `tolerance` is not too wide",
        )
