"""An event starts with its first item, and that item is one of its own (S1), however late the driver sent it."""

from __future__ import annotations

import numpy as np
from histories import columns, run, scenario, touched

from simulator.checks import selection
from simulator.checks.windows import resolve
from simulator.drivers.receipts import realise
from simulator.scenario.quantities import SECOND

END = 1800 * SECOND
LAG = 3_000_000


def test_what_left_a_little_late_is_in_the_window_of_its_own_event():
    world = scenario({"id": "it", "handled": {"by": ["reject"], "min": 0.5}, "of": "e"})
    plain = columns(touched=touched(), potent=touched())
    history = run(plain | {"sent_ns": plain["scheduled_ns"] + LAG}, driver="live")
    (record,) = realise(world, history, {}, END, {})
    assert (record.scheduled_ns, record.start_ns) == (600 * SECOND, 600 * SECOND)
    known = run(history.items, driver="live", events=(record,))
    chosen = selection.rows(world.then[0], known, resolve(world.then[0], world, known), of="e")
    assert np.array_equal(chosen, known.items["touched"] > 0)


def test_it_starts_with_the_first_item_that_left_at_all():
    world = scenario({"id": "it", "handled": {"by": ["reject"], "min": 0.5}, "of": "e"})
    plain = columns(touched=touched(), potent=touched())
    plain["sent_ns"][600:605] = -1
    (record,) = realise(world, run(plain), {}, END, {})
    assert (record.scheduled_ns, record.start_ns) == (600 * SECOND, 605 * SECOND)
