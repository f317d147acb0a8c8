"""The form of a body: its text, with a gap for each value; made from one body that was read by somebody slower."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from reference_service.core import reading as kernel
from reference_service.values import Plain

_TOKEN: Final = re.compile(rb'[ \t\n\r]*(?:([\[\]{},:])|("[^"]*"|[^\[\]{},:" \t\n\r]+))')
_MOST_GAPS: Final = 60  # a bit for each must fit one word
_SPARE: Final = 1024  # octets by which a body may be longer than the one that was learned
_ID: Final = Plain(str, (), nullable=False, low=0.0, high=0.0, codes=None)


class Form:
    """Reads bodies that differ from the one it was made of in their values alone.

    Args:
        body: a request of one row that is ordinary, with its columns in this order.
        columns: what an ordinary value of each is.
        width: of a row, and its entity stands after it.

    Raises:
        ValueError: it has no such form: escapes, or a key that comes twice.
    """

    __slots__ = ("_entity", "_gaps", "_id", "_inlet", "_page", "_room", "_row", "_spans", "_words")

    def __init__(self, body: bytes, columns: Sequence[Plain], width: int) -> None:
        places = _places(body, len(columns))
        gaps = [_ID if which < 0 else columns[which] for which, _, _ in places]
        self._id = next((2 * k for k, (which, _, _) in enumerate(places) if which < 0), -1)
        # What a number or an ordinal stands for is in the row; an entity is taken word for word.
        own = [
            k for k, gap in enumerate(gaps) if width in gap.positions and gap.codes is None and gap.kind is not float
        ]
        self._entity = (2 * own[0], gaps[own[0]].kind is int) if own else None
        self._gaps = gaps
        self._words = _words(body, [(begin, end) for _, begin, end in places], gaps, width + 1)
        self._room = len(body) + _SPARE
        spans = width + 1
        self._page = np.zeros(spans + 2 * len(gaps) + -(-self._room // 8) + 1, dtype=np.int64)
        self._row = self._page[:spans].view(np.float64)
        self._spans = self._page.data[spans : spans + 2 * len(gaps)]
        self._inlet = self._page.data.cast("B")[8 * (spans + 2 * len(gaps)) :]

    def read(self, body: bytes) -> tuple[str, list[Any]] | None:
        """The request's id, and its values as `Validator.clean` gives them; None if the body is not of this form."""
        n = len(body)
        if n > self._room:
            return None
        self._inlet[:n] = body
        hard = kernel.fill_in(self._words, self._page, n)
        if hard < 0:
            return None
        row: list[Any] = self._row.tolist()
        if hard and not self._read_hard(body, row, hard):
            return None
        spans = self._spans
        if self._entity is not None:
            gap, whole = self._entity
            row[-1] = spans[gap] if whole else body[spans[gap] : spans[gap + 1]].decode()
        gap = self._id
        return "" if gap < 0 else body[spans[gap] : spans[gap + 1]].decode(), row

    def _read_hard(self, body: bytes, row: list[Any], hard: int) -> bool:
        """Numbers that take more than one operation."""
        for k, gap in enumerate(self._gaps):
            if hard >> k & 1:
                value = float(body[self._spans[2 * k] : self._spans[2 * k + 1]])
                if not gap.low <= value <= gap.high:
                    return False
                for position in gap.positions:
                    row[position] = value
        return True


def _places(body: bytes, columns: int) -> list[tuple[int, int, int]]:
    """Where values stand in a request that is known to be one: (column, or -1 for the id; begin; end), in order."""
    if b"\\" in body:
        raise ValueError("a text with escapes")
    wanted: dict[tuple[Any, ...], int] = {(b'"inputs"', k, b'"data"', 0): k for k in range(columns)}
    wanted[b'"id"',] = -1
    found = [(wanted[path], begin, end) for path, begin, end in _scalars(body) if path in wanted]
    if sorted(which for which, _, _ in found) not in (list(range(columns)), list(range(-1, columns))):
        raise ValueError("a key that comes twice")
    if len(found) > _MOST_GAPS:
        raise ValueError("too many columns")
    return found


def _scalars(body: bytes) -> Iterator[tuple[tuple[Any, ...], int, int]]:
    """All scalars of a JSON text without escapes: keys (with their quotes) and indices that lead there; begin; end."""
    path: list[Any] = []
    key_next = False  # whether the next string is a key
    for token in _TOKEN.finditer(body):
        mark, scalar = token.groups()
        if scalar is not None:
            if key_next:
                path[-1] = scalar
            else:
                yield tuple(path), *token.span(2)
        elif mark in b"]}":
            path.pop()
        elif mark in b"[{":
            path.append(0)
        elif mark == b"," and type(path[-1]) is int:
            path[-1] += 1
        key_next = mark == b"{" or (mark == b"," and type(path[-1]) is bytes)


def _words(body: bytes, spans: Sequence[tuple[int, int]], gaps: Sequence[Plain], width: int) -> np.ndarray:
    """The form as `kernel.fill_in` reads it."""
    text = bytearray()
    names = [
        {str(k).encode(): v for k, v in gap.codes.items()} if gap.kind is str and gap.codes else {} for gap in gaps
    ]
    first_name = kernel.HEAD + kernel.GAP * len(gaps)
    first_text = 8 * (first_name + kernel.NAMED * sum(map(len, names)))

    def put(piece: bytes) -> tuple[int, int]:
        begin = first_text + len(text)
        text.extend(piece)
        return begin, len(piece)

    def bits(number: float) -> int:
        return int(np.float64(number).view(np.int64))

    head: list[int] = [len(gaps), width, *put(body[: spans[0][0]])]
    listed: list[int] = []
    for k, (gap, named) in enumerate(zip(gaps, names, strict=True)):
        after = body[spans[k][1] : spans[k + 1][0] if k + 1 < len(spans) else len(body)]
        positions = [*gap.positions, -1, -1][:2]
        head += [_kind(gap), *positions, int(gap.nullable), bits(gap.low), bits(gap.high), *put(after)]
        head += [first_name + len(listed), len(named)]
        for name, code in named.items():
            listed += [*put(name), bits(code)]
    words = np.zeros((first_text + len(text) + 7) // 8 + 1, dtype=np.int64)  # text is compared by words
    words[: len(head) + len(listed)] = head + listed
    words.view(np.uint8)[first_text : first_text + len(text)] = np.frombuffer(text, dtype=np.uint8)
    words.flags.writeable = False
    return words


def _kind(gap: Plain) -> int:
    if gap.kind is str:
        return kernel.TEXT if gap.codes is None else kernel.CATEGORY
    return kernel.BOOLEAN if gap.kind is bool else kernel.INTEGER if gap.kind is int else kernel.NUMBER
