"""One mistake, one problem, at the word that is wrong."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from scenario_example import EXAMPLE, underlined

from simulator.scenario.errors import BadInput
from simulator.scenario.load import discover, load, load_model
from simulator.scenario.model import Labels
from simulator.scenario.quantities import MINUTE

EVENT = "{event: unit_change, at: 30m, for: 30m, scale: {field: amount, by: $factor}}"
PAGED = "{id: paged, alert: {field: amount}, after: unit_change, within: 8m}"
UP = "{id: up, error_rate: {max: 0.5%}}"
LAST = ("  - " + UP, "  - " + UP + "\n  - ")


def more(line: str) -> tuple[str, str]:
    """One more expectation."""
    return LAST[0], LAST[1] + line


def test_the_example_unfolds_into_its_cells(example):
    first, second = example.cells()
    assert (first.name, second.name) == ("unit_change[factor=0.01]", "unit_change[factor=100]")
    assert first.values == {"factor": 0.01}
    assert first.scenario.event("unit_change").scale.by == 0.01
    assert second.scenario.event("unit_change").scale.by == 100
    assert second.scenario.matrix == {"factor": (100,)}
    assert first.scenario.given.warmup == 20 * MINUTE
    assert first.lines["when.unit_change"] == 20
    assert first.lines["then.paged"] == 22
    assert first.lines["given"] == 10


def test_a_cell_travels_to_another_process():
    first, _ = load(EXAMPLE)
    assert pickle.loads(pickle.dumps(first)) == first  # noqa: S301 - our own bytes


def test_yaml_is_1_2(example):
    (cell, _) = example.cells(
        ("title: Cents become euros; amount is distrusted before labels return", "title: on"),
        ("tags: [drift, gate]", "tags: [no, 12:30, 2013-01-01]"),
    )
    assert cell.scenario.title == "on"
    assert cell.scenario.tags == ("no", "12:30", "2013-01-01")


def test_a_file_without_a_matrix_is_one_cell(example):
    (cell,) = example.cells(("matrix: {factor: [0.01, 100]}\n", ""), ("$factor", "3"))
    assert (cell.name, cell.values, cell.scenario.matrix) == ("unit_change", {}, {})


def test_names_become_folders_that_stay_apart(example):
    cells = example.cells(
        ("matrix: {factor: [0.01, 100]}", "matrix: {factor: [3], rate: [10/s, 20/s]}"), ("rate: 10/s", "rate: $rate")
    )
    assert [cell.folder for cell in cells] == ["unit_change[factor=3,rate=10%2Fs]", "unit_change[factor=3,rate=20%2Fs]"]
    assert [cell.scenario.given.traffic.rate for cell in cells] == [10.0, 20.0]


# One row: (edits, code, the underlined words, a part of the message, the hint or a part of it).
MISTAKES = {
    "typo in a key": (
        [("within: 8m", "wihtin: 8m")],
        "unknown-key",
        "wihtin",
        "`wihtin` is not part of an item of `then`",
        "did you mean `within`?",
    ),
    "typo in a required key": (
        [("population: payments", "populatoin: payments")],
        "unknown-key",
        "populatoin",
        "not part of `given`",
        "did you mean `population`?",
    ),
    "typo in a verb": (
        [("scale: {", "scael: {"), ("$factor", "3"), ("matrix: {factor: [0.01, 100]}\n", "")],
        "unknown-key",
        "scael",
        "not part of an item of `when`",
        "did you mean `scale`?",
    ),
    "typo in a family": (
        [("error_rate: {max: 0.5%}", "error_rat: {max: 0.5%}")],
        "unknown-key",
        "error_rat",
        "not part of an item of `then`",
        "did you mean `error_rate`?",
    ),
    "typo at the top": ([("seed: ", "sede: ")], "unknown-key", "sede", "not part of the file", "did you mean `seed`?"),
    "the model's name of a key": (
        [("for: 90m", "length: 90m")],
        "unknown-key",
        "length",
        "not part of `traffic`",
        "the keys left are for, replay",
    ),
    "a key one level too deep": (
        [
            (
                "alert: {field: amount}, after: unit_change, within: 8m",
                "alert: {field: amount, within: 8m}, after: unit_change",
            )
        ],
        "unknown-key",
        "within",
        "not part of `alert`",
        "it belongs one level up, beside `alert`",
    ),
    "a key one level too high": (
        [("by: $factor}}", "by: $factor}, share: 5%}")],
        "unknown-key",
        "share",
        "not part of an item of `when`",
        "it belongs inside `scale`",
    ),
    "a required key one level too high": (
        [("repair], min: 99%}", "repair]}, min: 99%")],
        "unknown-key",
        "min",
        "not part of an item of `then`",
        "it belongs inside `handled`",
    ),
    "a key in the wrong branch of a union": (
        [("no_alert: any", "no_alert: {nmae: x}")],
        "unknown-key",
        "nmae",
        "not part of `no_alert`",
        "did you mean `name`?",
    ),
    "a word in the wrong branch of a union": (
        [("no_alert: any", "no_alert: ayn")],
        "bad-value",
        "ayn",
        "'ayn' is not one of any",
        "did you mean `any`?",
    ),
    "a list in a union": (
        [("no_alert: any", "no_alert: [any]")],
        "bad-value",
        "no_alert",
        "`no_alert` must be a mapping or any, not a list",
        "",
    ),
    "a missing key": (
        [("event: unit_change, ", "")],
        "missing-key",
        "{at: 30m, for: 30m, scale: {field: amount, by: $factor}}",
        "an item of `when` needs `event`",
        "",
    ),
    "a missing section": (
        [(", by: $factor", ""), ("matrix: {factor: [0.01, 100]}\n", "")],
        "missing-key",
        "scale",
        "`scale` needs `by`",
        "",
    ),
    "no verb": (
        [(", scale: {field: amount, by: $factor}", ""), ("matrix: {factor: [0.01, 100]}\n", "")],
        "bad-value",
        "{event: unit_change, at: 30m, for: 30m}",
        "exactly one verb (found none)",
        "the verbs are nulls",
    ),
    "two families": (
        [("error_rate: {max: 0.5%}", "error_rate: {max: 0.5%}, shed: {max: 1%}")],
        "bad-value",
        "{id: up, error_rate: {max: 0.5%}, shed: {max: 1%}}",
        "found error_rate, shed",
        "the families are",
    ),
    "half of a traffic": (
        [("rate: 10/s, ", "")],
        "bad-value",
        "traffic",
        "either `rate` and `for`",
        "",
    ),
    "a duration without a unit": (
        [("warmup: 20m", "warmup: 20")],
        "bad-value",
        "20",
        "20 is not a duration",
        "write a number and a unit",
    ),
    "a century": (
        [("warmup: 20m", "warmup: 99999d")],
        "bad-value",
        "99999d",
        "'99999d' is more than a century",
        "nothing here takes that long",
    ),
    "a share beyond all": (
        [("missing: 2%", "missing: 200%")],
        "bad-value",
        "200%",
        "'200%' is not a share",
        "write a percentage",
    ),
    "a rate without a unit": ([("rate: 10/s", "rate: 10")], "bad-value", "10", "10 is not a rate", "write a count"),
    "a typo in a choice": (
        [("[reject, default", "[reject, defualt")],
        "bad-value",
        "defualt",
        "not one of reject, default, fallback, repair",
        "did you mean `default`?",
    ),
    "a choice of two lists": (
        [("error_rate: {max: 0.5%}", "error_rate: {max: 0.5%}, guards: alrets")],
        "bad-value",
        "alrets",
        "not one of validation, fallback, alerts, rollback, gate, none",
        "did you mean `alerts`?",
    ),
    "a scalar for a list": (
        [("runs_on: [virtual]", "runs_on: virtual")],
        "bad-value",
        "virtual",
        "`runs_on` must be a list, not 'virtual'",
        "write [virtual]",
    ),
    "a scalar for a mapping": (
        [("alert: {field: amount}", "alert: amount")],
        "bad-value",
        "amount",
        "`alert` must be a mapping",
        "",
    ),
    "text for a number": (
        [("$factor", '"3"'), ("matrix: {factor: [0.01, 100]}\n", "")],
        "bad-value",
        '"3"',
        "`by` must be a number, not '3'",
        "",
    ),
    "a word for true": (
        [("within: 8m", "within: 8m, once: yes")],
        "bad-value",
        "yes",
        "`once` must be true or false",
        "",
    ),
    "a number for text": ([("tags: [drift, gate]", "tags: [drift, 7]")], "bad-value", "7", "must be text, not 7", ""),
    "an item that is no mapping": ([more("up")], "bad-value", "up", "an item of `then` must be a mapping", ""),
    "a name that is none": (
        [("id: quiet", "id: Quiet")],
        "bad-value",
        "Quiet",
        "'Quiet' is not a name",
        "lower-case letters",
    ),
    "a negative seed": ([("seed: 20260517", "seed: -1")], "bad-value", "-1", "`seed` must be at least 0", ""),
    "another format": ([("seatrial: 1", "seatrial: 2")], "bad-value", "2", "2 is not one of 1", ""),
    "a key twice": (
        [("warmup: 20m", "warmup: 20m\n  warmup: 30m")],
        "duplicate-key",
        "warmup",
        "`warmup` is given twice",
        "first given on line 15",
    ),
    "a key without a value": (
        [("population: payments", "population:")],
        "no-value",
        "population",
        "`population` has no value",
        "give it one",
    ),
    "a foreign tag": ([("seed: 20260517", "seed: !secret 1")], "tag", "!secret 1", "tag `!secret`", ""),
    "not a number": (
        [("$factor", ".nan"), ("matrix: {factor: [0.01, 100]}\n", "")],
        "bad-value",
        ".nan",
        "not a number that can be worked with",
        "",
    ),
    "an alias of itself": (
        [("tags: [drift, gate]", "tags: &t [drift, *t]")],
        "endless",
        "&t [drift, *t]",
        "contains itself",
        "",
    ),
    "a key that is a list": (
        [("tags: [drift, gate]", "? [tags]\n: 3")],
        "bad-key",
        "[tags]",
        "a key must be plain text",
        "",
    ),
    # the matrix
    "a typo in a parameter": (
        [("by: $factor", "by: $facto")],
        "unknown-parameter",
        "$facto",
        "`$facto` is not in the matrix",
        "did you mean `factor`?",
    ),
    "an unused parameter": (
        [("matrix: {factor: [0.01, 100]}", "matrix: {factor: [0.01, 100], speed: [1]}")],
        "unused-parameter",
        "speed",
        "`$speed` is used nowhere",
        "",
    ),
    "a parameter inside a value": (
        [("rate: 10/s", "rate: $factor/s")],
        "bad-value",
        "$factor/s",
        "cannot be a part of a value",
        "put the whole value",
    ),
    "a wrong value in the matrix": (
        [("matrix: {factor: [0.01, 100]}", "matrix: {factor: [0.01, abc]}")],
        "bad-value",
        "abc",
        "`by` must be a number, not 'abc'",
        "used on line 20 as `$factor`",
    ),
    "the same value twice": (
        [("[0.01, 100]", "[100, 100]")],
        "duplicate-value",
        "100",
        "100 is given twice",
        "",
    ),
    "an empty parameter": (
        [("[0.01, 100]", "[]")],
        "bad-value",
        "factor",
        "`factor` has no value",
        "",
    ),
    "a scalar parameter": ([("[0.01, 100]", "100")], "bad-value", "100", "`factor` must be a list of values", ""),
    "a nested parameter": ([("[0.01, 100]", "[[3], 100]")], "bad-value", "[3]", "a value of `factor` must be text", ""),
    "too many cells": (
        [("matrix: {factor: [0.01, 100]}", f"matrix: {{factor: {list(range(2, 300))}}}")],
        "too-large",
        "matrix",
        "298 cells",
        "leave out",
    ),
    # references
    "an unknown event after": (
        [(PAGED, PAGED.replace("after: unit_change", "after: unitchange"))],
        "unknown-event",
        "unitchange",
        "there is no event `unitchange`",
        "did you mean `unit_change`?",
    ),
    "an unknown end": (
        [("after: unit_change.end", "after: unitchange.end")],
        "unknown-event",
        "unitchange.end",
        "there is no event `unitchange`",
        "did you mean `unit_change.end`?",
    ),
    "an unknown event outside": (
        [("any, outside: unit_change", "any, outside: spike")],
        "unknown-event",
        "spike",
        "there is no event `spike`",
        "the events are unit_change",
    ),
    "an unknown selection": (
        [("of: untouched", "of: untuched")],
        "unknown-event",
        "untuched",
        "",
        "did you mean `untouched`?",
    ),
    "harm to the touched": (
        [("of: untouched, outside: unit_change, settle: 20m", "of: unit_change")],
        "bad-value",
        "unit_change",
        "about the items that no event touched",
        "write `of: untouched`",
    ),
    "handling of the untouched": (
        [("of: unit_change, settle: 10m", "of: untouched")],
        "bad-value",
        "untouched",
        "`handled` is about the items that an event touched",
        "the events are unit_change",
    ),
    "touched and outside": (
        [(UP, UP.replace("}}", "}, of: unit_change, outside: unit_change}"))],
        "senseless-key",
        "outside",
        "not outside of it",
        "drop one of both",
    ),
    "an unknown id": (
        [("resolved: paged", "resolved: pagd")],
        "unknown-expectation",
        "pagd",
        "there is no expectation `pagd`",
        "did you mean `paged`?",
    ),
    "an id that is no alert": (
        [("at: paged", "at: contained")],
        "bad-value",
        "contained",
        "must name an alert expectation, not `contained`, which is `handled`",
        "the alert expectations are paged",
    ),
    "an event twice": (
        [("  - " + EVENT, f"  - {EVENT}\n  - {EVENT}")],
        "duplicate-name",
        "unit_change",
        "another event is already called",
        "",
    ),
    "an id twice": (
        [("id: up", "id: paged")],
        "duplicate-name",
        "paged",
        "another expectation is already called `paged`",
        "",
    ),
    "a reserved name": (
        [
            more("{id: x, error_rate: {max: 1%}}"),
            ("  - " + EVENT, f"  - {EVENT}\n  - {{event: untouched, at: 30m, reorder: {{}}}}"),
        ],
        "reserved-name",
        "untouched",
        "the items that no event touches",
        "",
    ),
    "an alert without a deadline": (
        [(", after: unit_change, within: 8m", "")],
        "missing-key",
        "alert",
        "`alert` needs `after` and `within`",
        "such as `after: some_event, within: 5m`",
    ),
    "resolved without a deadline": (
        [(", within: 20m", "")],
        "missing-key",
        "resolved",
        "`resolved` needs `within`",
        "such as",
    ),
    "handled of nothing": (
        [(", of: unit_change, settle: 10m", "")],
        "missing-key",
        "handled",
        "`handled` needs `of`",
        "such as `of: some_event`",
    ),
    "labels of nothing": (
        [(", of: unit_change, at: paged", "")],
        "missing-key",
        "labels_seen",
        "`labels_seen` needs `of` and `at`",
        "such as",
    ),
    "a fallback at any time": (
        [more("{id: x, fallback: {min: 99%}}")],
        "missing-key",
        "fallback",
        "`fallback` needs `during`",
        "such as",
    ),
    "a rollback at any time": (
        [more("{id: x, rollback: {to: v1}}")],
        "missing-key",
        "rollback",
        "`rollback` needs `after` and `within`",
        "such as",
    ),
    "a recovery at any time": (
        [more("{id: x, recovers: {to: model}}")],
        "missing-key",
        "recovers",
        "`recovers` needs `after` and `within`",
        "such as",
    ),
    "a deadline from nowhere": (
        [more("{id: x, shed: {max: 1%}, within: 5m}")],
        "missing-key",
        "within",
        "`within` needs `after`",
        "such as `after: some_event`",
    ),
    "two windows": (
        [more("{id: x, shed: {max: 1%}, during: unit_change, outside: unit_change}")],
        "senseless-key",
        "outside",
        "`outside` cannot be combined with `during`",
        "one window in time is enough",
    ),
    "nothing to settle from": (
        [(UP, UP.replace("}}", "}, settle: 5m}"))],
        "senseless-key",
        "settle",
        "no event that `settle` could count from",
        "name one",
    ),
    "a key of another family": (
        [(UP, UP.replace("}}", "}, once: true}"))],
        "senseless-key",
        "once",
        "`error_rate` has no use for `once`",
        "it takes after, within, during, outside, of, settle",
    ),
    "another target, and no version": (
        [more("{id: x, parity: {target: offline}}")],
        "missing-key",
        "target",
        "`target` needs `serving`",
        "such as `serving: v1`",
    ),
    "standing after the end": (
        [("after: unit_change, within: 8m", "after: unit_change.end, within: 8m, stands: true")],
        "senseless-key",
        "stands",
        "an event that has ended cannot last",
        "drop it, or look `after` its start",
    ),
    "an unknown version": (
        [more("{id: x, rollback: {to: v9}, after: unit_change, within: 5m}")],
        "unknown-version",
        "v9",
        "neither served nor released",
        "the versions are v1",
    ),
    "a version that nobody retrains": (
        [more("{id: x, retrain: {version: v9, goes: live}, after: unit_change, within: 5m}")],
        "unknown-version",
        "v9",
        "no event retrains `v9`",
        "add an event `retrain: {version: …}`",
    ),
    "a way to nowhere": (
        [
            (EVENT, "{event: unit_change, at: 30m, retrain: {version: v9}}"),
            ("matrix: {factor: [0.01, 100]}\n", ""),
            more("{id: x, retrain: {version: v9, goes: nowhere, share: 5%}, after: unit_change, within: 5m}"),
        ],
        "senseless-key",
        "share",
        "what goes nowhere has no way to go",
        "drop it, or write `goes: live`",
    ),
    "a ramp without a slope": (
        [("scale: {field: amount, by: $factor}", "drift: {field: amount, shift: $factor, over: 5m}")],
        "senseless-key",
        "over",
        "a sudden drift has no ramp",
        "add `shape: gradual`",
    ),
    "slow by how much": (
        [
            (EVENT, "{event: unit_change, at: 30m, dependency: {name: f, fault: slow}}"),
            ("matrix: {factor: [0.01, 100]}\n", ""),
        ],
        "missing-key",
        "slow",
        "`dependency` needs `by` when it is slow",
        "such as `by: 300ms`",
    ),
    "down by how much": (
        [
            (EVENT, "{event: unit_change, at: 30m, dependency: {name: f, fault: down, by: 3s}}"),
            ("matrix: {factor: [0.01, 100]}\n", ""),
        ],
        "senseless-key",
        "by",
        "`down` has no length of its own",
        "the event's `for` says how long",
    ),
    "a defect by how much": (
        [
            (EVENT, "{event: unit_change, at: 30m, release: {version: v2, defect: {fault: slow}}}"),
            ("matrix: {factor: [0.01, 100]}\n", ""),
        ],
        "missing-key",
        "slow",
        "`defect` needs `by` when it is slow",
        "such as",
    ),
    "a share of a swap": (
        [
            (EVENT, "{event: unit_change, at: 30m, release: {version: v2, by: swap, share: 10%}}"),
            ("matrix: {factor: [0.01, 100]}\n", ""),
        ],
        "senseless-key",
        "share",
        "a swap is always whole",
        "drop it",
    ),
    "a share of a shadow": (
        [
            (EVENT, "{event: unit_change, at: 30m, release: {version: v2, by: shadow, share: 10%}}"),
            ("matrix: {factor: [0.01, 100]}\n", ""),
        ],
        "senseless-key",
        "share",
        "a shadow is asked about everything",
        "drop it",
    ),
    "a freeze of nothing": (
        [
            (EVENT, "{event: unit_change, at: 30m, operator: {does: freeze}}"),
            ("matrix: {factor: [0.01, 100]}\n", ""),
        ],
        "missing-key",
        "freeze",
        "`freeze` needs a `version`",
        "such as",
    ),
    "a promotion of a version": (
        [
            (EVENT, "{event: unit_change, at: 30m, operator: {does: promote, version: v2}}"),
            ("matrix: {factor: [0.01, 100]}\n", ""),
        ],
        "senseless-key",
        "version",
        "what is promoted is the canary on trial",
        "drop it",
    ),
    "an exposure with two limits": (
        [("error_rate: {max: 0.5%}", "exposure: {version: v1, min: 1%, max: 2%}")],
        "bad-value",
        "exposure",
        "exactly one of `max` and `min`",
        "for both write two",
    ),
    "a promotion to a version that nobody releases": (
        [("error_rate: {max: 0.5%}", "promoted: {to: v7}, after: unit_change, within: 5m")],
        "unknown-version",
        "v7",
        "`v7` is neither served nor released here",
        "the versions are v1",
    ),
    "a date that is none": (
        [("rate: 10/s, for: 90m", "replay: {from: 2013-02-30, to: 2013-03-01}")],
        "bad-value",
        "2013-02-30",
        "'2013-02-30' is not a date",
        "write it as",
    ),
    "a moment with a time zone": (
        [("rate: 10/s, for: 90m", 'replay: {from: "2013-03-01T09:00Z", to: "2013-03-01T10:00"}')],
        "bad-value",
        '"2013-03-01T09:00Z"',
        "'2013-03-01T09:00Z' has a time zone",
        "leave the offset out",
    ),
    "dates in the wrong order": (
        [("rate: 10/s, for: 90m", "replay: {from: 2013-03-01, to: 2013-03-01}")],
        "bad-value",
        "2013-03-01",
        "`to` must be later than `from`",
        "the last day is exclusive",
    ),
    "no driver": ([("runs_on: [virtual]", "runs_on: []")], "bad-value", "runs_on", "names no driver", ""),
    # syntax
    "an open bracket": ([("tags: [drift, gate]", "tags: [drift, gate")], "syntax", ":", "flow sequence", ""),
    "two colons": ([("seed: 20260517", "seed: a: b")], "syntax", ":", "mapping values are not allowed here", ""),
    "a tab": ([("  serving", "\tserving")], "syntax", "\t", "", ""),
    "a control character": ([("seed: 20260517", "seed: \x07")], "syntax", "\x07", "U+0007 cannot stand in YAML", ""),
    "an alias of nothing": ([("seed: 20260517", "seed: *x")], "syntax", "*", "undefined alias", ""),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_one_mistake_is_one_problem_at_its_place(example, name):
    edits, code, words, message, hint = MISTAKES[name]
    problem = example.problem(*edits)
    assert (problem.code, underlined(problem)) == (code, words)
    assert message in problem.message
    assert problem.hint.startswith(hint)
    assert bool(problem.hint) == bool(hint)


def test_all_problems_come_at_once_and_in_order(example):
    problems = example.problems(
        ("population: payments", "populatoin: payments"),
        ("for: 30m, scale", "ofr: 30m, scale"),
        ("resolved: paged", "resolved: pagd"),
        ("at: paged", "at: contained"),
        ("of: untouched", "of: untuched"),
    )
    assert [(p.line, p.code) for p in problems] == [
        (11, "unknown-key"),
        (20, "unknown-key"),
        (23, "bad-value"),
        (25, "unknown-expectation"),
        (27, "unknown-event"),
    ]


def test_a_reference_to_an_unsound_event_is_no_second_mistake(example):
    assert underlined(example.problem(("at: 30m", "at: 30"))) == "30"


def test_each_wrong_matrix_value_is_told_once(example):
    problems = example.problems(("[0.01, 100]", "[abc, 100, def]"))
    assert [underlined(problem) for problem in problems] == ["abc", "def"]


GOLDEN = {
    "typo": (
        [("within: 8m", "wihtin: 8m")],
        """\
