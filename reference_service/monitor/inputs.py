"""The monitors of what is received: null, unseen and drift of every field, and drift of the scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from reference_service.bundle import Bundle
from reference_service.core.cells import NULL_CELL, UNSEEN_CELL
from reference_service.monitor.alerts import Condition
from reference_service.monitor.drift import DriftDetector
from reference_service.monitor.rates import detector
from reference_service.monitor.received import Received
from reference_service.monitor.reference import reference_at, without_explained
from reference_service.policy import Policy


class InputMonitors:
    """All monitors of one bundle's inputs and scores.

    Args:
        bundle: whose profile is the reference.
        policy: thresholds.
        started_ns: windows are counted from here.
    """

    def __init__(self, bundle: Bundle, policy: Policy, started_ns: int) -> None:
        fields = bundle.contract.fields
        self._bundle = bundle
        self._policy = policy
        self._closes_ns = started_ns + policy.window_ns
        self.received = Received(bundle)
        self.scores: list[float] = []  # of answers by the model; appended by the pipeline
        self._window = bundle.new_counts()
        self._explained = [False] * len(fields)
        nulls = bundle.profile.null_shares
        unseen = bundle.profile.cell_shares[:, UNSEEN_CELL]
        self.names = tuple(field.name for field in fields)
        self._severity = tuple(field.drift for field in fields)
        # Nulls that the model has learned, in a field whose distribution nobody vouches for (a weather station that
        # is out for an afternoon), are no one's emergency.
        self._null_severity = tuple(
            "off" if field.drift == "off" and field.on_null == "model" else "page" for field in fields
        )
        self.drift = [DriftDetector(policy) for _ in fields]
        self.null = [detector(policy, float(share)) for share in nulls]
        self.unseen = [detector(policy, float(share)) for share in unseen]
        self.score = DriftDetector(policy)
        self._deciles = bundle.profile.score_deciles
        self._score_cells = np.zeros(len(self._deciles) + 1, dtype=np.int64)

    def tick(self, now_ns: int) -> list[Condition]:
        """Judge rates, and drift where a window has closed; says how every field stands."""
        counts = self.received.take()
        self._window += counts
        cells = np.searchsorted(self._deciles, np.asarray(self.scores, dtype=np.float64))
        self._score_cells += np.bincount(cells, minlength=len(self._score_cells))
        self.scores.clear()
        totals = counts.sum(axis=1)
        for index in range(len(self.names)):
            total = int(totals[index])
            null = self.null[index].look(int(counts[index, NULL_CELL]), total)
            unseen = self.unseen[index].look(int(counts[index, UNSEEN_CELL]), total)
            self._explained[index] |= null or unseen
        if now_ns >= self._closes_ns:
            self._close(now_ns)
        return self._conditions()

    def view(self) -> dict[str, dict[str, Any]]:
        """How every field stood at the end of the last window, for operators."""
        return {
            name: {
                "psi": drift.psi,
                "n": drift.n,
                "state": drift.state,
                "null_rate": round(null.rate, 6),
                "unseen_rate": round(unseen.rate, 6),
            }
            for name, drift, null, unseen in zip(self.names, self.drift, self.null, self.unseen, strict=True)
        }

    def mostly_absent(self, share: float) -> frozenset[str]:
        """Fields under a null or unseen alarm of which more than `share` was null or unseen at the last look."""
        return frozenset(
            name
            for name, *detectors in zip(self.names, self.null, self.unseen, strict=True)
            if any(each.firing and each.latest > share for each in detectors)
        )

    def _close(self, now_ns: int) -> None:
        policy = self._policy
        middle = now_ns - policy.window_ns // 2
        shares, rows = reference_at(self._bundle.profile, policy, middle)
        for index, drift in enumerate(self.drift):
            reference, counts = shares[index], self._window[index]
            if self._explained[index]:
                # One cause, one page: nulls that are already told are not told again as drift.
                reference, counts = without_explained(reference, counts)
            drift.look(reference, rows, counts)
        even = np.full(len(self._score_cells), 1 / len(self._score_cells))
        self.score.look(even, self._bundle.profile.n_reference, self._score_cells)
        self._score_cells[:] = 0
        self._window[:] = 0
        self._explained = [False] * len(self.names)
        while self._closes_ns <= now_ns:
            self._closes_ns += policy.window_ns

    def _conditions(self) -> list[Condition]:
        found = [Condition("score_drift", "", "ticket", self.score.firing, f"PSI {self.score.psi:.3f} of the scores")]
        for index, name in enumerate(self.names):
            severity = self._severity[index]
            drift, null, unseen = self.drift[index], self.null[index], self.unseen[index]
            if severity != "off":
                summary = f"PSI {drift.psi:.3f} on {drift.n} rows"
                found.append(Condition("feature_drift", name, severity, drift.firing, summary))
            if self._null_severity[index] != "off":
                found.append(Condition("null_rate", name, "page", null.firing, f"{null.rate:.1%} null"))
            found.append(Condition("unseen_category", name, "page", unseen.firing, f"{unseen.rate:.1%} unseen"))
        return found
