"""Human review: which decisions people look at, how many, and what becomes of what they say.

People see what is near the border (the model's own `review` band) and what is unlike anything it has learned. Their
time is what is scarce: while the share that the policy's own band sends them lies in what they can do, the band is
left alone; when it surely does not, the border moves to the quantile of the latest scores that does, and it moves back
as soon as the policy's own would do again. Every move has a policy tag of its own, which the decisions carry.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal

import msgspec
import numpy as np

from reference_service.audit.records import Decision
from reference_service.core.evidence import roll
from reference_service.monitor.keeping import keep, recall
from reference_service.policy import Bands, Policy

Verdict = Literal["approve", "block"]
_SURE: Final = 4.0  # standard errors beyond the band; it is looked at every tick
_ROOMS: Final = (64, 16, 4)  # scores that may wait together
_TRAIL: Final = 256  # moves that are remembered
_LATEST: Final = 4096  # anomaly scores by which "most unusual" is judged


class Move(msgspec.Struct, frozen=True):
    """The border between approving and reviewing went there."""

    at_ns: int
    version: str
    review_from: float
    tag: str


class ReviewShare:
    """Holds the share of answers that people see in its band.

    Args:
        policy: the band, and how many scores it is judged by.
    """

    __slots__ = ("_edges", "_inside", "_judged_by", "_policy", "_room", "_scores", "_seen", "_waiting", "trail")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._scores = np.full(policy.review_rows, math.nan)  # the latest, in a ring
        self._seen = 0  # ever
        self._judged_by: tuple[float, float, float] = (0.0, 0.0, 0.0)
        self._edges = np.zeros(3)  # the same
        self._inside = np.zeros(3, dtype=np.int64)  # of the latest, at each of these edges or above
        self._waiting = array("d")  # scores to be counted
        self._room = 0  # for so many the border stays where it is, whatever they are
        self.trail: deque[Move] = deque(maxlen=_TRAIL)

    def start(self) -> None:
        """Another version serves: its scores are others."""
        self._scores[:] = math.nan
        self._seen = 0
        self._inside[:] = 0
        self._waiting, self._room = array("d"), 0

    def look(self, now_ns: int, version: str, bands: Bands, scores: Sequence[float]) -> None:
        """Take in the scores of a tick, and move the border if it has to be."""
        self._waiting.extend(scores)
        edges = (bands.shipped, bands.review_from, bands.block_from)
        if len(self._waiting) <= self._room and edges == self._judged_by:
            return
        self._count(edges)
        if self._seen < len(self._scores):
            return
        wanted = self._border(bands)
        if wanted != bands.review_from:
            bands.move(wanted)
            self.trail.append(Move(now_ns, version, wanted, bands.tag))

    def _count(self, edges: tuple[float, float, float]) -> None:
        """The scores that wait, as they come and older ones go."""
        if edges != self._judged_by:
            self._judged_by, self._edges = edges, np.array(edges)
            self._inside = np.array([np.count_nonzero(self._scores >= edge) for edge in edges])
        roll(np.asarray(self._waiting), self._scores, self._seen, self._edges, self._inside)
        self._seen += len(self._waiting)
        self._waiting = array("d")

    def _border(self, bands: Bands) -> float:
        policy = self._policy
        rows, (shipped, review, blocked) = policy.review_rows, self._inside.tolist()
        stands = bands.review_from == bands.shipped
        self._room = self._room_of(shipped - blocked) if stands else 0
        if self._fits((shipped - blocked) / rows, sure=stands):
            return bands.shipped
        if not stands and self._fits((review - blocked) / rows, sure=True):
            return bands.review_from
        level = max(0.0, 1 - blocked / rows - policy.review_share)
        return min(round(float(np.quantile(self._scores, level)), 6), bands.block_from)

    def _room_of(self, inside: int) -> int:
        """How many scores may come before the share can have left the band: each moves it by a row at most."""
        for room in _ROOMS:
            if all(self._fits((inside + by) / self._policy.review_rows, sure=True) for by in (-room, room)):
                return room
        return 0

    def _fits(self, share: float, *, sure: bool) -> bool:
        """Whether a share lies in the band; or, if one has to be sure to move, whether it may do so."""
        policy = self._policy
        reach = _SURE * math.sqrt(max(share * (1 - share), 1e-4) / policy.review_rows) if sure else 0.0
        return policy.review_low - reach <= share <= policy.review_high + reach


class Case(msgspec.Struct):
    """A decision that a person is to look at."""

    id: str
    row: int
    at_ns: int
    score: float
    decision: str
    anomaly: float | None
    why: Literal["margin", "unusual"]
    verdict: Verdict | None = None
    by: str = ""  # who said so


class ReviewQueue:
    """Cases in the order in which they came; each is decided once.

    Args:
        policy: room, and how unusual a case has to be.
    """

    __slots__ = ("_anomalies", "_cases", "_edge", "_offered", "_policy", "_stale", "_unusual", "dropped", "offered")
    KEPT: ClassVar[tuple[str, ...]] = ("dropped", "offered")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._cases: dict[tuple[str, int], Case] = {}
        self._anomalies = array("d")  # the latest, in a ring
        self._offered = 0  # ever
        self._unusual = math.inf  # until enough has been seen to say what is
        self._edge = -math.inf  # the one of the latest scores that lies next below it, or on it
        self._stale = True  # what came since may have moved it
        self.offered = 0
        self.dropped = 0  # cases that nobody had looked at when their room was needed

    def offer(self, decisions: Sequence[Decision]) -> None:
        """A block of decisions, whose anomaly is known."""
        limit = self._unusual
        self._take([made.anomaly for made in decisions if made.anomaly is not None])
        for made in decisions:
            margin = made.decision == "review"
            if (margin or (made.anomaly is not None and made.anomaly > limit)) and made.score is not None:
                self._put(made, "margin" if margin else "unusual")

    def tick(self) -> None:
        """Say anew how unusual the most unusual are."""
        if self._stale and len(self._anomalies) == _LATEST:
            # numpy's quantile takes longer about its arguments than about the numbers.
            place = (1 - self._policy.review_unusual) * (_LATEST - 1)
            k = min(int(place), _LATEST - 2)
            low, high = np.partition(np.array(self._anomalies), (k, k + 1))[k : k + 2].tolist()
            over = place - k
            self._unusual = low + (high - low) * over if over < 0.5 else high - (high - low) * (1 - over)  # noqa: PLR2004 - from the nearer end
            self._edge = low
            self._stale = False

    def waiting(self, limit: int) -> list[Case]:
        """Cases that nobody has decided, the oldest first."""
        found = (case for case in self._cases.values() if case.verdict is None)
        return [case for case, _ in zip(found, range(limit), strict=False)]

    def decide(self, request_id: str, row: int, verdict: Verdict, by: str) -> Literal["accepted", "decided", "unknown"]:
        """A person's verdict; the first one stands."""
        case = self._cases.get((request_id, row))
        if case is None:
            return "unknown"
        if case.verdict is not None:
            return "decided"
        case.verdict, case.by = verdict, by
        return "accepted"

    def find(self, request_id: str, row: int) -> Case | None:
        """The case of a row, if it is one."""
        return self._cases.get((request_id, row))

    def keep(self) -> dict[str, Any]:
        """Cases and numbers, for a restart."""
        return {"self": keep(self), "cases": [msgspec.to_builtins(case) for case in self._cases.values()]}

    def recall(self, kept: dict[str, Any]) -> None:
        """The reverse of `keep`."""
        recall(self, kept["self"])
        self._cases = {(case.id, case.row): case for case in msgspec.convert(kept["cases"], list[Case])}

    def _take(self, scores: list[float]) -> None:
        """Write them over the oldest of the latest."""
        if not scores:
            return
        latest, edge = self._anomalies, self._edge
        slot = self._offered % _LATEST
        fit, rest = scores[: _LATEST - slot], scores[_LATEST - slot :]
        gone = latest[slot : slot + len(fit)]
        # Where only such as lie below the edge come and go, it stays where it is.
        self._stale = self._stale or len(gone) < len(fit) or max(fit) >= edge or max(gone) >= edge
        latest[slot : slot + len(fit)] = array("d", fit)
        self._offered += len(fit)
        self._take(rest)

    def _put(self, made: Decision, why: Literal["margin", "unusual"]) -> None:
        key = (made.id, made.row)
        if key in self._cases:
            return  # delivered twice
        self.offered += 1
        if len(self._cases) >= self._policy.review_queue:
            oldest = self._cases.pop(next(iter(self._cases)))
            self.dropped += oldest.verdict is None
        self._cases[key] = Case(made.id, made.row, made.at_ns, made.score or 0.0, made.decision, made.anomaly, why)
