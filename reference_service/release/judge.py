"""The canary's judge: which arm owns each bad event?

If the canary is no worse than `ratio` times the champion, a bad event is the canary's with probability at most
ratio x s / (ratio x s + 1 - s), where s is its share of the exposure. Each bad event multiplies the evidence by the
likelihood ratio of a mixture of worse canaries (risk ratios 2 ... 64) against that null. Refusals count as bad events
because a canary that refuses everybody is never proved wrong: the labels of what was refused do not come.
The mean of several metrics' evidence is again evidence. It may be looked at after every request: a harmless canary
is ever rolled back with probability at most alpha (Ville).
"""

from __future__ import annotations

import math
from typing import Final

from reference_service.monitor.eprocess import RateDetector, log_mean_exp
from reference_service.policy import Policy

# How much worse than tolerated the alternatives are: with a tolerated ratio of 1.25, risk ratios of 2 to 64.
_WORSE: Final = (1.6, 3.2, 6.4, 12.8, 25.6, 51.2)
_PRIOR: Final = 20.0  # exposures that the declared share is worth while there are few real ones
METRICS: Final = ("failure", "latency", "block", "mistake")


class Ownership:
    """Evidence from one metric that bad events are the canary's more often than its exposure explains.

    Args:
        share: the canary's declared share.
        ratio: risk ratio that is tolerated.
    """

    __slots__ = ("_logs", "_ratio", "_ratios", "canary", "champion")

    def __init__(self, share: float, ratio: float) -> None:
        self._ratio = ratio
        self._ratios = [ratio * worse for worse in _WORSE]
        self._logs = [0.0] * len(_WORSE)
        self.canary = _PRIOR * share
        self.champion = _PRIOR * (1 - share)

    def observe(self, *, canary: bool, bad: bool) -> None:
        """One exposure of one arm. The event is weighed by the exposure before it, so the weight is predictable."""
        if bad and self.canary > 0 and self.champion > 0:
            odds = self.canary / self.champion
            null = self._ratio * odds / (1 + self._ratio * odds)
            for index, ratio in enumerate(self._ratios):
                worse = ratio * odds / (1 + ratio * odds)
                self._logs[index] += math.log(worse / null) if canary else math.log((1 - worse) / (1 - null))
        if canary:
            self.canary += 1
        else:
            self.champion += 1

    @property
    def log_evidence(self) -> float:
        """Natural logarithm of the e-value."""
        return log_mean_exp(self._logs)


class CanaryJudge:
    """Compares the canary with the champion beside it.

    Args:
        policy: tolerated ratio, alpha, breaches.
        share: the canary's declared share.
    """

    __slots__ = ("_breaches", "_limit", "_metrics", "_policy")

    def __init__(self, policy: Policy, share: float) -> None:
        self._policy = policy
        tolerated = {"block": policy.canary_block_ratio}
        self._metrics = {metric: Ownership(share, tolerated.get(metric, policy.canary_ratio)) for metric in METRICS}
        self._limit = -math.log(policy.canary_alpha)
        self._breaches = 0

    def request(self, *, new: bool, failed: bool, slow: bool, breach: bool, blocked: bool) -> str:
        """One answered request; returns the reason to roll back, or ""."""
        self._metrics["block"].observe(canary=new, bad=blocked)
        self._metrics["failure"].observe(canary=new, bad=failed)
        self._metrics["latency"].observe(canary=new, bad=slow)
        if new and breach:
            self._breaches += 1
            if self._breaches >= self._policy.breaches:
                return "breach"
        return self._verdict() if failed or slow or blocked else ""

    def label(self, *, new: bool, wrong: bool) -> str:
        """One labelled decision; returns the reason to roll back, or ""."""
        self._metrics["mistake"].observe(canary=new, bad=wrong)
        return self._verdict() if wrong else ""

    @property
    def evidence_log10(self) -> float:
        """log10 of the mean of the metrics' e-values."""
        return log_mean_exp(metric.log_evidence for metric in self._metrics.values()) / math.log(10)

    def _verdict(self) -> str:
        if log_mean_exp(metric.log_evidence for metric in self._metrics.values()) < self._limit:
            return ""
        return max(METRICS, key=lambda metric: self._metrics[metric].log_evidence)


class SwapJudge:
    """Watches a version that replaced another as a whole: no arm beside it, so a fixed tolerated rate of failures.

    Args:
        policy: tolerated rate, alpha, breaches.
    """

    __slots__ = ("_breaches", "_failures", "_good", "_policy")

    def __init__(self, policy: Policy) -> None:
        tolerated = policy.swap_failures
        self._policy = policy
        self._failures = RateDetector(
            tolerated, tolerated, alpha=policy.canary_alpha * 1e-3, calm_looks=1, calm_rows=1 << 62
        )
        self._breaches = 0
        self._good = 0  # answers since the last bad one: the evidence can only cross its limit at a bad one

    def request(self, *, new: bool, failed: bool, slow: bool, breach: bool, blocked: bool) -> str:  # noqa: ARG002
        """One answered request; returns the reason to roll back, or "". Refusals have nothing to be compared with."""
        if not new:
            return ""
        if not (failed or slow):
            self._good += 1
            return ""
        self._breaches += breach
        if self._breaches >= self._policy.breaches:
            return "breach"
        good, self._good = self._good, 0
        return "failure" if self._failures.look(1, good + 1) else ""

    def label(self, *, new: bool, wrong: bool) -> str:  # noqa: ARG002  # the judges' common signature
        """Labels come too late to judge a swap."""
        return ""

    @property
    def evidence_log10(self) -> float:
        """Not an e-value with a bound over the whole watch: the detector restarts."""
        return 0.0
