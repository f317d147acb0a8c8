"""Reads the service's decision log through its control plane, page by page, as the lines that it consists of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

_PAGE: Final = 2_000  # records asked for at a time
_MOST: Final = 1 << 30  # bytes of a log that are read at most


class _Numbered(msgspec.Struct):
    seq: int


async def fetch(path: str, get: Callable[[str], Awaitable[tuple[int, bytes]]]) -> tuple[list[bytes], str]:
    """The lines, newlines included, and why there may be more; empty: that is all.

    Args:
        path: As the target file names it.
        get: The reply to a GET of the control plane: status and body.
    """
    lines: list[bytes] = []
    after, size = -1, 0
    while True:
        status, body = await get(f"{path}?after={after}&limit={_PAGE}")
        if status != 200:  # noqa: PLR2004 - a page
            return lines, f"{path} answered {status}"
        page = body.splitlines(keepends=True)
        if not page:
            return lines, ""
        last = _last(page)
        if last is None or last <= after:
            return lines, f"{path} gave a page that does not go on after record {after}"
        lines, after, size = lines + page, last, size + len(body)
        if size > _MOST:
            return lines, f"it is longer than {_MOST >> 20} MB"


def _last(page: list[bytes]) -> int | None:
    """The number of the page's last record."""
    for line in reversed(page):
        try:
            return msgspec.json.decode(line, type=_Numbered).seq
        except msgspec.DecodeError:  # a seal
            continue
    return None
