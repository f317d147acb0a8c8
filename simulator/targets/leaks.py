"""What an error reply must not show: values that it was sent, and the inside of the service. And that it says why."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

NOTHING: Final = 0
VALUES: Final = 1
INTERNALS: Final = 2
SILENT: Final = 3

# Stack traces and exceptions by name, as Python, the JVM, JavaScript and Go write them.
_INTERNALS: Final = re.compile(
    rb'Traceback \(most recent call last\)|File \\?"[^"]+\\?", line \d|\bat [\w$.<>]+\([\w$.]+:\d+\)|\bat /\S+:\d+:\d+'
    rb"|goroutine \d+ \[|\b\w+(?:Error|Exception)\b ?[:(]|(?:site|dist)-packages"
)
_NUMBER: Final = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_FEW: Final = 4  # significant digits: a number with fewer may be there by chance, a status or a row
_SHORT: Final = 6  # characters: a shorter text may be a word of the message
_PROTOCOL: Final = frozenset({"name", "id", "datatype", "shape", "columns", "parameters"})  # keys of what is no value


def leak(request: bytes, reply: bytes, *, explains: bool = False) -> int:
    """NOTHING, VALUES or INTERNALS: what an error reply shows that it should not; SILENT if it shows nothing at all.

    A refusal is clear if it `explains`: its reply has a text in it, whatever that says.

    Only what cannot be there by chance counts: numbers of four significant digits and more, texts of six characters
    and more that are not also names of fields, whole words each.
    """
    if _INTERNALS.search(reply):
        return INTERNALS
    if explains and _wordless(reply):
        return SILENT
    try:
        document = msgspec.json.decode(request)
    except (ValueError, RecursionError):
        return NOTHING  # what is no JSON has no values; its text is taken from no reply
    numbers: set[bytes] = set()
    texts: set[bytes] = set()
    _collect(document, numbers, texts)
    if numbers & {_digits(found) for found in _NUMBER.findall(reply)}:
        return VALUES
    words = b" " + re.sub(rb"[^\w.+@-]+", b" ", reply) + b" "
    return VALUES if any(b" " + text + b" " in words for text in texts) else NOTHING


def _wordless(reply: bytes) -> bool:
    try:
        waiting = [msgspec.json.decode(reply)]
    except (ValueError, RecursionError):
        return not reply.strip()  # plain text
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and value.strip():
            return False
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return True


def _collect(value: Any, numbers: set[bytes], texts: set[bytes]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in _PROTOCOL:
                _collect(inner, numbers, texts)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, numbers, texts)
    elif isinstance(value, str):
        if len(value) >= _SHORT and re.fullmatch(r"[\w.+@-]+", value):
            texts.add(value.encode())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        digits = _digits(msgspec.json.encode(value))
        if len(digits) >= _FEW:
            numbers.add(digits)


def _digits(number: bytes) -> bytes:
    """The significant digits, so that 12.50, 1.25e1 and 1250 of a cent are one number."""
    mantissa = number.lower().partition(b"e")[0]
    return mantissa.replace(b"-", b"").replace(b".", b"").strip(b"0")
