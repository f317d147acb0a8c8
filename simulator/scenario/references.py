"""What refers to what: events, ids, versions; and which keys an expectation needs or cannot use.

Works on the parts of a scenario that are sound, so that a typo in one line does not hide a wrong name in another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from simulator.scenario.disturbances import Network, Shaped
from simulator.scenario.document import Flaw, Where
from simulator.scenario.errors import did_you_mean, suggest
from simulator.scenario.model import FAMILIES, Expectation, Scenario
from simulator.scenario.verbs import Event

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
    "fairness": Window((), _ITEMS),
    "group_errors": Window((), _ITEMS),
    "better": Window((), _ITEMS),
    "retrain": Window(_DEADLINE),
    "cost": Window((), _TIME),
    "amplification": Window(("during",), frozenset({"settle"})),
}


@dataclass(frozen=True, slots=True)
class Parts:
    """One cell's data as read, and those of its events and expectations that are sound, by position."""

    data: Mapping[str, Any]
    events: Mapping[int, Event]
    expectations: Mapping[int, Expectation]

    def names(self, section: str, key: str) -> dict[int, str]:
        """Names by position, also of items that are wrong elsewhere: a reference to them is not a second mistake."""
        items = self.data.get(section)
        if not isinstance(items, list):
            return {}
        return {
            index: item[key]
            for index, item in enumerate(items)
            if isinstance(item, Mapping) and isinstance(item.get(key), str)
        }

    def complete(self, section: str, key: str) -> bool:
        """Whether all names are known: with one missing or mistyped, an unknown name may well be that one."""
        items = self.data.get(section, [])
        named = isinstance(items, list) and len(self.names(section, key)) == len(items)
        return named and self.data.keys() <= Scenario.model_fields.keys()


def check(parts: Parts) -> Iterator[Flaw]:
    """Every reference that leads nowhere and every key that its family cannot use."""
    yield from _twice(parts.names("when", "event"), "when", "event")
    yield from _twice(parts.names("then", "id"), "then", "id")
    yield from _dates(parts.data)
    if parts.data.get("runs_on") == []:
        yield Flaw("bad-value", "`runs_on` names no driver, so nothing would run", ("runs_on",))
    events = [name for name in dict.fromkeys(parts.names("when", "event").values()) if name != UNTOUCHED]
    for index, event in parts.events.items():
        yield from _event(event, ("when", index))
    for index, expectation in parts.expectations.items():
        where: Where = ("then", index)
        yield from _window(expectation, where)
        yield from _roles(expectation, where, events, parts)
        if parts.complete("when", "event"):
            yield from _events_named(expectation, where, events)
        yield from _ids_named(expectation, where, parts)
        yield from _version_named(expectation, where, parts)
        yield from _retrained(expectation, where, parts)


def _twice(names: Mapping[int, str], section: str, key: str) -> Iterator[Flaw]:
    seen: set[str] = set()
    for index, name in names.items():
        if name in seen:
            noun = "event" if section == "when" else "expectation"
            yield Flaw("duplicate-name", f"another {noun} is already called `{name}`", (section, index, key))
        if key == "event" and name == UNTOUCHED:
            yield Flaw("reserved-name", f"`{UNTOUCHED}` means the items that no event touches", (section, index, key))
        seen.add(name)


def _dates(data: Mapping[str, Any]) -> Iterator[Flaw]:
    where: Where = ("given", "traffic", "replay")
    replay: Any = data
    for key in where:
        replay = replay.get(key) if isinstance(replay, Mapping) else None
    if not isinstance(replay, Mapping):
        return
    days: dict[str, date] = {}
    for key in ("from", "to"):
        if isinstance(replay.get(key), str):
            try:
                days[key] = date.fromisoformat(replay[key])
            except ValueError:
                yield Flaw("bad-value", f"{replay[key]!r} is not a date", (*where, key), "write it as 2013-01-31")
    if len(days) == 2 and days["from"] >= days["to"]:  # noqa: PLR2004 - both
        yield Flaw("bad-value", "`to` must be later than `from`", (*where, "to"), "the last day is exclusive")


# ---------------------------------------------------------------- events


def _event(event: Event, where: Where) -> Iterator[Flaw]:
    verb, params = event.verb, event.params
    if isinstance(params, Shaped):
        yield from _shape(params, (*where, verb))
    if verb == "restart" and event.length is None:
        yield Flaw(
            "missing-key", "`restart` needs `for`: how long it is gone", (*where, verb), "such as `for: 5s`", "key"
        )
    elif verb == "network":
        yield from _bad_way(params, (*where, verb))
    elif verb in {"dependency", "model"}:
        yield from _fault(params, (*where, verb))
    elif verb == "operator":
        yield from _operator(params, (*where, verb))
    elif verb == "release":
        if params.by in {"swap", "shadow"} and "share" in params.model_fields_set:
            message = "a swap is always whole" if params.by == "swap" else "a shadow is asked about everything"
            yield _senseless((*where, verb, "share"), message, "drop it, or write `by: canary`")
        if params.defect is not None:
            yield from _fault(params.defect, (*where, verb, "defect"))


