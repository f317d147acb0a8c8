"""What became of each touched row (S8): said so, repaired, or answered as if nothing had happened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from simulator.checks import words
from simulator.checks.evidence import Evidence
from simulator.checks.joins import NOBODY, agreement, equal_scores, partners, same_reply
from simulator.history.schema import History, Outcome, Source


class Handling(IntEnum):
    """The fate of one row. What is declared stays so even if the score is right as well."""

    REJECTED = 0  # a clear client error
    DEFAULTED = 1  # answered by a default, and the reply says so
    FELL_BACK = 2  # answered by the fallback, and the reply says so
    REPAIRED = 3  # the score is the clean twin's
    SILENT = 4  # answered as if nothing had happened, and different
    CRASHED = 5  # 5xx or unreadable
    LOST = 6  # shed, timed out, reset, never concluded
    UNKNOWN = 7  # answered, and the clean twin has no answer to compare with


BY: Final = {
    "reject": Handling.REJECTED,
    "default": Handling.DEFAULTED,
    "fallback": Handling.FELL_BACK,
    "repair": Handling.REPAIRED,
}


@dataclass(frozen=True, slots=True)
class Handled:
    """One entry per row asked for: its fate, whether its score is the twin's, and the twin's score."""

    fate: np.ndarray  # int8[n] of Handling
    repaired: np.ndarray  # bool[n], also true of declared rows whose score is right
    twin_score: np.ndarray  # float64[n], NaN without one

    def by(self, ways: tuple[str, ...]) -> np.ndarray:
        """bool[n]: handled in one of these ways."""
        found = np.isin(self.fate, [BY[way] for way in ways])
        return found | self.repaired if "repair" in ways else found


def handling(evidence: Evidence, twin: History, rows: np.ndarray) -> Handled:
    """The fate of the items at positions `rows`, int64[n], of the main run.

    A declaration counts if it says something that the clean twin's reply for the same row does not: a row that
    is always answered by a default, for always the same reasons, says nothing about what was done to it today.
    An answer without a usable score declares nothing.
    """
    main = evidence.main.items
    outcome, source, score = (main[name][rows] for name in ("outcome", "source", "score"))
    partner = partners(evidence, evidence.main, twin)[rows]
    paired = partner != NOBODY
    at = np.where(paired, partner, 0)
    clean = twin.items
    if len(twin):
        twin_outcome = np.where(paired, clean["outcome"][at], Outcome.MISSING)
        twin_score = np.where(paired & (twin_outcome == Outcome.OK), clean["score"][at], np.nan)
        reasons = main["reasons"][rows]
        stale = np.asarray(
            paired
            & (twin_outcome == Outcome.OK)
            & (source == clean["source"][at])
            & np.asarray(reasons == clean["reasons"][at], bool)
            & np.asarray(reasons != "", bool),
            bool,
        )
    else:
        twin_outcome = np.full(len(rows), int(Outcome.MISSING))
        twin_score = np.full(len(rows), np.nan)
        stale = np.zeros(len(rows), bool)
    ok = outcome == Outcome.OK
    usable = ok & np.isfinite(score)
    answered = ok & (source != Source.REJECTED)
    repaired = answered & equal_scores(score, twin_score, evidence.tolerance)
    # Rejected by the twin but answered here is different from it; failed there, it says nothing.
    comparable = np.isfinite(twin_score) | (twin_outcome == Outcome.REJECT)
    comparable |= paired & (twin_outcome == Outcome.OK)
    fate = np.select(
        [
            (outcome == Outcome.REJECT) | (ok & (source == Source.REJECTED)),
            usable & (source == Source.DEFAULT) & ~stale,
            usable & (source == Source.FALLBACK) & ~stale,
            repaired,
            answered & ~usable,
            answered & comparable,
            answered,
            (outcome == Outcome.ERROR) | (outcome == Outcome.UNPARSEABLE),
        ],
        [
            Handling.REJECTED,
            Handling.DEFAULTED,
            Handling.FELL_BACK,
            Handling.REPAIRED,
            Handling.SILENT,
            Handling.SILENT,
            Handling.UNKNOWN,
            Handling.CRASHED,
        ],
        default=Handling.LOST,
    ).astype(np.int8)
    return Handled(fate, repaired, twin_score)


@dataclass(frozen=True, slots=True)
class Harm:
    """Rows that can be compared with the clean twin, as positions in the main run, and whether they differ."""

    rows: np.ndarray  # int64[m]
    harmed: np.ndarray  # bool[m]
    partner: np.ndarray  # int64[m]
    left_out: int  # rows asked for that cannot be compared


def harm(evidence: Evidence, twin: History, rows: np.ndarray) -> Harm:
    """Compare the items at positions `rows` of the main run with the twin's.

    Left out, and counted, are rows that the twin does not have (feedback), rows that the twin failed to answer
    (no reference), and rows on which two clean runs disagree (the difference would be the target's own).
    """
    partner = partners(evidence, evidence.main, twin)[rows]
    there = partner != NOBODY
    if len(twin):
        at = np.where(there, partner, 0)
        there &= np.isin(twin.items["outcome"][at], (Outcome.OK, Outcome.REJECT))
        if evidence.aa is not None:
            there &= ~agreement(evidence, twin, evidence.aa).differs[at]
    kept, mate = rows[there], partner[there]
    harmed = ~same_reply(evidence.main, kept, twin, mate, evidence.tolerance)
    return Harm(kept, harmed, mate, len(rows) - len(kept))


def describe(evidence: Evidence, twin: History, row: int, mate: int) -> str:
    """One row beside its clean twin, for a witness."""
    main = evidence.main
    here = Outcome(int(main.items["outcome"][row])).name.lower()
    text = f"{words.item(main, row)}: {here}, {words.score(float(main.items['score'][row]))}"
    if mate == NOBODY:
        return f"{text}, not in the twin"
    there = Outcome(int(twin.items["outcome"][mate])).name.lower()
    return f"{text}, twin {there}, {words.score(float(twin.items['score'][mate]))}"
