"""The safe heuristic: what to answer when the model, or what it needs, cannot.

The positive rate of one category, from training. It always answers, at once, and always says that it is a fallback.
"""

from __future__ import annotations

import math

from reference_service.bundle import Bundle


class Heuristic:
    """The heuristic of one bundle.

    Args:
        bundle: its profile holds the rates.
    """

    __slots__ = ("_bundle", "_categories", "_index")

    def __init__(self, bundle: Bundle) -> None:
        names = [field.name for field in bundle.contract.fields]
        name = bundle.profile.fallback_field
        self._bundle = bundle
        self._index = names.index(name) if name in names else -1
        self._categories = bundle.contract.fields[self._index].categories if self._index >= 0 else ()

    def __call__(self, values: list[float]) -> float:
        """Probability for one row in contract order; null, unseen or unread categories get the overall rate."""
        code = values[self._index] if self._index >= 0 else math.nan
        known = 0 <= code < len(self._categories)  # False for NaN
        return self._bundle.fallback(self._categories[int(code)] if known else None)
