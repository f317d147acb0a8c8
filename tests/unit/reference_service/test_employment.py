"""The census of `benchmarks.employment`, where its data is installed: a year's worth of people pages nobody."""

from __future__ import annotations

import pytest

from benchmarks import employment


@pytest.fixture(scope="module")
def data():
    try:
        return employment.folder()
    except employment.DataMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def bundle(data, tmp_path_factory):
    return employment.build(data, tmp_path_factory.mktemp("employment"))


def test_a_census_on_which_nothing_goes_wrong_pages_nobody(data, bundle):
    rows, alerts = employment.replay(data, bundle, at_most=50_000)
    assert rows == 50_000
    assert not {key for key in alerts if key[0] == "page"}


@pytest.mark.slow
def test_people_of_one_kind_together_do_page(data, bundle):
    """In the order of the file all who live in group quarters come at once."""
    _, alerts = employment.replay(data, bundle, file_order=True)
    assert ("page", "feature_drift", "RELP") in alerts
