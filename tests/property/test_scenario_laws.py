"""Laws of the scenario language: whatever stands in a file, it is either a scenario or a located problem."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from simulator.scenario.document import Document, parse, read
from simulator.scenario.errors import BadInput, Problem
from simulator.scenario.explain import explain
from simulator.scenario.feasibility import check
from simulator.scenario.keys import keys_at
from simulator.scenario.load import Cell, load
from simulator.scenario.model import Scenario
from simulator.scenario.quantities import LONGEST, parse_duration, parse_share, show_duration, show_share
from simulator.world.population import Field

EXAMPLE = (Path(__file__).parents[1] / "unit" / "scenario" / "unit_change.example.yaml").read_text(encoding="utf-8")
FIELDS = {
    "amount": Field("amount", "number", spread=50.0),
    "payment_method": Field("payment_method", "category", categories=("card", "transfer")),
    "night": Field("night", "boolean"),
}
laws = settings(derandomize=True, deadline=None, max_examples=60)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("laws") / "x.scenario.yaml"


def loaded(path: Path) -> tuple[tuple[Cell, ...], tuple[Problem, ...]]:
    """Cells or problems; any other exception comes out."""
    try:
        return load(path), ()
    except BadInput as error:
        return (), error.problems


def understood(path: Path, content: str | bytes) -> None:
    """Load, and use what was loaded as a run would. Nothing may come out, and every problem has its place."""
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    cells, problems = loaded(path)
    assert bool(cells) != bool(problems)
    assert all(explain(cell) for cell in cells)
    for problem in (*problems, *(problem for cell in cells for problem in check(cell, FIELDS))):
        assert_located(problem, path)


def assert_located(problem, path):
    text = path.read_bytes()
    assert problem.path == str(path)
    assert problem.line <= text.count(b"\n") + text.count(b"\r") + 1
    assert problem.length >= 1
    assert 1 <= problem.column <= len(problem.source) + 1
    assert str(problem).startswith(f"error[{problem.code}]: ")


# ---------------------------------------------------------------- quantities


@laws
@given(st.integers(0, LONGEST))
def test_durations_are_read_as_they_are_shown(ns):
    assert parse_duration(show_duration(ns)) == ns


@laws
@given(st.integers(0, 10_000))
def test_shares_are_read_as_they_are_shown(basis_points):
    share = parse_share(f"{basis_points / 100}%")
    assert parse_share(show_share(share)) == pytest.approx(share, abs=1e-12)
    assert share == pytest.approx(basis_points / 10_000)


# ---------------------------------------------------------------- typos

DOCUMENT, _ = parse(EXAMPLE, "example")
# Keys that the language names; those of the matrix are the author's own.
KEYS = sorted(where for where in DOCUMENT.keys if where[0] != "matrix" or len(where) == 1)


def mistyped(word: str, draw) -> str:
    """One letter swapped, lost, doubled or wrong."""
    at = draw(st.integers(0, len(word) - 1))
    kind = draw(st.sampled_from(["swap", "lose", "double", "wrong"]))
    if kind == "swap" and at + 1 < len(word):
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == "lose" and len(word) > 1:
        return word[:at] + word[at + 1 :]
    if kind == "double":
        return word[:at] + word[at] + word[at:]
    return word[:at] + draw(st.sampled_from("abcxyz")) + word[at + 1 :]


@settings(laws, max_examples=80)
@given(st.data())
def test_a_typo_in_a_key_is_told_at_its_place(file, data):
    where = data.draw(st.sampled_from(KEYS))
    word, span = str(where[-1]), DOCUMENT.keys[where]
    typo = mistyped(word, data.draw)
    taken = DOCUMENT.data
    for part in where[:-1]:
        taken = taken[part]
    assume(typo not in keys_at(Scenario, where[:-1]) and typo not in taken)
    lines = EXAMPLE.splitlines(keepends=True)
    line = lines[span.line - 1]
    lines[span.line - 1] = line[: span.column - 1] + typo + line[span.column - 1 + len(word) :]
    file.write_text("".join(lines), encoding="utf-8")
    with pytest.raises(BadInput) as raised:
        load(file)
    told = [problem for problem in raised.value.problems if problem.code == "unknown-key"]
    assert [(p.line, p.column, p.length) for p in told] == [(span.line, span.column, len(typo))]
    assert not any(problem.code == "unknown-event" for problem in raised.value.problems)


# ---------------------------------------------------------------- anything at all


@laws
@given(st.text())
@example("a: \ud800")
@example('a: "\\ud800"')
@example('"\\UFFFFFFFF"')
@example("? ? ? ? a")
@example("a: 0x" + "f" * 6000)
@example("a: " + "9" * 6000)
@example("%YAML 1.1\n---\nseatrial: on\n")
@example("&a [*a]")
@example("&a {*a : 1}")
@example("<<: {a: 1}")
@example("!!set {a, b}")
@example("!!binary x")
@example("!!int x")
@example("a: 2013-99-99")
def test_any_text_is_a_scenario_or_a_problem(file, text):
    understood(file, text)


@laws
@given(st.binary())
def test_any_bytes_are_a_scenario_or_a_problem(file, content):
    understood(file, content)


@settings(laws, max_examples=80)
@given(
    st.lists(st.sampled_from([*"{}[]:,-?&*!|>'\"%@`#\n\t $a1.", ": ", "- ", "\n  ", "given", "when", "~"]), max_size=40)
)
def test_any_punctuation_is_a_scenario_or_a_problem(file, parts):
    understood(file, "".join(parts))


@settings(laws, max_examples=80)
@given(st.data())
def test_any_damage_to_a_scenario_is_survived(file, data):
    """Stretches of the example cut out, moved, doubled, or overwritten."""
    text = EXAMPLE
    for _ in range(data.draw(st.integers(1, 4))):
        start, length, to = (data.draw(st.integers(0, bound)) for bound in (len(text), 30, len(text)))
        piece = data.draw(
            st.sampled_from([text[start : start + length], "", "\n", "$factor", "{", "]", ": ", "~", "0", "1e999"])
        )
        text = text[:to] + piece + text[to + data.draw(st.integers(0, 12)) :]
    understood(file, text)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(
        [
            "0s",
            "1s",
            "90m",
            "99999999d",
            "0%",
            "1%",
            "100%",
            "10/s",
            "0.001/d",
            "3x",
            "nanx",
            "infx",
            "1e400x",
            "-3x",
            "1.5x capacity",
            "any",
            "unit_change",
            "unit_change.end",
            "untouched",
            "paged",
            "x.end",
            ".end",
            "",
            "$factor",
            "$x",
            "${factor}",
            "amount",
            "payment_method",
            "2013-01-01",
            "9999-12-31",
            "a" * 300,
        ]
    )
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["field", "by", "max", "min", "for", "rate", "p95", "share", "to", "x", "", "é"]), inner
        )
    ),
    max_leaves=6,
)
PLACES = sorted((where for where in DOCUMENT.values if where), key=str)


@settings(laws, max_examples=120)
@given(st.data())
def test_any_value_anywhere_is_survived(file, data):
    """Values of the example replaced by others; JSON is YAML."""
    scenario = json.loads(json.dumps(DOCUMENT.data))
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.sampled_from(PLACES))
        part = scenario
        for step in where[:-1]:
            held = step in part if isinstance(part, dict) else step in range(len(part))
            part = part[step] if held and isinstance(part[step], dict | list) else part
        if isinstance(part, dict):
            part[str(where[-1])] = data.draw(VALUES)
        else:
            part.append(data.draw(VALUES))
    understood(file, json.dumps(scenario, indent=1))


def test_places_are_exact(tmp_path):
    """Every key of the example stands where the document says."""
    path = tmp_path / "x.yaml"
    path.write_text(EXAMPLE, encoding="utf-8")
    document, flaws = read(path)
    assert isinstance(document, Document)
    assert not flaws
    for where, span in document.keys.items():
        line = EXAMPLE.splitlines()[span.line - 1]
        assert line[span.column - 1 : span.column - 1 + span.length] == where[-1]
