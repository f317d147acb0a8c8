"""Reading a body whose text is known but for its values: one machine-code call from bytes to a row.

A client writes the same JSON again and again, with other values in it. The text between the values is compared byte by
byte, so that it means what it meant the last time; only the values are read. They are read strictly: what is not in the
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
_WORD: Final = 8
_EXACT: Final = 1 << 53  # integers up to it are float64, as are powers of ten up to …
_TENS: Final = tuple(10.0**k for k in range(23))
_DIGITS: Final = 15  # of an integer; more are somebody else's
_LOST: Final = 18  # digits beyond which an int64 could run over


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
def _past(text: Any, begin: Any, length: Any, octets: Any, at: Any, end: Any) -> Any:
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
def _closing(octets: Any, at: Any, end: Any) -> Any:
    """The closing quote of a string that begins there and has nothing to unescape, `ODD` if there is none."""
    if octets[at] != 34:  # noqa: PLR2004 - a quote
        return ODD
    at += 1
    while at < end:
        octet = octets[at]
        if octet == 34:  # noqa: PLR2004
            return at
        if octet == 92 or octet < 32:  # noqa: PLR2004 - a backslash; what JSON has only in escapes
            return ODD
        at += 1
    return ODD


@njit
def _digits(octets: Any, at: Any, end: Any) -> Any:
    while at < end and 48 <= octets[at] <= 57:  # noqa: PLR2004 - 0 to 9
        at += 1
    return at


@njit
def _number(octets: Any, at: Any, end: Any) -> Any:
    """Reads a number: (where it ends or `ODD`, whether it is an integer, its digits, their count, power of ten)."""
    if octets[at] == 45:  # noqa: PLR2004 - a minus
        at += 1
    begin, at = at, _digits(octets, at, end)
    if at == begin or (octets[begin] == 48 and at - begin > 1):  # noqa: PLR2004 - nothing, or a zero in front
        return ODD, False, 0, 0, 0
    count, power, integer = at - begin, 0, True
    digits = 0
    for k in range(begin, min(at, begin + _LOST)):
        digits = digits * 10 + np.int64(octets[k] - 48)
    if at < end and octets[at] == 46:  # noqa: PLR2004 - a point
        integer = False
        begin, at = at + 1, _digits(octets, at + 1, end)
        if at == begin:
            return ODD, False, 0, 0, 0
        power = begin - at
        for k in range(begin, min(at, begin + _LOST)):
            if count + k - begin < _LOST:
                digits = digits * 10 + np.int64(octets[k] - 48)
        count += at - begin
    if at < end and (octets[at] | 32) == 101:  # noqa: PLR2004 - e or E
        integer = False
        at += 1
        minus = at < end and octets[at] == 45  # noqa: PLR2004
        if at < end and (octets[at] == 45 or octets[at] == 43):  # noqa: PLR1714, PLR2004 - numba compares faster than it searches
            at += 1
        begin, at = at, _digits(octets, at, end)
        if at == begin:
            return ODD, False, 0, 0, 0
        exponent = 0
        for k in range(begin, min(at, begin + _LOST)):
            exponent = exponent * 10 + np.int64(octets[k] - 48)
        power += -exponent if minus else exponent
    return at, integer, digits, count, power


@entry(types.int64(types.Array(types.int64, 1, "C", readonly=True), types.int64[::1], types.int64))
def fill_in(form: Any, page: Any, n: Any) -> Any:
    """Read the values of a body.

    A number whose nearest float64 takes more than one exact operation is left to the caller, as NaN.

    Args:
        form: of `forms.form`: the head, the gaps, the categories, and all text.
        page: the row that is written, float64[width]; of each gap where its value begins and ends in the body, or, of
            an integer, itself and where it ends; and the body, from a word on, with a word to spare after it.
        n: length of the body.

    Returns:
        `ODD` if the body is not of this form; else a bit for each gap whose number the caller has to read.
    """
    text, limits = form.view(np.uint8), form.view(np.float64)
    octets, row = page.view(np.uint8), page.view(np.float64)
    gaps, width = form[0], form[1]
    body = (width + 2 * gaps) * _WORD
    end = body + n
    for k in range(width):
        row[k] = np.nan
    at = _past(text, form[2], form[3], octets, body, end)
    hard = 0
    for gap in range(gaps):
        if at == ODD or at >= end:
            return ODD
        own = HEAD + gap * GAP
        kind, begin, value, quote, whole = form[own], at, np.nan, 0, 0
        octet = octets[at]
        if octet == 110:  # noqa: PLR2004 - an n: null
            if not form[own + 3] or at + 4 > end or octets[at + 1] != 117 or octets[at + 2] != 108 or octets[at + 3] != 108:  # noqa: PLR2004, E501
                return ODD
            at += 4
        elif kind == TEXT:
            at = _closing(octets, at, end)
            if at == ODD:
                return ODD
            begin, quote = begin + 1, 1
            for k in range(begin, at):
                if octets[k] > 126:  # noqa: PLR2004 - ASCII ends there
                    return ODD
        elif kind == CATEGORY:
            at = _closing(octets, at, end)
            if at == ODD:
                return ODD
            begin, quote = begin + 1, 1
            found = False
            for name in range(form[own + 9]):
                its = form[own + 8] + name * NAMED
                if form[its + 1] == at - begin and _past(text, form[its], at - begin, octets, begin, at) == at:
                    value, found = limits[its + 2], True
                    break
            if not found:
                return ODD
        elif kind == BOOLEAN:
            if octet == 116 and at + 4 <= end and octets[at + 1] == 114 and octets[at + 2] == 117 and octets[at + 3] == 101:  # noqa: PLR2004, E501
                value, at = 1.0, at + 4
            elif octet == 102 and at + 5 <= end and octets[at + 1] == 97 and octets[at + 2] == 108 and octets[at + 3] == 115 and octets[at + 4] == 101:  # noqa: PLR2004, E501
                value, at = 0.0, at + 5
            else:
                return ODD
        else:
            at, integer, digits, count, power = _number(octets, at, end)
            if at == ODD or (kind == INTEGER and (not integer or count > _DIGITS)):
                return ODD
            if count > _LOST or digits > _EXACT or power < -22 or power > 22:  # noqa: PLR2004
                hard |= 1 << gap
            else:
                value = np.float64(digits)
                value = value / _TENS[-power] if power < 0 else value * _TENS[power]
                minus = octets[begin] == 45  # noqa: PLR2004
                if kind == INTEGER:
                    whole = -digits if minus else digits
                    value = np.float64(whole)
                elif minus:
                    value = -value
                if not limits[own + 4] <= value <= limits[own + 5]:
                    return ODD
        spans = width + 2 * gap
        page[spans], page[spans + 1] = (whole if kind == INTEGER else begin - body), at - body
        if form[own + 1] >= 0:
            row[form[own + 1]] = value
        if form[own + 2] >= 0:
            row[form[own + 2]] = value
        at = _past(text, form[own + 6], form[own + 7], octets, at + quote, end)
    return hard if at == end else ODD


ENTRIES: Final = (fill_in,)
