from __future__ import annotations

import json

import pytest
from jsonschema import Draft7Validator
from scenario_example import EXAMPLE

from simulator.scenario.document import read
from simulator.scenario.jsonschema import COMMITTED, schema, text
from simulator.scenario.model import FAMILIES
from simulator.scenario.verbs import VERBS


@pytest.fixture(scope="module")
def validator():
    Draft7Validator.check_schema(schema())
    return Draft7Validator(schema())


def data_of(example, *edits):
    document, flaws = read(example.write(*edits))
    assert not flaws
    return document.data


def test_the_committed_schema_is_fresh():
    assert COMMITTED.read_text(encoding="utf-8") == text(), "run python -m simulator.scenario.jsonschema"


def test_it_speaks_draft_7():
    assert schema()["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert not {'"$defs"', '"prefixItems"', '"unevaluatedProperties"', '{"type": "null"}'} & set(
        json.dumps(schema()).split()
    )


def test_no_key_stands_beside_a_reference():
    def walk(part):
        if isinstance(part, dict):
            assert "$ref" not in part or len(part) == 1
            part = list(part.values())
        for inner in part if isinstance(part, list) else ():
            walk(inner)

    walk(schema())


def test_it_accepts_the_example(validator):
    document, _ = read(EXAMPLE)
    assert list(validator.iter_errors(document.data)) == []


# The example's edits that a person might type, and whether an editor should underline them.
TYPED = {
    "a typo in a key": ([("within: 8m", "wihtin: 8m")], False),
    "a typo in a verb": ([("scale: {", "scael: {")], False),
    "a second family": ([("max: 0.5%}", "max: 0.5%}, shed: {max: 1%}")], False),
    "no family": ([("error_rate: {max: 0.5%}", "severity: warn")], False),
    "a duration without a unit": ([("warmup: 20m", "warmup: 20")], False),
    "zero without a unit": ([("warmup: 20m", "warmup: 0")], True),
    "a share above one": ([("missing: 2%", "missing: 2.5")], False),
    "a share as a number": ([("missing: 2%", "missing: 0.02")], True),
    "a typo in a choice": ([("[reject, default", "[reject, defualt")], False),
    "half of a traffic": ([("rate: 10/s, ", "")], False),
    "a replay": ([("rate: 10/s, for: 90m", "replay: {from: 2013-01-01, to: 2013-01-03}")], True),
    "a replay with a rate": ([("for: 90m", "replay: {from: 2013-01-01, to: 2013-01-03}")], False),
    "any or a selector": ([("no_alert: any", "no_alert: {severity: page}")], True),
    "neither": ([("no_alert: any", "no_alert: [any]")], False),
    "a parameter for a duration": ([("warmup: 20m", "warmup: $factor")], True),
    "a parameter for a share": ([("missing: 2%", "missing: $factor")], True),
    "a parameter for a rate": ([("rate: 10/s", "rate: $factor")], True),
    "a parameter for a choice": ([("[reject, default", "[$factor, default")], True),
    "a parameter for a number": ([("seed: 20260517", "seed: $factor")], True),
    "a parameter for true": ([("within: 8m", "within: 8m, once: $factor")], True),
    "a parameter for a condition": ([("by: $factor", "by: 3, where: {amount: $factor}")], True),
    "a parameter inside a value": ([("rate: 10/s", "rate: $factor/s")], False),
    "a load": ([("scale: {field: amount, by: $factor}", "load: {to: 1.5x capacity}")], True),
    "a scalar matrix": ([("[0.01, 100]", "100")], False),
    "another format": ([("seatrial: 1", "seatrial: 2")], False),
}


@pytest.mark.parametrize("name", TYPED)
def test_what_is_underlined_while_typing(validator, example, name):
    edits, sound = TYPED[name]
    assert validator.is_valid(data_of(example, *edits)) is sound


def test_verbs_and_families_are_offered():
    definitions = schema()["definitions"]
    assert [choice["required"] for choice in definitions["Event"]["oneOf"]] == [[verb] for verb in VERBS]
    assert [choice["required"] for choice in definitions["Expectation"]["oneOf"]] == [[f] for f in FAMILIES]
    assert set(VERBS) <= definitions["Event"]["properties"].keys()


def test_defaults_are_spelled_as_in_the_file():
    hold = schema()["definitions"]["Expectation"]["properties"]["hold"]
    assert hold["default"] == "5m"
    assert hold["description"]
