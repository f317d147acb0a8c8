"""The rules file: who owns which alert, how urgent it is, where it goes; and what the service has promised.

Alerts exist without it, at the severities that the monitors give. The file changes those, and adds objectives, whose
error budgets are watched by burn rate. Whatever is wrong in it is told with file, line and column, all at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError

from reference_service.monitor.alerts import Condition, Severity
from reference_service.settings import ROUTES

NAMES: Final = frozenset(
    {
        "both_arms_bad", "canary_rollback", "canary_scores", "concept_drift", "decision_log_failing",
        "dependency_down", "error_rates", "fairness", "fallback_rate", "fast_burn", "feature_drift", "invalid_rate",
        "labels_missing",
        "load_shedding", "null_rate", "over_budget", "schema_change", "score_drift", "slow_burn", "tail_rate",
        "unseen_category",
    }
)  # fmt: skip
MEASURES: Final = ("failures", "fallbacks", "rejections")
_SEVERITIES: Final = ("page", "ticket", "off")
_TOP: Final = frozenset({"rules", "owner", "alerts", "objectives"})
_OF_ALERT: Final = frozenset({"severity", "owner", "routes", "runbook"})
_OF_OBJECTIVE: Final = frozenset({"name", "of", "target", "owner"})


class RulesError(ValueError):
    """A rules file that cannot be used; one line for each mistake, ``file:line:column: what is wrong``."""


class Rule(NamedTuple):
    """What the file says of one alert; "" and () where it says nothing."""

    severity: str = ""
    owner: str = ""
    routes: tuple[str, ...] = ()  # none: all
    runbook: str = ""


class Objective(NamedTuple):
    """A share of requests that is promised to go well."""

    name: str
    of: str  # one of `MEASURES`
    target: float  # such as 0.999
    owner: str = ""


class Rules(NamedTuple):
    """A rules file, read."""

    owner: str = ""
    alerts: dict[str, Rule] = {}  # noqa: RUF012 - never changed
    objectives: tuple[Objective, ...] = ()

    def apply(self, standing: Iterable[Condition]) -> list[Condition]:
        """The conditions with the file's severities, owners and routes; without those that it switches off."""
        if not (self.alerts or self.owner):
            return list(standing)  # a quiet service ticks more often than it answers
        found = []
        for condition in standing:
            rule = self.alerts.get(condition.name, Rule())
            if rule.severity == "off":
                continue
            severity: Severity = rule.severity or condition.severity  # type: ignore[assignment] # checked on reading
            found.append(
                condition._replace(
                    severity=severity,
                    owner=condition.owner or rule.owner or self.owner,
                    routes=rule.routes,
                    runbook=rule.runbook,
                )
            )
        return found


def read(path: Path) -> Rules:
    """The rules of a YAML or JSON file. Raises RulesError or OSError."""
    try:
        document = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        raise RulesError(f"{path}:{at}: {error.problem}") from None
    mistakes = [f"{path}:{line + 1}:{column + 1}: {what}" for line, column, what in _mistakes(document)]
    if mistakes:
        raise RulesError("\n".join(mistakes))
    alerts = {
        str(name): Rule(
            str(rule.get("severity", "")), str(rule.get("owner", "")), tuple(rule.get("routes", ())),
            str(rule.get("runbook", "")),
        )
        for name, rule in (document.get("alerts") or {}).items()
    }  # fmt: skip
    objectives = tuple(
        Objective(str(each["name"]), str(each["of"]), share(each["target"]) or 0.0, str(each.get("owner", "")))
        for each in document.get("objectives") or ()
    )
    return Rules(str(document.get("owner", "")), alerts, objectives)


Mistake = tuple[int, int, str]


def _mistakes(document: Any) -> Iterator[Mistake]:
    if not isinstance(document, CommentedMap):
        yield 0, 0, "a rules file is a mapping that begins with `rules: 1`"
        return
    yield from _unknown(document, _TOP, "a rules file")
    if document.get("rules") != 1:
        yield *_place(document, "rules"), "`rules: 1` is the only format there is"
    alerts = document.get("alerts")
    if alerts is not None and not isinstance(alerts, CommentedMap):
        yield *_place(document, "alerts"), "`alerts` is a mapping of alert names"
    for name, rule in alerts.items() if isinstance(alerts, CommentedMap) else ():
        if name not in NAMES:
            yield *_place(alerts, name), f"there is no alert `{name}`; there are {', '.join(sorted(NAMES))}"
        if not isinstance(rule, CommentedMap):
            yield *_place(alerts, name), f"`{name}` needs a mapping of {', '.join(sorted(_OF_ALERT))}"
            continue
        yield from _unknown(rule, _OF_ALERT, "an alert's rule")
        if rule.get("severity", "page") not in _SEVERITIES:
            yield *_place(rule, "severity"), f'a severity is one of {", ".join(_SEVERITIES)}; quote "off"'
        routes = rule.get("routes", [])
        if not isinstance(routes, list) or not set(routes) <= ROUTES:
            yield *_place(rule, "routes"), f"routes are a list of {', '.join(sorted(ROUTES))}"
    yield from _objectives(document)


def _objectives(document: CommentedMap) -> Iterator[Mistake]:
    objectives = document.get("objectives")
    if objectives is not None and not isinstance(objectives, list):
        yield *_place(document, "objectives"), "`objectives` is a list"
        return
    names: set[str] = set()
    for each in objectives or []:
        if not isinstance(each, CommentedMap):
            yield *_place(document, "objectives"), "an objective is a mapping of name, of and target"
            continue
        yield from _unknown(each, _OF_OBJECTIVE, "an objective")
        for key in ("name", "of", "target"):
            if key not in each:
                yield each.lc.line, each.lc.col, f"an objective needs `{key}`"
        if each.get("of", MEASURES[0]) not in MEASURES:
            yield *_place(each, "of"), f"`of` is one of {', '.join(MEASURES)}"
        if "target" in each and not 0 < (share(each["target"]) or 0.0) < 1:
            yield *_place(each, "target"), "`target` is a share below 100%, such as 99.9%"
        if each.get("name") in names:
            yield *_place(each, "name"), f"there are two objectives `{each['name']}`"
        names.add(str(each.get("name")))


def share(value: Any) -> float | None:
    """A share as people write it: 0.999 or 99.9%; None if it is none."""
    try:
        return round(float(value[:-1]) / 100, 12) if isinstance(value, str) and value.endswith("%") else float(value)
    except (TypeError, ValueError):
        return None


def _unknown(node: CommentedMap, known: frozenset[str], what: str) -> Iterator[Mistake]:
    for key in node:
        if key not in known:
            yield *_place(node, key), f"{what} has no `{key}`; it has {', '.join(sorted(known))}"


def _place(node: CommentedMap, key: Any) -> tuple[int, int]:
    """Line and column of a key, from 0; of the mapping where the key is missing."""
    place: tuple[int, int] = node.lc.key(key) if key in node else (node.lc.line, node.lc.col)
    return place
