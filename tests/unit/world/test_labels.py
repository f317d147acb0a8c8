from __future__ import annotations

import numpy as np
import pytest

from simulator.scenario.model import Labels
from simulator.scenario.quantities import HOUR, MINUTE
from simulator.world import labels
from simulator.world.keyed import Draw
from simulator.world.population import Truth

DRAW = Draw(5, "main")
INDEX = np.arange(50_000)
EVENT = INDEX * 1000
NATURAL = np.where(INDEX % 10 == 0, -1, 7 * HOUR)
TRUTH = Truth(label=np.where(INDEX % 10 == 0, -1, 1).astype(np.int8), label_after_ns=NATURAL)


def after(**given):
    due = labels.due_ns(DRAW, INDEX, EVENT, TRUTH, Labels.model_validate(given))
    return np.where(due == -1, -1, due - EVENT)


def test_without_a_delay_labels_come_at_their_own_moments():
    np.testing.assert_array_equal(after(), NATURAL)


def test_a_delay_is_the_lognormal_through_its_two_quantiles():
    late = after(delay={"median": "45m", "p95": "3h"})
    late = late[late >= 0]
    assert np.median(late) == pytest.approx(45 * MINUTE, rel=0.02)
    assert np.quantile(late, 0.95) == pytest.approx(3 * HOUR, rel=0.03)
    # Lognormal: the 5 % quantile mirrors the 95 % quantile around the median on the log scale.
    assert np.quantile(late, 0.05) == pytest.approx((45 * MINUTE) ** 2 / (3 * HOUR), rel=0.03)


def test_equal_quantiles_are_a_constant_delay():
    late = after(delay={"median": "1h", "p95": "1h"})
    assert set(late.tolist()) == {-1, HOUR}


def test_what_never_comes_by_nature_does_not_come_with_a_delay():
    assert (after(delay={"median": "45m", "p95": "3h"})[INDEX % 10 == 0] == -1).all()


def test_missing_labels_are_a_share_and_leave_the_others_alone():
    some, every = after(missing="20%"), after()
    gone = (some == -1) & (every != -1)
    assert gone.sum() / (every != -1).sum() == pytest.approx(0.2, abs=0.01)
    np.testing.assert_array_equal(some[~gone], every[~gone])


@pytest.mark.parametrize("given", [{"median": 0, "p95": "1h"}, {"median": "2h", "p95": "1h"}])
def test_impossible_delays_are_refused(given):
    with pytest.raises(ValueError, match="0 < median <= p95"):
        labels.due_ns(DRAW, INDEX, EVENT, TRUTH, Labels.model_validate({"delay": given}))