def _shape(shaped: Shaped, where: Where) -> Iterator[Flaw]:
    ramp, waves = shaped.shape in {"gradual", "incremental"}, shaped.shape in {"recurring", "seasonal"}
    if shaped.over is not None and not ramp:
        yield _senseless((*where, "over"), f"a {shaped.shape} drift has no ramp", "add `shape: gradual`")
    if shaped.every is not None and not waves:
        yield _senseless((*where, "every"), f"a {shaped.shape} drift has no period", "add `shape: recurring`")
    if shaped.every is None and waves:
        message = f"a {shaped.shape} drift needs `every`"
        yield Flaw("missing-key", message, (*where, "shape"), "such as `every: 1d`")
    if shaped.shape == "incremental" and getattr(shaped, "shift", None) is None:
        message = "only a shift can come step by step"
        yield Flaw("bad-value", message, (*where, "shape"), "write `shape: gradual`")


def _operator(params: Any, where: Where) -> Iterator[Flaw]:
    if params.does == "freeze" and params.version is None:
        yield Flaw("missing-key", "`freeze` needs a `version`", (*where, "does"), "such as `version: v2`", "value")
    if params.does == "promote" and params.version is not None:
        yield _senseless((*where, "version"), "what is promoted is the canary on trial", "drop it")


def _bad_way(params: Network, where: Where) -> Iterator[Flaw]:
    timed = params.fault in {"latency", "upload"}
    if timed and not params.by:
        yield Flaw("missing-key", f"`{params.fault}` needs `by`", (*where, "fault"), "such as `by: 300ms`")
    if not timed and params.by is not None:
        yield _senseless((*where, "by"), f"`{params.fault}` has no length", "drop it")


def _fault(params: Any, where: Where) -> Iterator[Flaw]:
    timed = params.fault in {"slow", "stale"}
    if timed and params.by is None:
        yield Flaw(
            "missing-key",
            f"`{where[-1]}` needs `by` when it is {params.fault}",
            (*where, "fault"),
            "such as `by: 300ms`",
        )
    if not timed and params.by is not None:
        message = f"`{params.fault}` has no length of its own"
        yield _senseless((*where, "by"), message, "the event's `for` says how long")


# ---------------------------------------------------------------- expectations


def _window(expectation: Expectation, where: Where) -> Iterator[Flaw]:
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
            yield _senseless((*where, key), f"`{family}` has no use for `{key}`", f"it takes {', '.join(allowed)}")
    sound = [key for key in given if key in window.may or key in window.needs]
    yield from _combination(expectation, where, sound, missing)


def _combination(
    expectation: Expectation, where: Where, given: Sequence[str], missing: Sequence[str]
) -> Iterator[Flaw]:
    if "within" in given and "after" not in given and "after" not in missing:
        yield Flaw("missing-key", "`within` needs `after`", (*where, "within"), _example(["after"]), "key")
    times = [key for key in ("after", "during", "outside") if key in given]
    for key in times[1:]:
        yield _senseless((*where, key), f"`{key}` cannot be combined with `{times[0]}`", "one window in time is enough")
    counts_from = {"during", "outside"} & set(given) or expectation.of not in {None, UNTOUCHED}
    if "settle" in given and not counts_from:
        yield _senseless(
            (*where, "settle"),
            "there is no event that `settle` could count from",
            "name one with `of`, `during` or `outside`",
        )
    if "stands" in given and expectation.after is not None and expectation.after.endswith(".end"):
        yield _senseless(
            (*where, "stands"), "an event that has ended cannot last", "drop it, or look `after` its start"
        )
    if "outside" in given and expectation.of == expectation.outside:
        message = "the items that an event touches are not outside of it"
        yield _senseless((*where, "outside"), message, "drop one of both")


def _events_named(expectation: Expectation, where: Where, events: list[str]) -> Iterator[Flaw]:
    for key in ("after", "during", "outside", "of"):
        name = getattr(expectation, key)
        if name is None or (key == "of" and name == UNTOUCHED):
            continue
        plain = name.removesuffix(".end") if key == "after" else name
        if plain not in events:
            known = [f"{event}.end" for event in events] if plain != name else events
            hint = did_you_mean(name, [*known, UNTOUCHED] if key == "of" else known)
            hint = hint or suggest(name, events, "events")
            yield Flaw("unknown-event", f"there is no event `{plain}`", (*where, key), hint)


def _keyed(name: str | None, parts: Parts) -> bool:
    event = next((event for event in parts.events.values() if event.event == name), None)
    return event is None or (event.duplicate is not None and event.duplicate.key)


