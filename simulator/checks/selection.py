"""Which items and which requests an expectation speaks of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.checks import premises, windows
from simulator.checks.evidence import Evidence
from simulator.checks.premises import PremiseError
from simulator.checks.statistics import BLOCK_NS, MIN_BLOCKS, SHORT_BLOCK_NS
from simulator.checks.windows import UNTOUCHED, Window
from simulator.history.schema import History, Outcome, Source
from simulator.scenario.model import Expectation, Scenario

# S5: what counts as an error of the service. Rejections and sheds are answers.
FAILED: Final = (Outcome.ERROR, Outcome.TIMEOUT, Outcome.RESET, Outcome.UNPARSEABLE, Outcome.MISSING)


def bit(column: np.ndarray, event: int) -> np.ndarray:
    """Elementwise: the bit of that event is set."""
    return np.asarray((column >> np.uint64(event)) & np.uint64(1), bool)


def rows(expectation: Expectation, history: History, window: Window, *, of: str | None) -> np.ndarray:
    """bool[n]: the item is scheduled in the window and is one of those that `of` names (S1).

    Args:
        expectation: For its `settle`: items of an event count from its start plus that.
        history: The run.
        window: When.
        of: An event, ``untouched``, or None for all.
    """
    scheduled = history.items["scheduled_ns"]
    inside = window.contains(scheduled)
    if of is None:
        return inside
    if of == UNTOUCHED:
        return np.asarray(inside & (history.items["touched"] == 0))
    record = premises.record_of(history, of)
    settled = scheduled >= record.start_ns + expectation.settle
    return np.asarray(inside & settled & bit(history.items["touched"], record.index))


def block_ns(history: History) -> int:
    """Over blocks of which length the replies of a run are independent (S5); 0 in virtual time: they are anyway."""
    if history.header.driver == "virtual":
        return 0
    return BLOCK_NS if history.header.end_ns >= MIN_BLOCKS * BLOCK_NS else SHORT_BLOCK_NS


@dataclass(frozen=True, slots=True)
class Requests:
    """Items grouped by the request that carried them: the first item of each, and each item's group."""

    first: np.ndarray  # int64[r], position of the first item
    group: np.ndarray  # int64[n]

    def any(self, rows: np.ndarray) -> np.ndarray:
        """bool[r]: at least one of the request's rows is marked."""
        return np.bincount(self.group, weights=rows, minlength=len(self.first)) > 0

    def all(self, rows: np.ndarray) -> np.ndarray:
        """bool[r]: all of the request's rows are marked."""
        return ~self.any(~rows)


def requests(evidence: Evidence, history: History) -> Requests:
    """The requests of a run, in the order of their ordinals."""
    ordinal = history.items["request"]

    def group() -> Requests:
        _, first, inverse = np.unique(ordinal, return_index=True, return_inverse=True)
        return Requests(first, inverse)

    return evidence.remember("requests", (ordinal,), group)


def chosen_requests(
    expectation: Expectation, evidence: Evidence, window: Window, *, of: str | None
) -> tuple[Requests, np.ndarray]:
    """All requests, and bool[r] for those in the selection: carrying a touched row, or nothing but untouched ones."""
    grouped = requests(evidence, evidence.main)
    marked = rows(expectation, evidence.main, window, of=of)
    return grouped, grouped.all(marked) if of == UNTOUCHED else grouped.any(marked)


def says_source(history: History) -> None:
    """If there are answers, at least one says where it came from.

    Raises:
        PremiseError: None does.
    """
    sources = history.items["source"][history.items["outcome"] == Outcome.OK]
    if len(sources) and not bool((sources != Source.NONE).any()):
        raise PremiseError(
            "source: the target does not say where its answers come from", "map `read.source` in the target file"
        )


def says_version(history: History, chosen: np.ndarray) -> None:
    """All but 0.1 % of the chosen answers name the version that gave them.

    Raises:
        PremiseError: They do not.
    """
    answers = chosen & (history.items["outcome"] == Outcome.OK)
    blank = int((history.items["version"][answers] == "").sum())
    if blank > premises.NOISE * int(answers.sum()):
        raise PremiseError(
            f"version: {blank} of {int(answers.sum())} answers do not say which version gave them",
            "map `read.version` in the target file",
        )


def ever_decided(decision: str, key: str, evidence: Evidence) -> None:
    """Somebody was told so, in the run or in its twin: that nobody was proves nothing where the word is misspelt.

    Raises:
        PremiseError: Nobody ever was.
    """
    runs = [run for run in (evidence.main, evidence.twin) if run is not None]
    if not any(bool(np.any(run.items["decision"] == decision)) for run in runs):
        raise PremiseError(
            f"decision: no answer of this run or its twin was `{decision}`, so few of them prove nothing",
            f"write `{key}:` as the service spells it",
        )


def ground(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Window:
    """The premises that every expectation shares, then its window.

    Raises:
        PremiseError: Naming the first that does not hold.
    """
    premises.sound_run(evidence, evidence.main, scenario)
    return windows.resolve(expectation, scenario, evidence.main)
