"""A retrained model gets as far as it deserves: compared, gated, shadowed, put before a few, then before all."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import sys

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import MINUTE, SECOND, HandClock, plain, run

from reference_service import bundle as bundles
from reference_service.contract import Contract, Field
from reference_service.training import retrain as retraining
from reference_service.training.gate import command as by_command
from reference_service.training.gate import examination
from reference_service.training.package import Window, package
from reference_service.training.pull import Data, Refused, pull
from reference_service.training.retrain import due, retrain
from reference_service.training.rollout import roll_out
from reference_service.training.train import Recipe, train
from reference_service.training.validate import UNKNOWN, auc, validate

CONTRACT = Contract(
    model="m", version="v1", entity="who",
    fields=(Field(name="size", kind="number"), Field(name="colour", kind="category", categories=("red", "green"))),
)  # fmt: skip
RECIPE = Recipe(seed=1, trees=20, leaves=7, min_rows_in_leaf=50)
PASSES, FAILS = [sys.executable, "-c", ""], [sys.executable, "-c", "raise SystemExit(3)"]


def rows(n=8_000, *, seed=1, turned=False):
    draw = np.random.default_rng(seed)
    size, green = draw.uniform(0, 1, n), draw.integers(0, 2, n)
    chance = 0.1 + 0.6 * np.where(turned, 1 - size, size) * green
    label = (draw.random(n) < chance).astype(int)
    return {"size": size, "colour": np.where(green, "green", "red"), "event_ns": np.arange(n), "label": label}


def file_of(folder, **options):
    found = rows(**options)
    label = [None if k % 50 == 0 else int(v) for k, v in enumerate(found["label"])]
    pq.write_table(pa.table({**found, "label": label}), folder / "data.parquet")
    return folder / "data.parquet"


@pytest.fixture(scope="module")
def champion(tmp_path_factory):
    """The folder of a bundle that was trained before the world turned."""
    folder, found = tmp_path_factory.mktemp("champion"), rows()
    values = np.column_stack([found["size"], (found["colour"] == "green").astype(float)])
    booster = train(RECIPE, ["size", "colour"], values, found["label"])
    report = validate(found["label"], np.asarray(booster.predict(values)), found["event_ns"])
    package(folder / "v1", contract=CONTRACT, policy={"review_from": 0.5, "block_from": 0.65}, booster=booster,
            window=Window(values, found["event_ns"], found["label"]), report=report,
            fallback_field="colour")  # fmt: skip
    return folder / "v1"


def again(champion, folder, command=PASSES, **options):
    told = []
    old = bundles.load(champion)
    data = pull(file_of(folder, **options), old.contract)
    gate = by_command(command)
    place = retrain(old, data, "v2", staging=folder / "staging", gate=gate, recipe=RECIPE, tell=told.append)
    return place, told


def test_after_the_world_has_turned_a_better_model_comes_out_with_the_same_work_for_people(champion, tmp_path):
    place, told = again(champion, tmp_path, seed=2, turned=True)
    new, old = bundles.load(place), bundles.load(champion)
    assert (new.version, place.parent.name) == ("v2", "staging")
    assert new.contract.fields == old.contract.fields
    assert 0 < new.policy["review_from"] <= new.policy["block_from"] < 1
    assert new.profile.brier < 0.25
    assert "has passed the gate" in told[-1]


def test_a_model_that_is_worse_than_the_champion_is_refused_before_anything_is_packed(champion, tmp_path, monkeypatch):
    fit = retraining.train
    monkeypatch.setattr(retraining, "train", lambda r, names, x, y, w: fit(r, names, x, 1 - y, w))
    with pytest.raises(Refused, match="compare: Brier"):
        again(champion, tmp_path, seed=3)
    assert not (tmp_path / "staging").exists()


@pytest.mark.parametrize(("command", "why"), [(FAILS, "ended with 3"), ([], "no command is configured")])
def test_nothing_passes_that_the_gate_has_not_let_through(champion, tmp_path, command, why):
    with pytest.raises(Refused, match=why):
        again(champion, tmp_path, command, seed=2, turned=True)


def test_the_gate_sees_the_very_bundle(champion, tmp_path):
    look = "import os, pathlib; p = pathlib.Path(os.environ['SEATRIAL_BUNDLES'], os.environ['SEATRIAL_VERSION'])"
    again(
        champion,
        tmp_path,
        [sys.executable, "-c", f"{look}; assert (p / 'manifest.json').exists()"],
        seed=2,
        turned=True,
    )


def test_data_without_a_column_or_without_labels_are_refused(champion, tmp_path):
    found = rows(2_000)
    pq.write_table(pa.table({k: v for k, v in found.items() if k != "size"}), tmp_path / "d.parquet")
    with pytest.raises(Refused, match="no column size"):
        pull(tmp_path / "d.parquet", CONTRACT)
    with pytest.raises(Refused, match="later labelled rows"):
        again(champion, tmp_path, n=2_000)


def test_nothing_is_learned_where_refusals_keep_their_truth(champion, tmp_path):
    """Unless a share of them was let through at random, and these have labels."""
    old = bundles.load(champion)
    data = pull(file_of(tmp_path, seed=5), old.contract)
    refused = np.arange(len(data.labels)) % 20 == 0
    hidden = dataclasses.replace(data, labels=np.where(refused, -1, data.labels), refused=refused)
    with pytest.raises(Refused, match=rf"fit: unidentifiable: none of {refused.sum()} refusals has a label"):
        retraining.fit(old, hidden, RECIPE)
    explored = np.flatnonzero(refused & (data.labels >= 0))[:1]
    labels = hidden.labels.copy()
    labels[explored] = data.labels[explored]
    assert retraining.fit(old, dataclasses.replace(hidden, labels=labels), RECIPE).report.n
    # So few that they may all have no label by chance say nothing.
    few = np.flatnonzero(data.labels >= 0)[:1]
    labels = data.labels.copy()
    labels[few] = -1
    assert retraining.fit(
        old, dataclasses.replace(data, labels=labels, refused=np.isin(np.arange(len(labels)), few)), RECIPE
    )


def test_a_file_of_decisions_says_what_was_refused_and_what_was_let_through(tmp_path):
    table = pq.read_table(file_of(tmp_path, seed=5))
    n = len(table)
    told = {
        "decision": ["block" if k == 0 else "approve" for k in range(n)],
        "reasons": ["explored:0.05" if k == 1 else None for k in range(n)],
    }
    for name, column in told.items():
        table = table.append_column(name, pa.array(column))
    pq.write_table(table, tmp_path / "decided.parquet")
    found = pull(tmp_path / "decided.parquet", CONTRACT)
    assert found.refused.nonzero()[0].tolist() == [0, 1]
    assert found.propensity[:3].tolist() == [1, 0.05, 1]


@pytest.mark.parametrize("reason", ["explored:0", "explored:1.5", "explored:often"])
def test_a_file_that_names_no_probability_is_refused(tmp_path, reason):
    table = pq.read_table(file_of(tmp_path, n=10))
    for name, column in {"decision": ["approve"] * 10, "reasons": [reason] + [""] * 9}.items():
        table = table.append_column(name, pa.array(column))
    pq.write_table(table, tmp_path / "decided.parquet")
    with pytest.raises(Refused, match=f"'{reason}' names no probability"):
        pull(tmp_path / "decided.parquet", CONTRACT)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ({"label": [2, *[0] * 9]}, "a label is 2; it is 0, 1, or null"),
        ({"label": [0.5, *[0] * 9]}, "a label is 0.5"),
        ({"event_ns": [None, *range(9)]}, "event_ns is null"),
        (b"PAR1 and then nothing", "cannot be read"),
    ],
)
def test_a_file_that_nobody_can_learn_from_is_refused_with_the_reason(tmp_path, damage, why):
    place = tmp_path / "data.parquet"
    if isinstance(damage, bytes):
        place.write_bytes(damage)
    else:
        pq.write_table(pa.table({**rows(10), **damage}), place)
    with pytest.raises(Refused, match=why):
        pull(place, CONTRACT)


def test_an_examination_of_one_outcome_examines_nothing(champion, tmp_path):
    pq.write_table(pa.table({**rows(100), "label": [0] * 100}), tmp_path / "audited.parquet")
    with pytest.raises(Refused, match="of 100 audited labels all are alike"):
        examination(tmp_path / "audited.parquet", bundles.load(champion))(champion)


LET = 0.1  # of refusals, at random


def refusing(*, n=20_000, seed=11, reached=0):
    """(Data as a service has them that refuses by what it knows beyond the model's fields, what would have become of
    all): a label comes for whom was not refused, for whom was let through, and for the first of the others."""
    draw = np.random.default_rng(seed)
    found = rows(n, seed=seed)
    values, label = np.column_stack([found["size"], (found["colour"] == "green").astype(float)]), found["label"]
    refused = draw.random(n) < np.where(label, 0.6, 0.05)
    let = refused & (draw.random(n) < LET)
    known = ~refused | let
    known[np.flatnonzero(refused & ~let)[:reached]] = True
    sent = {"size": found["size"], "colour": found["colour"]}
    labels = np.where(known, label, -1)
    return Data(values, found["event_ns"], labels, sent, refused, np.where(let, LET, 1.0)), label


def of_all(fitted, values, label):
    """Brier score, positive rate, AUC and mean prediction on everybody of the later fifth, by the world's truth."""
    later = np.arange(len(label)) >= 0.8 * len(label)
    predicted = np.asarray(fitted.booster.predict(values[later]))
    truth = validate(label[later], predicted, np.arange(later.sum()))
    return truth, float(predicted.mean())


