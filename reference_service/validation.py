"""What may reach the model: every value is read, judged by its field's policy, and either used, replaced or refused.

Two readers that agree. `clean` is for the ordinary request of one row in which nothing is odd: it answers in a few
microseconds or gives up. `inspect` is for everything else, row by row, and says what it did.

Fields are matched by name, never by position. Nothing is converted silently: a number sent as a string, or a boolean
as a number, is `invalid_type`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from reference_service.bundle import Bundle
from reference_service.contract import Field
from reference_service.values import MISSING, NAN, Itself, Plain, Slot, compiled, fast, read


class Tensor(Protocol):
    """One column of a request."""

    name: str
    data: list[Any]


class Problem(NamedTuple):
    """Why a row, or a whole request (row None), is refused. Never holds a value."""

    row: int | None
    field: str
    reason: str


class Row:
    """One row on its way. Lists are float in contract order; `received` holds what came, `used` what the model gets."""

    __slots__ = ("breaches", "cause", "decision", "entity", "index", "let_through", "problems", "reasons", "received",
                 "score", "source", "unread", "used", "version")  # fmt: skip

    def __init__(self, index: int, received: list[float], used: list[float], entity: Any) -> None:
        self.index = index
        self.received = received
        self.used = used
        self.entity = entity
        self.unread: list[int] = []  # positions of which no value was received that could be counted
        self.breaches: list[tuple[str, str]] = []  # (reason, field) of what is neither null nor unseen
        self.problems: list[Problem] = []
        self.reasons: list[str] = []
        self.source = "model"
        self.cause = ""  # why the model was not asked, or could not answer
        self.score = NAN
        self.decision = ""
        self.let_through = False  # it was refused, and is one of those whose truth is to be known
        self.version = ""


class Columns(NamedTuple):
    """A request's tensors, matched by name."""

    rows: int
    data: dict[str, list[Any]]  # canonical field name → values
    aliased: tuple[str, ...]  # canonical names that arrived under an alias
    unknown: tuple[str, ...]
    problems: tuple[Problem, ...]  # of the request as a whole


