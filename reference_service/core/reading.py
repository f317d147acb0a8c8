"""Reading a body whose text is known but for its values: one machine-code call from bytes to a row.

A client writes the same JSON again and again, with other values in it. The text between the values is compared word by
word, so that it means what it meant the last time; only the values are read. They are read strictly: what is not in the
grammar of JSON, not of its column's kind or not within its limits ends the call, and somebody slower says what it is.
"""

# mypy: disallow-untyped-decorators=False, disallow-untyped-calls=False
# (numba ships no types)

from __future__ import annotations

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from reference_service.core.kernel import entry

TEXT: Final = 0  # kinds of gaps: an ASCII string for the caller to take, …
NUMBER: Final = 1
INTEGER: Final = 2
CATEGORY: Final = 3
BOOLEAN: Final = 4
HEAD: Final = 4  # words of a form: gaps, length of a row, where the text before the first gap begins and how long it is
GAP: Final = 10  # words of a gap: kind, first and second position (-1: none), whether null is a value, lowest and
# highest (float64), where the text after it begins and how long it is, and the word and number of its categories
NAMED: Final = 3  # words of a category: where its text begins, how long it is, its code (float64)
ODD: Final = -1
EASY: Final = 0
HARD: Final = 1  # whose nearest float64 takes more than one exact operation
_EXACT: Final = 1 << 53  # integers up to it are float64, …
_TENS: Final = tuple(10.0**k for k in range(23))  # … and so are these
_DIGITS: Final = 15  # of an integer; more are somebody else's
_KEPT: Final = 18  # digits; with more of them an int64 could run over
_QUOTE, _BACKSLASH, _MINUS, _PLUS, _POINT, _ZERO, _NINE, _E, _N = b'"\\-+.09en'
_CONTROL: Final = 32  # JSON has octets below it in escapes only
_ASCII: Final = 127
_FOUR: Final = np.uint64(0xFFFFFFFF)
_NULL, _TRUE, _FALS = (np.uint64(int.from_bytes(four, "little")) for four in (b"null", b"true", b"fals"))


def _emit_word(_typing: Any, octets: Any, at: Any) -> Any:
    """The eight octets from there on, as a uint64 whose lowest is the first; the array must have them."""
    signature = types.uint64(octets, at)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        where = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer())
        return builder.load(where, align=1)

    return signature, emit


_word: Any = intrinsic(_emit_word)


@njit
def _past(text: Any, begin: Any, length: Any, octets: Any, at: Any, end: Any) -> Any:  # noqa: PLR0917 - machine code knows no keywords
    """Where the octets go on after that text, `ODD` if it is not what stands there."""
    if at + length > end:
        return ODD
    differ = np.uint64(0)
    whole = length & ~7
    for k in range(0, whole, 8):
        differ |= _word(octets, at + k) ^ _word(text, begin + k)
    if length > whole:  # of the last eight octets, the first few
        last = _word(octets, at + whole) ^ _word(text, begin + whole)
        differ |= last << np.uint64(8 * (8 - length + whole))
    return ODD if differ else at + length


@njit
def _closing(octets: Any, at: Any, end: Any, above: Any) -> Any:
    """The closing quote of a string that begins there and has nothing to unescape, `ODD` if there is none.

    Octets from `above` on are not its own.
    """
    if octets[at] != _QUOTE:
        return ODD
    at += 1
    while at < end and octets[at] != _QUOTE:
        if octets[at] == _BACKSLASH or octets[at] < _CONTROL or octets[at] >= above:
            return ODD
        at += 1
    return at if at < end else ODD


@njit
def _digits(octets: Any, at: Any, end: Any, number: Any, count: Any) -> Any:
    """Reads digits: where they end, with the number and the count of all digits so far."""
    while at < end and _ZERO <= octets[at] <= _NINE:
        if count < _KEPT:
            number = number * 10 + np.int64(octets[at] - _ZERO)
        count += 1
        at += 1
    return at, number, count


@njit
def _number(octets: Any, at: Any, end: Any) -> Any:
    """Reads a number without its sign: where it ends or `ODD`, digits, their count, power of ten, whether whole."""
    begin = at
    at, digits, count = _digits(octets, at, end, np.int64(0), np.int64(0))
    power, whole = np.int64(0), True
    if at == begin or (octets[begin] == _ZERO and count > 1):
        return ODD, digits, count, power, whole
    if at < end and octets[at] == _POINT:
        whole, begin = False, at + 1
        at, digits, count = _digits(octets, begin, end, digits, count)
        power = np.int64(begin - at)
        if at == begin:
            return ODD, digits, count, power, whole
    if at < end and octets[at] | _CONTROL == _E:  # or its capital
        whole, begin = False, at + 1
        minus = begin < end and octets[begin] == _MINUS
        if minus or (begin < end and octets[begin] == _PLUS):
            begin += 1
        at, exponent, places = _digits(octets, begin, end, np.int64(0), np.int64(0))
        power += -exponent if minus else exponent
        count = max(count, places)  # of either too many are somebody else's
        if at == begin:
            return ODD, digits, count, power, whole
    return at, digits, count, power, whole


