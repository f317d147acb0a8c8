"""S3, S7, S9: every premise, broken by itself, makes UNKNOWN of what would pass and of what would fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from histories import END, SECOND, Evidence, edited, ending, evidence, firing, judged, notes, record, run, scenario
from specimens import OUTAGE, PAGED, SPECIMENS, alerts, set_at, some

from simulator.checks import evaluate
from simulator.controls import naive
from simulator.history.schema import NEVER, Note, Outcome
from simulator.scenario.quantities import MINUTE
from simulator.verdict import Status

RATE = {"error_rate": {"max": "1%"}}


def noted(kind: str, *, of: str = "main", **data) -> Evidence:
    """Another note of that kind in place of the sound one, in one of the runs."""
    return with_notes((*(n for n in notes() if n.kind != kind), Note(END, kind, data)), of)


def with_notes(kept, of: str = "main", base: Evidence | None = None) -> Evidence:
    found = base or evidence()
    return replace(found, **{of: replace(getattr(found, of), notes=tuple(kept))})


def without(kind: str, of: str = "main") -> Evidence:
    return with_notes((n for n in notes() if n.kind != kind), of)


def received(**changed) -> Evidence:
    found = evidence()
    return replace(found, main=replace(found.main, events=(record(**changed),)))


def kept(**first) -> Evidence:
    """The first item of the main run is on record like this."""
    column = dict(evidence().main.items)
    for name, value in first.items():
        column[name] = np.where(np.arange(len(column[name])) == 0, value, column[name])
    return edited(evidence(), **column)


_again = 1  # the index of the second item


@pytest.mark.parametrize(
    ("found", "premise"),
    [
        (noted("harness", fault="the loop ran dry"), "harness: a guard rail fired in the main run: the loop ran dry"),
        (noted("steady_state", holds=False, why="errors"), "steady state: not met"),
        (without("steady_state"), "steady state: never judged"),
        (noted("driver", late_p99_ns=101_000_000, late_max_ns=200_000_000), "driver: behind its schedule"),
        (noted("driver", late_p99_ns=0, late_max_ns=2 * SECOND), "driver: behind its schedule"),
        (without("driver"), "driver: its lag is not on record"),
        (noted("heal", healed=False, why="still down"), "healing: the main run could not be healed: still down"),
        (without("heal"), "healing: the main run has no heal phase"),
        (received(supported=False, detail="no seam"), "receipt: `e` is unsupported: no seam"),
        (received(start_ns=NEVER), "receipt: `e` never happened"),
        (received(planned=0, delivered=0, potent=0), "receipt: `e` never happened"),
        (received(delivered=593), "receipt: `e` reached 593 of 600"),
        (received(potent=0), "receipt: `e` is impotent"),
        (received(potent=299), "receipt: `e` is impotent"),
        (received(name="other"), "receipt: the main run has no record of `e`"),
        (received(start_ns=620 * SECOND), "receipt: `e` was to start at 10m"),
        (kept(index=_again), "records: 1 items are on record twice, in the main run"),
        (kept(label_ns=59 * MINUTE), "labels: 1 came before their truth was known, in the main run"),
        (kept(label_ns=60 * MINUTE, label_due_ns=NEVER), "labels: 1 came before"),
        (kept(sent_ns=1, replied_ns=0), "records: 1 replies came before their requests were sent, in the main run"),
        (kept(sent_ns=NEVER), "records: 1 replies came before"),
        (
            noted("driver", late_p99_ns=0, late_max_ns=0, attempts=3600),
            "driver: it sent 3600 requests, and 1800 are on",
        ),
    ],
)
@pytest.mark.parametrize("failing", [False, True])
def test_a_broken_premise_is_unknown_in_both_directions(found, premise, failing):
    if failing:
        found = edited(found, outcome=set_at(some(600, touched=True), outcome=int(Outcome.ERROR)).main.items["outcome"])
    finding = judged(RATE, found)
    assert finding.status is Status.UNKNOWN
    assert finding.why.startswith(premise)
    assert finding.remedy


@pytest.mark.parametrize("changed", [{"delivered": 594}, {"potent": 300}, {"start_ns": 618 * SECOND}])
def test_a_premise_that_just_holds(changed):
    changed = {"delivered": 600} | changed
    changed["potent"] = min(changed["delivered"], changed.get("potent", 600))
    assert judged(RATE, received(**changed)).status is Status.PASS


def test_as_many_attempts_as_the_driver_made():
    as_said = noted("driver", late_p99_ns=0, late_max_ns=0, attempts=1800)
    assert judged(RATE, as_said).status is Status.PASS
    # Of a request that was never concluded nobody knows how often it was tried.
    lost = set_at([0], attempts=0, outcome=int(Outcome.MISSING))
    more = noted("driver", late_p99_ns=0, late_max_ns=0, attempts=1801).main.notes
    assert judged(RATE, with_notes(more, base=lost)).status is Status.PASS


def test_a_label_that_came_with_its_truth_is_not_early():
    assert judged(RATE, kept(label_ns=60 * MINUTE)).status is Status.PASS


def other(**header) -> Evidence:
    """Another header of the twin."""
    found = evidence()
    return replace(found, twin=replace(found.twin, header=replace(found.twin.header, **header)))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (other(seed=2), "another seed"),
        (other(target_digest="u"), "another target_digest"),
        (other(end_ns=END - 1), "another end_ns"),
        (other(driver="live"), "another driver"),
        (replace(evidence(), twin=evidence().main), "something happened in the main run"),
        (replace(evidence(), aa=evidence().main), "something happened in the main run"),
    ],
)
def test_another_run_in_place_of_the_twin_is_no_twin(found, why):
    finding = judged({"harmed": {"max": "1%"}}, found)
    assert finding.status is Status.UNKNOWN
    assert finding.why.startswith("twin: ")
    assert why in finding.why


@pytest.mark.parametrize(
    ("verb", "status"), [({"prior": {"to": "15%"}}, Status.PASS), ({"nulls": {"field": "amount"}}, Status.UNKNOWN)]
)
def test_a_prior_shift_alone_puts_others_in_a_customers_place(verb, status):
    """A row of the other outcome has another customer's values, at the same moment: that twin is one all the same."""
    demand = {"id": "it", "harmed": {"max": "1%"}, "of": "untouched"}
    whole = scenario(demand, when=[{"event": "e", "at": "10m", "for": "10m", **verb}])
    items = evidence().main.items
    somebody_else = np.where(items["touched"] != 0, items["entity"] + 10_000, items["entity"])
    found = edited(evidence(), entity=somebody_else)
    finding = evaluate(whole.then[0], whole, found)
    assert finding.status is status, finding.why
    court = naive.read(found.main, found.twin, found.aa, found.tolerance)
    assert naive.opinion(whole.then[0], whole, court).status is status
    elsewhen = edited(found, event_ns=items["event_ns"] + (items["touched"] != 0))
    assert evaluate(whole.then[0], whole, elsewhen).status is Status.UNKNOWN


