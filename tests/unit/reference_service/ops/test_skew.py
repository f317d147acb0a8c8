"""Golden requests: what a client sends, through the preprocessing that serves, comes to what training made of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reference_service import assembly
from reference_service.bundle import BundleError, load
from reference_service.clock import SystemClock
from reference_service.contract import Contract, Field
from reference_service.core.cache import Cache
from reference_service.release import golden
from reference_service.settings import Settings
from reference_service.training import features, retrain
from reference_service.training.package import Window, package
from reference_service.training.pull import Data
from reference_service.training.train import Recipe, train
from reference_service.training.validate import validate
from reference_service.validation import Validator

CONTRACT = Contract(
    model="m", version="v1", entity="who",
    fields=(
        Field(name="size", kind="number", on_null="model"),
        Field(name="colour", kind="category", categories=("red", "green", "blue"), default="red"),
        Field(name="fresh", kind="boolean", on_null="model"),
    ),
)  # fmt: skip
HONEST, CENTS, CODES = (
    lambda values: values,
    lambda values: values * [100, 1, 1],
    lambda values: np.column_stack([values[:, 0], np.where(values[:, 1] < 0, -1, 2 - values[:, 1]), values[:, 2]]),
)


def built(folder, skew):
    """A bundle whose training did this to its encoded rows."""
    draw, n = np.random.default_rng(1), 6000
    size = np.where(draw.random(n) < 0.05, np.nan, draw.uniform(0, 1, n))
    colour = np.array([None, "mauve", "red", "green", "blue"], object)[draw.choice(5, n, p=[0.05, 0.05, 0.3, 0.3, 0.3])]
    fresh = np.where(draw.random(n) < 0.05, np.nan, draw.integers(0, 2, n))
    sent = {"size": size, "colour": colour, "fresh": fresh}
    values = skew(features.encode(CONTRACT, sent))
    label = (draw.random(n) < 0.1 + 0.4 * np.nan_to_num(size) + 0.4 * (colour == "blue")).astype(int)
    seen, names = features.for_model(CONTRACT, values), [field.name for field in CONTRACT.fields]
    booster = train(Recipe(seed=1, trees=20, leaves=7, min_rows_in_leaf=50), names, seen, label)
    at = np.arange(n)
    package(
        folder / "v1", contract=CONTRACT, policy={"review_from": 0.5, "block_from": 0.6}, booster=booster, sent=sent,
        window=Window(values, at, label), report=validate(label, np.asarray(booster.predict(seen)), at),
        fallback_field="colour",
    )  # fmt: skip
    return load(folder / "v1")


def test_what_training_and_serving_make_alike_is_alike_to_the_last_bit(tmp_path):
    bundle = built(tmp_path, HONEST)
    assert len(bundle.golden.requests) == 64
    assert {type(value) for row in bundle.golden.requests for value in row.values()} == {float, str, bool, type(None)}
    assert golden.skewed(bundle, Validator(bundle)) == 0


@pytest.mark.parametrize("skew", [CENTS, CODES])
def test_a_skew_that_no_row_of_the_bundle_shows_is_refused_before_it_serves(tmp_path, skew):
    bundle = built(tmp_path, skew)  # `load` finds nothing: it agrees with itself
    assert golden.skewed(bundle, Validator(bundle)) > 10
    with pytest.raises(BundleError, match="of 64 requests come out otherwise than in training"):
        assemble(bundle)


def assemble(bundle):
    """The bundle, made answerable."""
    return assembly.assembler(Settings(), SystemClock(), {}, columns=(), cache=Cache(1 << 10), foreign=[])(bundle)


@pytest.mark.parametrize("skew", [HONEST, CENTS, CODES])
def test_a_retrained_bundle_is_held_against_what_was_sent_or_written_down_as_well(tmp_path, skew):
    champion = built(tmp_path, HONEST)
    draw, n = np.random.default_rng(2), 6000
    received = np.column_stack([draw.uniform(0, 1, n), draw.integers(-1, 3, n), draw.integers(0, 2, n)]).astype(float)
    received[::7] = np.nan
    sent = features.decode(CONTRACT, received)
    assert set(sent["colour"].tolist()) == {None, "\0", "red", "green", "blue"}
    np.testing.assert_array_equal(features.encode(CONTRACT, sent), received)
    labels = (draw.random(n) < 0.1 + 0.4 * np.nan_to_num(received[:, 0]) + 0.4 * (received[:, 1] == 2)).astype(int)
    data = Data(received, np.arange(n), labels, sent)
    trained = replace(data, values=skew(data.values))  # between what was pulled and what the model learns from
    candidate = retrain.fit(champion, trained, Recipe(seed=1, trees=20, leaves=7, min_rows_in_leaf=50))
    place = retrain.pack(champion, candidate, "v2", tmp_path / "staging")
    bundle = load(place)
    assert len(bundle.golden.requests) == 64
    if skew is HONEST:
        assert assemble(bundle).version == "v2"
    else:
        with pytest.raises(BundleError, match="of 64 requests come out otherwise than in training"):
            assemble(bundle)
