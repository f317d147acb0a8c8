from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from simulator.plan import Chunk, end_ns, plan
from simulator.scenario.model import Scenario
from simulator.scenario.quantities import HOUR, MINUTE, SECOND
from simulator.world.chunk import joined
from simulator.world.populations import get
from simulator.world.populations.flights_record import record


def scenario(*when, batch=1, rate="20/s", length="10m", replay=None, seed=3, **labels):
    traffic = {"replay": replay, "batch": batch} if replay else {"rate": rate, "for": length, "batch": batch}
    given = {"population": "flights" if replay else "payments", "traffic": traffic, "labels": labels}
    return Scenario.model_validate({"seatrial": 1, "title": "t", "seed": seed, "given": given, "when": list(when)})


def whole(*when, chunk_rows=8192, capacity=None, **given) -> Chunk:
    cell = scenario(*when, **given)
    population = get(cell.given.population)
    return joined(list(plan(cell, population, capacity_per_second=capacity, chunk_rows=chunk_rows)))


def event(called, verb, /, at="3m", length="4m", **params):
    return {"event": called, "at": at, "for": length, verb: params}


def hit(items, k=0, column="touched"):
    return (getattr(items, column) >> np.uint64(k)) & np.uint64(1) == 1


def inside(at_ns, start=3 * MINUTE, end=7 * MINUTE):
    return (at_ns >= start) & (at_ns < end)


def keys(items):
    return list(zip(items.stream.tolist(), items.index.tolist(), items.copy.tolist(), strict=True))


CLEAN = whole()


def test_items_are_in_scheduled_order_with_dense_requests():
    assert (np.diff(CLEAN.scheduled_ns) >= 0).all()
    np.testing.assert_array_equal(CLEAN.request, np.arange(len(CLEAN)))
    np.testing.assert_array_equal(CLEAN.scheduled_ns, CLEAN.event_ns)
    assert CLEAN.scheduled_ns[-1] < end_ns(scenario(), get("payments")) == 10 * MINUTE
    assert not CLEAN.touched.any()
    assert not CLEAN.overrides


def test_chunks_are_about_as_long_as_asked():
    cell = scenario(event("more", "load", to="5x"), batch=3, rate="3/s")
    lengths = [len(chunk) for chunk in plan(cell, get("payments"), chunk_rows=64)]
    assert max(lengths) <= 64
    assert np.mean(lengths) > 20


def test_a_batch_leaves_with_its_last_row_and_stays_whole():
    cell = scenario(
        event("more", "load", to="2x"), event("slow", "late", by="5s", share=0.3), batch=8, rate="5/s", length="5m"
    )
    rows = defaultdict(list)
    for chunk in plan(cell, get("payments"), chunk_rows=50):
        for i, request in enumerate(chunk.request.tolist()):
            rows[request].append((chunk, i))
    assert sorted(rows) == list(range(len(rows)))
    partial = 0
    for members in rows.values():
        (chunk,) = {id(chunk): chunk for chunk, _ in members}.values()  # no request spans chunks
        at = [i for _, i in members]
        assert chunk.row[at].tolist() == list(range(len(at)))
        assert len(set(chunk.scheduled_ns[at].tolist())) == 1
        late = 5 * SECOND if hit(chunk, 1)[at[0]] else 0
        assert chunk.scheduled_ns[at[0]] == chunk.event_ns[at].max() + late
        partial += len(at) != 8
    assert partial <= 2  # at most the end of each stream


def test_the_rate_counts_requests():
    assert len(whole(batch=4, rate="5/s")) == pytest.approx(4 * 5 * 600, rel=0.06)


def test_label_times_follow_the_scenario():
    items = whole(delay={"median": "45m", "p95": "3h"}, missing="10%")
    known = items.label_due_ns >= 0
    assert known.mean() == pytest.approx(0.9, abs=0.01)
    assert np.median((items.label_due_ns - items.event_ns)[known]) == pytest.approx(45 * MINUTE, rel=0.05)


# ---------------------------------------------------------------- world


