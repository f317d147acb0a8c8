"""What refers to what: names of events, ids and versions, and what an expectation can say of what it names.

Works on the parts of a scenario that are sound, so that a typo in one line does not hide a wrong name in another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from simulator.scenario import event_keys, window_keys
from simulator.scenario.document import Flaw, Where, senseless
from simulator.scenario.errors import did_you_mean, suggest
from simulator.scenario.model import FAMILIES, Expectation, Scenario
from simulator.scenario.verbs import Event
from simulator.scenario.window_keys import UNTOUCHED


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
        yield from event_keys.check(event, ("when", index))
    for index, expectation in parts.expectations.items():
        where: Where = ("then", index)
        yield from window_keys.check(expectation, where)
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
    days: dict[str, datetime] = {}
    for key in ("from", "to"):
        if isinstance(replay.get(key), str):
            try:
                days[key] = datetime.fromisoformat(replay[key]).replace(tzinfo=None)
            except ValueError:
                yield Flaw("bad-value", f"{replay[key]!r} is not a date", (*where, key), "write it as 2013-01-31")
            else:
                if datetime.fromisoformat(replay[key]).tzinfo is not None:
                    hint = "leave the offset out: the moments are by the population's own clock"
                    yield Flaw("bad-value", f"{replay[key]!r} has a time zone", (*where, key), hint)
    if len(days) == 2 and days["from"] >= days["to"]:  # noqa: PLR2004 - both
        yield Flaw("bad-value", "`to` must be later than `from`", (*where, "to"), "the last day is exclusive")


# ---------------------------------------------------------------- expectations


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
            yield senseless((*place, key), "what goes nowhere has no way to go", "drop it, or write `goes: live`")


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
