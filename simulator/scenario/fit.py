"""Whether a scenario fits its population: fields that exist, of the right kind, with categories that occur."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, Literal, Protocol

from simulator.scenario.disturbances import Bounds
from simulator.scenario.document import Flaw, Where
from simulator.scenario.errors import suggest
from simulator.scenario.model import Expectation, Scenario
from simulator.scenario.verbs import Event

_NUMERIC: Final = frozenset({"number", "integer"})
_TYPE_OF: Final = {"number": "number", "integer": "number", "category": "string", "boolean": "boolean"}
_BRINGS: Final = {"rename": "to", "add": "field", "nest": "under", "dependency": "name", "release": "version"}


class Field(Protocol):
    """What must be known of a field of the population; the world's own `Field` is one."""

    @property
    def kind(self) -> Literal["number", "integer", "category", "boolean"]:
        """What its values are."""

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories that occur; empty if they are not known."""


def check(scenario: Scenario, population: Mapping[str, Field]) -> Iterator[Flaw]:
    """Every field and category that the scenario names and the population does not have."""
    for index, event in enumerate(scenario.when):
        where: Where = ("when", index, event.verb)
        for name, value in (getattr(event.params, "where", None) or {}).items():
            yield from _condition(name, value, population, (*where, "where", name))
        if hasattr(event.params, "field"):
            yield from _event(event, where, population)
    for index, expectation in enumerate(scenario.then):
        yield from _alert(scenario, expectation, ("then", index), population)


def _condition(name: str, value: Any, population: Mapping[str, Field], where: Where) -> Iterator[Flaw]:
    if name not in population:
        yield _unknown(name, population, where, "key")
        return
    field = population[name]
    if isinstance(value, Bounds):
        if field.kind not in _NUMERIC:
            yield Flaw("wrong-kind", _is(name, field), where, "only numbers are above or below something")
        return
    wanted: tuple[type, ...] = {"category": (str,), "boolean": (bool,)}.get(field.kind, (int, float))
    if not isinstance(value, wanted) or (isinstance(value, bool) and field.kind in _NUMERIC):
        hint = {"category": "write a category", "boolean": "write true or false"}.get(field.kind, "write a number")
        yield Flaw("wrong-kind", _is(name, field), where, hint)
    elif field.categories and value not in field.categories:
        hint = suggest(str(value), field.categories, "categories")
        yield Flaw("unknown-category", f"`{name}` is never `{value}`", where, hint)


def _event(event: Event, where: Where, population: Mapping[str, Field]) -> Iterator[Flaw]:
    name = event.params.field
    if event.add is not None:
        if name in population:
            hint = "name a field that it does not know"
            yield Flaw("known-field", f"the population sends `{name}` already", (*where, "field"), hint)
        return
    if name not in population:
        yield _unknown(name, population, (*where, "field"))
        return
    field = population[name]
    if event.nest is not None and event.nest.under in population:
        yield Flaw("known-field", f"the population sends `{event.nest.under}` already", (*where, "under"))
    if event.rename is not None and event.rename.to in population and event.rename.to != name:
        yield Flaw("known-field", f"the population sends `{event.rename.to}` already", (*where, "to"))
    if event.retype is not None and event.retype.to == _TYPE_OF[field.kind]:
        yield Flaw("no-effect", f"`{name}` is a {event.retype.to} already", (*where, "to"))
    if (event.scale is not None or event.outlier is not None) and field.kind not in _NUMERIC:
        yield Flaw("wrong-kind", f"{_is(name, field)}, not a number", (*where, "field"))
    yield from _moved(event, name, field, where)


def _moved(event: Event, name: str, field: Field, where: Where) -> Iterator[Flaw]:
    """Verbs that mean one thing for numbers and another for categories, or nothing."""
    if event.drift is not None and event.drift.shift is not None and field.kind == "category":
        hint = "write `category: ...` to move its rows"
        yield Flaw("wrong-kind", f"{_is(name, field)} and cannot be shifted", (*where, "shift"), hint, "key")
    named = event.respell.category if event.respell else event.drift.category if event.drift else None
    if named is None:
        return
    if field.kind != "category":
        hint = "write `shift: ...` to move its rows" if event.drift and field.kind in _NUMERIC else ""
        yield Flaw("wrong-kind", f"{_is(name, field)} and has no categories", (*where, "category"), hint, "key")
    elif event.respell and field.categories and named not in field.categories:
        hint = suggest(named, field.categories, "categories")
        yield Flaw("unknown-category", f"`{name}` is never `{named}`", (*where, "category"), hint)


def _alert(
    scenario: Scenario, expectation: Expectation, where: Where, population: Mapping[str, Field]
) -> Iterator[Flaw]:
    """An alert is about a field, or about what an event brings in: a new name, a dependency, a version."""
    name = getattr(expectation.params, "field", None)
    if name is None:
        return
    known = dict.fromkeys(population)
    known |= dict.fromkeys(
        getattr(event.params, _BRINGS[event.verb]) for event in scenario.when if event.verb in _BRINGS
    )
    known |= dict.fromkeys("model" for event in scenario.when if event.verb == "model")
    if name not in known:
        yield _unknown(name, known, (*where, expectation.family, "field"))


def _unknown(name: str, known: Collection[str], where: Where, at: Literal["key", "value"] = "value") -> Flaw:
    return Flaw("unknown-field", f"there is no field `{name}`", where, suggest(name, known, "fields"), at)


def _is(name: str, field: Field) -> str:
    return f"`{name}` is {'an' if field.kind == 'integer' else 'a'} {field.kind}"