@njit
def _named(form: Any, text: Any, own: Any, octets: Any, begin: Any, end: Any) -> Any:  # noqa: PLR0917 - machine code knows no keywords
    """The word of the code of the category that is written there, `ODD` if there is none."""
    for name in range(form[own + 9]):
        its = form[own + 8] + name * NAMED
        if form[its + 1] == end - begin and _past(text, form[its], end - begin, octets, begin, end) == end:
            return its + 2
    return ODD


@njit
def _value(form: Any, text: Any, limits: Any, own: Any, octets: Any, at: Any, end: Any) -> Any:  # noqa: PLR0917 - machine code knows no keywords
    """Reads one value: where it ends or `ODD`, its number, the same as an integer, and whether it is `HARD`."""
    kind, number, integer = form[own], np.nan, np.int64(0)
    four = _word(octets, at) & _FOUR
    if octets[at] == _N:
        return at + 4 if four == _NULL and form[own + 3] else ODD, number, integer, EASY
    if kind == TEXT:
        return _closing(octets, at, end, _ASCII), number, integer, EASY
    if kind == CATEGORY:
        at, begin = _closing(octets, at, end, 256), at + 1
        code = _named(form, text, own, octets, begin, at) if at != ODD else ODD
        return at if code != ODD else ODD, limits[max(code, 0)], integer, EASY
    if kind == BOOLEAN:
        if four == _TRUE:
            return at + 4, 1.0, integer, EASY
        return at + 5 if four == _FALS and octets[at + 4] == _E else ODD, 0.0, integer, EASY
    minus = octets[at] == _MINUS
    at, digits, count, power, whole = _number(octets, at + int(minus), end)
    if at == ODD or (kind == INTEGER and (not whole or count > _DIGITS)):
        return ODD, number, integer, EASY
    if count > _KEPT or digits > _EXACT or power <= -len(_TENS) or power >= len(_TENS):
        return at, number, integer, HARD
    if whole:
        integer = -digits if minus else digits
        number = np.float64(integer)  # so that -0 is 0, as decoders have it
    else:
        number = np.float64(-digits if minus else digits)
        number = number / _TENS[-power] if power < 0 else number * _TENS[power]
        if minus:
            number = -abs(number)
    return at if limits[own + 4] <= number <= limits[own + 5] else ODD, number, integer, EASY


@entry(types.int64(types.Array(types.int64, 1, "C", readonly=True), types.int64[::1], types.int64))
def fill_in(form: Any, page: Any, n: Any) -> Any:
    """Read the values of a body.

    Args:
        form: of `form.Form`: the head, the gaps, the categories, and all text, with a word to spare.
        page: the row that is written, float64[width]; of each gap where its value begins and ends in the body, or, of
            an integer, itself and where it ends; and the body, from a word on, with a word to spare after it.
        n: length of the body.

    Returns:
        `ODD` if the body is not of this form; else a bit for each gap whose number is hard: the caller reads it.
    """
    text, limits = form.view(np.uint8), form.view(np.float64)
    octets, row = page.view(np.uint8), page.view(np.float64)
    gaps, width = form[0], form[1]
    body = (width + 2 * gaps) * 8
    end = body + n
    row[:width] = np.nan
    at = _past(text, form[2], form[3], octets, body, end)
    hard = 0
    for gap in range(gaps):
        if at == ODD or at >= end:
            return ODD
        own, begin, quote = HEAD + gap * GAP, at, int(octets[at] == _QUOTE)
        at, number, integer, how = _value(form, text, limits, own, octets, at, end)
        if at == ODD:
            return ODD
        hard |= how << gap
        for position in (form[own + 1], form[own + 2]):
            if position >= 0:
                row[position] = number
        page[width + 2 * gap] = integer if form[own] == INTEGER else begin + quote - body
        page[width + 2 * gap + 1] = at - body
        at = _past(text, form[own + 6], form[own + 7], octets, at + quote, end)
    return hard if at == end else ODD


ENTRIES: Final = (fill_in,)
