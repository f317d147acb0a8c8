"""What a target's digest covers: of another one no clean twin is taken over."""

from __future__ import annotations

import json

import pytest

from simulator.targets.load import digest, load


@pytest.mark.parametrize("where", [{"feature_store": "$here/table"}, {"deep": [{"er": "$here/table"}]}])
def test_another_table_of_features_is_another_target(tmp_path, where):
    path, table = tmp_path / "t.target.yaml", tmp_path / "table"
    path.write_text(json.dumps({"target": 1, "start": {"url": "http://x", "settings": where}, "protocol": "json"}))
    found = []
    for content in ("a", "b", "a"):
        table.write_text(content)
        found.append(digest(path, load(path)))
    assert found[0] == found[2] != found[1]
