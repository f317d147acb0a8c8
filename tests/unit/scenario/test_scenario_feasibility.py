"""What can be known to be wrong before anything runs, told at its place."""

from __future__ import annotations

import pytest
from scenario_example import EXAMPLE, underlined

from simulator.scenario.decidable import expected_items, needed
from simulator.scenario.feasibility import check
from simulator.scenario.load import load
from simulator.world.population import Field

FIELDS = {
    field.name: field
    for field in (
        Field("amount", "number", spread=50.0),
        Field("items", "integer", spread=2.0),
        Field("payment_method", "category", categories=("card", "transfer", "wallet")),
        Field("night", "boolean"),
    )
}
SCALE = "scale: {field: amount, by: $factor}"
NO_MATRIX = ("matrix: {factor: [0.01, 100]}\n", "")
CONTAINED = (
    "  - {id: contained, handled: {by: [reject, default, fallback, repair], min: 99%}, of: unit_change, settle: 10m}\n"
)
UP = "  - {id: up, error_rate: {max: 0.5%}}"


def verb(text: str) -> list[tuple[str, str]]:
    """The example's event with another verb."""
    return [(SCALE, text), NO_MATRIX]


def more(text: str) -> list[tuple[str, str]]:
    """One more expectation."""
    return [(UP, f"{UP}\n  - {text}")]


