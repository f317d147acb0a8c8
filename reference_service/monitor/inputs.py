"""The monitors of what is received: null, unseen, tails and drift of every field, and what the model makes of it."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar, Final

import msgspec
import numpy as np

from reference_service.bundle import Bundle
from reference_service.contract import Field
from reference_service.core.cells import N_VALUE_CELLS, NULL_CELL, TAIL, UNSEEN_CELL, psi
from reference_service.monitor.alerts import Condition
from reference_service.monitor.bank import NONE
from reference_service.monitor.drift import DriftDetector, look_at_all
from reference_service.monitor.keeping import keep, keep_all, recall, recall_all
from reference_service.monitor.rates import bank
from reference_service.monitor.received import Received
from reference_service.monitor.reference import highest_shares, reference_at, without_explained
from reference_service.monitor.scores import ScoreMonitor
from reference_service.policy import Policy

_TAILS: Final = (0, N_VALUE_CELLS - 1)  # the outermost cells of a number hold one percent each …
NOTHING: Final[frozenset[str]] = frozenset()
_STILL_A_TAIL: Final = 5 * TAIL  # … unless so many values are equal that they are its body


class InputMonitors:
    """All monitors of one bundle's inputs and scores.

    Args:
        bundle: whose profile is the reference.
        policy: thresholds.
        started_ns: windows are counted from here.
    """

    KEPT: ClassVar[tuple[str, ...]] = ("_closes_ns", "_explained", "_window")

    def __init__(self, bundle: Bundle, policy: Policy, started_ns: int) -> None:
        fields = bundle.contract.fields
        self._bundle = bundle
        self._policy = policy
        self._closes_ns = started_ns + policy.window_ns
        self.received = Received(bundle)
        self.scores = array("d")  # of answers by the model; appended by the pipeline
        self.taken = self.scores  # those that the last tick took in
        self._window = bundle.new_counts()
        self.counted = self._window  # by the last tick
        self._closed: deque[tuple[int, np.ndarray]] = deque(maxlen=policy.late_windows)  # end → counts
        self.late_rows = 0
        self._explained = np.zeros(len(fields), dtype=bool)
        nulls = bundle.profile.null_shares
        unseen = bundle.profile.cell_shares[:, UNSEEN_CELL]
        self.names = tuple(field.name for field in fields)
        self._severity = tuple(field.drift for field in fields)
        # Nulls that the model has learned, in a field whose distribution nobody vouches for (a weather station that
        # is out for an afternoon), are no one's emergency.
        self._null_severity = tuple(
            "off" if field.drift == "off" and field.on_null == "model" else "page" for field in fields
        )
        self.drift = [DriftDetector(_for_field(policy, field)) for field in fields]
        self.score = ScoreMonitor(bundle.profile, policy)
        tails = _tails(bundle, policy)
        self._tails = [field for field, _, _ in tails]
        # One rate for the nulls of every field, one for its unseen values, one for each tail that is watched.
        self._rates = bank(policy, [
            *(((k, NULL_CELL, NONE), float(share), policy.rate_excess) for k, share in enumerate(nulls)),
            *(((k, UNSEEN_CELL, NONE), float(share), policy.rate_excess) for k, share in enumerate(unseen)),
            *(((k, cell, NULL_CELL), share, policy.tail_excess) for k, cell, share in tails),  # a null is in no tail
        ])  # fmt: skip
        self.stirred = False  # whether any alarm of a rate stands, or ended with the last look
        self._quiet: list[Condition] = []  # what is told of a service that nothing is held against
        self._standing: list[Condition] = []  # as it was told last; none: to be told anew
        self.firing: list[Condition] = []  # of those, what is held against the service

    def tick(self, now_ns: int) -> list[Condition]:
        """Judge what was received since the last tick; says how every field stands."""
        return self.look(self.received.take(), now_ns)

    def look(self, counts: np.ndarray, now_ns: int) -> list[Condition]:
        """Judge rates by int64[f, 14] counts, and drift where a window has closed. Counts of several workers add up."""
        self.counted = counts
        self.taken, self.scores = self.scores, array("d")
        self.score.add(self.taken)
        self.stirred = self._rates.look(counts, self._window)
        if self.stirred:
            width, firing = len(self.names), self._rates.firing
            self._explained |= firing[:width] | firing[width : 2 * width]
        closes = now_ns >= self._closes_ns
        if closes:
            self._close(now_ns)
        if self.stirred or closes or not self._standing:
            self._standing = self._conditions()
            self.firing = [each for each in self._standing if each.firing]
        return self._standing

    @property
    def closes_ns(self) -> int:
        """When the open window ends."""
        return self._closes_ns

    def late(self, event_ns: int, rows: Sequence[Sequence[float]]) -> bool:
        """Count rows that happened before the open window began, in the window in which they did; else False.

        What is late says nothing of now: it changes how a closed window stands in `windows`, and no alarm. Rows older
        than every window that is remembered are only numbered.
        """
        length = self._policy.window_ns
        if event_ns >= self._closes_ns - length:
            return False
        self.late_rows += len(rows)
        for end_ns, counts in self._closed:
            if end_ns - length <= event_ns < end_ns:
                self._bundle.count(np.array(rows, dtype=np.float64), counts)
        return True

    def windows(self) -> list[dict[str, Any]]:
        """The windows that have closed, the oldest first, with what came late: end, rows and PSI by field."""
        found = []
        for end_ns, counts in self._closed:
            shares, n = reference_at(self._bundle.profile, self._policy, end_ns - self._policy.window_ns // 2)
            index = psi(shares, n, counts)
            rows = int(counts[0].sum())
            found.append({"end_ns": end_ns, "rows": rows, "psi": dict(zip(self.names, index.tolist(), strict=True))})
        return found

    def view(self) -> dict[str, dict[str, Any]]:
        """How every field stood at the end of the last window, for operators."""
        nulls, unseen = self._of_fields(self._rates.rates().round(6).tolist())
        return {
            name: {"psi": drift.psi, "n": drift.n, "state": drift.state, "null_rate": null, "unseen_rate": strange}
            for name, drift, null, strange in zip(self.names, self.drift, nulls, unseen, strict=True)
        }

    def mostly_absent(self, share: float) -> frozenset[str]:
        """Fields under a null or unseen alarm of which more than `share` was null or unseen at the last look."""
        if not self.stirred:
            return NOTHING
        absent = self._rates.firing & (self._rates.latest() > share)
        return frozenset(
            name for name, *some in zip(self.names, *self._of_fields(absent.tolist()), strict=True) if any(some)
        )

    def keep(self) -> dict[str, Any]:
        """What is worth keeping over a restart; it is about this very bundle."""
        return {
            "bundle": self._bundle.digest,
            "self": keep(self),
            "score": keep(self.score),
            "windows": keep_all([*self.drift, self.score.drift]),
            "rates": keep(self._rates),
        }

    def recall(self, kept: dict[str, Any]) -> None:
        """Go on from what was kept, if it is about this bundle."""
        if kept["bundle"] == self._bundle.digest:
            recall(self, kept["self"])
            recall(self.score, kept["score"])
            recall_all([*self.drift, self.score.drift], kept["windows"])
            recall(self._rates, kept["rates"])
            self.stirred, self._standing = True, []

    def _of_fields(self, rates: list[Any]) -> tuple[list[Any], list[Any]]:
        """Of something that every rate has: what the nulls of each field have, and what its unseen values have."""
        width = len(self.names)
        return rates[:width], rates[width : 2 * width]

    def _close(self, now_ns: int) -> None:
        policy = self._policy
        middle = now_ns - policy.window_ns // 2
        shares, rows = reference_at(self._bundle.profile, policy, middle)
        window = self._window.copy()  # of what comes late, the detectors hear nothing
        if np.count_nonzero(self._explained):
            shares = shares.copy()
            for index in np.flatnonzero(self._explained):
                # One cause, one page: nulls that are already told are not told again as drift.
                shares[index], window[index] = without_explained(shares[index], window[index])
        look_at_all(self.drift, shares, rows, window)
        self.score.close()
        self._closed.append((self._closes_ns, self._window))
        self._window = self._bundle.new_counts()
        self._explained[:] = False
        while self._closes_ns <= now_ns:
            self._closes_ns += policy.window_ns

    def _conditions(self) -> list[Condition]:
        stands = np.count_nonzero(self._rates.firing) or any(each.firing for each in [*self.drift, self.score.drift])
        if stands:
            return self._told()
        if not self._quiet:
            self._quiet = self._told()
        return self._quiet

    def _told(self) -> list[Condition]:
        score = self.score.drift
        shown = f"PSI {score.psi:.3f} of the scores" if score.firing else ""
        found = [Condition("score_drift", "", "ticket", score.firing, shown)]
        firing, rates = self._rates.firing.tolist(), self._rates.rates().tolist()
        absent = zip(*self._of_fields(firing), *self._of_fields(rates), strict=True)
        for index, (null, unseen, null_rate, unseen_rate) in enumerate(absent):
            name, severity, drift = self.names[index], self._severity[index], self.drift[index]
            if severity != "off":
                shown = f"PSI {drift.psi:.3f} on {drift.n} rows" if drift.firing else ""
                found.append(Condition("feature_drift", name, severity, drift.firing, shown))
            if self._null_severity[index] != "off":
                found.append(Condition("null_rate", name, "page", null, f"{null_rate:.1%} null" if null else ""))
            shown = f"{unseen_rate:.1%} unseen" if unseen else ""
            found.append(Condition("unseen_category", name, "page", unseen, shown))
        # A whole distribution that moves is told as drift, which pages; a tail alone is somebody's next working day.
        heavy: dict[int, tuple[bool, float]] = {}
        first = 2 * len(self.names)
        for index, stands, rate in zip(self._tails, firing[first:], rates[first:], strict=True):
            other, highest = heavy.get(index, (False, 0.0))
            heavy[index] = (other or stands, max(highest, rate if stands else 0.0))
        found += [
            Condition("tail_rate", self.names[index], "ticket", stands, f"{rate:.1%} in one tail" if stands else "")
            for index, (stands, rate) in heavy.items()
        ]
        return found


def _for_field(policy: Policy, field: Field) -> Policy:
    """The thresholds of drift in one field, cleared as far below the one that it has as the policy's."""
    if field.drift_fire is None:
        return policy
    clear = policy.drift_clear / policy.drift_fire * field.drift_fire
    return msgspec.structs.replace(policy, drift_fire=field.drift_fire, drift_clear=clear)


def _tails(bundle: Bundle, policy: Policy) -> list[tuple[int, int, float]]:
    """(field, cell, reference) of both tails of every number that is watched for drift.

    PSI hardly sees a few percent that go to the far end, whatever their distance; a count of exceedances does. The
    reference is the hour in which training had most of them: a night's amounts are no alarm by day.
    """
    highest = highest_shares(bundle.profile, policy)
    return [
        (index, cell, float(highest[index, cell]))
        for index, field in enumerate(bundle.contract.fields)
        if field.kind in {"number", "integer"} and field.drift != "off"
        for cell in _TAILS
        if highest[index, cell] <= _STILL_A_TAIL
    ]