@pytest.mark.parametrize("reached", [0, 1000])
def test_who_was_let_through_stands_for_all_refused_and_then_a_model_is_right_about_everybody(
    champion, tmp_path, reached
):
    data, label = refusing(reached=reached)
    old = bundles.load(champion)
    weighted = retraining.fit(old, data, RECIPE)
    truth, mean = of_all(weighted, data.values, label)
    rate = truth.positive_rate
    assert rate == pytest.approx(0.25, abs=0.02)
    assert mean == pytest.approx(rate, abs=0.02)
    assert weighted.report.positive_rate == pytest.approx(rate, abs=0.03)
    assert weighted.report.brier == pytest.approx(truth.brier, abs=0.02)
    assert weighted.report.auc == pytest.approx(truth.auc, abs=0.03)
    profile = bundles.load(retraining.pack(old, weighted, "v2", tmp_path)).profile
    assert profile.fallback_otherwise == pytest.approx(rate, abs=0.02)
    by_colour = {name: label[data.sent["colour"] == name].mean() for name in ("red", "green")}
    assert profile.fallback_rates == pytest.approx(by_colour, abs=0.03)
    calibrated = profile.calibration[np.searchsorted(profile.calibration_cuts, weighted.booster.predict(data.values))]
    assert calibrated.mean() == pytest.approx(rate, abs=0.03)