@pytest.mark.parametrize("family", ["alert", "no_alert", "handled", "harmed", "parity", "labels_seen", "recovers"])
def test_a_twin_that_is_missing_or_unsound_is_a_broken_premise(family):
    specimen = SPECIMENS[family]
    expectation, found = specimen.scenario.then[0], specimen.passing
    for twin in (None, replace(found.twin, notes=()), replace(found.twin, notes=(Note(0, "harness", {}), *notes()))):
        finding = evaluate(expectation, specimen.scenario, replace(found, twin=twin))
        assert finding.status is Status.UNKNOWN, twin
        assert "twin" in finding.why


@pytest.mark.parametrize(("as_it_was", "decides"), [(0, True), (300, True), (301, False), (600, False)])
def test_what_was_sent_as_in_the_clean_twin_was_not_disturbed(as_it_was, decides):
    """The plan says that 600 rows were changed, and so does the receipt; the bytes say of how many it is so."""
    specimen = SPECIMENS["handled"]
    sent = specimen.passing.main.items["sent_digest"].copy()
    sent[np.flatnonzero(specimen.passing.main.items["potent"])[:as_it_was]] = 1
    finding = evaluate(specimen.scenario.then[0], specimen.scenario, edited(specimen.passing, sent_digest=sent))
    assert (finding.status is Status.PASS) == decides
    assert decides or finding.why.startswith("records: what `e` is to have changed was sent as in the clean twin")