class Validator:
    """A contract, compiled.

    Args:
        bundle: whose contract and typical values apply.
        stored: names of the feature store's columns, in their order.
        enabled: False: everything goes to the model as it came, null where it cannot be read.
    """

    def __init__(self, bundle: Bundle, stored: Sequence[str] = (), *, enabled: bool = True) -> None:
        contract = bundle.contract
        typical = bundle.profile.typical
        slots = [compiled(index, field, float(typical[index])) for index, field in enumerate(contract.fields)]
        self._slots = slots
        self.enabled = enabled
        self.width = len(slots)
        self.names = tuple(field.name for field in contract.fields)
        self._entity = contract.entity
        self._entity_type = int if contract.entity_kind == "integer" else str
        self._requested = tuple(slot for slot in slots if slot.field.origin == "request")
        unknown = [s.field.name for s in slots if s.field.origin == "store" and s.field.name not in stored]
        if unknown:
            raise ValueError(f"the feature store has no column {', '.join(unknown)}")
        self._stored = tuple((slot, stored.index(slot.field.name)) for slot in slots if slot.field.origin == "store")
        self.stored_positions = [slot.position for slot, _ in self._stored]
        self._defaults = [slot.default for slot in slots]
        # Repairing an alias is part of validation: without it, an unknown name is an unknown name.
        aliases = ((alias, slot.field.name) for slot in self._requested for alias in slot.field.aliases)
        self._canonical = dict(aliases) if enabled else {}
        self._known = {slot.field.name for slot in self._requested} | {self._entity}
        self._tensors = len(self._known)
        self._fast = {slot.field.name: fast(slot) for slot in self._requested}
        self._fast.setdefault(self._entity, (self._entity_type, -1, False, 0.0, 0.0, Itself()))
        self._fast_stored = tuple((at, *fast(slot)) for slot, at in self._stored)
        self._blank: list[Any] = [None] * (self.width + 1)
        positions = (slot.position for slot in self._requested if slot.field.name == self._entity)
        self._entity_position: int = next(positions, self.width)
        for slot, _ in self._stored:
            self._blank[slot.position] = NAN
        self.plain = {slot.field.name: self._plain(slot) for slot in self._requested}
        entity = Plain(self._entity_type, (self.width,), nullable=False, low=-math.inf, high=math.inf, codes=None)
        self.plain.setdefault(self._entity, entity)

    def _plain(self, slot: Slot) -> Plain:
        kind, position, nullable, low, high, codes = fast(slot)
        positions = (position, self.width) if position == self._entity_position else (position,)
        return Plain(kind, positions, nullable, low, high, codes)

    def encode(self, named: Mapping[str, Any]) -> list[float]:
        """One row of values by name, stored ones included, in contract order and before any default."""
        return [read(slot, named.get(slot.field.name, MISSING))[0] for slot in self._slots]

    # ------------------------------------------------------------ the ordinary request

    def clean(self, tensors: Sequence[Tensor]) -> list[Any] | None:
        """Values of a one-row request in contract order and, last, its entity; None if anything is odd about it.

        Stored fields are NaN until `fill` has them.
        """
        if len(tensors) != self._tensors:
            return None
        row = self._blank[:]
        fast = self._fast
        try:
            value: Any
            for tensor in tensors:
                kind, position, nullable, low, high, codes = fast[tensor.name]
                (value,) = tensor.data
                if type(value) is kind:
                    if codes is not None:
                        row[position] = codes[value]
                    elif low <= value <= high:
                        row[position] = value
                    else:
                        return None
                elif value is None and nullable:
                    row[position] = NAN
                elif kind is float and type(value) is int and low <= value <= high:
                    row[position] = value
                else:
                    return None
        except (KeyError, ValueError):  # an unknown name, an unseen category, not exactly one row
            return None
        if self._entity_position < self.width:
            row[-1] = row[self._entity_position]
        return None if None in row else row

    def fill(self, row: list[Any], stored: Sequence[Any]) -> bool:
        """Put the store's values into a `clean` row; False if anything is odd about them (then `complete` must)."""
        for at, kind, position, nullable, low, high, codes in self._fast_stored:
            value = stored[at]
            if type(value) is kind and codes is None and low <= value <= high:
                row[position] = value
            elif type(value) is kind and codes is not None and value in codes:
                row[position] = codes[value]
            elif nullable and (value is None or value != value):  # noqa: PLR0124  # NaN is what differs from itself
                row[position] = NAN
            else:
                return False
        return True

    # ------------------------------------------------------------ everything else

    def match(self, tensors: Sequence[Tensor]) -> Columns:
        """The request's tensors by canonical name. A field that arrives under two names is taken from its own."""
        data: dict[str, list[Any]] = {}
        aliased: dict[str, list[Any]] = {}
        unknown: list[str] = []
        problems: list[Problem] = []
        rows = len(tensors[0].data) if tensors else 0
        for tensor in tensors:
            name = tensor.name
            if len(tensor.data) != rows:
                problems.append(Problem(None, name, "shape"))
            elif name in self._known:
                if name in data:
                    problems.append(Problem(None, name, "duplicate"))
                data[name] = tensor.data
            elif name in self._canonical:
                aliased[self._canonical[name]] = tensor.data
            else:
                unknown.append(name)
        if not rows:
            problems.append(Problem(None, "", "no_rows"))
        repaired = tuple(name for name in aliased if name not in data)
        return Columns(rows, {**aliased, **data}, repaired, tuple(unknown), tuple(problems))

    def inspect(self, columns: Columns, index: int) -> Row:
        """Row `index`, judged field by field. Stored fields are NaN until `complete` has them."""
        entity = self._read_entity(columns, index)
        row = Row(index, [NAN] * self.width, [NAN] * self.width, entity)
        if entity is None and self.enabled:
            row.problems.append(Problem(index, self._entity, "null" if self._entity in columns.data else "missing"))
        for slot in self._requested:
            column = columns.data.get(slot.field.name)
            self._apply(row, slot, MISSING if column is None else column[index])
        if self.enabled:
            row.reasons.extend(f"alias:{name}" for name in columns.aliased)
        return row

    def complete(self, row: Row, stored: Sequence[Any]) -> None:
        """Judge the store's values as the request's own are judged."""
        for slot, at in self._stored:
            value = stored[at]
            unknown = isinstance(value, float) and math.isnan(value)
            self._apply(row, slot, None if unknown else value)

    def default(self, row: Row, position: int) -> None:
        """Replace one value by the field's declared default (quarantine)."""
        row.used[position] = self._defaults[position]

    def _read_entity(self, columns: Columns, index: int) -> Any:
        column = columns.data.get(self._entity)
        value = None if column is None else column[index]
        if self._entity_type is int and type(value) is float and value == value // 1:
            return int(value)
        return value if type(value) is self._entity_type else None

    def _apply(self, row: Row, slot: Slot, value: Any) -> None:
        number, problem = read(slot, value)
        index, field = slot.position, slot.field
        row.received[index] = number
        row.used[index] = number
        if not problem:
            return
        if problem not in {"null", "unseen"}:
            row.breaches.append((problem, field.name))
        if problem == "invalid_type":
            row.unread.append(index)
        if not self.enabled:
            if problem == "unseen":
                row.used[index] = NAN
            return
        self._police(row, slot, problem, field)

    @staticmethod
    def _police(row: Row, slot: Slot, problem: str, field: Field) -> None:
        if problem in {"null", "missing"}:
            policy: str = field.on_null
        else:
            policy = field.on_unseen if problem == "unseen" else field.on_invalid
        if policy == "reject":
            row.problems.append(Problem(row.index, field.name, problem))
            return
        if policy == "model" and problem == "null":
            return  # training had nulls here: the model knows what to make of one
        # A key that is not there at all is not what training saw, even where nulls are at home: it is declared.
        if policy == "default":
            row.used[slot.position] = slot.default
        row.reasons.append(f"{problem}:{field.name}")
        row.source = "default"
