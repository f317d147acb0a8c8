"""Labels that come a second time: once more each, and only what came is on the receipt."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from simulator.drivers.labels import LabelFeed, Twice
from simulator.scenario.quantities import MINUTE
from simulator.scenario.verbs import Event

EVENT = Event.model_validate({"event": "again", "at": "0s", "label_twice": {"after": "10m"}})
ITEMS = [(5, "a", 0, 1), (6, "b", 0, 0), (7, "c", 0, 1)]


@pytest.fixture
def feed():
    return LabelFeed(MINUTE, lambda _: None)


@pytest.fixture
def twice():
    found = Twice([EVENT])
    touched = np.array([1, 0, 1], dtype=np.uint64)
    found.planned(SimpleNamespace(touched=touched, copy=np.zeros(3, np.int16)), 5)
    return found


def test_what_is_touched_comes_once_more_and_is_new_only_the_first_time(twice, feed):
    assert twice.delivered(ITEMS, 3 * MINUTE, feed) == ITEMS
    assert feed.take(13 * MINUTE) == [[ITEMS[0], ITEMS[2]]]
    assert twice.delivered([ITEMS[0], ITEMS[2]], 13 * MINUTE, feed) == []
    assert feed.take(23 * MINUTE) == []  # and no third time


def test_a_second_delivery_that_was_due_and_did_not_come_is_missing_on_the_receipt(twice, feed):
    twice.delivered(ITEMS, 3 * MINUTE, feed)
    twice.delivered(ITEMS[:1], 13 * MINUTE, feed)
    assert twice.receipt(0, 20 * MINUTE) == (2, 1)
    assert twice.receipt(0, 13 * MINUTE) == (1, 1)  # the other was not due by then
