"""The canary's judge: which arm owns each bad event?

If the canary is no worse than `ratio` times the champion, a bad event is the canary's with probability at most
ratio x s / (ratio x s + 1 - s), where s is its share of the exposure. Each bad event multiplies the evidence by the
likelihood ratio of a mixture of worse canaries (risk ratios 2 ... 64) against that null. Refusals count as bad events
because a canary that refuses everybody is never proved wrong: the labels of what was refused do not come.
The mean of several metrics' evidence is again evidence. It may be looked at after every request: a harmless canary
is ever rolled back with probability at most alpha (Ville).

Only bad events move the evidence; of the others no more than their number per arm is needed.

Several processes meet different requests, and so does one after a restart: each weighs its own bad events by its own
exposure, and the likelihood ratios multiply. What the others have seen is heard from time to time, never twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from reference_service.monitor.eprocess import RateDetector, log_mean_exp
from reference_service.policy import Policy

# How much worse than tolerated the alternatives are: with a tolerated ratio of 1.25, risk ratios of 2 to 64.
_WORSE: Final = (1.6, 3.2, 6.4, 12.8, 25.6, 51.2)
_PRIOR: Final = 20.0  # exposures that the declared share is worth while there are few real ones
METRICS: Final = ("failure", "latency", "fallback", "block", "mistake")
BOTH: Final = "both_arms"


class Answer(NamedTuple):
    """What the judge looks at in one answered request."""

    failed: bool = False  # the model raised, timed out, answered NaN or was given up
    slow: bool = False  # later than the service's objective
    fell_back: bool = False  # the fallback answered, for whatever reason
    breach: bool = False  # NaN, or another breach of the contract
    blocked: bool = False  # refused by the model itself


GOOD: Final = Answer()


class Seen(msgspec.Struct, frozen=True):
    """What one process has seen of a release on trial. Raises ValueError if it is of other metrics."""

    logs: dict[str, list[float]] = {}  # of each metric's alternatives, where anything bad was seen
    canary_answers: int = 0
    breaches: tuple[int, int] = (0, 0)  # of the champion, of the canary

    def __post_init__(self) -> None:
        if not self.logs.keys() <= set(METRICS) or any(len(each) != len(_WORSE) for each in self.logs.values()):
            raise ValueError("evidence of other metrics")


class Exposure:
    """Answered requests of each arm, with a prior worth of the declared share."""

    __slots__ = ("canary", "champion")

    def __init__(self, share: float) -> None:
        self.restart(share)

    def restart(self, share: float) -> None:
        """Another share from now on."""
        self.canary = _PRIOR * share
        self.champion = _PRIOR * (1 - share)

    def add(self, *, canary: bool, count: int = 1) -> None:
        """So many exposures of one arm."""
        if canary:
            self.canary += count
        else:
            self.champion += count


class Ownership:
    """Evidence from one metric that bad events are the canary's more often than its exposure explains.

    Args:
        ratio: risk ratio that is tolerated.
    """

    __slots__ = ("_elsewhere", "_ratio", "_ratios", "logs", "top")

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._ratios = [ratio * worse for worse in _WORSE]
        self.logs = [0.0] * len(_WORSE)  # of the alternatives' likelihood ratios, by what was seen here
        self._elsewhere = [0.0] * len(_WORSE)  # and by what others saw
        self.top = 0.0  # the largest of the sums

    def bad(self, exposure: Exposure, *, canary: bool) -> None:
        """One bad event. It is weighed by the exposure before it, so the weight is predictable."""
        if exposure.canary <= 0 or exposure.champion <= 0:
            return  # one arm only: nothing to compare
        odds = exposure.canary / exposure.champion
        null = self._ratio * odds / (1 + self._ratio * odds)
        for index, ratio in enumerate(self._ratios):
            worse = ratio * odds / (1 + ratio * odds)
            self.logs[index] += math.log(worse / null) if canary else math.log((1 - worse) / (1 - null))
        self.top = max(self._sums())

    def hear(self, others: Sequence[Sequence[float]]) -> None:
        """The logs of all others, as they are by now."""
        self._elsewhere = [sum(logs) for logs in zip(*others, strict=True)] or [0.0] * len(_WORSE)
        self.top = max(self._sums())

    @property
    def log_evidence(self) -> float:
        """Natural logarithm of the e-value."""
        return log_mean_exp(self._sums())

    def _sums(self) -> list[float]:
        return [here + there for here, there in zip(self.logs, self._elsewhere, strict=True)]


class Arm:
    """One arm by itself: breaches, and whether it fails more often than any version may."""

    __slots__ = ("_failures", "_good", "_limit", "breaches", "elsewhere")

    def __init__(self, policy: Policy) -> None:
        tolerated = policy.swap_failures
        self._failures = RateDetector(
            tolerated, tolerated, alpha=policy.canary_alpha * 1e-3, calm_looks=1, calm_rows=1 << 62
        )
        self._limit = policy.breaches
        self._good = 0  # answers since the last bad one: the evidence can only cross its limit at a bad one
        self.breaches = 0
        self.elsewhere = 0  # breaches that other processes saw

    def good(self, count: int) -> None:
        """So many answers that nothing was wrong with."""
        self._good += count

    def see(self, answer: Answer) -> None:
        """One answered request."""
        if not (answer.failed or answer.slow):
            self._good += 1
            return
        self.breaches += answer.breach
        good, self._good = self._good, 0
        self._failures.look(1, good + 1)

    @property
    def verdict(self) -> str:
        """Why this arm should not serve, or ""."""
        if self.breaches + self.elsewhere >= self._limit:
            return "breach"
        return "failure" if self._failures.firing else ""


class CanaryJudge:
    """Compares the canary with the champion beside it.

    Args:
        policy: tolerated ratio, alpha, breaches.
        share: the canary's declared share.
    """

    __slots__ = ("_answers", "_arms", "_early", "_elsewhere", "_late", "_limit", "_metrics", "canary_answers")

    def __init__(self, policy: Policy, share: float) -> None:
        tolerated = {"block": policy.canary_block_ratio}
        self._metrics = {metric: Ownership(tolerated.get(metric, policy.canary_ratio)) for metric in METRICS}
        self._answers = Exposure(share)
        # Labels come late. Those of decisions made before the arms were given other shares must not be weighed by the
        # new ones: yesterday's labels, most of them the champion's, would make today's mistakes the canary's.
        self._early, self._late = Exposure(share), Exposure(share)
        self._arms = (Arm(policy), Arm(policy))  # champion, canary
        self._limit = -math.log(policy.canary_alpha)
        self.canary_answers = 0
        self._elsewhere = 0  # answers of the canary by other processes

    def request(self, answer: Answer, *, new: bool) -> str:
        """One answered request; returns the reason to roll back, or ""."""
        exposure = self._answers
        bad = False
        if answer is not GOOD:
            for metric, owned in (
                ("failure", answer.failed),
                ("latency", answer.slow),
                ("fallback", answer.fell_back),
                ("block", answer.blocked),
            ):
                if owned:
                    bad = True
                    self._metrics[metric].bad(exposure, canary=new)
        exposure.add(canary=new)
        self.canary_answers += new
        self._arms[new].see(answer)
        return self.verdict if bad else ""

    def answered(self, *, canary: int, champion: int) -> None:
        """So many answers that nothing was wrong with: the same as `request` for each of them, at once."""
        for new, count in ((True, canary), (False, champion)):
            self._answers.add(canary=new, count=count)
            self._arms[new].good(count)
        self.canary_answers += canary

    def label(self, *, new: bool, wrong: bool, reshared: bool = False) -> str:
        """One labelled decision of this trial, made before or after `reshare`; the reason to roll back, or ""."""
        exposure = self._late if reshared else self._early
        if wrong:
            self._metrics["mistake"].bad(exposure, canary=new)
        exposure.add(canary=new)
        return self.verdict if wrong else ""

    def reshare(self, share: float) -> None:
        """The arms have other shares from now on. What is known stays known."""
        self._answers.restart(share)
        self._late.restart(share)

    @property
    def evidence_log10(self) -> float:
        """log10 of the mean of the metrics' e-values."""
        return log_mean_exp(metric.log_evidence for metric in self._metrics.values()) / math.log(10)

    def told(self) -> Seen:
        """What other processes, and who comes after a restart, have to know: else each would grant another alpha."""
        logs = {name: list(metric.logs) for name, metric in self._metrics.items() if any(metric.logs)}
        champion, canary = self._arms
        return Seen(logs, self.canary_answers, (champion.breaches, canary.breaches))

    def hear(self, others: Sequence[Seen]) -> None:
        """What other processes have seen until now: all of it, and not only what is new."""
        for index, arm in enumerate(self._arms):
            arm.elsewhere = sum(each.breaches[index] for each in others)
        for name, metric in self._metrics.items():
            metric.hear([each.logs[name] for each in others if name in each.logs])
        self._elsewhere = sum(each.canary_answers for each in others)

    @property
    def met(self) -> int:
        """How many answers of the canary are known of."""
        return self.canary_answers + self._elsewhere

    @property
    def verdict(self) -> str:
        """Why the canary should not serve, or "". Only bad events move it, here or elsewhere."""
        champion, canary = (arm.verdict for arm in self._arms)
        if canary and champion:
            return BOTH  # neither is fit to serve: which of them is the worse does not matter
        if canary == "breach":
            return "breach"
        # A mean of means cannot reach the limit where the largest does not.
        top = max(metric.top for metric in self._metrics.values())
        if top < self._limit or log_mean_exp(m.log_evidence for m in self._metrics.values()) < self._limit:
            return ""
        return max(METRICS, key=lambda metric: self._metrics[metric].log_evidence)