def _roles(expectation: Expectation, where: Where, events: list[str], parts: Parts) -> Iterator[Flaw]:
    if expectation.family in {"handled", "labels_seen", "idempotent"} and expectation.of == UNTOUCHED:
        message = f"`{expectation.family}` is about the items that an event touched"
        yield Flaw("bad-value", message, (*where, "of"), suggest(UNTOUCHED, events, "events"))
    if expectation.family == "idempotent" and expectation.of in events and not _keyed(expectation.of, parts):
        message = f"the deliveries of `{expectation.of}` carry no idempotency key"
        yield Flaw("bad-value", message, (*where, "of"), "name an event such as `duplicate: {key: true}`")
    if expectation.parity is not None and expectation.parity.target and not expectation.parity.serving:
        message = "`target` needs `serving`: which version is to give the same scores there"
        yield Flaw("missing-key", message, (*where, "parity", "target"), "such as `serving: v1`", "key")
    if expectation.rollback is not None:
        name = (expectation.after or "").removesuffix(".end")
        releases = {event.event: event.release for event in parts.events.values() if event.release is not None}
        if name in releases and releases[name].version == expectation.rollback.to:
            message = f"`{name}` releases `{expectation.rollback.to}`, so to serve it is no way back"
            yield Flaw("bad-value", message, (*where, "rollback", "to"), "name the version that served before")
    if expectation.family == "harmed" and expectation.of in events:
        message = "`harmed` is about the items that no event touched"
        yield Flaw("bad-value", message, (*where, "of"), f"write `of: {UNTOUCHED}`")


def _retrained(expectation: Expectation, where: Where, parts: Parts) -> Iterator[Flaw]:
    if expectation.retrain is None:
        return
    wanted, place = expectation.retrain, (*where, "retrain")
    made = [event.retrain.version for event in parts.events.values() if event.retrain is not None]
    if len(parts.events) == len(parts.names("when", "event")) and wanted.version not in made:
        hint = suggest(wanted.version, made, "versions") if made else "add an event `retrain: {version: …}`"
        yield Flaw("unknown-version", f"no event retrains `{wanted.version}`", (*place, "version"), hint)
    for key in ("shadow", "canary", "share"):
        if wanted.goes == "nowhere" and key in wanted.model_fields_set:
            yield _senseless((*place, key), "what goes nowhere has no way to go", "drop it, or write `goes: live`")


def _ids_named(expectation: Expectation, where: Where, parts: Parts) -> Iterator[Flaw]:
    key = "resolved" if expectation.family == "resolved" else "at"
    name = getattr(expectation, key)
    if name is None:
        return
    items: Any = parts.data["then"]
    families: dict[str, list[str]] = {}
    for index, other in parts.names("then", "id").items():
        families.setdefault(other, []).extend(family for family in FAMILIES if family in items[index])
    alerts = [other for other, found in families.items() if "alert" in found]
    hint = suggest(name, alerts, "alert expectations")
    if name not in families:
        if parts.complete("then", "id"):
            yield Flaw("unknown-expectation", f"there is no expectation `{name}`", (*where, key), hint)
    elif families[name] and name not in alerts:
        message = f"`{key}` must name an alert expectation, not `{name}`, which is `{families[name][0]}`"
        yield Flaw("bad-value", message, (*where, key), hint)


def _version_named(expectation: Expectation, where: Where, parts: Parts) -> Iterator[Flaw]:
    family = expectation.family
    keys = {
        "rollback": ("to",), "exposure": ("version",), "refuses": ("version",), "parity": ("serving",),
        "promoted": ("to",), "shadow": ("version",), "better": ("version", "than"),
    }  # fmt: skip
    for key in keys.get(family, ()):
        name = getattr(expectation.params, key)
        if name is not None:
            yield from _known(name, (*where, family, key), parts)


def _known(name: str, where: Where, parts: Parts) -> Iterator[Flaw]:
    given = parts.data.get("given")
    serving = given.get("serving", "v1") if isinstance(given, Mapping) else "v1"
    released = [event.params.version for event in parts.events.values() if event.verb in {"release", "retrain"}]
    # An unsound release may name any version, so nothing can be said of versions then.
    if len(parts.events) == len(parts.names("when", "event")) and name not in (known := [serving, *released]):
        yield Flaw(
            "unknown-version",
            f"`{name}` is neither served nor released here",
            where,
            suggest(name, dict.fromkeys(known), "versions"),
        )


def _senseless(where: Where, message: str, hint: str) -> Flaw:
    return Flaw("senseless-key", message, where, hint, "key")


def _example(keys: list[str]) -> str:
    spelled = {
        "after": "after: some_event",
        "within": "within: 5m",
        "during": "during: some_event",
        "of": "of: some_event",
        "at": "at: some_alert",
    }
    return "such as `" + ", ".join(spelled[key] for key in keys) + "`"
