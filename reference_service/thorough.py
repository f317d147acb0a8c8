"""receive -> validate -> features -> score -> decide -> respond, for any request.

Many rows, odd ones, dependencies that take their time or do not answer. No I/O of its own, and the clock is injected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from reference_service.api.oip import OUTPUTS, Malformed, Request, flatten
from reference_service.asking import gather, margins
from reference_service.audit.decision_log import DecisionLog
from reference_service.audit.records import Decision, Payload, packed, text
from reference_service.clock import Clock
from reference_service.core.cache import Recalled
from reference_service.guards import exploration
from reference_service.guards.dependency import Dependency, Unavailable
from reference_service.monitor.counters import Counters
from reference_service.monitor.labels import Ledger
from reference_service.monitor.watch import Watch
from reference_service.noted import BY_THE_MODEL, degraded, judged, received
from reference_service.policy import Policy
from reference_service.release.judge import Answer
from reference_service.release.registry import Loaded
from reference_service.release.rollback import Releases
from reference_service.reply import Reply, refusal
from reference_service.settings import Safeguards
from reference_service.validation import Row

NOT_ASKED: Final = object()


class Arrival(NamedTuple):
    """One request, and when it entered the app."""

    request: Request
    body: bytes
    arrived_ns: int
    pinned: Loaded | None = None
    key: str = ""  # mark of its idempotency key, for the log


class Thorough:
    """The steps from a decoded request to a reply. Every part is public and may be replaced.

    Args:
        clock: the only source of time.
        policy: thresholds.
        safeguards: which of them are on.
        releases: which version answers whom.
        store: the feature store behind its guards; None if the contract needs none.
        watch: monitors, and what is in quarantine.
        counters: totals.
        ledger: decisions that wait for their label.
        log: the decision log.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        policy: Policy,
        safeguards: Safeguards,
        releases: Releases,
        store: Dependency | None,
        watch: Watch,
        counters: Counters,
        ledger: Ledger,
        log: DecisionLog,
    ) -> None:
        self.clock = clock
        self.policy = policy
        self.safeguards = safeguards
        self.releases = releases
        self.store = store
        self.watch = watch
        self.counters = counters
        self.ledger = ledger
        self.log = log

    async def thorough(
        self, arrival: Arrival, now_ns: int, *, features: Any = NOT_ASKED, margin: Any = NOT_ASKED
    ) -> Reply:
        """The reply to any request. `features` and `margin` are answers that somebody has already been given."""
        request = arrival.request
        validator = self.releases.champion.validator
        malformed = _flattened(arrival)
        if malformed:
            return refusal(400, "Malformed request", malformed)
        columns = validator.match(request.inputs)
        if columns.rows > self.policy.row_limit:
            return refusal(413, "Too many rows", f"at most {self.policy.row_limit} rows in one request")
        if columns.problems:
            return refusal(422, "Contract violation", "the request's columns do not fit together", columns.problems)
        rows = [validator.inspect(columns, index) for index in range(columns.rows)]
        judged(self.counters, self.policy.unknown_keys, columns, rows)
        until_ns = arrival.arrived_ns + self.policy.deadline_ns
        await self._features([row for row in rows if not row.problems], now_ns, until_ns, features)
        answered = [row for row in rows if not row.problems]
        if margin is NOT_ASKED:  # else they have been shown already
            received(self.watch.inputs, validator.stored_positions, rows, request.parameters.event_time_ms)
        if not answered:
            degraded(self.watch.groups, rows)
            errors = [error for row in rows for error in row.problems]
            return refusal(422, "Contract violation", "no row of the request can be answered", errors)
        self._quarantine(answered)
        # One request is answered by one version, even where its rows belong to customers of both arms.
        loaded = arrival.pinned or self.releases.route(answered[0].entity)
        await self._score(loaded, answered, until_ns, margin)
        refused = self._fall_back(loaded, answered)
        if refused is None:
            for row in rows:
                self._decide(loaded, row, request.id)
        if arrival.pinned is None:  # who chooses its version is no random sample of those who do not
            self._judge(loaded, arrival.arrived_ns, answered)
        if refused is not None:
            return refused
        self._record(arrival, loaded, rows)
        return Reply(200, loaded.replies.many(request, rows))

    async def _features(self, rows: Sequence[Row], now_ns: int, until_ns: int, held: Any) -> None:
        """Ask the store for every row at once; rows it cannot answer get a cause."""
        store = self.store
        if store is None:
            return
        if now_ns >= until_ns:
            for row in rows:
                self._without_features(row, "deadline")
            return
        answers = [store.start(now_ns, row.entity, now_ns) if held is NOT_ASKED else held for row in rows]
        calls = [(row.entity, now_ns) for row in rows]
        validator = self.releases.champion.validator
        for row, answer in zip(rows, await gather(store, answers, calls, now_ns, until_ns), strict=True):
            if isinstance(answer, Unavailable):
                kind = "stale" if answer.cause == "stale" else "dependency"
                self._without_features(row, f"{kind}:{store.name}")
            else:
                validator.complete(row, answer.values)

    def _without_features(self, row: Row, cause: str) -> None:
        row.cause = row.cause or cause
        row.unread.extend(self.releases.champion.validator.stored_positions)

    def _quarantine(self, rows: Sequence[Row]) -> None:
        validator = self.releases.champion.validator
        for position, (name, action) in self.watch.quarantined.items():
            reason = f"quarantine:{name}"
            for row in rows:
                if action == "default":
                    validator.default(row, position)
                    row.reasons.append(reason)
                    row.source = "default"
                else:
                    row.cause = row.cause or reason

    async def _score(self, loaded: Loaded, rows: Sequence[Row], until_ns: int, held: Any) -> None:
        """Ask the model for every row that still can be answered by it."""
        now_ns = self.clock.now_ns()
        if self.releases.distrusted:
            for row in rows:
                row.cause = row.cause or "distrusted"
        asked = [row for row in rows if not row.cause]
        if now_ns >= until_ns and held is NOT_ASKED:
            for row in asked:
                row.cause = "deadline"
            return
        used = np.array([row.used for row in asked], dtype=np.float64)
        if held is NOT_ASKED:
            answers = await margins(loaded, used, now_ns, until_ns)
        else:
            calls = [(loaded.version, values) for values in used]
            answers = await gather(loaded.model, [held] * len(calls), calls, now_ns, until_ns)
        for row, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Unavailable):
                row.cause = f"model:{answer.cause}"
                continue
            row.score = loaded.bundle.probability(float(answer))
            if type(answer) is Recalled and row.source == "model":
                row.source = "cache"

    def _fall_back(self, loaded: Loaded, rows: Sequence[Row]) -> Reply | None:
        """Answer by the heuristic where the model did not; or refuse, where that safeguard is off."""
        fallen = [row for row in rows if row.cause]
        if fallen and not self.safeguards.fallback:
            late = any(row.cause in {"deadline", "model:timeout"} for row in fallen)
            return (
                refusal(504, "Too late", "not answered in time")
                if late
                else refusal(503, "Cannot answer", "a dependency does not answer")
            )
        for row in fallen:
            row.score = loaded.heuristic(row.received)
            row.source = "fallback"
            row.reasons.append(row.cause)
            if not row.cause.startswith("quarantine:"):
                self.counters.fallbacks += 1
        return None

    def _judge(self, loaded: Loaded, arrived_ns: int, rows: Sequence[Row]) -> None:
        trial = self.releases.trial
        if trial is None:
            return
        if trial.shadow is not None:
            for row in rows:
                if row.source != "fallback":
                    trial.shadow.offer(row.used, row.score)
            return
        now_ns = self.clock.now_ns()
        answer = Answer(
            failed=any(row.cause.startswith("model:") for row in rows),
            slow=now_ns - arrived_ns > self.policy.slo_ns,
            fell_back=any(row.cause for row in rows),
            breach=any(row.cause == "model:nan" for row in rows),
            # Only what the model itself refused: a fallback or a default is not its doing.
            blocked=any((row.decision == "block" or row.let_through) and row.source in BY_THE_MODEL for row in rows),
        )
        self.releases.observe(loaded, now_ns, answer)

    def _decide(self, loaded: Loaded, row: Row, request_id: str) -> None:
        if row.problems:
            row.reasons = [f"{error.reason}:{error.field}" for error in row.problems]
            return
        score = row.score
        row.decision = loaded.bands.decide(score)
        share = self.policy.explore_share
        if row.decision == "block" and share and exploration.chosen(request_id, row.index, share):
            row.decision, row.let_through = "approve", True
            row.reasons.append(exploration.reason(share))
        row.version = loaded.version
        if row.source != "fallback" and loaded is self.releases.champion:
            self.watch.inputs.scores.append(score)

    def _record(self, arrival: Arrival, loaded: Loaded, rows: Sequence[Row]) -> None:
        counters, log, now_ns = self.counters, self.log, self.clock.now_ns()
        request_id, count = arrival.request.id, len(rows)
        degraded(self.watch.groups, rows)
        group = self.watch.groups.position
        for row in rows:
            counters.sources[row.source] += 1
            counters.answers += row.source != "rejected"
            score = None if row.source == "rejected" else row.score
            made = Decision(
                log.seq, now_ns, request_id, row.index, count, loaded.version, score, row.decision, row.source,
                ",".join(row.reasons), loaded.tag, loaded.bands.tag, arrival.key,
            )  # fmt: skip
            used = None if row.used == row.received else packed(row.used)
            body = text(arrival.body) if row.index == 0 else None
            log.append(made, Payload(log.seq, packed(row.received), used, row.entity, body), loaded.bundle)
            crowd = self._crowd(arrival, loaded, row) if self.releases.split is not None else 0
            self.ledger.add(made, row.received[group] if group >= 0 else -1.0, crowd)

    def _crowd(self, arrival: Arrival, loaded: Loaded, row: Row) -> int:
        if arrival.pinned is not None:
            return 0  # who chooses its version was not drawn
        return self.releases.crowd(loaded, row.entity, refused=row.decision == "block" or row.let_through)


def _flattened(arrival: Arrival) -> str:
    """Flatten the request's tensors; says why it is no request of ours, or ""."""
    try:
        flatten(arrival.request, arrival.body)
    except Malformed:
        return "a shape is a list of whole numbers"
    known = all(wanted.name in OUTPUTS for wanted in arrival.request.outputs)
    return "" if known else f"the outputs are {', '.join(OUTPUTS)}"