error[unknown-key]: `wihtin` is not part of an item of `then`
  --> FILE:22:61
22 |   - {id: paged, alert: {field: amount}, after: unit_change, wihtin: 8m}
   |                                                             ^^^^^^ did you mean `within`?

1 problem""",
    ),
    "two": (
        [("seed: 20260517", "seed: soon"), ("max: 0.5%", "max: half")],
        """\
error[bad-value]: `seed` must be a whole number, not 'soon'
 --> FILE:8:7
8 | seed: soon
  |       ^^^^

error[bad-value]: 'half' is not a share
  --> FILE:28:32
28 |   - {id: up, error_rate: {max: half}}
   |                                ^^^^ write a percentage such as 0.1% or a number from 0 to 1

2 problems""",
    ),
    "wide characters and tabs": (
        [("tags: [drift, gate]", 'tags: ["漢字",\t7]')],
        """\
error[bad-value]: an item of `tags` must be text, not 7
 --> FILE:7:14
7 | tags: ["漢字",\t7]
  |               \t^

1 problem""",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_rendering(example, name):
    edits, golden = GOLDEN[name]
    with pytest.raises(BadInput) as raised:
        example.cells(*edits)
    assert str(raised.value).replace(str(example.path), "FILE") == golden


def test_a_long_line_is_cut_around_the_caret(example):
    problem = example.problem(("tags: [drift, gate]", f"tags: [{'drift, ' * 60}7, {'gate, ' * 60}]"))
    shown, caret = str(problem).splitlines()[2:4]
    assert len(shown) < 180
    assert shown[caret.index("^")] == "7"


def test_a_file_cannot_write_escape_sequences(example):
    assert "\x1b" not in str(example.problem(("seed: 20260517", "seed: \x1b[31m")))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"# nothing\n", "empty"),
        (b"\xff\xfe\x00", "not-text"),
        (b"- a\n- b\n", "bad-value"),
        (b"just text", "bad-value"),
        (b"a: 1\n---\nb: 2\n", "syntax"),
        (b"[" * 300, "syntax"),
        (b'"\\UFFFFFFFF"', "syntax"),
        (b"&a a: &a b", "syntax"),
    ],
)
def test_files_that_are_no_scenario(tmp_path, content, code):
    path = tmp_path / "x.scenario.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInput) as raised:
        load(path)
    assert raised.value.problems[0].code == code


def test_a_missing_file_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match="no-file"):
        load(tmp_path / "none.scenario.yaml")


def test_aliases_cannot_multiply_without_end(tmp_path):
    layers = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9))
    path = tmp_path / "x.scenario.yaml"
    path.write_text(f"l0: &l0 [x]\n{layers}\n", encoding="utf-8")
    with pytest.raises(BadInput) as raised:
        load(path)
    assert "too-large" in {problem.code for problem in raised.value.problems}


def test_load_model_reads_one_model(tmp_path):
    path = tmp_path / "labels.yaml"
    path.write_text("delay: {median: 45m, p95: 3h}\n", encoding="utf-8")
    assert load_model(path, Labels).delay.median == 45 * MINUTE
    path.write_text("delay: {median: 45m, p59: 3h}\nmissing: most\n", encoding="utf-8")
    with pytest.raises(BadInput) as raised:
        load_model(path, Labels)
    assert [underlined(problem) for problem in raised.value.problems] == ["p59", "most"]


def test_discover_finds_files_once_and_sorted(tmp_path):
    (tmp_path / "deep").mkdir()
    paths = [tmp_path / "b.scenario.yaml", tmp_path / "deep" / "a.scenario.yaml"]
    for path in [*paths, tmp_path / "payments.target.yaml"]:
        path.write_text("x", encoding="utf-8")
    assert discover([tmp_path, paths[0]]) == tuple(paths)


@pytest.mark.parametrize("name", ["empty", "none", "x.yaml"])
def test_discover_refuses_paths_without_scenarios(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.yaml").write_text("x", encoding="utf-8")
    (tmp_path / "a.scenario.yaml").write_text("x", encoding="utf-8")
    with pytest.raises(BadInput) as raised:
        discover([tmp_path / "a.scenario.yaml", tmp_path / name])
    assert Path(raised.value.problems[0].path).name == name


def test_discover_of_nothing_is_bad_input():
    with pytest.raises(BadInput, match="no path was given"):
        discover([])


def test_what_merely_looks_like_a_parameter_hides_no_mistake(example):
    problem = example.problem(("after: unit_change.end", "after: $unit_change.end"))
    assert (problem.code, underlined(problem)) == ("unknown-event", "$unit_change.end")
