"""Laws of the plan: what is not touched does not change; nothing depends on how, where or in what order it is made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy._core import _multiarray_umath as umath

from simulator.plan import PlanDigest, end_ns, plan
from simulator.scenario.model import Scenario
from simulator.world.chunk import COLUMNS, joined
from simulator.world.populations import get

LAWS = settings(derandomize=True, deadline=None, max_examples=25)
SECONDS = 60  # of traffic in every plan here

starts = st.integers(0, SECONDS - 1).map(lambda s: f"{s}s")
lengths = st.integers(1, 30).map(lambda s: f"{s}s")
delays = st.integers(0, 20).map(lambda s: f"{s}s")
shares = st.sampled_from([0.0, 0.1, 0.5, 1.0])
wheres = st.sampled_from(
    [None, {"country": "DE"}, {"is_new_device": False, "channel": "app"}, {"amount": {"above": 20, "below": 90}}]
)


def selective(**params):
    return st.fixed_dictionaries({"share": shares, "where": wheres, **{k: st.just(v) for k, v in params.items()}})


VERBS = {
    "nulls": selective(field="ip_risk", spelling="nan"),
    "rename": selective(field="amount", to="betrag"),
    "drop": selective(field="country"),
    "add": selective(field="extra", value="x"),
    "nest": selective(field="amount", under="payment"),
    "retype": selective(field="amount", to="string"),
    "scale": selective(field="amount", by=100),
    "respell": selective(field="channel", category="app", to="APP"),
    "outlier": selective(field="amount", value=1e9, count=3),
    "reorder": selective(),
    "garble": selective(how="truncated"),
    "drift": st.one_of(
        selective(field="amount", shift=1.5, shape="incremental"),
        selective(field="amount", shift=1.5, shape="gradual"),
        selective(field="amount", shift=1.5, shape="seasonal", every="8s"),
        selective(field="channel", category="kiosk", shape="recurring", every="6s"),
    ),
    "concept": selective(flip=0.5),
    "prior": selective(to=0.2),
    "label_delay": selective(by="10m"),
    "label_loss": selective(outcome="negative"),
    "label_noise": selective(outcome="negative"),
    "label_twice": selective(outcome="positive"),
    "late": st.builds(lambda p, by: p | {"by": by}, selective(), delays),
    "duplicate": st.builds(lambda p, after: p | {"after": after}, selective(), delays),
    "network": selective(fault="loss"),
    "load": st.fixed_dictionaries(
        {"to": st.sampled_from(["0.5x", "2x", "60/s"]), "distinct": st.sampled_from([None, 2])}
    ),
    "dependency": st.fixed_dictionaries({"name": st.just("feature_store"), "fault": st.just("down")}),
}
bodies = st.sampled_from(sorted(VERBS)).flatmap(lambda verb: VERBS[verb].map(lambda params: (verb, params)))


@st.composite
def whens(draw, max_size=4):
    bodies_drawn = draw(st.lists(bodies, max_size=max_size))
    return [
        {"event": f"e{k}", "at": draw(starts), "for": draw(lengths), verb: params}
        for k, (verb, params) in enumerate(bodies_drawn)
    ]


def scenario(when=(), *, seed=1, batch=1, rhythm="flat"):
    traffic = {"rate": "12/s", "for": f"{SECONDS}s", "batch": batch, "rhythm": rhythm}
    given = {
        "population": "payments",
        "traffic": traffic,
        "labels": {"delay": {"median": "5m", "p95": "20m"}, "missing": "5%"},
    }
    return Scenario.model_validate({"seatrial": 1, "title": "t", "seed": seed, "given": given, "when": list(when)})


def chunks(cell, chunk_rows=8192):
    return list(plan(cell, get("payments"), chunk_rows=chunk_rows))


def digest(made):
    total = PlanDigest()
    for chunk in made:
        total.update(chunk)
    return total.hexdigest()


def items(chunk):
    """Each item by its key, everything that is sent or true of it; without its ordinal and its event bits."""
    columns = {name: getattr(chunk, name) for name in COLUMNS if name not in {"request", "touched", "potent"}}
    columns |= {f"sent {name}": column for name, column in chunk.sent.items()}
    facts = zip(*(column.tolist() for column in columns.values()), strict=True)
    keys = zip(chunk.stream.tolist(), chunk.index.tolist(), chunk.copy.tolist(), strict=True)
    records = (repr(chunk.overrides.get(i)) for i in range(len(chunk)))
    return {key: repr(fact) + record for key, fact, record in zip(keys, facts, records, strict=True)}


@LAWS
@given(whens(), whens(max_size=1), st.sampled_from([1, 3]))
def test_one_event_more_leaves_every_item_that_it_does_not_touch_as_it_was(when, more, batch):
    more = [event | {"event": "another"} for event in more]
    before = joined(chunks(scenario(when, batch=batch)))
    after = joined(chunks(scenario([*when, *more], batch=batch)))
    touched = (after.touched >> np.uint64(len(when))) & np.uint64(1) == 1
    was, now = items(before), items(after)
    assert set(was) <= set(now)
    for key, by_it in zip(now, touched.tolist(), strict=True):
        assert by_it or now[key] == was[key]


@LAWS
@given(whens(), st.integers(1, 5), st.integers(1, 900), st.sampled_from(["flat", "daily"]))
def test_the_size_of_chunks_changes_nothing(when, batch, chunk_rows, rhythm):
    cell = scenario(when, batch=batch, rhythm=rhythm)
    small, large = chunks(cell, max(chunk_rows, 20)), chunks(cell)
    assert digest(small) == digest(large)
    assert items(joined(small)) == items(joined(large))


@LAWS
@given(whens(), st.sampled_from([1, 4]))
def test_nothing_is_lost_or_invented_and_all_is_in_order(when, batch):
    cell = scenario(when, batch=batch)
    clean, made = joined(chunks(scenario(batch=batch))), joined(chunks(cell))
    main = (made.stream == "main") & (made.copy == 0)
    assert sorted(made.index[main].tolist()) == clean.index.tolist()
    assert len(items(made)) == len(made)  # no key twice
    assert (np.diff(made.scheduled_ns) >= 0).all()
    assert (made.scheduled_ns >= made.event_ns).all()
    assert made.scheduled_ns[-1] < end_ns(cell, get("payments"))
    assert set(np.diff(made.request).tolist()) <= {0, 1}
    assert made.request[0] == 0
    streams = {"main"} | {f"load:{event['event']}" for event in when if "load" in event}
    assert set(made.stream.tolist()) <= streams


@LAWS
@given(whens())
def test_what_differs_from_the_clean_world_was_changed_by_an_event(when):
    # S7 and S9: a difference that no event answers for would be a lie of the plan. One event alone cannot undo
    # itself, so there the converse holds as well.
    made = joined(chunks(scenario(when)))
    assert not (made.potent & ~made.touched).any()
    was, now = items(joined(chunks(scenario()))), items(made)
    if any({"garble", "network"} & set(event) for event in when):
        return  # their effect is on bodies and ways, which a plan does not hold
    for (key, fact), potent in zip(now.items(), made.potent.tolist(), strict=True):
        assert potent or was[key] == fact
        assert not potent or len(when) > 1 or was.get(key) != fact


@LAWS
@given(whens(), st.integers(0, 2**63 - 1))
def test_another_seed_is_another_plan_and_the_same_seed_the_same(when, seed):
    assert digest(chunks(scenario(when, seed=seed))) == digest(chunks(scenario(when, seed=seed)))
    assert digest(chunks(scenario(when, seed=seed))) != digest(chunks(scenario(when, seed=(seed + 1) % 2**63)))


EVERYTHING = [
    {"event": f"e{k}", "at": f"{5 + 2 * k}s", "for": "25s", verb: params}
    for k, (verb, params) in enumerate(
        {
            "drift": {"field": "amount", "shift": 1.5, "shape": "incremental"},
            "concept": {"flip": 0.3},
            "nulls": {"field": "ip_risk", "spelling": "nan", "share": 0.3},
            "scale": {"field": "amount", "by": 0.01, "share": 0.5},
            "reorder": {"share": 0.2},
            "label_delay": {"by": "10m", "share": 0.5},
            "late": {"by": "7s", "share": 0.3},
            "duplicate": {"share": 0.2},
            "load": {"to": "3x"},
        }.items()
    )
]
# Of the plan below, wherever it is made. It changes only with the meaning of plans.
GOLDEN = "5a4e6ad14069373f6aa90f84c93d8e0f91a5c674ce7cc2e1b08d610ace552ca0"


def vector_units():
    """What numpy chose at run time among the vector units that it can do without."""
    return [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__.get(name)]


def golden():
    return digest(chunks(scenario(EVERYTHING, seed=20260517, batch=2, rhythm="daily")))


def test_this_plan_is_the_same_on_every_machine():
    assert golden() == GOLDEN


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_neither_hash_seed_nor_vector_unit_matters(hash_seed):
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "NPY_DISABLE_CPU_FEATURES": ",".join(vector_units())}
    code = "import test_plan_laws as t; print(t.vector_units(), t.golden())"
    made = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.split() == ["[]", GOLDEN]
