"""The evidence that a verdict is a pure function of: the run, its clean twins, and the runs without a safeguard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from simulator.history.schema import History

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was observed of one cell.

    Attributes:
        main: The run of the scenario.
        twin: The same seed and world in which nothing happens (S9).
        aa: A second clean run; two clean runs that disagree make every comparison UNKNOWN (S8).
        serving: Version, or ``version@target`` → a clean run that it serves from the start, there.
        off: Safeguard → the run of the scenario with that safeguard switched off (S10, grade S).
        tolerance: Difference of two scores that the target declares to be none.
    """

    main: History
    twin: History | None = None
    aa: History | None = None
    off: Mapping[str, History] = field(default_factory=dict)
    serving: Mapping[str, History] = field(default_factory=dict)
    tolerance: float = 0.0
    # Joins are the costly part of a judgement and edited copies share their key columns, so results are
    # remembered by the identity of the arrays they come from. Holds the arrays, so that no id is used twice.
    memo: dict[tuple[Any, ...], tuple[Any, Any]] = field(default_factory=dict, repr=False, compare=False)

    def remember(self, what: str, arrays: tuple[np.ndarray, ...], compute: Callable[[], T]) -> T:
        """`compute()`, once for these very arrays; it must depend on nothing else, and nobody may write into them."""
        key = (what, *map(id, arrays))
        if key not in self.memo:
            self.memo[key] = (arrays, compute())
        value: T = self.memo[key][1]
        return value
