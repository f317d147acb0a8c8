"""The dashboard is what Grafana loads: panels in their places, one datasource, and queries that Prometheus can read.

Grafana itself is no package of Debian or Python, so this is its documented model of a dashboard and not a screen.
"""

import json
import shutil
import subprocess
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
DASHBOARD = json.loads((ROOT / "ops/grafana.json").read_text(encoding="utf-8"))
PANELS = DASHBOARD["panels"]
COLUMNS = 24  # of Grafana's grid


def test_it_has_an_identity_and_asks_one_datasource_that_its_reader_picks():
    assert DASHBOARD["uid"]
    assert len(DASHBOARD["uid"]) <= 40
    assert DASHBOARD["title"]
    assert DASHBOARD["schemaVersion"] >= 36  # datasources are objects with a uid
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    asked = {json.dumps(one["datasource"], sort_keys=True) for panel in PANELS for one in (panel, *panel["targets"])}
    assert asked == {json.dumps({"type": "prometheus", "uid": "${" + variable["name"] + "}"})}


def test_every_panel_has_a_name_a_place_and_queries():
    assert len({panel["id"] for panel in PANELS}) == len({panel["title"] for panel in PANELS}) == len(PANELS) > 5
    for panel in PANELS:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= COLUMNS
        names = [target["refId"] for target in panel["targets"]]
        assert names
        assert len(set(names)) == len(names)
    for a, b in combinations((panel["gridPos"] for panel in PANELS), 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed; it comes with Prometheus")
def test_prometheus_can_read_every_query(tmp_path):
    asked = [target["expr"] for panel in PANELS for target in panel["targets"]]
    rules = [{"record": f"panel:query:{k}", "expr": expression} for k, expression in enumerate(asked)]
    path = tmp_path / "rules.yaml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, check=False)  # noqa: S607 - wherever it is installed
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(asked)} rules found" in done.stdout
