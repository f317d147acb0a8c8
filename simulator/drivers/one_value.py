"""A request that is another one by a single value: what a careless fingerprint takes for the same.

Byte for byte the request is left as it was written, so that nothing but the value tells the two apart.
"""

from __future__ import annotations

import re
from typing import Final

# What a JSON document says: strings (names too), numbers, true, false, null.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|\b(?:true|false|null)\b')


def with_one_value_of(body: bytes, other: bytes, turn: int, ids: tuple[bytes, ...] = ()) -> bytes:
    """The body with one value of the other one in place of its own; the whole other body where they are not alike.

    Args:
        body: a JSON document.
        other: one of the same form.
        turn: which of the values in which they differ, in turn.
        ids: of the two requests; they differ in any case, and are left alone.
    """
    mine = list(_TOKEN.finditer(body))
    theirs: list[bytes] = _TOKEN.findall(other)
    if len(mine) != len(theirs):
        return other
    differ = [
        (at.span(), there)
        for at, there in zip(mine, theirs, strict=True)
        if at[0] != there and not any(each in at[0] for each in ids)
    ]
    if not differ:
        return other
    (start, end), there = differ[turn % len(differ)]
    return body[:start] + there + body[end:]