# One row: (edits, code, the underlined words, a part of the message, the hint or a part of it).
HOPELESS = {
    # time
    "an empty run": (
        [("for: 90m", "for: 0s"), ("warmup: 20m", "warmup: 0s")],
        "empty-run",
        "0s",
        "over before it starts",
        "",
    ),
    "an endless run": (
        [("rate: 10/s, for: 90m", "rate: 1/s, for: 9999d"), ("{max: 0.1%}}\nmatrix", "{max: 1%}}\nmatrix")],
        "too-long",
        "9999d",
        "longer than ten years",
        "",
    ),
    "more rows than can be kept": (
        [("rate: 10/s", "rate: 1000000/s")],
        "too-large",
        "1000000/s",
        "more than 1,000,000,000 rows",
        "",
    ),
    "a warm-up without end": (
        [("warmup: 20m", "warmup: 90m")],
        "past-the-end",
        "90m",
        "the warm-up is as long as the run (1h30m)",
        "",
    ),
    "an event in the warm-up": (
        [("warmup: 20m", "warmup: 31m")],
        "in-warmup",
        "30m",
        "starts during the warm-up, which takes 31m",
        "",
    ),
    "an event that takes no time": (
        [
            ("for: 30m", "for: 0s"),
            (", settle: 10m}", "}"),
            (
                "  - {id: contained, handled: {by: [reject, default, fallback, repair], min: 99%}, of: unit_change}\n",
                "",
            ),
            ("  - {id: early, labels_seen: {max: 1%}, of: unit_change, at: paged}\n", ""),
        ],
        "no-effect",
        "0s",
        "`unit_change` takes no time",
        "",
    ),
    "an event that outlasts the run": (
        [
            *more("{id: x, shed: {max: 1%}, of: late}"),
            (SCALE + "}", SCALE + "}\n  - {event: late, at: 80m, for: 20m, reorder: {}}"),
        ],
        "past-the-end",
        "20m",
        "`late` outlasts the run by 10m",
        "at most 10m, or drop `for`",
    ),
    "an event after the end": (
        [(SCALE + "}", SCALE + "}\n  - {event: late, at: 90m, for: 20m, reorder: {}}")],
        "past-the-end",
        "90m",
        "`late` starts when the run is over (1h30m)",
        "",
    ),
    "a ramp longer than its event": (
        verb("drift: {field: amount, shift: 1, shape: gradual, over: 31m}"),
        "past-the-end",
        "31m",
        "the ramp is longer than `unit_change` (30m)",
        "",
    ),
    "stale answers in real time": (
        [
            ("runs_on: [virtual]", "runs_on: [virtual, live]"),
            *verb("dependency: {name: feature_store, fault: stale, by: 1h}"),
        ],
        "senseless-key",
        "dependency",
        "cannot make its answers stale",
        "write `runs_on: [virtual]`",
    ),
    "a ramp of load longer than its event": (
        verb("load: {to: 3x, over: 31m}"),
        "past-the-end",
        "31m",
        "the ramp is longer than `unit_change` (30m)",
        "",
    ),
    "a window beyond the end": (
        [("within: 8m", "within: 61m")],
        "past-the-end",
        "61m",
        "the window ends 1m after the run",
        "`within` can be at most 1h, or the run must last 1h31m",
    ),
    "a hold beyond the end": (
        [("within: 20m", "within: 26m")],
        "past-the-end",
        "26m",
        "the window and its hold of 5m ends 1m after the run",
        "`within` can be at most 25m",
    ),
    "no room for the hold": (
        [("within: 20m", "within: 20m, hold: 30m")],
        "past-the-end",
        "20m",
        "its hold of 30m ends 20m after",
        "the run must last 1h50m",
    ),
    "after an event without an end": (
        [
            ("for: 30m, scale", "scale"),
            ("outside: unit_change, settle: 20m}\n  - {id: up", "outside: unit_change}\n  - {id: up"),
        ],
        "past-the-end",
        "unit_change.end",
        "`cleared` starts to look when the run is over",
        "give the event a `for`",
    ),
    "settled longer than the event": (
        [("settle: 10m", "settle: 30m")],
        "empty-window",
        "30m",
        "`contained` has no time left to look at",
        "",
    ),
    "within no time": (
        [("within: 8m", "within: 0s"), ("  - {id: early, labels_seen: {max: 1%}, of: unit_change, at: paged}\n", "")],
        "empty-window",
        "0s",
        "`paged` has no time left",
        "",
    ),
    "an impossible delay": (
        [("p95: 3h", "p95: 45m")],
        "bad-value",
        "45m",
        "95th percentile of a delay is longer than its median",
        "",
    ),
    "no time to answer": (
        [("for: 90m}", "for: 90m, timeout: 0s}")],
        "bad-value",
        "0s",
        "with no time to answer in",
        "",
    ),
    "a rate beyond numbers": (
        [("rate: 10/s", f"rate: {'9' * 400}/s")],
        "bad-value",
        "9" * 400 + "/s",
        "not a rate that can be sent",
        "",
    ),
    # numbers
    "too few for the limit": (
        [("harmed: {max: 0.1%}", "harmed: {max: 0.01%}")],
        "undecidable",
        "0.01%",
        "holds about 24000 items; to decide this takes 46050",
        "look longer",
    ),
    "too few touched": (
        [
            (SCALE, SCALE[:-1] + ", share: 3.7%}"),
            ("  - {id: early, labels_seen: {max: 1%}, of: unit_change, at: paged}\n", ""),
        ],
        "undecidable",
        "99%",
        "`contained` holds about 444 items; to decide this takes 459",
        "look longer",
    ),
    "too few for a quantile": (
        more("{id: x, latency: {p99: 1s}, after: unit_change, within: 40s}"),
        "undecidable",
        "1s",
        "`x` holds about 400 items; to decide this takes 459",
        "look longer",
    ),
    "too few outliers": (
        [
            *verb("outlier: {field: amount, value: 1.0e9, count: 5}"),
            ("  - {id: early, labels_seen: {max: 1%}, of: unit_change, at: paged}\n", ""),
        ],
        "undecidable",
        "99%",
        "`contained` holds about 5 items",
        "look longer",
    ),
    "too few pairs": (
        more("{id: x, parity: {min_pairs: 60000}}"),
        "undecidable",
        "60000",
        "`x` holds about 54000 items, fewer than the pairs asked for",
        "look longer",
    ),
    "a steady state of too few": (
        [("warmup: 20m", "warmup: 15m")],
        "undecidable",
        "0.1%",
        "second half of the warm-up holds about 4500 items; to decide this takes 4603",
        "look longer",
    ),
    "a steady state without a warm-up": (
        [("  warmup: 20m\n", "")],
        "undecidable",
        "steady_state",
        "a steady state is judged in the warm-up",
        "such as",
    ),
    "a limit above everything": (
        [("harmed: {max: 0.1%}", "harmed: {max: 100%}")],
        "uncrossable",
        "100%",
        "a limit of 100% cannot be crossed",
        "",
    ),
    "a limit below everything": (
        [("min: 99%", "min: 0%")],
        "uncrossable",
        "0%",
        "a limit of 0% cannot be crossed, so this can never fail",
        "",
    ),
    "exactly nothing": (
        [("harmed: {max: 0.1%}", "harmed: {max: 0%}")],
        "undecidable",
        "0%",
        "no sample can show exactly 0%, so this can never pass",
        "such as 0.1%",
    ),
    "exactly everything": (
        [("min: 99%", "min: 100%")],
        "undecidable",
        "100%",
        "no sample can show exactly 100%",
        "such as 99.9%",
    ),
    "an uncrossable steady state": (
        [("{max: 0.1%}}\nmatrix", "{max: 100%}}\nmatrix")],
        "uncrossable",
        "100%",
        "cannot be crossed",
        "",
    ),
    "answers in no time": (
        more("{id: x, latency: {p95: 0s}}"),
        "undecidable",
        "0s",
        "nothing is answered in no time",
        "",
    ),
    "no way to be handled": (
        [("[reject, default, fallback, repair]", "[]")],
        "undecidable",
        "by",
        "with no way to be handled",
        "",
    ),
    "no room for the canary": (
        [
            *verb("release: {version: v2, share: 10%}"),
            *more("{id: x, exposure: {version: v2, max: 10%}, during: unit_change}"),
        ],
        "undecidable",
        "10%",
        "v2 is to take 10%, so no sample shows that it takes no more than this",
        "leave it some room",
    ),
    "too little asked of the canary": (
        [
            *verb("release: {version: v2, share: 10%}"),
            *more("{id: x, exposure: {version: v2, min: 10%}, during: unit_change}"),
        ],
        "undecidable",
        "10%",
        "v2 is to take 10%, so no sample shows that it takes no less than this",
        "leave it some room",
    ),
    "a promotion whose hold outlasts the run": (
        [
            *verb("release: {version: v2, share: 10%}"),
            *more("{id: x, promoted: {to: v2}, after: unit_change, within: 59m, hold: 2m}"),
        ],
        "past-the-end",
        "59m",
        "the window and its hold of 2m ends 1m after the run",
        "`within` can be at most 58m",
    ),
    "nothing touched": (
        verb("scale: {field: amount, by: 3, share: 0%}"),
        "no-effect",
        "0%",
        "`unit_change` touches nothing",
        "",
    ),
    "a unit of one": (verb("scale: {field: amount, by: 1}"), "no-effect", "1", "`unit_change` changes nothing", ""),
    "a drift of nothing": (verb("drift: {field: amount, shift: 0}"), "no-effect", "0", "changes nothing", ""),
    "no truth reversed": (verb("concept: {flip: 0%}"), "no-effect", "0%", "changes nothing", ""),
    "labels in time": (verb("label_delay: {by: 0s}"), "no-effect", "0s", "changes nothing", ""),
    "the same spelling": (
        verb("respell: {field: payment_method, category: card, to: card}"),
        "no-effect",
        "card",
        "changes nothing",
        "",
    ),
    "the same name": (verb("rename: {field: amount, to: amount}"), "no-effect", "amount", "changes nothing", ""),
    "nothing is seen to last": (
        [*more("{id: x, recovers: {to: model}, after: unit_change.end, within: 5m, hold: 2s}")],
        "undecidable",
        "2s",
        "the hold of 2s sees about 20 answers; it takes 30",
        "hold for longer",
    ),
    "a load of unknown size": (
        verb("load: {to: 1.5x capacity}"),
        "no-capacity",
        "1.5x capacity",
        "the target has not said what its capacity is",
        "let the target declare it",
    ),
    "a load of nothing": (
        verb("load: {to: 1x}"),
        "no-effect",
        "1x",
        "the base rate is 10/s, so nothing is added",
        "load adds",
    ),
    "a load below nothing": (verb("load: {to: -3x}"), "bad-value", "-3x", "not a load that can be sent", ""),
    "a load that is no number": (verb("load: {to: nanx}"), "bad-value", "nanx", "not a load that can be sent", ""),
    "too rare to start in time": (
        [
            (SCALE, SCALE[:-1] + ", share: 0.5%}"),
            ("  - {id: early, labels_seen: {max: 1%}, of: unit_change, at: paged}\n", ""),
            (CONTAINED, ""),
        ],
        "slow-start",
        "0.5%",
        "touches something about every 20s only, but must start within 4s800ms",
        "raise the rate",
    ),
    # the population
    "an unknown field": (
        verb("scale: {field: amuont, by: 3}"),
        "unknown-field",
        "amuont",
        "there is no field `amuont`",
        "did you mean `amount`?",
    ),
    "an unknown field in an alert": (
        [("alert: {field: amount}", "alert: {field: amuont}")],
        "unknown-field",
        "amuont",
        "there is no field `amuont`",
        "did you mean `amount`?",
    ),
    "an unknown condition": (
        verb("scale: {field: amount, by: 3, where: {nite: true}}"),
        "unknown-field",
        "nite",
        "there is no field `nite`",
        "did you mean `night`?",
    ),
    "a condition of another kind": (
        verb("scale: {field: amount, by: 3, where: {night: 1}}"),
        "wrong-kind",
        "1",
        "`night` is a boolean",
        "write true or false",
    ),
    "a condition that is true of no number": (
        verb("scale: {field: amount, by: 3, where: {items: true}}"),
        "wrong-kind",
        "true",
        "`items` is an integer",
        "write a number",
    ),
    "an unknown category in a condition": (
        verb("scale: {field: amount, by: 3, where: {payment_method: crad}}"),
        "unknown-category",
        "crad",
        "`payment_method` is never `crad`",
        "did you mean `card`?",
    ),
    "a category scaled": (
        verb("scale: {field: payment_method, by: 3}"),
        "wrong-kind",
        "payment_method",
        "is a category, not a number",
        "",
    ),
    "an outlier that is no number": (
        [*verb("outlier: {field: night, value: 3, count: 5000}")],
        "wrong-kind",
        "night",
        "is a boolean, not a number",
        "",
    ),
    "a category shifted": (
        verb("drift: {field: payment_method, shift: 1}"),
        "wrong-kind",
        "shift",
        "`payment_method` is a category and cannot be shifted",
        "write `category: ...`",
    ),
    "a number moved to a category": (
        verb("drift: {field: amount, category: high}"),
        "wrong-kind",
        "category",
        "`amount` is a number and has no categories",
        "write `shift: ...`",
    ),
    "a number respelled": (
        verb("respell: {field: amount, category: high, to: low}"),
        "wrong-kind",
        "category",
        "has no categories",
        "",
    ),
    "an unknown category respelled": (
        verb("respell: {field: payment_method, category: crad, to: CARD}"),
        "unknown-category",
        "crad",
        "`payment_method` is never `crad`",
        "did you mean `card`?",
    ),
    "a number as a number": (
        verb("retype: {field: amount, to: number}"),
        "no-effect",
        "number",
        "`amount` is a number already",
        "",
    ),
    "a new field that is old": (
        verb("add: {field: items, value: 3}"),
        "known-field",
        "items",
        "sends `items` already",
        "name a field",
    ),
    "a rename onto another field": (
        verb("rename: {field: amount, to: items}"),
        "known-field",
        "items",
        "sends `items` already",
        "",
    ),
}


