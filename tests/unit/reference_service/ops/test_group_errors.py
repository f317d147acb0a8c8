"""Whom the model wrongs more often is told once the labels are in; luck, small groups and early labels tell nothing."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from conftest import MINUTE, SECOND, START, LinearBundle, plain, run

from reference_service.monitor.group_errors import GroupErrors
from reference_service.monitor.groups import GroupMonitor
from reference_service.policy import HOUR, Policy

POLICY = Policy(group_field="method", error_gap=0.05, label_horizon_ns=HOUR)
LATER = START + 2 * HOUR


def monitor(policy=POLICY):
    return GroupErrors(GroupMonitor(LinearBundle(), policy, START), policy)


def filled(rates, *, label, n=(4_000, 1_000, 300), seed=1, errors=None):
    """Labelled decisions of three groups that are wrong at these rates."""
    errors, draw = errors or monitor(), np.random.default_rng(seed)
    for group, rate in enumerate(rates):
        for wrong in draw.random(n[group]) < rate:
            errors.add(float(group), label, approved=bool(wrong) == bool(label), seen_ns=START, now_ns=START + MINUTE)
    return errors


@pytest.mark.parametrize(("label", "kind"), [(0, "false_positive"), (1, "false_negative")])
def test_a_harmed_group_pages_and_is_named(label, kind):
    (told,) = filled((0.1, 0.1, 0.4), label=label).tick(LATER)
    assert (told.name, told.field, told.severity, told.firing) == ("error_rates", "method", "page", True)
    assert "transfer" in told.summary
    assert kind in told.summary


@pytest.mark.parametrize("rates", [(0.1, 0.1, 0.1), (0.4, 0.4, 0.4), (0.1, 0.1, 0.14)])
def test_equal_errors_and_a_gap_within_what_is_allowed_page_nobody(rates):
    for seed in range(20):
        (told,) = filled(rates, label=0, seed=seed).tick(LATER)
        assert not told.firing


def test_a_handful_of_labels_proves_nothing_and_no_gap_tells_nobody():
    (told,) = filled((0.1, 0.1, 1.0), label=1, n=(400, 400, 3)).tick(LATER)
    assert not told.firing
    silent = filled((0.1, 0.1, 0.9), label=0, errors=monitor(Policy(group_field="method", label_horizon_ns=HOUR)))
    assert silent.tick(LATER) == []
    assert silent.view()["transfer"]["n"] == 300


def test_early_labels_say_nothing_yet_and_stragglers_nothing_any_more():
    errors = filled((0.1, 0.1, 0.9), label=0)
    (told,) = errors.tick(START + HOUR - MINUTE)
    assert not told.firing
    assert errors.view() == {}
    errors.tick(LATER)
    n = errors.view()["card"]["n"]
    errors.add(0.0, 0, approved=False, seen_ns=START, now_ns=LATER)
    errors.tick(LATER + MINUTE)
    assert errors.view()["card"]["n"] == n


def test_rates_come_with_an_interval_that_holds_them():
    errors = filled((0.1, 0.2, 0.3), label=1)
    errors.tick(LATER)
    for name, rate in (("card", 0.1), ("wallet", 0.2), ("transfer", 0.3)):
        found = errors.view()[name]["false_negative"]
        assert found["from"] < rate < found["to"]
        assert found["from"] < found["rate"] < found["to"]
        assert errors.view()[name]["false_positive"] is None


def test_it_ends_when_later_labels_are_as_they_should_be_and_survives_a_restart():
    policy = msgspec.structs.replace(POLICY, error_rows=5_000)
    errors = filled((0.1, 0.1, 0.4), label=0, errors=monitor(policy))
    (told,) = errors.tick(LATER)
    assert told.firing
    again = monitor(policy)
    again.recall(msgspec.json.decode(msgspec.json.encode(errors.keep())))
    assert again.tick(LATER) == [told]
    for k in range(1, 3):
        filled((0.1, 0.1, 0.1), label=0, seed=k, errors=again)  # of the same old cohort: it has not been seen by now
        (told,) = again.tick(LATER + k * MINUTE)
    assert not told.firing


def test_the_service_tells_of_each_group_what_its_labels_say(harness):
    """One row a request, and two in one: the group is the row's own."""

    async def body():
        h = harness(policy={"group_field": "method", "label_horizon_ns": MINUTE, "cohort_ns": SECOND})
        rows = [plain(k) for k in range(60)]
        for k, row in enumerate(rows):
            await h.infer(row, request_id=f"a{k}")
            await h.infer(row, rows[k - 1], request_id=f"b{k}")
        said = [{"id": f"{who}{k}", "row": row, "label": 1} for k in range(60) for who, row in (("a", 0), ("b", 1))]
        await h.call("POST", "/v1/labels", json.dumps({"labels": said}).encode())
        await h.clock.advance(3 * MINUTE)
        h.service.watch.errors.tick(h.clock.now_ns())
        groups = json.loads((await h.call("GET", "/v1/quality"))[1])["groups"]
        for method in ("card", "wallet", "transfer"):
            assert groups[method]["n"] == 2 * sum(row["method"] == method for row in rows)
        assert groups["transfer"]["false_negative"]["rate"] > 0.5  # the bundle's scores of them are low
        assert groups["card"]["false_positive"] is None

    run(body())
