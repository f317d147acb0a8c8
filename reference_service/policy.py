"""Every threshold of the service in one frozen place, each with its reason. Shipped with the bundle, read at load."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import chain
from typing import Any

import msgspec

from reference_service.clock import SECOND

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


_RARELY = (
    1e-6  # the smallest share of refusals that may be let through, and of those that may not: six digits are logged
)


class PolicyError(ValueError):
    """A policy that cannot be served."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Thresholds. Durations are integer nanoseconds."""

    # Decisions
    review_from: float = 0.2  # a person looks at scores from here on; training chooses it for about 5 % of rows
    block_from: float = 0.6  # refused without asking anybody

    review_share: float = 0.05  # of answers that people can look at …
    review_low: float = 0.02  # … and the band in which that share is left alone: below, people have nothing to do, …
    review_high: float = 0.08  # … above, they cannot keep up
    review_rows: int = 2000  # latest scores by which the share is judged
    review_unusual: float = 0.002  # share of the most unusual rows that people see as well, whatever the score
    review_queue: int = 10_000  # cases that wait for people; the oldest make room
    explore_share: float = 0.0  # of refusals that are allowed at random, so that their truth can be known

    # Requests
    body_limit: int = 1 << 20  # bytes; a thousand rows of fifteen fields are about half of it
    row_limit: int = 1024  # rows; scoring them takes a few ms, still far from the deadline
    upload_ns: int = 10 * SECOND  # for a body that comes in pieces; slow clients are let, idle ones are not
    deadline_ns: int = 250_000_000  # from entering the app to the answer: a payment terminal waits no longer
    slo_ns: int = 100_000_000  # an answer later than this is a bad event for the canary's judge

    # Load
    max_in_flight: int = 2048  # 2048 requests queue for about 100 ms at 20,000/s: under half the deadline
    queue_share: float = 0.5  # of the deadline that the queue may eat, once the drain rate is known
    queue_floor: int = 16  # so few waiting are never shed, whatever the estimate says
    retry_after_s: int = 30  # the longest that a refused client is told to stay away: nobody waits longer for a payment
    fair_callers: int = 1024  # told apart while the queue is long; more than call at once, about 200 kB
    fair_burst: int = 32  # requests that a caller may have beyond its share at once: a page's worth

    # Idempotency keys
    idempotency_ns: int = 24 * HOUR  # how long an answer stands; retries come seconds later, batch jobs the next day
    idempotency_lease_ns: int = 10 * SECOND  # of a claim that replicas share: one that died is back by then, and knows
    idempotency_bytes: int = 1 << 26  # of answers kept in memory: about 50,000 of one row
    idempotency_recall: int = 1 << 28  # bytes of the log that are read for them at a start: half a second

    # Dependencies
    max_staleness_ns: int = 2 * HOUR  # the store refreshes hourly; twice that means a refresh was missed
    slow_ns: int = 200_000_000  # a call this slow leaves no room for the rest: counts as failed
    breaker_window_ns: int = 10 * SECOND
    breaker_calls: int = 20  # fewer calls say nothing
    breaker_share: float = 0.5  # of calls failed or slow
    breaker_open_ns: int = 5 * SECOND
    breaker_jitter: float = 0.2  # ± of the open time, seeded: a fleet must not probe in step
    breaker_probes: int = 5  # all must succeed
    batch_rows: int = 256  # of several requests in one call: what a call costs by itself is spread over enough of them
    foreign_ns: int = SECOND  # a call of a foreign model that takes longer hangs; four deadlines: a stall is no hang
    foreign_start_ns: int = 60 * SECOND  # importing and loading; a service that waits longer is not coming
    foreign_pause_ns: int = 100_000_000  # before it is started again: most crashes are of one request …
    foreign_pause_most_ns: int = 30 * SECOND  # … and the others need a person
    ready_ns: int = 500_000_000  # for the row that the readiness endpoint has scored: orchestrators wait one second
    retry_share: float = 0.1  # retries per call: an outage is amplified by no more than this
    retry_burst: float = 10.0  # tokens at most: a quiet night does not save up a storm

    # Monitors
    tick_ns: int = 10 * SECOND  # rates are judged each tick …
    look_rows: int = 16  # … or, while nothing is out of the ordinary, when so many requests have come, …
    look_ns: int = MINUTE  # … and no later than that
    window_ns: int = 2 * MINUTE  # drift is judged on tumbling windows
    drift_fire: float = 0.1  # PSI that matters (about .32 standard deviations)
    drift_clear: float = 0.05  # hysteresis
    drift_rows: int = 1000  # PSI of fewer rows is noise
    drift_hot: int = 2  # of the last `drift_of` windows
    drift_of: int = 3
    drift_calm: int = 3  # windows in a row below `drift_clear`
    late_windows: int = 32  # closed windows that what comes late is still counted in: about an hour
    reference_rows: int = 5000  # rows that an hour of the reference needs to be used alone
    alpha: float = 1e-7  # per look: 260,000 ticks a month x 40 detectors x 1e-7 is about one false page a month
    rate_excess: float = 0.01  # a percent above the reference is tolerated: clients do mistype
    tail_excess: float = 0.005  # tails hold one percent each: half a percent more is tolerated
    rate_factor: float = 1.25  # and a quarter above it: the reference is itself an estimate
    calm_ns: int = MINUTE  # a rate alert clears when the last minute is back to normal …
    calm_rows: int = 10  # … on at least so many rows; fewer prove nothing
    hold_ns: int = MINUTE  # an alert lasts at least this long
    heartbeat_ns: int = MINUTE  # of the watchdog: who watches the watchers
    quarantine_share: float = 0.9  # null or unseen at the last look: the few that are left are distrusted as well
    unknown_keys: int = 32  # distinct unknown field names that are counted apart

    # Fairness
    group_field: str = ""  # a category of the contract by whose values service is compared; empty: by none
    fairness_gap: float = 0.05  # a group may be answered otherwise than by the model so much more often than the rest
    error_gap: float = 0.0  # so much more often may the model err about a group; 0: as in training, and a little more
    error_excess: float = 0.01  # how little: a point above what training does not exclude
    error_rows: int = 20_000  # matured labels that are looked at together: those of this batch and of the one before

    # Cost
    owner: str = ""  # of the model: who answers for it, and who pays for it
    cpu_hour_price: float = 0.04  # of an hour of one CPU, in whatever currency the budget is in
    cost_budget: float = 0.0  # for a thousand predictions; 0: none

    # Labels
    label_horizon_ns: int = 6 * HOUR  # 99 % of labels are in by then; a cohort is judged no earlier
    label_patience_ns: int = 72 * HOUR  # for labels that are late beyond that: a long weekend, or a feed that is down
    label_share: float = 1.0  # of decisions get a label sooner or later, refusals apart; less where labels are sampled
    cohort_ns: int = MINUTE
    ledger_rows: int = 1 << 19  # decisions that wait for their label
    loss_factor: float = 1.25  # of the profile's Brier loss, tolerated
    loss_excess: float = 0.01
    loss_rows: int = 500  # trailing matured rows (or blocks) that must be back to normal to clear
    loss_block_ns: int = 0  # decisions that err together (a storm's day) count as one: their mean; 0: each for itself

    # Releases
    canary_ratio: float = 1.25  # null of the judge: the canary owns bad events up to this risk ratio
    canary_block_ratio: float = 2.0  # for refusals: a better model may refuse others, and a few more of them
    canary_alpha: float = 1e-3  # one wrong rollback in a thousand releases, however often the judge looks
    breaches: int = 3  # NaN or contract breaches: no statistics needed
    swap_failures: float = 0.01  # tolerated failure rate where no other arm serves for comparison
    frozen_ns: int = 30 * MINUTE  # after an automatic rollback that version is refused
    rollback_alert_ns: int = 10 * MINUTE  # how long the rollback's alert stays up
    hold_back_ns: int = HOUR  # after a swap or a promotion the judge keeps watching for this long
    hold_back_share: float = 0.05  # of entities that stay with the old version meanwhile, to be compared with
    promote_after_ns: int = HOUR  # a canary is promoted by itself no earlier …
    promote_answers: int = 5000  # … and not before so many answers: 1 % of failures show by 2,000 (benchmarks.canary)
    promote_evidence: float = 1.0  # log10: a suspicion of 10 to 1 is for a person to look at
    canary_score_psi: float = 0.25  # scores that differ so much are told; they are no reason to go back

    # Decision log
    log_rows: int = 256  # group commit: a block closes at so many records …
    log_wait_ns: int = 1_000_000  # … or once nobody else comes, after 1 ms at the latest
    log_ring: int = 512  # records kept in memory for /v1/decisions, which fit a cache; the others are on disk
    log_patience_ns: int = 100_000_000  # a write that takes longer has failed: under half the deadline
    log_backlog: int = (
        1 << 16
    )  # records that wait for a log that fails: about 100 MB; what comes then is lost, and told
    log_segment: int = 1 << 24  # bytes of a log file: 50,000 decisions

    def decide(self, score: float) -> str:
        """What a score means."""
        return "approve" if score < self.review_from else "review" if score < self.block_from else "block"