def problems_of(example, edits):
    found = {problem for cell in example.cells(*edits) for problem in check(cell, FIELDS)}
    return sorted(found, key=lambda problem: problem.line)


@pytest.mark.parametrize("name", HOPELESS)
def test_one_flaw_is_one_problem_at_its_place(example, name):
    edits, code, words, message, hint = HOPELESS[name]
    problems = problems_of(example, edits)
    assert len(problems) == 1, "\n\n".join(map(str, problems))
    (problem,) = problems
    assert (problem.code, underlined(problem)) == (code, words)
    assert message in problem.message
    assert problem.hint.startswith(hint)
    assert bool(problem.hint) == bool(hint)


def test_the_example_is_feasible():
    for cell in load(EXAMPLE):
        assert check(cell, FIELDS, capacity_per_second=100.0) == ()


def test_without_a_population_fields_are_not_judged(example):
    (cell,) = example.cells(*verb("scale: {field: amuont, by: 3}"))
    assert check(cell) == ()


@pytest.mark.parametrize("expectations", ["[]", "[{id: only, shed: {max: 1%}, severity: warn}]"])
def test_a_scenario_without_a_gate_can_only_be_unknown(example, expectations):
    text = EXAMPLE.read_text(encoding="utf-8")
    example.path.write_text(text[: text.index("then:")] + f"then: {expectations}\n", encoding="utf-8")
    (problem,) = {problem for cell in load(example.path) for problem in check(cell)}
    assert (problem.code, underlined(problem)) == ("no-gate", "then")


