"""Which reference a window is compared with: the same hour of day, where training saw enough of it."""

from __future__ import annotations

import numpy as np

from reference_service.bundle import Profile
from reference_service.core.cells import NULL_CELL, UNSEEN_CELL
from reference_service.policy import HOUR, Policy


def reference_at(profile: Profile, policy: Policy, now_ns: int) -> tuple[np.ndarray, int]:
    """(float64[f, 14] shares, rows they were taken from) for a window around `now_ns`."""
    if policy.window_ns > HOUR:
        return profile.cell_shares, profile.n_reference
    hour = now_ns // HOUR % 24
    rows = int(profile.hourly_n[hour])
    if rows >= policy.reference_rows:
        return profile.hourly_shares[hour], rows
    return profile.cell_shares, profile.n_reference


def highest_shares(profile: Profile, policy: Policy) -> np.ndarray:
    """float64[f, 14]: of every cell its share over the whole window, or in the hour that had most of it."""
    trusted = profile.hourly_n >= policy.reference_rows
    return np.asarray(np.max([profile.cell_shares, *profile.hourly_shares[trusted]], axis=0))


def without_explained(shares: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sides without the null and unseen cells: for a field whose null or unseen alert already says so."""
    shares, counts = shares.copy(), counts.copy()
    for cell in (NULL_CELL, UNSEEN_CELL):
        shares[cell] = 0.0
        counts[cell] = 0
    total = shares.sum()
    return (shares / total if total else shares), counts
