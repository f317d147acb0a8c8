"""Which part of a run an expectation is about: the window keys that its family must, may and cannot have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from simulator.scenario.document import Flaw, Where, senseless
from simulator.scenario.model import Expectation

UNTOUCHED: Final = "untouched"
WINDOW_KEYS: Final = ("after", "within", "during", "outside", "of", "at", "settle", "hold", "once", "stands")


@dataclass(frozen=True, slots=True)
class Window:
    """Which window keys a family must and may have."""

    needs: tuple[str, ...] = ()
    may: frozenset[str] = field(default_factory=frozenset)


_DEADLINE: Final = ("after", "within")
_TIME: Final = frozenset({"after", "within", "during", "outside", "settle"})
_ITEMS: Final = _TIME | {"of"}
WINDOW_OF: Final[Mapping[str, Window]] = {
    "alert": Window(_DEADLINE, frozenset({"once", "stands"})),
    "resolved": Window(_DEADLINE, frozenset({"hold"})),
    "no_alert": Window((), _TIME),
    "handled": Window(("of",), _ITEMS),
    "harmed": Window((), _ITEMS),
    "error_rate": Window((), _ITEMS),
    "latency": Window((), _ITEMS),
    "labels_seen": Window(("of", "at")),
    "fallback": Window(("during",), frozenset({"of", "settle"})),
    "shed": Window((), _ITEMS),
    "answered": Window((), _ITEMS),
    "recovers": Window(_DEADLINE, frozenset({"hold"})),
    "rollback": Window(_DEADLINE, frozenset({"hold"})),
    "exposure": Window((), _ITEMS),
    "parity": Window((), _ITEMS),
    "quality": Window((), _TIME),
    "clean_reject": Window((), _ITEMS),
    "idempotent": Window(("of",), _ITEMS),
    "logged": Window((), _ITEMS),
    "readiness": Window(_DEADLINE),
    "refuses": Window(_DEADLINE),
    "promoted": Window(_DEADLINE, frozenset({"hold"})),
    "shadow": Window(("during",), frozenset({"settle"})),
    "lossless": Window(_DEADLINE),
    "review": Window((), _ITEMS),
    "shown": Window((), _ITEMS),
    "reviewed": Window((), _ITEMS),
    "fairness": Window((), _ITEMS),
    "group_errors": Window((), _ITEMS),
    "better": Window((), _ITEMS),
    "retrain": Window(_DEADLINE),
    "metered": Window(()),
    "cost": Window((), _TIME),
    "amplification": Window(("during",), frozenset({"settle"})),
}


def check(expectation: Expectation, where: Where) -> Iterator[Flaw]:
    """Keys of its window that are missing, of no use to its family, or of no use beside each other."""
    family = expectation.family
    window = WINDOW_OF[family]
    given = [key for key in WINDOW_KEYS if key in expectation.model_fields_set]
    missing = [key for key in window.needs if key not in given]
    if missing:
        needed = " and ".join(f"`{key}`" for key in missing)
        yield Flaw("missing-key", f"`{family}` needs {needed}", (*where, family), _example(missing), "key")
    for key in given:
        if key not in window.may and key not in window.needs:
            allowed = [k for k in WINDOW_KEYS if k in window.may or k in window.needs]
            yield senseless((*where, key), f"`{family}` has no use for `{key}`", f"it takes {', '.join(allowed)}")
    sound = [key for key in given if key in window.may or key in window.needs]
    yield from _combination(expectation, where, sound, missing)


def _combination(
    expectation: Expectation, where: Where, given: Sequence[str], missing: Sequence[str]
) -> Iterator[Flaw]:
    if "within" in given and "after" not in given and "after" not in missing:
        yield Flaw("missing-key", "`within` needs `after`", (*where, "within"), _example(["after"]), "key")
    times = [key for key in ("after", "during", "outside") if key in given]
    for key in times[1:]:
        yield senseless((*where, key), f"`{key}` cannot be combined with `{times[0]}`", "one window in time is enough")
    counts_from = {"during", "outside"} & set(given) or expectation.of not in {None, UNTOUCHED}
    if "settle" in given and not counts_from:
        yield senseless(
            (*where, "settle"),
            "there is no event that `settle` could count from",
            "name one with `of`, `during` or `outside`",
        )
    if "stands" in given and expectation.after is not None and expectation.after.endswith(".end"):
        yield senseless((*where, "stands"), "an event that has ended cannot last", "drop it, or look `after` its start")
    if "outside" in given and expectation.of == expectation.outside:
        message = "the items that an event touches are not outside of it"
        yield senseless((*where, "outside"), message, "drop one of both")


def _example(keys: list[str]) -> str:
    spelled = {
        "after": "after: some_event",
        "within": "within: 5m",
        "during": "during: some_event",
        "of": "of: some_event",
        "at": "at: some_alert",
    }
    return "such as `" + ", ".join(spelled[key] for key in keys) + "`"