def test_who_lets_labels_count_as_they_come_learns_of_another_world_and_is_sure_of_itself(champion):
    """What the weights are for: without them the model is wrong about everybody, and its report does not tell."""
    data, label = refusing()
    old = bundles.load(champion)
    weighted, _ = of_all(retraining.fit(old, data, RECIPE), data.values, label)
    naive = retraining.fit(old, dataclasses.replace(data, propensity=None), RECIPE)
    truth, mean = of_all(naive, data.values, label)
    assert mean < truth.positive_rate - 0.05
    assert naive.report.brier < truth.brier - 0.05
    assert truth.brier > weighted.brier + 0.003


def test_where_nobody_was_let_through_nothing_changes(champion, tmp_path):
    data, _ = refusing(n=10_000, reached=9_000)
    old, digests = bundles.load(champion), set()
    for name, chance in (("none", None), ("ones", np.ones(len(data.labels)))):
        known = dataclasses.replace(data, labels=np.where(data.propensity < 1, -1, data.labels), propensity=chance)
        place = retraining.pack(old, retraining.fit(old, known, RECIPE), "v2", tmp_path / name)
        digests.add(bundles.load(place).digest)
    assert len(digests) == 1


def test_few_that_stand_for_many_are_worth_few(champion):
    data, _ = refusing(n=8_000)
    rare = dataclasses.replace(data, propensity=np.where(data.propensity < 1, 0.01, 1.0))
    with pytest.raises(Refused, match=r"fit: 1\d{3} later labelled rows, worth \d{2,3} of equal weight"):
        retraining.fit(bundles.load(champion), rare, RECIPE)


