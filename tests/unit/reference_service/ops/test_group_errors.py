"""Whom the model wrongs more often is told once the labels are in; luck, small groups and early labels tell nothing."""

from __future__ import annotations

import json
from types import MappingProxyType

import msgspec
import numpy as np
import pytest
from conftest import METHODS, MINUTE, SECOND, START, LinearBundle, plain, run

from reference_service.bounds import Rates, least_apart, lower, upper
from reference_service.monitor.group_errors import KINDS, GroupErrors
from reference_service.monitor.groups import GroupMonitor
from reference_service.policy import HOUR, Policy

POLICY = Policy(group_field="method", error_gap=0.05, label_horizon_ns=HOUR)
LATER = START + 2 * HOUR


def monitor(policy=POLICY, learned=MappingProxyType({})):
    return GroupErrors(GroupMonitor(LinearBundle(), policy, START), policy, learned)


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


def test_a_restart_under_a_stricter_gap_judges_anew_what_is_known():
    lax, strict = (monitor(msgspec.structs.replace(POLICY, error_gap=gap)) for gap in (0.5, 0.05))
    filled((0.1, 0.1, 0.4), label=0, errors=lax)
    assert not lax.tick(LATER)[0].firing
    strict.recall(msgspec.json.decode(msgspec.json.encode(lax.keep())))
    assert strict.tick(LATER)[0].firing


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


# ---------------------------------------------------------------- refusals that are let through at random


def decided(draw, n, *, positive, refused, suspected, share, errors=None, group=0.0):
    """So many decisions about one group, and the labels of those whose truth comes out."""
    errors = errors or monitor(msgspec.structs.replace(POLICY, explore_share=share))
    for label, block, review, lot in zip(
        (draw.random(n) < positive).astype(int).tolist(), draw.random(n), draw.random(n), draw.random(n), strict=True
    ):
        blocked = block < refused[label]
        approved = not blocked and review >= suspected
        if blocked and lot >= share:
            continue  # nobody ever hears of it
        errors.add(
            group, label, approved=approved or blocked, seen_ns=START, now_ns=START + MINUTE,
            propensity=share if blocked else 1.0,
        )  # fmt: skip
    return errors


def test_error_rates_are_about_all_decisions_where_a_share_of_refusals_is_let_through():
    draw, outside, found = np.random.default_rng(7), 0, []
    for _ in range(50):
        errors = decided(draw, 2_000, positive=0.3, refused=(0.2, 0.6), suspected=0.1, share=0.1)
        errors.tick(LATER)
        said = errors.view()["card"]
        for kind, expected in zip(KINDS, (0.2 + 0.8 * 0.1, 0.4 * 0.9), strict=True):
            outside += not said[kind]["from"] <= expected <= said[kind]["to"]
            found.append((kind, said[kind]["rate"] - expected))
    assert outside <= 5  # of 100, where 1 % is promised
    for kind in KINDS:
        off = np.array([gap for which, gap in found if which == kind])
        assert abs(off.mean()) < 4 * off.std() / np.sqrt(len(off))
    # Counted once each, refusals would be a tenth of what they are.
    counts = errors._before + errors._now
    assert counts[0, 0, 1] + counts[0, 0, 2] < 0.6 * (0.2 + 0.8 * 0.1) * counts[0, 0].sum()


@pytest.mark.parametrize(("refused", "told"), [((0.2, 0.2, 0.2), False), ((0.2, 0.2, 0.5), True)])
def test_a_group_that_is_refused_more_often_without_reason_is_harmed_and_one_that_is_not_is_not(refused, told):
    policy = msgspec.structs.replace(POLICY, explore_share=0.2)
    for seed in range(3):
        errors, draw = monitor(policy), np.random.default_rng(seed)
        for group, (n, rate) in enumerate(zip((8_000, 4_000, 3_000), refused, strict=True)):
            decided(
                draw, n, positive=0.1, refused=(rate, rate), suspected=0.05, share=0.2, errors=errors,
                group=float(group),
            )  # fmt: skip
        (condition,) = errors.tick(LATER)
        assert condition.firing == told
        assert not told or "transfer has more false_positives" in condition.summary


def test_few_that_stand_for_many_hold_no_alarm_up_once_groups_are_served_alike():
    policy = msgspec.structs.replace(POLICY, explore_share=0.01, error_gap=0.03, error_rows=20_000)
    held = 0
    for seed in range(20):
        errors, draw = monitor(policy), np.random.default_rng(seed)
        errors.firing = True  # of yesterday
        of = draw.multinomial(20_000, [0.2] * 5)
        refused, wrong = draw.binomial(of, 0.02), draw.binomial(of, 0.05)
        errors._now[:5, 0] = np.stack([of - wrong, wrong, draw.binomial(refused, 0.01)], axis=1)
        errors._stale = True
        held += errors.tick(LATER)[0].firing
    assert held <= 1
    # And what is as bad as yesterday goes on.
    errors = monitor(msgspec.structs.replace(policy, explore_share=0.2))
    errors._now[:3, 0] = [[4_000, 200, 16], [4_000, 200, 16], [3_000, 1_000, 12]]
    errors._stale = True
    assert errors.tick(LATER)[0].firing
    errors._stale = True
    assert errors.tick(LATER + MINUTE)[0].firing