def test_a_replay_promises_no_number_of_items(example):
    edits = [
        ("rate: 10/s, for: 90m", "replay: {from: 2013-01-01, to: 2013-01-02}"),
        *verb("reorder: {}"),
        ("harmed: {max: 0.1%}", "harmed: {max: 0.0001%}"),
    ]
    (cell,) = example.cells(*edits)
    assert check(cell) == ()
    assert expected_items(cell.scenario, cell.scenario.expectation("bystanders")) is None


def test_traffic_that_the_population_cannot_produce_has_its_place(example):
    (cell,) = example.cells(*verb("reorder: {}"))
    (problem,) = check(cell, misfit="payments cannot")
    assert (problem.code, problem.message, underlined(problem)) == ("wrong-traffic", "payments cannot", "traffic")


def test_a_replay_has_a_load_of_its_own(example):
    recorded = ("rate: 10/s, for: 90m", "replay: {from: 2013-01-01, to: 2013-01-02}")
    for load_to in ("3x", "500/s"):
        assert problems_of(example, [recorded, *verb(f"load: {{to: {load_to}}}")]) == []


@pytest.mark.parametrize(("limit", "n"), [(0.001, 4603), (0.005, 919), (0.01, 459), (0.05, 90)])
def test_zero_failures_needed(limit, n):
    assert needed(limit) == n
    assert (1 - limit) ** n <= 0.01 < (1 - limit) ** (n - 1)


