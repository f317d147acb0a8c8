"""One of two workers lacks a safeguard, and a scenario sees it. A pair that is whole passes."""

from __future__ import annotations

import pytest

import seatrial

pytestmark = pytest.mark.slow  # half a minute; what one worker lacks is in the default run

PAIRS = [
    ("one_of_two_does_not_validate", "renamed_field", {"handled"}),
    ("one_of_two_has_no_fallback", "feature_store_outage", {"covers", "up"}),
    ("one_of_two_is_not_counted", "dropped_and_retyped", {"counted"}),
]


@pytest.mark.parametrize("scenario", ["renamed_field", "feature_store_outage"])
def test_a_whole_pair_passes(grounds, scenario):
    """Not held to its metrics: who adds up those of two workers is the server, which is not here."""
    seatrial.assert_certified(grounds.trial(scenario, "pairs:honest_pair"))


@pytest.mark.parametrize(("pair", "scenario", "caught_by"), PAIRS, ids=[name for name, *_ in PAIRS])
def test_half_a_safeguard_is_refused(grounds, pair, scenario, caught_by):
    grounds.refused(f"pairs:{pair}", scenario, caught_by)