def test_a_sudden_drift_shifts_by_standard_deviations():
    items = whole(event("up", "drift", field="amount", shift=1.0))
    touched = hit(items)
    np.testing.assert_array_equal(touched, inside(CLEAN.scheduled_ns))
    np.testing.assert_array_equal(hit(items, column="potent"), touched)
    spread = next(f.spread for f in get("payments").fields if f.name == "amount")
    np.testing.assert_array_equal(items.sent["amount"], CLEAN.sent["amount"] + np.where(touched, spread, 0.0))
    assert items.truth[touched].mean() > CLEAN.truth[touched].mean()
    np.testing.assert_array_equal(items.truth[~touched], CLEAN.truth[~touched])


def test_an_incremental_shift_grows_linearly():
    items = whole(event("up", "drift", field="distance_km", shift=2.0, shape="incremental", over="2m"))
    touched = hit(items)
    grown = (items.sent["distance_km"] - CLEAN.sent["distance_km"])[touched] / 700.0
    expected = np.minimum((items.scheduled_ns[touched] - 3 * MINUTE) / (2 * MINUTE), 1.0)
    np.testing.assert_allclose(grown, expected, atol=1e-9)


def test_of_a_gradual_shift_the_share_grows():
    items = whole(event("up", "drift", field="amount", shift=1.0, shape="gradual"))
    moved = hit(items)
    spread = next(f.spread for f in get("payments").fields if f.name == "amount")
    np.testing.assert_array_equal(items.sent["amount"], CLEAN.sent["amount"] + np.where(moved, spread, 0.0))
    quarter = [moved[inside(items.scheduled_ns, (3 + q) * MINUTE, (4 + q) * MINUTE)].mean() for q in range(4)]
    np.testing.assert_allclose(quarter, [0.125, 0.375, 0.625, 0.875], atol=0.04)


def test_a_recurring_drift_is_on_in_the_first_half_of_each_period():
    moved = hit(whole(event("up", "drift", field="amount", shift=1.0, shape="recurring", every="40s")))
    since = CLEAN.scheduled_ns - 3 * MINUTE
    expected = inside(CLEAN.scheduled_ns) & (since % (40 * SECOND) < 20 * SECOND)
    np.testing.assert_array_equal(moved, expected)


def test_a_seasonal_shift_is_a_wave():
    items = whole(event("tide", "drift", field="email_age_days", shift=0.5, shape="seasonal", every="2m"))
    spread = next(f.spread for f in get("payments").fields if f.name == "email_age_days")
    there = hit(items) & (CLEAN.sent["email_age_days"] > spread)  # far enough from zero to be free to move
    moved = (items.sent["email_age_days"] - CLEAN.sent["email_age_days"])[there] / (0.5 * spread)
    wave = np.sin(2 * np.pi * (items.scheduled_ns[there] - 3 * MINUTE) / (2 * MINUTE))
    np.testing.assert_allclose(moved, wave, atol=0.002 + 0.5 / (0.5 * spread))