def test_refusals_of_another_share_are_stood_for_by_nobody():
    policy = msgspec.structs.replace(POLICY, explore_share=0.2)
    errors = monitor(policy)
    for share in (0.1, 0.2):
        errors.add(0.0, 0, approved=True, seen_ns=START, now_ns=START + MINUTE, propensity=share)
    errors.tick(LATER)
    assert errors.view()["card"]["n"] == 1
    with pytest.raises(ValueError, match="another share"):
        monitor(msgspec.structs.replace(POLICY, explore_share=0.1)).recall(errors.keep())


def test_without_such_a_slice_the_bounds_are_those_of_the_counts():
    draw = np.random.default_rng(3)
    total = draw.integers(0, 400, (50, 2))
    wrong = draw.binomial(total, 0.3)
    rates = Rates(total - wrong, wrong, np.zeros_like(wrong), np.array([True, False]), 0.0)
    low, high = rates.between(0.02)
    assert (low == lower(wrong, total, 0.01)).all()
    assert (high == upper(wrong, total, 0.01)).all()
    assert (rates.most(0.01) >= low).all()
    assert (low <= np.nan_to_num(rates.rate)).all()


# ---------------------------------------------------------------- what training had

UNSAID = Policy(group_field="method", label_horizon_ns=HOUR)
# Held out: of transfers three in ten are suspected wrongly, of others one in ten; nobody knows why, and so it is.
HELD_OUT = {"card": [[400, 4000], [0, 0]], "wallet": [[100, 1000], [0, 0]], "transfer": [[90, 300], [0, 0]]}


def test_a_gap_that_training_had_is_none_and_a_larger_one_pages_though_nobody_has_set_a_limit():
    def told(rates, **options):
        (found,) = filled(rates, label=0, errors=monitor(UNSAID, HELD_OUT), **options).tick(LATER)
        return found

    for seed in range(5):
        assert not told((0.1, 0.1, 0.3), n=(20_000, 5_000, 2_000), seed=seed).firing
    harmed = told((0.1, 0.1, 0.6), n=(20_000, 5_000, 2_000))
    assert harmed.firing
    assert "transfer has more false_positives" in harmed.summary
    # A limit that somebody types in is wrong either way: too narrow for transfers, too wide for the others.
    (by_hand,) = filled((0.1, 0.1, 0.3), label=0, n=(20_000, 5_000, 2_000)).tick(LATER)
    assert by_hand.firing
    wallets = {"n": (20_000, 5_000, 2_000), "seed": 3}
    assert told((0.1, 0.25, 0.3), **wallets).firing
    wide = monitor(msgspec.structs.replace(POLICY, error_gap=0.25))
    assert not filled((0.1, 0.25, 0.3), label=0, errors=wide, **wallets).tick(LATER)[0].firing


def test_whom_training_favoured_is_not_harmed_by_being_served_like_the_others():
    favoured = {"card": [[1_200, 4_000], [0, 0]], "wallet": [[300, 1_000], [0, 0]], "transfer": [[0, 3_000], [0, 0]]}
    (told,) = filled((0.2, 0.2, 0.2), label=0, n=(8_000, 4_000, 8_000), errors=monitor(UNSAID, favoured)).tick(LATER)
    assert not told.firing


def test_what_training_saw_few_of_is_allowed_more_and_what_it_never_saw_everything():
    few = HELD_OUT | {"transfer": [[9, 30], [0, 0]]}
    allowed = [monitor(UNSAID, each)._allowed[2, 0] for each in (HELD_OUT, few, {"card": [[400, 4000], [0, 0]]})]
    assert 0.2 < allowed[0] < allowed[1] < allowed[2]
    assert allowed[2] > 0.85
    errors = filled((0.1, 0.1, 1.0), label=1, errors=monitor(UNSAID, HELD_OUT))  # of positives nothing is known
    assert not errors.tick(LATER)[0].firing


def test_of_the_bounds_by_which_a_gap_is_learned_a_hundredth_is_wrong_at_most():
    draw, wrong = np.random.default_rng(4), 0
    for _ in range(150):
        counts = [[[int(draw.binomial(n, 0.1)), n], [0, 0]] for n in (4000, 1000, 300)]
        learned = dict(zip(("card", "wallet", "transfer"), counts, strict=True))
        wrong += bool((monitor(UNSAID, learned)._allowed[:3, 0] < UNSAID.error_excess).any())
    assert wrong <= 5


def test_what_is_spared_the_bounds_could_not_have_fired():
    """From no wrong decision to many, of few labels or many: the same verdict as by the bounds of every group."""
    draw, fired = np.random.default_rng(6), 0
    for _ in range(150):
        errors = monitor()
        total = draw.choice([5, 6, 40, 3_000], (3, 2))
        wrong = draw.binomial(total, draw.choice([0.0, 0.05, 0.3, 1.0], (3, 2)))
        errors._now[:3, :, :2] = np.stack([total - wrong, wrong], axis=2)
        errors._stale = True
        (told,) = errors.tick(LATER)
        beyond = least_apart(wrong, total, POLICY.alpha) - POLICY.error_gap
        assert told.firing == (beyond.max() > 0)
        if told.firing:
            fired += 1
            group, kind = np.unravel_index(beyond.argmax(), beyond.shape)
            assert told.summary == f"{METHODS[group]} has more {KINDS[kind]}s than the others"
    assert 10 < fired < 140
