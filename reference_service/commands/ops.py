"""``seatrial-service ops RULES --out FOLDER``: Prometheus' rules and Grafana's dashboard, made from a rules file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
from ruamel.yaml import YAML

from reference_service.api.metrics import PREFIX
from reference_service.monitor import burn
from reference_service.monitor.rules import Objective, Rules, RulesError, read
from reference_service.policy import HOUR, MINUTE

# Expressions of the events that spend a budget and of all that could, over $w.
_BAD: Final = {
    "failures": (f'sum(rate({PREFIX}_requests_total{{code=~"5.."}}[$w]))', f"sum(rate({PREFIX}_requests_total[$w]))"),
    "fallbacks": (f"sum(rate({PREFIX}_fallbacks_total[$w]))", f"sum(rate({PREFIX}_answers_total[$w]))"),
    "rejections": (f'sum(rate({PREFIX}_requests_total{{code=~"4.."}}[$w]))', f"sum(rate({PREFIX}_requests_total[$w]))"),
}
_PANELS: Final = (
    ("Requests by status", f"sum by (code) (rate({PREFIX}_requests_total[5m]))", "reqps"),
    ("99th percentile of latency",
     f"histogram_quantile(0.99, sum by (le) (rate({PREFIX}_request_duration_seconds_bucket[5m])))", "s"),
    ("Answers by source", f"sum by (source) (rate({PREFIX}_rows_total[5m]))", "ops"),
    ("Fallbacks", f"sum(rate({PREFIX}_fallbacks_total[5m])) / sum(rate({PREFIX}_answers_total[5m]))", "percentunit"),
    ("Drift of the fields (PSI)", f"{PREFIX}_psi", "none"),
    ("Drift of the scores (PSI)", f"{PREFIX}_score_psi", "none"),
    ("Confidence", f"{PREFIX}_confidence_ratio", "percentunit"),
    ("Alerts that stand", f"sum by (alertname, field, severity, owner) ({PREFIX}_alert_firing)", "none"),
    ("Cases for people", f"sum(rate({PREFIX}_review_cases_total[15m])) / sum(rate({PREFIX}_answers_total[15m]))",
     "percentunit"),
    ("CPU seconds per 1,000 predictions",
     f"1000 * sum(rate({PREFIX}_compute_seconds_total[15m])) / sum(rate({PREFIX}_answers_total[15m]))", "s"),
    ("Dependencies without an answer", f"sum by (dependency) (rate({PREFIX}_dependency_unusable_total[5m]))", "ops"),
    ("Version", f"{PREFIX}_build_info", "none"),
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Write both files."""
    parser = argparse.ArgumentParser(prog="seatrial-service ops", description="Make rules and a dashboard.")
    parser.add_argument("rules", type=Path, help="rules file, see ops/alert-rules.yaml")
    parser.add_argument("--out", type=Path, default=Path("ops"), help="folder to write")
    options = parser.parse_args(arguments)
    try:
        found = read(options.rules)
    except (RulesError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    yaml = YAML()
    yaml.width = 4096
    with (options.out / "prometheus.rules.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(prometheus(found), file)
    (options.out / "grafana.json").write_bytes(msgspec.json.format(msgspec.json.encode(grafana(found))) + b"\n")
    print(f"written: {options.out}/prometheus.rules.yaml, {options.out}/grafana.json")
    return 0


def prometheus(rules: Rules) -> dict[str, Any]:
    """Rules of Prometheus: burn rates of every objective, what the service itself tells, and its silence."""
    groups = [{"name": f"{PREFIX}_{each.name}", "rules": _burns(each, rules)} for each in rules.objectives]
    own = [
        {
            "alert": "ServiceAlert",
            # A rule names its alert itself: what the monitor calls it needs a label of its own, or two of one field
            # would be one. Replicas see the same trouble; people are told once.
            "expr": f'max by (monitor, field, owner) (label_replace({PREFIX}_alert_firing{{severity="page"}}, '
            '"monitor", "$1", "alertname", "(.*)")) == 1',
            "labels": {"severity": "page"},
            "annotations": {"summary": "{{ $labels.monitor }} of {{ $labels.field }} ({{ $labels.owner }})"},
        },
        {
            "alert": "ServiceSilent",
            "expr": f"absent({PREFIX}_build_info)",
            "for": "5m",
            "labels": {"severity": "page", "owner": rules.owner},
            "annotations": {"summary": "nothing is heard of the service"},
        },
        {
            "alert": "AlertsUndelivered",
            "expr": f"increase({PREFIX}_alerts_failed_total[15m]) > 5",
            "labels": {"severity": "ticket", "owner": rules.owner},
            "annotations": {"summary": "alerts do not reach {{ $labels.route }}"},
        },
    ]
    return {"groups": [*groups, {"name": PREFIX, "rules": own}]}


def _burns(objective: Objective, rules: Rules) -> list[dict[str, Any]]:
    budget = f"{1 - objective.target:.6g}"
    found = []
    for name, severity, long_ns, short_ns, limit in burn.ALERTS:
        both = " and ".join(
            f"({_share(objective.of, window)}) > {limit:g} * {budget}"
            for window in (_spelled(long_ns), _spelled(short_ns))
        )
        found.append(
            {
                "alert": "FastBurn" if name == "fast_burn" else "SlowBurn",
                "expr": both,
                "labels": {
                    "severity": severity,
                    "owner": objective.owner or rules.owner,
                    "objective": objective.name,
                    "window": _spelled(long_ns),
                },
                "annotations": {"summary": f"{objective.of} spend the budget of {objective.target:.4g} too fast"},
            }
        )
    return found


def _share(of: str, window: str) -> str:
    bad, total = (expression.replace("$w", window) for expression in _BAD[of])
    return f"{bad} / {total}"


def _spelled(ns: int) -> str:
    return f"{ns // HOUR}h" if ns % HOUR == 0 else f"{ns // MINUTE}m"


def grafana(rules: Rules) -> dict[str, Any]:
    """A dashboard: what is answered, what is monitored, what is spent."""
    budgets = [
        (f"Budget of {each.name}: burn rate over 1 h", f"({_share(each.of, '1h')}) / {1 - each.target:.6g}", "none")
        for each in rules.objectives
    ]
    source = {"type": "prometheus", "uid": "${datasource}"}
    panels = [
        {
            "id": index + 1,
            "title": title,
            "type": "timeseries",
            "datasource": source,
            "gridPos": {"h": 8, "w": 8, "x": index % 3 * 8, "y": index // 3 * 8},
            "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
            "targets": [{"refId": "A", "expr": expression, "datasource": source}],
        }
        for index, (title, expression, unit) in enumerate([*_PANELS, *budgets])
    ]
    variable = {"name": "datasource", "type": "datasource", "query": "prometheus"}
    return {
        "title": "Reference service",
        "uid": "seatrial-service",
        "schemaVersion": 39,
        "tags": ["seatrial"],
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [variable]},
        "panels": panels,
    }