@pytest.mark.parametrize(
    ("counts", "why"), [((), "and nobody counted"), ((599,), "and 599 were counted"), ((300, 300), ""), ((700,), "")]
)
@pytest.mark.parametrize("status", ["passing", "failing"])
def test_a_receipt_for_which_nobody_counted_is_a_promise(status, counts, why):
    specimen = SPECIMENS["fallback"]
    found = getattr(specimen, status)
    others = (note for note in found.main.notes if note.kind != "counted")
    told = (Note(END, "counted", {"event": "e", "units": units}) for units in counts)
    before = evaluate(specimen.scenario.then[0], specimen.scenario, found)
    finding = evaluate(specimen.scenario.then[0], specimen.scenario, with_notes((*others, *told), base=found))
    assert finding.why.startswith("receipt: `e` is a promise") if why else finding.status is before.status
    assert why in finding.why


def noise(found: Evidence, rows: int, first: int = 0) -> Evidence:
    """The second clean run answers so many rows differently."""
    score = found.aa.items["score"].copy()
    score[first : first + rows] += 0.5
    return replace(found, aa=replace(found.aa, items={**found.aa.items, "score": score}))


@pytest.mark.parametrize("family", ["handled", "harmed", "parity"])
def test_two_clean_runs_must_agree(family):
    specimen = SPECIMENS[family]
    expectation, found = specimen.scenario.then[0], specimen.passing
    almost, noisy = noise(found, 1), noise(found, 2)
    assert evaluate(expectation, specimen.scenario, almost).status is Status.PASS  # 1 of 1800: under 0.1 %
    finding = evaluate(expectation, specimen.scenario, noisy)
    assert finding.status is Status.UNKNOWN
    assert finding.why.startswith("reproducibility")
    declared = evaluate(expectation, specimen.scenario, replace(noisy, tolerance=0.6))
    assert declared.status is not Status.UNKNOWN


def test_noise_between_clean_runs_is_not_taken_for_a_mismatch():
    specimen = SPECIMENS["parity"]  # one row differs, and so does another one between two clean runs
    finding = judged(specimen.it, noise(specimen.failing, 1, first=1))
    assert finding.status is Status.UNKNOWN
    assert finding.why.startswith("reproducibility")


@pytest.mark.parametrize("kind", ["driver", "steady_state", "heal"])
def test_swapped_replies_prove_themselves_whatever_the_run_was_like(kind):
    specimen = SPECIMENS["parity"]
    kept = [note for note in notes() if note.kind != kind]
    assert judged(specimen.it, with_notes(kept, base=specimen.failing)).status is Status.FAIL
    assert judged(specimen.it, with_notes(kept, base=specimen.passing)).status is Status.UNKNOWN


def beating(*seconds: float, route: str = "alertmanager") -> tuple[Note, ...]:
    return tuple(Note(int(s * SECOND), "heartbeat", {"route": route}) for s in seconds)


def listened(*beats: Note) -> Evidence:
    kept = tuple(n for n in notes() if n.kind != "heartbeat")
    return with_notes((*kept, *beats), base=alerts(firing(700), ending(1250)))


EVERY_3M = tuple(range(0, 1801, 180))


@pytest.mark.parametrize(
    ("beats", "alive"),
    [
        (beating(*EVERY_3M), True),
        (beating(*(s for s in EVERY_3M if s not in (0, 180, 1800))), True),  # far from the window
        (beating(*(s for s in EVERY_3M if s != 720)), False),
        (beating(*(s for s in EVERY_3M if s > 540)), False),
        (beating(*(s for s in EVERY_3M if s < 1080)), False),
        (beating(*EVERY_3M[::2]) + beating(*EVERY_3M[1::2], route="slack"), False),  # neither route by itself
        (beating(*EVERY_3M[::2]) + beating(*EVERY_3M, route="slack"), True),
        ((), False),
    ],
)
def test_somebody_must_have_listened_throughout(beats, alive):
    finding = judged(PAGED, listened(*beats))
    assert finding.status is (Status.PASS if alive else Status.UNKNOWN)
    assert alive or finding.why.startswith("observers")


