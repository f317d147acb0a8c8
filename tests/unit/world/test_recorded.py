"""A user's own traffic: event order, hidden columns, mistakes with their lines, disturbances on top."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simulator.plan import end_ns, plan
from simulator.scenario.errors import BadInput
from simulator.scenario.model import Scenario, Traffic
from simulator.scenario.quantities import HOUR, MINUTE
from simulator.scenario.timeline import end_ns as end_as_written
from simulator.world.chunk import joined
from simulator.world.populations import get, misfit
from simulator.world.populations.recorded import hashed
from simulator.world.populations.redacted import write

KEY = "a key of at least 16 letters"
FILE = """
population: 1
file: shop.{suffix}
time: {{field: paid_at}}
entity: customer
segment: country
label: {{field: fraud, positive: ["yes"], time: {{field: known_at}}}}
drop: [email]
hash: {{fields: [customer], key_from: SHOP_KEY}}
"""
ROWS = [
    # paid_at, customer, email, amount, items, gift, zip, country, fraud, known_at
    ("2026-03-01T10:00:00Z", "ann", "ann@x.org", 12.5, 1, "true", "0123", "DE", "no", "2026-03-01T12:00:00Z"),
    ("2026-03-01T09:00:00Z", "bob", "bob@x.org", 99.0, 2, "false", "4567", "FR", "yes", "2026-03-03T09:00:00Z"),
    ("2026-03-01T10:30:00+01:00", "ann", "ann@x.org", None, 3, "true", "0123", "DE", None, None),
    ("2026-03-02T08:00:00Z", "cleo", "c@x.org", 7.25, 1, "false", "8901", "FR", "no", "2026-03-02T08:30:00Z"),
]
NAMES = ("paid_at", "customer", "email", "amount", "items", "gift", "zip", "country", "fraud", "known_at")


def written(folder, suffix="csv", rows=ROWS, text=FILE):
    place = folder / "populations"
    place.mkdir(exist_ok=True)
    (place / "shop.population.yaml").write_text(text.format(suffix=suffix))
    path = place / f"shop.{suffix}"
    if suffix == "csv":
        lines = [",".join("" if value is None else str(value) for value in row) for row in rows]
        path.write_text("\n".join([",".join(NAMES), *lines]) + "\n")
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps(dict(zip(NAMES, row, strict=True))) + "\n" for row in rows))
    else:
        columns = dict(zip(NAMES, map(list, zip(*rows, strict=True)), strict=True))
        columns["paid_at"] = [datetime.fromisoformat(value) for value in columns["paid_at"]]
        pq.write_table(pa.table(columns), path)
    return folder


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_KEY", KEY)
    return tmp_path


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_rows_are_in_event_order_and_typed(shop, suffix):
    population = get("shop", written(shop, suffix))
    assert {field.name: field.kind for field in population.fields} == {
        "customer": "category", "amount": "number", "items": "integer", "gift": "boolean", "zip": "category",
        "country": "category",
    }  # fmt: skip
    assert population.sent["items"].tolist() == [2.0, 3.0, 1.0, 1.0]
    np.testing.assert_array_equal(population.sent["amount"], [99.0, np.nan, 12.5, 7.25])
    assert population.sent["zip"].tolist()[2] == "0123"
    assert population.segment.tolist() == ["FR", "DE", "DE", "FR"]
    began = int(datetime(2026, 3, 1, 9, tzinfo=UTC).timestamp()) * 10**9
    assert (population.event_ns - began).tolist() == [0, 30 * MINUTE, HOUR, 23 * HOUR]
    assert population.known.label.tolist() == [1, -1, 0, 0]
    assert population.known.label_after_ns.tolist() == [48 * HOUR, -1, 2 * HOUR, 30 * MINUTE]


def test_what_is_hidden_is_in_no_row_and_equal_values_stay_equal(shop):
    population = get("shop", written(shop))
    shown = repr([column.tolist() for column in population.sent.values()])
    for secret in ("ann", "bob", "cleo", "@"):
        assert secret not in shown
    bob, ann, same, cleo = population.sent["customer"].tolist()
    assert ann == same == hashed("ann", KEY.encode())
    assert len({ann, bob, cleo}) == 3
    assert len(set(population.entity.tolist())) == 3
    assert hashed("ann", b"another key of 16+") != ann


def test_any_event_can_be_laid_over_it(shop):
    population = get("shop", written(shop))
    scenario = {
        "seatrial": 1, "title": "t", "seed": 1,
        "given": {"population": "shop", "traffic": {"replay": {"from": "2026-03-01", "to": "2026-03-02"}}},
        "when": [{"event": "cents", "at": "9h15m", "scale": {"field": "amount", "by": 100}}],
    }  # fmt: skip
    items = joined(list(plan(Scenario.model_validate(scenario), population)))
    assert (items.scheduled_ns // MINUTE).tolist() == [9 * 60, 9 * 60 + 30, 10 * 60]
    assert items.touched.tolist() == [0, 1, 1]
    assert items.potent.tolist() == [0, 0, 1]  # a null is not multiplied
    assert items.overrides[2]["amount"] == 1250.0


def test_a_few_minutes_of_it_are_replayed_from_their_first_moment(shop):
    population = get("shop", written(shop))
    scenario = {
        "seatrial": 1, "title": "t", "seed": 1,
        "given": {
            "population": "shop", "traffic": {"replay": {"from": "2026-03-01T09:20", "to": "2026-03-01T09:50:30"}}
        },
    }  # fmt: skip
    few = Scenario.model_validate(scenario)
    items = joined(list(plan(few, population)))
    assert (items.scheduled_ns // MINUTE).tolist() == [10]
    assert end_ns(few, population) == end_as_written(few) == 30.5 * MINUTE


@pytest.mark.parametrize(
    ("traffic", "why"),
    [
        ({"rate": "1/s", "for": "1m"}, "shop is recorded"),
        ({"replay": {"from": "2025-03-01", "to": "2025-03-02"}}, "shop has no rows"),
        ({"replay": {"from": "2026-03-01", "to": "2026-03-02"}}, ""),
    ],
)
def test_traffic_that_it_cannot_produce_is_told_before_anything_runs(shop, traffic, why):
    said = misfit(get("shop", written(shop)), Traffic.model_validate(traffic))
    assert why in said
    assert bool(said) == bool(why)


def test_a_redacted_copy_is_the_same_population_without_the_secrets(shop):
    original = get("shop", written(shop))
    copy = write(shop / "populations" / "shop.population.yaml", shop / "shared" / "populations")
    data = copy.with_name("shop.parquet").read_bytes()
    assert not any(secret in data for secret in (b"ann", b"bob", b"x.org"))
    again = get("shop", shop / "shared")
    assert [(f.name, f.kind) for f in again.fields] == [(f.name, f.kind) for f in original.fields]
    np.testing.assert_array_equal(again.event_ns, original.event_ns)
    np.testing.assert_array_equal(again.known.label_after_ns, original.known.label_after_ns)
    for name, column in original.sent.items():
        np.testing.assert_array_equal(again.sent[name], column)


def wrong(shop, **changes):
    with pytest.raises(BadInput) as refused:
        get("shop", written(shop, **changes))
    return [(problem.path.rpartition("/")[2], problem.line, problem.message) for problem in refused.value.problems]


def changed(row, **values):
    return tuple(values.get(name, value) for name, value in zip(NAMES, row, strict=True))


def test_mistakes_in_the_data_are_told_with_their_lines(shop):
    rows = [ROWS[0], changed(ROWS[1], paid_at="yesterday"), changed(ROWS[3], paid_at="soon")]
    what = "`paid_at` is not a time; write ISO 8601, or say its `unit`"
    assert wrong(shop, rows=rows) == [("shop.csv", 3, f"{what}: 'yesterday'"), ("shop.csv", 4, f"{what}: 'soon'")]
    rows = [ROWS[0], changed(ROWS[3], paid_at=None)]
    assert wrong(shop, rows=rows) == [("shop.csv", 3, "`paid_at` is missing: every row happens at some time")]
    rows = [changed(ROWS[0], known_at="2026-02-01")]
    assert wrong(shop, rows=rows) == [("shop.csv", 2, "`known_at` is before the row happened")]
    rows = [ROWS[0], changed(ROWS[1], amount="12,5 EUR")]
    assert wrong(shop, rows=rows) == [("shop.csv", 3, "has 11 values, and the header has 10")]
    text = FILE + "kinds: {{items: boolean}}\n"
    assert wrong(shop, rows=ROWS[:1], text=text) == [("shop.csv", 2, "`items` is not true or false: '1'")]
    text = FILE.replace("entity: customer", "entity: client")
    ((_, _, message),) = wrong(shop, text=text)
    assert message.startswith("there is no column `client`; there are paid_at, customer")


def test_a_broken_line_of_json_is_told(shop):
    written(shop, "jsonl")
    path = shop / "populations" / "shop.jsonl"
    path.write_text(path.read_text() + '{"paid_at": \n[1]\n{"a": {"b": 1}}\n')
    with pytest.raises(BadInput) as refused:
        get("shop", shop)
    assert [(p.line, p.message) for p in refused.value.problems] == [
        (5, "is no JSON: Expecting value"),
        (6, "is no object"),
        (7, "`a` is nested; one level of fields is read"),
    ]


def test_no_key_no_population(shop, monkeypatch):
    monkeypatch.setenv("SHOP_KEY", "short")
    ((name, _, message),) = wrong(shop)
    assert name == "shop.population.yaml"
    assert "SHOP_KEY has 5 characters" in message


def test_a_day_without_rows_is_refused_with_the_days_that_have_some(shop):
    population = get("shop", written(shop))
    with pytest.raises(ValueError, match="2026-03-01 to 2026-03-02"):
        population.slice("2025-01-01", "2025-01-02")
