"""Rules are a version like any other: compiled, verified, and equal to what a person reads in them."""

from __future__ import annotations

import numpy as np
import pytest

from reference_service.bundle import load
from reference_service.contract import Contract, Field
from reference_service.training import features
from reference_service.training.package import Window, package
from reference_service.training.rules import Condition, Rule, booster
from reference_service.training.validate import validate

CONTRACT = Contract(
    model="m", version="rules", entity="who",
    fields=(
        Field(name="size", kind="number", on_null="model"),
        Field(name="colour", kind="category", categories=("red", "green", "blue"), on_null="model"),
        Field(name="fresh", kind="boolean", on_null="model"),
    ),
)  # fmt: skip
BASE = -2.0
RULES = (
    Rule(1.5, (Condition("size", above=0.5),)),
    Rule(0.75, (Condition("colour", equals="green"), Condition("size", above=0.25), Condition("fresh", equals=True))),
    Rule(-0.5, (Condition("fresh", equals=False),)),
    Rule(0.25, (Condition("colour", equals="red"),)),
)


def points(size, colour, fresh):
    """The same, as a person would say it."""
    total = BASE
    total += 1.5 * (size > 0.5)
    total += 0.75 * (colour == "green" and size > 0.25 and fresh == 1)
    total += -0.5 * (fresh == 0)
    return total + 0.25 * (colour == "red")


def test_a_packaged_bundle_of_rules_says_what_the_rules_say(tmp_path):
    draw, n = np.random.default_rng(1), 2000
    size = np.where(draw.random(n) < 0.1, np.nan, draw.choice([0, 0.25, 0.3, 0.5, 0.6, 1], n))
    colour = draw.choice(np.array([None, "mauve", "red", "green", "blue"], object), n)
    fresh = np.where(draw.random(n) < 0.1, np.nan, draw.integers(0, 2, n))
    sent = {"size": size, "colour": colour, "fresh": fresh}
    values, model = features.encode(CONTRACT, sent), booster(CONTRACT, BASE, RULES)
    label = (draw.random(n) < 0.3).astype(int)
    report = validate(label, np.asarray(model.predict(features.for_model(CONTRACT, values))), np.arange(n))
    package(
        tmp_path / "rules", contract=CONTRACT, policy={}, booster=model, sent=sent, report=report,
        window=Window(values, np.arange(n), label), fallback_field="colour",
    )  # fmt: skip
    said = load(tmp_path / "rules").scores(values)
    wanted = [points(*row) for row in zip(size, colour, fresh, strict=True)]
    np.testing.assert_allclose(said, wanted, rtol=0, atol=1e-12)
    assert len(set(np.round(wanted, 6))) > 8


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        ((), "needs a condition"),
        ((Condition("weight", above=1.0),), "no field weight"),
        ((Condition("size"),), "size: either"),
        ((Condition("size", above=1.0, equals=True),), "size: either"),
        ((Condition("colour", equals="mauve"),), "colour is never 'mauve'"),
        ((Condition("size", equals=True),), "size is never True"),
    ],
)
def test_a_condition_that_cannot_hold_is_an_error(conditions, why):
    with pytest.raises(ValueError, match=why):
        booster(CONTRACT, BASE, (Rule(1.0, conditions),))