def test_silence_in_the_twin_must_have_been_listened_to_as_well():
    it = SPECIMENS["no_alert"].it
    assert judged(it, without("heartbeat", "twin")).why.startswith("observers: no alert route of the twin run")
    assert judged(PAGED, replace(alerts(firing(700)), twin=without("heartbeat", "twin").twin)).status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("at_s", "route", "of", "status"),
    [
        (100, "slack", "main", Status.UNKNOWN),  # it may fire still
        (1799, "alertmanager", "main", Status.UNKNOWN),
        (1800, "alertmanager", "main", Status.PASS),  # the run is over
        (700, "alertmanager", "twin", Status.UNKNOWN),
    ],
)
def test_what_nobody_could_read_is_no_silence(at_s, route, of, status):
    it = {"no_alert": {"route": "alertmanager"}} if of == "twin" else SPECIMENS["no_alert"].it
    base = evidence()
    found = with_notes(
        (*getattr(base, of).notes, Note(at_s * SECOND, "unread", {"route": route, "why": "no JSON"})), of, base
    )
    finding = judged(it, found)
    assert finding.status is status
    whole = scenario({"id": "it"} | it)
    court = naive.read(found.main, found.twin, found.aa, found.tolerance)
    assert naive.opinion(whole.then[0], whole, court).status is status
    assert status is Status.PASS or finding.why.startswith(f"observers: 1 notifications of the {of} run could not be")
    if route == "slack":  # of another route than the one that is asked for
        assert judged({"no_alert": {"route": "alertmanager"}}, found).status is Status.PASS


def test_an_alert_received_proves_that_somebody_listened():
    loud = with_notes((n for n in notes() if n.kind != "heartbeat"), base=alerts(firing(100)))
    assert judged(SPECIMENS["no_alert"].it, loud).status is Status.FAIL


def test_latency_asks_for_a_tenth_of_its_limit():
    late = noted("driver", late_p99_ns=11_000_000, late_max_ns=11_000_000)
    assert judged({"latency": {"p95": "100ms"}}, late).status is Status.UNKNOWN
    assert judged({"latency": {"p95": "110ms"}}, late).status is Status.PASS


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ({}, Status.UNKNOWN),
        ({"outside": "e", "of": "untouched"}, Status.UNKNOWN),
        ({"outside": "e"}, Status.PASS),  # has no need of `f`
    ],
)
def test_whoever_speaks_of_the_untouched_or_of_the_run_needs_every_receipt(parts, status):
    when = [*OUTAGE, {"event": "f", "at": "25m", "for": "1m", "scale": {"field": "amount", "by": 100}}]
    good = record("f", at=1500, until=1560, index=1)
    for receipt, wanted in ((good, Status.PASS), (replace(good, potent=0), status)):
        found = replace(evidence(), main=run(evidence().main.items, events=(record(), receipt)))
        assert judged({"error_rate": {"max": "1%"}} | parts, found, when=when).status is wanted


@pytest.mark.parametrize("family", ["fallback", "recovers"])
def test_a_target_that_names_no_source_is_not_judged_by_it(family):
    specimen = SPECIMENS[family]
    mute = edited(specimen.passing, source=specimen.passing.main.items["source"] * 0)
    finding = evaluate(specimen.scenario.then[0], specimen.scenario, mute)
    assert finding.status is Status.UNKNOWN
    assert finding.why.startswith("source:")


@pytest.mark.parametrize("family", ["exposure", "rollback"])
def test_a_target_that_names_no_version_is_not_judged_by_it(family):
    specimen = SPECIMENS[family]
    version = specimen.passing.main.items["version"].copy()
    version[600:660] = ""
    finding = evaluate(specimen.scenario.then[0], specimen.scenario, edited(specimen.passing, version=version))
    assert finding.status is Status.UNKNOWN
    assert finding.why.startswith("version:")


def test_observers_are_bounded_by_the_run():
    assert judged(SPECIMENS["no_alert"].it, listened(*beating(*range(0, 1621, 60)))).status is Status.PASS
    assert judged(SPECIMENS["no_alert"].it, listened(*beating(*range(0, 1619, 60)))).status is Status.UNKNOWN