@pytest.mark.parametrize(
    ("text", "of_event", "whole_run"),
    [
        ("scale: {field: amount, by: 3}", 12_000, 54_000),
        ("scale: {field: amount, by: 3, share: 25%}", 3_000, 54_000),
        ("load: {to: 3x}", 24_000, 54_000 + 36_000),  # only the added requests are touched
        ("load: {to: 50/s}", 48_000, 54_000 + 72_000),
        ("load: {to: 1.5x capacity}", 20 * 60 * 140, 54_000 + 30 * 60 * 140),
    ],
)
def test_expected_items(example, text, of_event, whole_run):
    (cell,) = example.cells(*verb(text))
    scenario = cell.scenario
    assert expected_items(scenario, scenario.expectation("contained"), 100.0) == pytest.approx(of_event)
    assert expected_items(scenario, scenario.expectation("up"), 100.0) == pytest.approx(whole_run)


def test_labels_are_counted_one_by_one(example):
    """The share of labels that have come is a census: it needs no sample, and may be exactly nothing."""
    for limit in ("0%", "0.001%"):
        assert problems_of(example, [("labels_seen: {max: 1%}", f"labels_seen: {{max: {limit}}}")]) == []
    (problem,) = problems_of(example, [("labels_seen: {max: 1%}", "labels_seen: {max: 100%}")])
    assert problem.code == "uncrossable"


@pytest.mark.parametrize(
    ("expectation", "n"),
    [
        ("{id: x, error_rate: {max: 1%}}", 54_000),  # requests
        ("{id: x, parity: {}}", 8 * 54_000),  # rows
        ("{id: x, error_rate: {max: 1%}, of: unit_change}", 18_000 * 0.8),  # a row in ten of eight each
        ("{id: x, handled: {by: [reject], min: 99%}, of: unit_change}", 8 * 18_000 * 0.1),
        ("{id: x, shed: {max: 1%}, during: unit_change}", 18_000),
    ],
)
def test_some_count_requests_and_some_count_rows(example, expectation, n):
    edits = [("for: 90m}", "for: 90m, batch: 8}"), *more(expectation), *verb(SCALE.replace("$factor", "3, share: 10%"))]
    (cell,) = example.cells(*edits)
    assert expected_items(cell.scenario, cell.scenario.expectation("x")) == pytest.approx(n)


def test_a_daily_rhythm_has_busy_hours(example):
    (cell, _) = example.cells(("for: 90m}", "for: 90m, rhythm: daily}"))
    assert expected_items(cell.scenario, cell.scenario.expectation("up")) == 2 * 54_000


def test_alerts_may_be_about_what_events_bring_in(example):
    for text, brought in {
        "rename: {field: amount, to: betrag}": "betrag",
        "add: {field: extra, value: 1}": "extra",
        "dependency: {name: feature_store, fault: down}": "feature_store",
        "release: {version: v2}": "v2",
    }.items():
        assert problems_of(example, [*verb(text), ("alert: {field: amount}", f"alert: {{field: {brought}}}")]) == []