def test_a_recurring_concept_comes_back():
    flipped = hit(whole(event("spam", "concept", flip=1.0, shape="recurring", every="1m")))
    since = CLEAN.scheduled_ns - 3 * MINUTE
    np.testing.assert_array_equal(flipped, inside(CLEAN.scheduled_ns) & (since % MINUTE < MINUTE // 2))


def test_a_prior_shift_changes_how_many_are_positive_and_not_how_they_look():
    items = whole(event("wave", "prior", at="0s", length="10m", to=0.3), rate="40/s")
    assert items.truth.mean() == pytest.approx(0.3, abs=0.01)
    replaced = hit(items)
    kept = whole(rate="40/s")
    for name, column in items.sent.items():
        np.testing.assert_array_equal(column[~replaced], kept.sent[name][~replaced])
    np.testing.assert_array_equal(items.truth[~replaced], kept.truth[~replaced])
    # The positives of a long clean day and those of the shifted one are draws from one distribution.
    many = whole(rate="400/s")
    for name in ("amount", "ip_risk", "distance_km"):
        a, b = items.sent[name][items.truth == 1], many.sent[name][many.truth == 1]
        a, b = np.sort(a[~np.isnan(a)]), np.sort(b[~np.isnan(b)])
        at = np.concatenate([a, b])
        gap = np.abs(np.searchsorted(a, at, "right") / len(a) - np.searchsorted(b, at, "right") / len(b)).max()
        assert gap < 1.95 * np.sqrt(1 / len(a) + 1 / len(b)), name  # Kolmogorov and Smirnov at 0.1 %


def test_a_prior_shift_under_a_drift_takes_the_truth_of_the_rows_as_they_are_then():
    wave, up = event("wave", "prior", to=0.5), event("up", "drift", field="ip_risk", shift=2.0)
    both = whole(wave, up)
    np.testing.assert_array_equal(hit(both), hit(whole(wave)))
    assert both.truth[hit(both)].mean() > whole(wave).truth[hit(both)].mean()


def test_of_a_gradual_move_the_share_grows():
    items = whole(event("new", "drift", field="payment_method", category="crypto", shape="gradual"), rate="100/s")
    moved = hit(items)
    assert set(items.sent["payment_method"][moved].tolist()) == {"crypto"}
    assert "crypto" not in items.sent["payment_method"][~moved].tolist()
    quarter = [moved[inside(items.scheduled_ns, (3 + q) * MINUTE, (4 + q) * MINUTE)].mean() for q in range(4)]
    np.testing.assert_allclose(quarter, [0.125, 0.375, 0.625, 0.875], atol=0.03)


def test_drifted_numbers_stay_possible_and_nulls_stay_null():
    items = whole(
        event("down", "drift", field="device_age_days", shift=-3.0), event("h", "drift", field="hour", shift=9)
    )
    column, clean = items.sent["device_age_days"], CLEAN.sent["device_age_days"]
    np.testing.assert_array_equal(np.isnan(column), np.isnan(clean))
    touched = hit(items)
    assert np.nanmin(column) == 0.0
    # Touched, and not potent: what was null, and what could not go lower.
    unchanged = touched & (np.isnan(clean) | (clean == column))
    np.testing.assert_array_equal(touched & ~hit(items, column="potent"), unchanged)
    assert unchanged.any()
    assert items.sent["hour"][touched].max() == 23.0


def test_concept_drift_reverses_truths_and_nothing_else():
    items = whole(event("spam", "concept", flip=0.4))
    flipped = hit(items)
    assert flipped[inside(items.scheduled_ns)].mean() == pytest.approx(0.4, abs=0.03)
    assert not flipped[~inside(items.scheduled_ns)].any()
    np.testing.assert_array_equal(items.truth != CLEAN.truth, flipped)
    for name, column in items.sent.items():
        np.testing.assert_array_equal(column, CLEAN.sent[name])


def test_labels_may_lie_and_the_truth_does_not_change():
    items = whole(event("sloppy", "label_noise", share=0.5, outcome="negative"))
    noisy = hit(items)
    assert noisy[inside(items.scheduled_ns) & (items.truth == 0)].mean() == pytest.approx(0.5, abs=0.03)
    np.testing.assert_array_equal(items.truth, CLEAN.truth)
    np.testing.assert_array_equal(items.reported != items.truth, noisy)
    assert not noisy[items.truth == 1].any()


@pytest.mark.parametrize(("verb", "params"), [("label_loss", {}), ("label_delay", {"by": "5m"})])
def test_what_happens_to_labels_may_depend_on_what_they_say(verb, params):
    items = whole(event("silence", verb, outcome="positive", **params))
    np.testing.assert_array_equal(hit(items), inside(items.scheduled_ns) & (items.truth == 1))


def test_bounds_choose_rows_by_value():
    items = whole(event("lost", "nulls", field="amount", where={"amount": {"above": 50, "below": 200}}))
    amount = CLEAN.sent["amount"]
    np.testing.assert_array_equal(hit(items), inside(items.scheduled_ns) & (amount > 50) & (amount < 200))


def test_a_field_may_go_missing_by_what_is_to_be_predicted():
    items = whole(event("leak", "nulls", field="ip_risk", outcome="positive"))
    np.testing.assert_array_equal(hit(items), inside(items.scheduled_ns) & (items.truth == 1))
    np.testing.assert_array_equal(items.truth, CLEAN.truth)  # the world is as it was


def test_a_bot_sends_few_different_rows():
    items = whole(event("bot", "load", to="3x", distinct=2))
    bot = items.stream == "load:bot"
    rows = zip(*(items.sent[name][bot].tolist() for name in items.sent), strict=True)
    assert len({repr(row) for row in rows}) == 2
    assert bot.sum() > 1000


# ---------------------------------------------------------------- representation


def test_a_share_of_the_rows_in_the_window_is_touched():
    items = whole(event("cents", "scale", field="amount", by=100, share=0.25))
    touched = hit(items)
    assert touched[inside(items.scheduled_ns)].mean() == pytest.approx(0.25, abs=0.03)
    assert not touched[~inside(items.scheduled_ns)].any()
    assert set(items.overrides) == set(np.flatnonzero(touched).tolist())
    for i, changed in items.overrides.items():
        assert changed["amount"] == items.sent["amount"][i] * 100
    np.testing.assert_array_equal(items.sent["amount"], CLEAN.sent["amount"])
    np.testing.assert_array_equal(items.truth, CLEAN.truth)


def test_where_selects_on_what_is_sent():
    where = {"country": "DE", "is_new_device": True}
    items = whole(event("gone", "drop", field="ip_risk", where=where))
    expected = inside(items.scheduled_ns) & (items.sent["country"] == "DE") & (items.sent["is_new_device"] == 1)
    np.testing.assert_array_equal(hit(items), expected)
    assert expected.any()


def test_nulls_over_nulls_touch_and_are_not_potent():
    items = whole(event("gone", "nulls", field="device_age_days"))
    was_null = hit(items) & np.isnan(items.sent["device_age_days"])
    assert was_null.any()
    np.testing.assert_array_equal(hit(items) & ~hit(items, column="potent"), was_null)
    assert not set(items.overrides) & set(np.flatnonzero(was_null).tolist())


def test_a_respelling_touches_its_category():
    items = whole(event("case", "respell", field="channel", category="app", to="APP"))
    expected = inside(items.scheduled_ns) & (items.sent["channel"] == "app")
    np.testing.assert_array_equal(hit(items), expected)
    assert {items.overrides[i]["channel"] for i in np.flatnonzero(expected).tolist()} == {"APP"}


@pytest.mark.parametrize("chunk_rows", [7, 8192])
def test_outliers_are_as_many_as_said(chunk_rows):
    bomb = event("bomb", "outlier", field="amount", value=1e9, count=3, share=0.5)
    items = whole(bomb, event("more", "load", to="2x"), length="4m", rate="5/s", chunk_rows=chunk_rows)
    touched = np.flatnonzero(hit(items)).tolist()
    assert len(touched) == 3
    assert [items.overrides[i]["amount"] for i in touched] == [1e9] * 3
    assert items.scheduled_ns[touched].max() < 3 * MINUTE + 10 * SECOND


def test_representation_events_compose_in_the_order_of_the_scenario():
    items = whole(
        event("cents", "scale", field="amount", by=100),
        event("name", "rename", field="amount", to="betrag", share=0.5),
        event("text", "retype", field="betrag", to="string"),
    )
    both = hit(items, 0) & hit(items, 1)
    i = int(np.flatnonzero(both)[0])
    assert items.overrides[i]["betrag"] == repr(float(items.sent["amount"][i]) * 100)
    # Where there is no such field there is nothing to retype.
    np.testing.assert_array_equal(hit(items, 2, "potent"), both)


def test_reordering_is_one_order_for_a_request():
    items = whole(event("mixed", "reorder"), batch=4, rate="5/s", length="4m")
    orders = defaultdict(set)
    for i, changed in items.overrides.items():
        orders[int(items.request[i])].add(tuple(changed))
    assert len(orders) > 100
    assert {len(o) for o in orders.values()} == {1}
    assert len(set.union(*orders.values())) > 100


# ---------------------------------------------------------------- transport


def test_late_requests_keep_their_moment_and_their_label():
    items = whole(event("slow", "late", by="90s", share=0.5))
    touched = hit(items)
    assert 0.4 < touched[inside(items.event_ns)].mean() < 0.6
    np.testing.assert_array_equal(items.scheduled_ns - items.event_ns, np.where(touched, 90 * SECOND, 0))
    assert sorted(keys(items)) == sorted(keys(CLEAN))
    order = np.argsort(items.index)
    np.testing.assert_array_equal(items.label_due_ns[order], CLEAN.label_due_ns)
    assert (np.diff(items.event_ns) < 0).any()


def test_the_end_covers_what_is_late_and_what_comes_twice():
    when = [event("slow", "late", at="9m", length="1m", by="90s"), event("again", "duplicate", at="9m", length="1m")]
    items = whole(*when)
    assert 10 * MINUTE < items.scheduled_ns[-1] < end_ns(scenario(*when), get("payments"))


def test_duplicates_are_requests_of_their_own_and_leave_the_originals_alone():
    items = whole(event("cents", "scale", field="amount", by=100), event("again", "duplicate", share=0.3))
    copies = items.copy == 1
    np.testing.assert_array_equal(hit(items, 1), copies)
    np.testing.assert_array_equal(hit(items, 1, "potent"), copies)
    position = {key: i for i, key in enumerate(keys(items))}
    assert {key for key in position if key[2] == 0} == set(keys(CLEAN))
    np.testing.assert_array_equal(items.request, np.arange(len(items)))
    scaled = hit(items, 0)
    for i in np.flatnonzero(copies).tolist():
        original = position["main", int(items.index[i]), 0]
        assert items.scheduled_ns[i] - items.scheduled_ns[original] == 2 * SECOND
        assert items.overrides[i] == items.overrides[original]
        assert items.truth[i] == items.truth[original]
        assert items.label_due_ns[i] == -1
        assert items.retry_u[i] != items.retry_u[original]
        assert scaled[i]


def test_two_duplications_number_their_copies():
    items = whole(event("again", "duplicate"), event("oncemore", "duplicate", after="5s", at="4m", length="1m"))
    assert np.bincount(items.copy).tolist()[2] == inside(CLEAN.event_ns, 4 * MINUTE, 5 * MINUTE).sum()
    assert len(set(keys(items))) == len(items)


def test_labels_late_and_lost():
    labels = {"delay": {"median": "45m", "p95": "3h"}, "missing": "10%"}
    clean = whole(**labels)
    late = whole(event("slow", "label_delay", by="1h"), **labels)
    comes = hit(late) & (clean.label_due_ns >= 0)
    np.testing.assert_array_equal(late.label_due_ns - clean.label_due_ns, np.where(comes, HOUR, 0))
    np.testing.assert_array_equal(hit(late, column="potent"), comes)
    lost = whole(event("gone", "label_loss", share=0.5), **labels)
    assert (lost.label_due_ns[hit(lost)] == -1).all()
    np.testing.assert_array_equal(lost.label_due_ns[~hit(lost)], clean.label_due_ns[~hit(lost)])


@pytest.mark.parametrize(("to", "total"), [("3x", 60), ("50/s", 50), ("1.5x capacity", 45)])
def test_load_adds_a_stream_until_the_total_is_reached(to, total):
    items = whole(event("rush", "load", to=to), capacity=30.0)
    extra = items.stream == "load:rush"
    np.testing.assert_array_equal(hit(items), extra)
    assert inside(items.scheduled_ns[extra]).all()
    assert inside(items.scheduled_ns).sum() / 240 == pytest.approx(total, rel=0.05)
    assert [key for key in keys(items) if key[0] == "main"] == keys(CLEAN)


def test_a_load_may_grow_to_its_rate():
    at_once, grown = whole(event("rush", "load", to="5x")), whole(event("rush", "load", to="5x", over="4m"))
    rush = [items.scheduled_ns[items.stream == "load:rush"] for items in (at_once, grown)]
    assert 0.45 < len(rush[1]) / len(rush[0]) < 0.55
    late = [np.mean(at >= 5 * MINUTE) for at in rush]
    assert 0.45 < late[0] < 0.55
    assert 0.70 < late[1] < 0.80
    assert set(keys(CLEAN)) < set(keys(grown))


def test_a_load_below_the_base_adds_nothing():
    assert keys(whole(event("lull", "load", to="5/s"))) == keys(CLEAN)


def test_events_touch_the_rows_of_a_load_too():
    items = whole(event("rush", "load", to="3x"), event("cents", "scale", field="amount", by=100, share=0.5))
    extra = items.stream == "load:rush"
    assert 0.4 < hit(items, 1)[extra].mean() < 0.6


def test_a_load_of_an_unknown_capacity_is_refused():
    with pytest.raises(ValueError, match="event rush: the target does not say what its capacity is"):
        whole(event("rush", "load", to="2x capacity"))


# ---------------------------------------------------------------- service


def test_service_faults_touch_what_is_scheduled_while_they_last():
    items = whole(
        event("slow", "late", by="2m"),
        event("down", "dependency", name="feature_store", fault="down"),
        event("nan", "model", fault="nan"),
        event("v2", "release", version="v2"),
    )
    for k in (1, 2):
        np.testing.assert_array_equal(hit(items, k), inside(items.scheduled_ns))
        assert not hit(items, k, "potent").any()
    assert not hit(items, 3).any()


# ---------------------------------------------------------------- recorded

APRIL = {"from": "2013-04-01", "to": "2013-04-03"}


def test_a_replay_starts_at_midnight_in_the_order_of_the_record():
    items = whole(replay=APRIL)
    assert end_ns(scenario(replay=APRIL), get("flights")) == 48 * HOUR
    assert items.scheduled_ns[0] == 5 * HOUR
    np.testing.assert_array_equal(np.diff(items.index), 1)
    np.testing.assert_array_equal(items.truth, record().label[items.index])
    known = items.truth >= 0
    np.testing.assert_array_equal(
        (items.label_due_ns - items.event_ns)[known], record().label_after_ns[items.index][known]
    )
    assert (items.label_due_ns[~known] == -1).all()


def test_a_load_over_a_replay_draws_from_the_same_days():
    items = whole(event("rush", "load", at="10h", length="10h", to="5x"), replay=APRIL)
    extra, main = items.stream == "load:rush", items.stream == "main"
    assert extra.sum() == pytest.approx(4 * main.sum() / 48 * 10, rel=0.1)
    assert set(items.entity[extra].tolist()) <= set(items.entity[main].tolist())
    assert inside(items.event_ns[extra], 10 * HOUR, 20 * HOUR).all()


# ---------------------------------------------------------------- refusals


def test_a_synthetic_population_cannot_be_replayed():
    cell = scenario(replay=APRIL)
    with pytest.raises(ValueError, match="payments is synthetic"):
        list(plan(cell, get("payments")))


def test_a_recorded_population_needs_a_replay():
    with pytest.raises(ValueError, match="flights is recorded"):
        list(plan(scenario(), get("flights")))


def test_unknown_fields_are_named():
    with pytest.raises(ValueError, match="event up: the population payments has no field 'amonut'"):
        whole(event("up", "drift", field="amonut", shift=1))
    with pytest.raises(ValueError, match="`where` names the field 'land'"):
        whole(event("up", "drop", field="amount", where={"land": "DE"}))


def test_what_the_next_event_takes_back_was_never_sent():
    items = whole(event("up", "scale", field="amount", by=4.0), event("down", "scale", field="amount", by=0.25))
    assert hit(items, 0).any()
    assert not hit(items, 0, "potent").any()
    assert not hit(items, 1, "potent").any()
    assert not items.overrides


def test_noise_on_labels_that_never_come_is_no_noise():
    items = whole(event("noise", "label_noise"), missing="50%")
    np.testing.assert_array_equal(hit(items, column="potent"), hit(items) & (items.label_due_ns >= 0))