class SwapJudge:
    """Watches a version that replaced another as a whole: no arm beside it, so a fixed tolerated rate of failures.

    Args:
        policy: tolerated rate, alpha, breaches.
    """

    __slots__ = ("_arm",)

    def __init__(self, policy: Policy) -> None:
        self._arm = Arm(policy)

    def request(self, answer: Answer, *, new: bool) -> str:
        """One answered request; returns the reason to roll back, or "". Refusals have nothing to be compared with."""
        if not new:
            return ""
        self._arm.see(answer)
        return self.verdict if answer.failed or answer.slow else ""

    @property
    def verdict(self) -> str:
        """Why it should not serve, or ""."""
        return self._arm.verdict

    def label(self, *, new: bool, wrong: bool, reshared: bool = False) -> str:  # noqa: ARG002  # a common signature
        """Labels come too late to judge a swap."""
        return ""

    def told(self) -> Seen:
        """What other processes, and who comes after a restart, have to know. Its rate of failures each weighs anew."""
        return Seen(breaches=(0, self._arm.breaches))

    def hear(self, others: Sequence[Seen]) -> None:
        """What other processes have seen until now."""
        self._arm.elsewhere = sum(each.breaches[1] for each in others)

    @property
    def evidence_log10(self) -> float:
        """Not an e-value with a bound over the whole watch: the detector restarts."""
        return 0.0
