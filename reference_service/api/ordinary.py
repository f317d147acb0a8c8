"""The ordinary body, read in one pass: names, types and ranges are checked while it is read.

Two readers, the faster first. A `form` knows all of a body's text but its values: clients write the same text
again and again. A JSON decoder, compiled from the contract for one order of columns, reads that order however it is
written, and what it has read is the next form. Whatever neither accepts is not judged here: the caller reads it again,
in the general way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from reference_service.api.form import Form
from reference_service.api.oip import NOTHING, Parameters
from reference_service.validation import Validator
from reference_service.values import NAN, Plain

_RELEARNED: Final = 16  # orders compiled at most: a client that shuffles its columns must not keep us compiling
_MISSED: Final = 8  # bodies in a row that the form did not know, and the decoder did: another form is worth learning


class _Layout(NamedTuple):
    """A decoder for one order of columns, and how its values become a row."""

    decode: Callable[[bytes], Any]
    arrange: Callable[[list[Any]], tuple[Any, ...]]  # values in the order of the body, then a NaN → contract order
    coded: tuple[tuple[int, dict[Any, float]], ...]  # positions whose values stand for a number


class Ordinary:
    """Reads bodies of one row in which nothing is odd.

    Args:
        validator: the contract. What is ordinary is so without validation, too: only what is odd is treated otherwise.
    """

    __slots__ = ("_form", "_formed", "_layout", "_learned", "_missed", "_order", "_validator")

    def __init__(self, validator: Validator) -> None:
        self._validator = validator
        self._layout: _Layout | None = None
        self._order: list[str] = []
        self._learned = 0
        self._form: Form | None = None
        self._formed = self._missed = 0

    def read(self, body: bytes) -> tuple[str, list[Any]] | None:
        """The request's id, and its values as `Validator.clean` gives them; None if the body is not ordinary."""
        if self._form is not None and (found := self._form.read(body)) is not None:
            self._missed = 0
            return found
        found = self._decoded(body)
        if found is not None:
            self._missed += 1
            if self._missed >= _MISSED and self._formed < _RELEARNED:
                self._learn_form(body, found)
        return found

    def learn(self, names: Sequence[str]) -> None:
        """A request with its columns in this order turned out to be ordinary."""
        order = list(names)
        if order != self._order and self._learned < _RELEARNED:
            self._order = order
            self._layout = _compile(self._validator, order)
            self._learned += 1

    def _learn_form(self, body: bytes, found: tuple[str, list[Any]]) -> None:
        self._missed = 0
        self._formed += 1
        try:
            form = Form(body, [self._validator.plain[name] for name in self._order], self._validator.width)
        except ValueError:
            return
        again = form.read(body)
        if again is not None and [again[0], *map(repr, map(float, again[1][:-1])), again[1][-1]] == [
            found[0], *map(repr, map(float, found[1][:-1])), found[1][-1]
        ]:  # fmt: skip
            self._form = form

    def _decoded(self, body: bytes) -> tuple[str, list[Any]] | None:
        if self._layout is None:
            return None
        decode, arrange, coded = self._layout
        try:
            request = decode(body)
            # Null has got past the decoder only where it may be.
            values = [NAN if (value := tensor.data[0]) is None else value for tensor in request.inputs]
            values.append(NAN)
            row = list(arrange(values))
            for position, codes in coded:
                row[position] = codes[row[position]]
        except (ValueError, KeyError, RecursionError):
            return None
        said = request.outputs is not msgspec.UNSET or request.parameters.event_time_ms is not None
        return None if said else (request.id, row)


def _compile(validator: Validator, order: list[str]) -> _Layout:
    columns = [validator.plain[name] for name in order]
    tensors = [
        msgspec.defstruct("Tensor", [("name", Literal[name]), ("data", tuple[_annotation(column)])], gc=False)  # type: ignore[misc]
        for name, column in zip(order, columns, strict=True)
    ]
    request = msgspec.defstruct(
        "Request",
        [
            ("inputs", tuple[tuple(tensors)]),  # type: ignore[misc]  # one type a column, known only now
            ("id", str, ""),
            ("outputs", msgspec.Raw | msgspec.UnsetType, msgspec.UNSET),
            ("parameters", Parameters, NOTHING),
        ],
        gc=False,
    )
    nothing = len(order)
    where = [nothing] * (validator.width + 1)
    coded = []
    for index, column in enumerate(columns):
        for position in column.positions:
            where[position] = index
            if column.codes is not None:
                coded.append((position, dict(column.codes) | {NAN: NAN}))  # found by identity
    return _Layout(msgspec.json.Decoder(request).decode, itemgetter(*where), tuple(coded))


def _annotation(column: Plain) -> Any:
    kind: Any = column.kind
    if kind is int:
        # Beyond 64 bits an integer is nothing ordinary.
        low, high = max(column.low, -(2.0**63)), min(column.high, 2.0**62)
        kind = Annotated[int, msgspec.Meta(ge=math.ceil(low), le=math.floor(high))]
    elif kind is float:
        kind = Annotated[float, msgspec.Meta(ge=column.low, le=column.high)]
    return kind | None if column.nullable else kind
