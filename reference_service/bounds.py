"""What counts prove of a share, and of one group's share beside that of all the others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv


def lower(bad: np.ndarray, total: np.ndarray, alpha: float) -> np.ndarray:
    """float64[...]: the share that so many of `total` prove, one-sided (Clopper and Pearson, Biometrika 1934)."""
    found = betaincinv(np.maximum(bad, 1), total - bad + 1, alpha)
    return np.where((bad > 0) & (total > 0), found, 0.0)


def upper(bad: np.ndarray, total: np.ndarray, alpha: float) -> np.ndarray:
    """float64[...]: the share that so many of `total` do not exclude."""
    found = betaincinv(bad + 1, np.maximum(total - bad, 1), 1 - alpha)
    return np.where(bad < total, found, 1.0)


def least_apart(bad: np.ndarray, total: np.ndarray, alpha: float) -> np.ndarray:
    """How much larger each group's share surely is than that of all the others together.

    Args:
        bad: int[groups, ...].
        total: int[groups, ...].
        alpha: of each of the two bounds that a difference is made of.
    """
    least: np.ndarray = lower(bad, total, alpha) - upper(_others(bad), _others(total), alpha)
    return least


def most_apart(bad: np.ndarray, total: np.ndarray, alpha: float) -> np.ndarray:
    """How much larger each group's share may be, as far as the counts say. Arguments: see `least_apart`."""
    most: np.ndarray = upper(bad, total, alpha) - lower(_others(bad), _others(total), alpha)
    return most


def _others(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts.sum(axis=0) - counts)


class Rates(NamedTuple):
    """How often decisions are wrong, where refusals are known by those alone that were let through at random.

    Of a refusal the truth is known with probability `share`, of all other decisions always. A labelled decision
    is then one of those let through with a probability of s q / (1 - q + s q), where q is the share of refusals: what
    counts prove of the former they prove of q. Of the others the counts say how often they are wrong. Two bounds make
    one, so each is of half of alpha. All arrays broadcast with each other.
    """

    right: np.ndarray  # int[...], of decisions that were no refusals, or whose refusal hides nothing
    wrong: np.ndarray  # the same
    let_through: np.ndarray  # refusals
    refusal_is_wrong: np.ndarray  # bool[...]: by what is true of these
    share: float  # 0: nobody is let through

    @property
    def known(self) -> np.ndarray:
        """int[...]: labels."""
        return np.asarray(self.right + self.wrong + self.let_through)

    @property
    def rate(self) -> np.ndarray:
        """float64[...]; NaN where nothing is known."""
        refused = self.let_through / self.share if self.share else np.zeros(self.let_through.shape)
        with np.errstate(invalid="ignore"):
            return np.asarray((self.wrong + refused * self.refusal_is_wrong) / (self.right + self.wrong + refused))

    def at(self, chosen: np.ndarray) -> Rates:
        """Those of them (bool[...])."""
        wrong = np.broadcast_to(self.refusal_is_wrong, chosen.shape)
        return Rates(self.right[chosen], self.wrong[chosen], self.let_through[chosen], wrong[chosen], self.share)

    def most(self, alpha: float) -> np.ndarray:
        """float64[...]: what a lower bound, one-sided, cannot exceed; cheap."""
        if self.share:
            return np.ones(self.wrong.shape)
        return np.asarray(alpha ** (1 / np.maximum(self.wrong, 1)))

    def between(self, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """float64[...] twice: the rates that these counts do not exclude, with half of alpha at either end."""
        plain, alpha = self.right + self.wrong, alpha / 2
        if not self.share:
            return lower(self.wrong, plain, alpha), upper(self.wrong, plain, alpha)
        others = lower(self.wrong, plain, alpha / 2), upper(self.wrong, plain, alpha / 2)
        refused = [
            found / (self.share + found * (1 - self.share))
            for found in (
                lower(self.let_through, self.known, alpha / 2),
                upper(self.let_through, self.known, alpha / 2),
            )
        ]
        low, high = (
            np.where(self.refusal_is_wrong, mine + (1 - mine) * rest, (1 - opposite) * rest)
            for mine, opposite, rest in zip(refused, refused[::-1], others, strict=True)
        )
        return low, high