class Bands:
    """The bands of the scores as they are now: the policy's, until too many or too few cases would go to people.

    The one part of a version that changes while it serves.

    Args:
        policy: of the version.
    """

    __slots__ = ("_shipped", "block_from", "policy", "review_from", "tag")

    def __init__(self, policy: Policy) -> None:
        self._shipped = policy
        self.move(policy.review_from)

    def move(self, review_from: float) -> None:
        """Send scores from here on to people. The tag of the policy says so: a decision can be made again from it."""
        self.policy = msgspec.structs.replace(self._shipped, review_from=review_from)
        self.review_from, self.block_from = review_from, self.policy.block_from
        self.tag = tag(self.policy)

    @property
    def shipped(self) -> float:
        """Where the policy begins to review."""
        return self._shipped.review_from

    def decide(self, score: float) -> str:
        """What a score means, now."""
        return "approve" if score < self.review_from else "review" if score < self.block_from else "block"


def tag(policy: Policy) -> str:
    """First 12 hex digits of the SHA-256 of every threshold: which policy a decision was made by."""
    return hashlib.sha256(msgspec.json.encode(policy, order="deterministic")).hexdigest()[:12]


def moved(shipped: Policy, wanted: str) -> Policy | None:
    """The policy of that tag: the shipped one, or the same with the border that review had moved by then; or None.

    Review moves one threshold, to six decimals or to `block_from`. These are few enough to try them all, in a second.
    """
    if tag(shipped) == wanted:
        return shipped
    before, _, after = msgspec.json.encode(shipped, order="deterministic").partition(b'"review_from":')
    common, after = hashlib.sha256(before + b'"review_from":'), after[after.index(b",") :]
    steps = (step / 1e6 for step in range(1, int(shipped.block_from * 1e6) + 1))
    for border in chain([shipped.block_from], steps):
        tried = common.copy()
        tried.update(msgspec.json.encode(border) + after)
        if tried.hexdigest().startswith(wanted):
            return msgspec.structs.replace(shipped, review_from=border)
    return None


def read(policy: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Policy:
    """The policy of a bundle, with an operator's overrides laid over it. Raises PolicyError."""
    try:
        parsed = msgspec.convert({**policy, **(overrides or {})}, Policy)
    except msgspec.ValidationError as problem:
        raise PolicyError(f"policy: {problem}") from None
    if not 0 < parsed.review_from <= parsed.block_from:
        raise PolicyError("policy: needs 0 < review_from <= block_from")
    if parsed.window_ns % parsed.tick_ns:
        raise PolicyError("policy: window_ns must be a multiple of tick_ns")
    share = parsed.explore_share
    if share and not _RARELY <= share <= 1 - _RARELY:
        raise PolicyError(f"policy: explore_share is 0, or from {_RARELY:f} to {1 - _RARELY:f}")
    return parsed