def test_an_examination_counts_who_was_let_through_for_all(champion, tmp_path):
    old = bundles.load(champion)
    found = rows(4_000, seed=12)
    let = (found["size"] > 0.5) & (np.arange(4_000) % 2 == 0)
    table = pa.table({
        **found, "decision": ["approve"] * 4_000, "reasons": ["explored:0.25" if each else "" for each in let],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "audited.parquet")
    data = pull(tmp_path / "audited.parquet", CONTRACT)
    each = np.repeat(np.arange(4_000), np.where(let, 4, 1))
    expected, plainly = (auc(found["label"][k], old.margin(old.codes(data.values[k]))) for k in (each, slice(None)))
    assert abs(expected - plainly) > 0.01
    with pytest.raises(Refused, match=f"gate: AUC {expected:.3f} on 4000 audited rows"):
        examination(tmp_path / "audited.parquet", old, most=-1)(champion)


@pytest.mark.parametrize("reversed_labels", [False, True])
def test_an_examination_refuses_what_was_learned_from_labels_that_say_the_opposite(champion, tmp_path, reversed_labels):
    old = bundles.load(champion)
    data = pull(file_of(tmp_path, seed=5), old.contract)
    labels = np.where(data.labels < 0, -1, 1 - data.labels) if reversed_labels else data.labels
    fitted = retraining.fit(old, Data(data.values, data.event_ns, labels, data.sent), RECIPE)
    # On its own later rows it is no worse than the champion: only who knows the truth can tell.
    place = retraining.pack(old, retraining.compare(fitted, 1.05), "v3", tmp_path / "staging")
    (tmp_path / "audited").mkdir()
    gate = examination(file_of(tmp_path / "audited", seed=6), old)
    if reversed_labels:
        with pytest.raises(Refused, match=r"gate: AUC 0\.\d+ on \d+ audited rows"):
            gate(place)
    else:
        gate(place)


def test_an_examination_refuses_what_is_too_good_to_be_true(champion, tmp_path):
    old = bundles.load(champion)
    data = pull(file_of(tmp_path, seed=9), old.contract)
    # Nine positives of ten have a size that nothing else has; the others are told by what there always was.
    leaked = (data.labels == 1) & (np.arange(len(data.labels)) % 10 > 0)
    values = np.where(leaked[:, None] & [True, False], 0.987654321, data.values)
    fitted = retraining.compare(retraining.fit(old, Data(values, data.event_ns, data.labels, data.sent), RECIPE))
    place = retraining.pack(old, fitted, "v3", tmp_path / "staging")
    claimed = bundles.load(place).profile
    assert claimed.auc > 0.9
    assert 0 < claimed.auc_error < 0.01
    (tmp_path / "audited").mkdir()
    with pytest.raises(Refused, match="too good to be true, so look for a field that knows the label"):
        examination(file_of(tmp_path / "audited", seed=6), old, most=1.0)(place)


@pytest.mark.parametrize(
    ("known", "why"), [((False, False), "nobody can tell"), ((True, False), ""), ((False, True), "")]
)
def test_an_examination_that_cannot_look_for_leaks_lets_nothing_through(champion, tmp_path, monkeypatch, known, why):
    ours = bundles.load(champion)
    profiles = [ours.profile if each else dataclasses.replace(ours.profile, auc_error=UNKNOWN) for each in known]
    candidate, old = (dataclasses.replace(ours, profile=profile) for profile in profiles)
    monkeypatch.setattr("reference_service.training.gate.bundles.load", lambda _place: candidate)
    gate = examination(file_of(tmp_path, seed=6), old)
    if why:
        with pytest.raises(Refused, match=why):
            gate(champion)
    else:
        gate(champion)


@pytest.mark.parametrize("told_lies", [False, True])
def test_an_examination_refuses_what_has_learned_to_suspect_one_group(champion, tmp_path, told_lies):
    old, found = bundles.load(champion), rows(20_000, seed=7)
    values = np.column_stack([found["size"], (found["colour"] == "green").astype(float)])
    policy = dict(old.policy) | {"group_field": "colour", "review_from": 0.3}
    fine = Recipe(seed=1, trees=60, leaves=15, min_rows_in_leaf=50)  # scores without plateaus, on which borders jump
    package(tmp_path / "fair", contract=CONTRACT, policy=policy, held_out=np.arange(20_000), fallback_field="colour",
            report=validate(found["label"], values[:, 0], found["event_ns"]),
            booster=train(fine, ["size", "colour"], values, found["label"]),
            window=Window(values, found["event_ns"], found["label"]))  # fmt: skip
    fair = bundles.load(tmp_path / "fair")
    assert set(fair.profile.group_errors) == {"green", "red"}
    # Every second red one is reported as a positive; that few of them are is known to the audit alone.
    lies = np.where((found["colour"] == "red") & (np.arange(20_000) % 2 == 0) & told_lies, 1, found["label"])
    data = Data(values, found["event_ns"], lies, {"size": found["size"], "colour": found["colour"]})
    place = retraining.pack(fair, retraining.fit(fair, data, fine), "v3", tmp_path / "staging")
    gate = examination(file_of(tmp_path, seed=8), fair, most=1.0)  # however badly it ranks
    if told_lies:
        with pytest.raises(Refused, match="gate: about red it is wrong more often"):
            gate(place)
    else:
        gate(place)


def test_it_is_due_by_schedule_or_by_evidence_and_a_broken_field_is_none():
    assert due([], 0, 10, 5) == "schedule"
    assert due([], 0, 4, 5) == due([], 0, 100, 0) == ""
    assert due(["null_rate", "concept_drift"], 0, 0, 0) == "concept_drift"
    assert due(["feature_drift", "schema_change"], 0, 0, 0) == ""


# ---------------------------------------------------------------- before customers


def rolled(h, version="v2", **options):
    """The outcome of a roll-out while traffic goes on."""

    async def call(method, path, body):
        status, reply = await h.call(method, path, b"" if body is None else json.dumps(body).encode())
        return status, json.loads(reply)

    async def traffic(task):
        k = 0
        while not task.done():
            for _ in range(5):
                await h.infer(plain(k))
                k += 1
            h.tick()
            await h.clock.advance(SECOND)

    async def both():
        task = asyncio.get_running_loop().create_task(
            roll_out(call, version, h.clock, shadow_ns=MINUTE, canary_ns=2 * MINUTE, share=0.3, **options)
        )
        await traffic(task)
        return task.result()

    return both()


def test_a_sound_version_is_shadowed_put_before_a_few_and_promoted(harness):
    async def body():
        h = harness()
        assert await rolled(h) == ("promoted", "")
        assert h.service.releases.champion.version == "v2"
        assert [each.by for each in h.service.releases.history][:2] == ["shadow", "canary"]

    run(body())


@pytest.mark.parametrize("after", [40 * SECOND, 2 * MINUTE - SECOND])  # between two looks, and before the last word
def test_a_version_that_the_service_promotes_by_itself_is_promoted(harness, after):
    async def body():
        h = harness(policy={"promote_after_ns": after, "promote_answers": 20})
        assert await rolled(h) == ("promoted", "watched without a finding")
        assert h.service.releases.champion.version == "v2"

    run(body())


def test_a_version_that_is_promoted_between_the_last_look_and_the_last_word_is_promoted():
    said = {"canary": []}

    async def call(method, path, _):
        if method == "GET":
            said["canary"].append("held_back" if "promote" in said else "on_trial")
            release = {"id": 1, "version": "v2", "state": said["canary"][-1], "reason": "seen enough"}
            return 200, {"releases": [release]}
        if path.endswith("promote"):
            said["promote"] = True
            return 409, {"detail": "no canary is on trial"}
        return 202, {"id": 1}

    async def body():
        clock = HandClock()
        task = asyncio.get_running_loop().create_task(roll_out(call, "v2", clock, shadow_ns=0, canary_ns=SECOND))
        await clock.advance(MINUTE)
        return await task

    assert run(body()) == ("promoted", "seen enough")


def controlled(answers):
    """The outcome of a roll-out of v2, and what was asked; `answers`: (method, path's end, how often asked) → reply."""
    asked = []

    async def call(method, path, _):
        asked.append((method, path.rpartition("/")[2]))
        return answers(*asked[-1], asked.count(asked[-1]))

    async def body():
        clock = HandClock()
        task = asyncio.get_running_loop().create_task(roll_out(call, "v2", clock, shadow_ns=MINUTE, canary_ns=MINUTE))
        await clock.advance(30 * MINUTE)
        return task.result()

    return run(body()), asked


def on_trial(number, version="v2"):
    return 200, {"releases": [{"id": number, "version": version, "state": "on_trial", "reason": ""}]}


@pytest.mark.parametrize("away", [3, 1_000])
def test_a_service_that_starts_again_is_waited_for(away):
    """Its canary is on trial all the while; what nobody answers is no rollback, and no traceback."""

    def answers(method, what, often):
        if what == "promote":
            return (503, {"detail": "nobody"}) if often <= away else (202, {})
        if method == "POST":
            return 202, {"id": 1}
        return (503, {}) if often % 2 or away > 3 else on_trial(1)

    outcome, asked = controlled(answers)
    assert outcome == (("promoted", "") if away == 3 else ("refused", "promote: nobody"))
    assert asked.count(("POST", "promote")) == (4 if away == 3 else 61)


@pytest.mark.parametrize("found", [(200, {"releases": []}), on_trial(1, "v3")])
def test_a_release_that_the_service_has_forgotten_is_not_promoted(found):
    (outcome, why), asked = controlled(lambda method, _what, _often: (202, {"id": 1}) if method == "POST" else found)
    assert outcome == "rolled_back"
    assert "knows nothing of it any more" in why
    assert ("POST", "promote") not in asked


def test_a_version_that_fails_comes_back_and_is_not_promoted(harness):
    async def body():
        broken = lambda call: lambda version, values: math.nan if version == "v2" else call(version, values)  # noqa: E731
        h = harness({"model": broken})
        outcome, why = await rolled(h)
        assert outcome == "rolled_back"
        assert why
        assert h.service.releases.champion.version == "v1"

    run(body())


def test_a_version_that_is_not_there_is_refused(harness):
    async def body():
        assert (await rolled(harness(), "v9"))[0] == "refused"

    run(body())


def test_the_candidate_is_plain_data_for_a_scheduler(champion, tmp_path):
    old = bundles.load(champion)
    data = pull(file_of(tmp_path, seed=4, turned=True), old.contract)
    candidate = retraining.compare(retraining.fit(old, data, RECIPE))
    place = retraining.pack(old, candidate, "v3", tmp_path)
    by_command(PASSES)(place)
    assert msgspec.json.decode((place / "contract.json").read_bytes())["version"] == "v3"
