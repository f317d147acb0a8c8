from __future__ import annotations

import pytest
from scenario_example import Example


@pytest.fixture
def example(tmp_path):
    return Example(tmp_path)
