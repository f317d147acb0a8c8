"""Puts this folder on the path, so that tests can import the builders that stand beside it.

Live tests are `alone` unless they say that they may run `beside` others.
"""

from pathlib import Path

import pytest

LIVE = Path(__file__).parent / "live"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A driver that is late decides nothing, so whoever needs one on time has the machine to itself."""
    for item in items:
        if LIVE in item.path.parents and item.get_closest_marker("beside") is None:
            item.add_marker("alone")
