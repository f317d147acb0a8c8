"""Quarantine: a field that cannot be trusted is not used until its alert clears, and every reply says so.

This is what contains an in-range unit change, which no single request can reveal. Nulls reveal themselves one by one
and are answered by the field's own policy; only where most of a column is null is the rest distrusted as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from reference_service.contract import Field

Action = Literal["default", "fallback"]


def actions(fields: Iterable[Field], distrusted: frozenset[str]) -> Mapping[int, tuple[str, Action]]:
    """Position in the contract → (field, what to do), for the distrusted fields whose policy asks for it."""
    found: dict[int, tuple[str, Action]] = {}
    for position, field in enumerate(fields):
        if field.name in distrusted and field.on_alert != "none":
            found[position] = (field.name, field.on_alert)
    return found
