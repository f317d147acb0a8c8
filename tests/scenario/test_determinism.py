"""The same scenario and seed make the same history, to the last digest, whatever the process it is made in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import short
from numpy._core import _multiarray_umath as umath

from simulator.cli import invoke
from simulator.history import first_divergence, verify
from simulator.verdict import EXIT_HARNESS_FAULT

ROOT = Path(__file__).parents[2]
ROLES = ("main", "twin", "aa")
# Of everything that could depend on an order: faults that take a share of calls, retries, duplicates, a release.
EVENTFUL = {
    "seatrial": 1,
    "title": "Everything at once",
    "seed": 20140707,
    "given": {
        "population": "payments",
        "traffic": {"rate": "15/s", "for": "150s", "timeout": "2s", "retries": 2},
        "labels": {"delay": {"median": "10s", "p95": "40s"}, "missing": "5%", "every": "5s"},
        "warmup": "20s",
    },
    "when": [
        {"event": "holes", "at": "25s", "for": "30s", "nulls": {"field": "country", "share": "50%"}},
        {"event": "again", "at": "30s", "for": "30s", "duplicate": {"share": "50%"}},
        {"event": "shuffled", "at": "40s", "for": "30s", "reorder": {}},
        {"event": "release", "at": "50s", "release": {"version": "v2", "by": "canary", "share": "20%"}},
        {
            "event": "slow_store",
            "at": "60s",
            "for": "20s",
            "dependency": {"name": "feature_store", "fault": "slow", "by": "3s", "share": "50%"},
        },
        {"event": "rush", "at": "100s", "for": "5s", "load": {"to": "1.5x capacity"}},
    ],
    "then": [{"id": "answered", "answered": {"min": "50%"}}],
}


def vector_units():
    """What numpy chose at run time among the vector units that it can do without."""
    return [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__.get(name)]


def ask(folder, seed=EVENTFUL["seed"], workers=1):
    """The arguments of a trial of `EVENTFUL` with its evidence under `folder`."""
    folder.mkdir()
    path = folder / "eventful.scenario.yaml"
    path.write_text(json.dumps(EVENTFUL, indent=1))
    target = short.target("reference_service.app:create_app", folder)
    return [
        "run", str(path), "--target", str(target), "--out", str(folder / "out"), "--seed", str(seed),
        "--workers", str(workers), "--quiet",
    ]  # fmt: skip


def evidence(folder):
    """Role → history. Raises Altered if a run did not finish."""
    places = {path.name: path for role in ROLES for path in (folder / "out").rglob(role)}
    return {role: verify(places[role]) for role in ROLES}


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    folder = tmp_path_factory.mktemp("usual") / "trial"
    assert invoke(ask(folder)) != EXIT_HARNESS_FAULT
    return evidence(folder)


def same(left, right):
    """Fails with the first item, column or note in which two trials differ."""
    for role in ROLES:
        assert not first_divergence(left[role], right[role]), role
        assert left[role].header.digest == right[role].header.digest, role


def test_it_is_eventful(usual):
    main = usual["main"]
    assert len(main.alerts) >= 2
    assert all(event.delivered and event.potent for event in main.events), main.events
    assert {"v1", "v2"} <= set(main.items["version"])
    assert (main.items["attempts"] > 1).any()
    assert (main.items["label_ns"] > 0).any()


@pytest.mark.parametrize(("hash_seed", "plain"), [("0", False), ("4242", True)])
def test_neither_hash_seed_nor_vector_unit_matters(usual, tmp_path, hash_seed, plain):
    folder = tmp_path / "trial"
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    if plain:
        environment["NPY_DISABLE_CPU_FEATURES"] = ",".join(vector_units())
    code = f"import test_determinism as t; print(t.vector_units()); t.invoke({ask(folder)!r})"
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert made.stdout.startswith("[]\n" if plain else f"{vector_units()}\n"), made.stderr
    same(usual, evidence(folder))


def test_the_number_of_workers_does_not_matter(usual, tmp_path):
    folder = tmp_path / "trial"
    invoke(ask(folder, workers=2))
    same(usual, evidence(folder))


def test_another_seed_differs_and_the_comparison_says_where(usual, tmp_path):
    folder = tmp_path / "trial"
    invoke(ask(folder, seed=1))
    other = evidence(folder)["main"]
    assert other.header.digest != usual["main"].header.digest
    assert "against" in first_divergence(usual["main"], other)
    with pytest.raises(AssertionError, match="against"):
        same(usual, evidence(folder))
