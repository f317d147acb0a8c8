"""Prometheus' text format, as far as trials look at it."""

from __future__ import annotations

from simulator.drivers.exposition import counted, serving
from simulator.targets.model import Metrics

METRICS = Metrics(path="/metrics", requests="n_total", build="built")
TEXT = r"""# HELP n_total Requests.
# TYPE n_total counter
n_total{code="200",method="a"} 7
n_total{code="200",method="b"} 1e1
n_total{code="422"} 2 1700000000000
other{said="a \"quoted\" } brace"} +Inf
plain 3
built{version="v1"} 0
built{version="v2",bundle="x"} 1
"""


def test_a_counter_is_summed_by_status_and_a_gauge_names_what_it_says_one_of():
    found = counted(200, TEXT.encode(), METRICS)
    assert found == {"requests": {"200": 17, "422": 2}, "versions": ["v2"], "series": 7, "why": ""}


def test_what_cannot_be_read_says_why():
    assert counted(503, b"", METRICS)["why"] == "/metrics answered 503"
    assert "no sample: <html>" in counted(200, b"<html>", METRICS)["why"]
    assert "no sample: n_total many" in counted(200, b"n_total many", METRICS)["why"]
    assert counted(200, b"n_total +Inf", METRICS)["why"] == "n_total counts +Inf"


def test_a_gauge_that_is_gone_names_nobody_and_one_that_was_not_asked_for_says_nothing():
    without = "\n".join(line for line in TEXT.splitlines() if not line.startswith("built"))
    assert counted(200, without.encode(), METRICS)["versions"] == [""]
    assert counted(200, without.encode(), Metrics(path="/metrics", requests="n_total"))["versions"] == []


def test_which_version_serves_is_said_or_not():
    assert serving(200, b'{"serving": "v2", "canary": null}') == "v2"
    assert serving(200, b"[]") == serving(404, b'{"serving": "v2"}') == ""
