"""A few clean seeds of the campaign that `python -m benchmarks.clean_seeds` runs by the hundred."""

from __future__ import annotations

from benchmarks.clean_seeds import campaign
from simulator.verdict import Status


def test_clean_seeds_are_certified():
    assert campaign(range(1, 6)) == dict.fromkeys(range(1, 6), Status.PASS)
