"""What the naive judge reads, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Final

from simulator.controls.naive.book import Book, Row, book
from simulator.history.schema import History, Outcome, Source
from simulator.verdict import Status

SECOND: Final = 10**9
MINUTE: Final = 60 * SECOND
NOISE: Final = 0.001
ERRORS: Final = {Outcome.ERROR, Outcome.TIMEOUT, Outcome.RESET, Outcome.UNPARSEABLE, Outcome.MISSING}


class Doubt(Exception):  # noqa: N818 - it is one: the answer is UNKNOWN
    """Something that must be so for a verdict is not."""


def must(holds: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Doubt unless it holds."""
    if not holds:
        raise Doubt(what)


@dataclass(frozen=True)
class Opinion:
    """What the naive judge makes of it.

    Of shares also the votes: `voters` are requests by ordinal or rows by position, in the order of `moments`;
    `failed` says which of them failed, and `limit` how large a share may.
    """

    status: Status
    voters: tuple[int, ...] = ()
    moments: tuple[int, ...] = ()
    failed: tuple[bool, ...] = ()
    limit: float = 0.0

    @property
    def failures(self) -> int:
        """How many failed."""
        return sum(self.failed)

    @property
    def trials(self) -> int:
        """How many voted."""
        return len(self.failed)

    @cached_property
    def innocent(self) -> list[int]:
        """Which votes are not failures, by position."""
        return [i for i, failed in enumerate(self.failed) if not failed]


@dataclass(frozen=True)
class Court:
    """The evidence, as books. `read` makes one; the same one serves all expectations."""

    main: Book
    twin: Book | None
    aa: Book | None
    tolerance: float = 0.0
    serving: Mapping[str, Book] = field(default_factory=dict)

    @cached_property
    def disagreement(self) -> tuple[set[tuple[str, int, int]], int]:
        """S8: the rows on which the two clean runs disagree, and how many were compared."""
        pairs, noisy = 0, set()
        for row in self.twin.rows if self.twin else ():
            other = mate(row, self.aa) if self.aa else None
            if other is not None:
                pairs += 1
                if not alike(row, other, self.tolerance):
                    noisy.add((row.stream, row.number, row.copy))
        return noisy, pairs


def read(
    main: History,
    twin: History | None,
    aa: History | None,
    tolerance: float = 0.0,
    serving: Mapping[str, History] | None = None,
) -> Court:
    """Read the histories, once."""
    others = {version: book(run) for version, run in (serving or {}).items()}
    return Court(book(main), book(twin) if twin else None, book(aa) if aa else None, tolerance, others)


def alike(a: Row, b: Row, tolerance: float) -> bool:
    """S8: the same outcome and, if answered, the same score and decision, as much the model's own word."""
    if a.outcome != b.outcome:
        return False
    if a.outcome != Outcome.OK:
        return True
    both_absent = not isfinite(a.score) and not isfinite(b.score)
    own = {Source.NONE, Source.MODEL, Source.CACHE}
    said = a.source == b.source or {a.source, b.source} <= own
    return (both_absent or equal(a.score, b.score, tolerance)) and a.decision == b.decision and said


def equal(a: float, b: float, tolerance: float) -> bool:
    """Two scores that are there and no further apart than the tolerance."""
    return isfinite(a) and isfinite(b) and abs(a - b) <= tolerance


def mate(row: Row, other: Book) -> Row | None:
    """The same row in another run; of a duplicate the original will do."""
    return other.by_key.get((row.stream, row.number, row.copy)) or other.by_key.get((row.stream, row.number, 0))
