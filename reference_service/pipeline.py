"""receive -> validate -> features -> score -> decide -> respond. No I/O of its own, and the clock is injected.

`quick` answers the ordinary request (one row, nothing odd, dependencies that answer at once) without creating a
coroutine. Whatever is not ordinary goes to `thorough`, which starts from the same request and takes over the answers
that `quick` already has. Both end in the same replies.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from reference_service.api.oip import OUTPUTS, Malformed, Request, decode, flatten, problem
from reference_service.asking import gather, margins, recall
from reference_service.audit.decision_log import DecisionLog
from reference_service.audit.records import Decision, Payload, text
from reference_service.clock import Clock
from reference_service.core.cache import Recalled
from reference_service.features import FeatureRow
from reference_service.guards import exploration
from reference_service.guards.dependency import Dependency, Unavailable
from reference_service.monitor.counters import Counters
from reference_service.monitor.labels import Ledger
from reference_service.monitor.watch import Watch
from reference_service.noted import BY_THE_MODEL, degraded, judged, received
from reference_service.policy import Policy
from reference_service.release.judge import GOOD, Answer
from reference_service.release.registry import Loaded
from reference_service.release.rollback import Releases
from reference_service.settings import Safeguards
from reference_service.validation import Problem, Row

Pending = Coroutine[Any, Any, "Reply"]
_NOT_ASKED: Final = object()


class Reply(NamedTuple):
    """Status and body."""

    status: int
    body: bytes


class Arrival(NamedTuple):
    """One request, and when it entered the app."""

    request: Request
    body: bytes
    arrived_ns: int
    pinned: Loaded | None = None
    key: str = ""  # mark of its idempotency key, for the log


class Pipeline:
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

    # ------------------------------------------------------------ the ordinary request

    def quick(self, body: bytes, arrived_ns: int, now_ns: int, pinned: Loaded | None = None) -> bytes | Pending:
        """The body of a 200, or what has to be awaited for the reply.

        Args:
            body: as it came.
            arrived_ns: when it entered the app.
            now_ns: now; the difference is time in the queue, and counts.
            pinned: the version that the caller insists on; None: whichever is the entity's.

        Raises:
            Malformed: it is no inference request.
        """
        distrusted = self.watch.quarantined or self.releases.distrusted
        if distrusted or pinned is not None or now_ns - arrived_ns >= self.policy.deadline_ns:
            return self.thorough(Arrival(decode(body), body, arrived_ns, pinned), now_ns)
        champion = self.releases.champion
        found = champion.ordinary.read(body)
        if found is not None:
            return self._quick(found[0], found[1], body, arrived_ns, now_ns)
        request = decode(body)
        values = champion.validator.clean(request.inputs)  # also without validation: what is clean needs none
        if values is None or request.outputs or request.parameters.event_time_ms is not None:
            return self.thorough(Arrival(request, body, arrived_ns), now_ns)
        champion.ordinary.learn([tensor.name for tensor in request.inputs])
        return self._quick(request.id, values, body, arrived_ns, now_ns)

    def _quick(self, request_id: str, values: list[Any], body: bytes, arrived_ns: int, now_ns: int) -> bytes | Pending:
        releases = self.releases
        validator = releases.champion.validator
        entity = values.pop()
        if self.store is not None:
            features = self.store.start(now_ns, entity, now_ns)
            if type(features) is not FeatureRow or not validator.fill(values, features.values):
                return self.thorough(Arrival(decode(body), body, arrived_ns), now_ns, features=features)
        else:
            features = _NOT_ASKED
        loaded = releases.route(entity)
        inputs = self.watch.inputs
        row = inputs.received.put(values)  # before anything is answered: what the cache knows was received as well
        source = "model"
        if loaded.known is None or not loaded.known.worth():
            margin = loaded.model.start(now_ns, loaded.version, row)
        else:
            margin, source = recall(loaded, loaded.known, now_ns, row)
        if type(margin) is not float:
            return self.thorough(Arrival(decode(body), body, arrived_ns), now_ns, features=features, margin=margin)
        score = loaded.bundle.probability(margin)
        decision = loaded.bands.decide(score)
        if decision == "block" and self.policy.explore_share:
            held = Recalled(margin) if source == "cache" else margin
            return self.thorough(Arrival(decode(body), body, arrived_ns), now_ns, features=features, margin=held)

        counters = self.counters
        counters.rows += 1
        counters.answers += 1
        if source == "model":
            counters.model += 1
        else:
            counters.sources[source] += 1
        if releases.trial is None:
            inputs.scores.append(score)
        else:
            self._on_trial(loaded, arrived_ns, score, decision, values)
        log = self.log
        made = Decision(
            log.seq, now_ns, request_id, 0, 1, loaded.version, score, decision, source, "",
            loaded.tag, loaded.bands.tag,
        )  # fmt: skip
        log.append(made, Payload(log.seq, values, None, entity), loaded.bundle, row)
        group = self.watch.groups.position
        self.ledger.add(made, values[group] if group >= 0 else -1.0)
        return loaded.replies.one(request_id, score, decision.encode(), source.encode())

    def _on_trial(self, loaded: Loaded, arrived_ns: int, score: float, decision: str, values: list[Any]) -> None:
        """An ordinary answer while a release is running."""
        releases = self.releases
        if loaded is releases.champion:
            self.watch.inputs.scores.append(score)
        if releases.trial is not None and releases.trial.shadow is not None:
            releases.trial.shadow.offer(values, score)
            return
        now_ns = self.clock.now_ns()
        slow, blocked = now_ns - arrived_ns > self.policy.slo_ns, decision == "block"
        releases.observe(loaded, now_ns, Answer(slow=slow, blocked=blocked) if slow or blocked else GOOD, score)

    # ------------------------------------------------------------ everything else

    def keyed(self, body: bytes, arrived_ns: int, now_ns: int, mark: str, pinned: Loaded | None = None) -> Pending:
        """What has to be awaited for the reply to a request under an idempotency key. Raises Malformed."""
        return self.thorough(Arrival(decode(body), body, arrived_ns, pinned, mark), now_ns)

    async def thorough(
        self, arrival: Arrival, now_ns: int, *, features: Any = _NOT_ASKED, margin: Any = _NOT_ASKED
    ) -> Reply:
        """The reply to any request. `features` and `margin` are answers that `quick` has already been given."""
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
        if margin is _NOT_ASKED:  # else `quick` has already shown them
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
        answers = [store.start(now_ns, row.entity, now_ns) if held is _NOT_ASKED else held for row in rows]
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
        if now_ns >= until_ns and held is _NOT_ASKED:
            for row in asked:
                row.cause = "deadline"
            return
        used = np.array([row.used for row in asked], dtype=np.float64)
        if held is _NOT_ASKED:
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
            blocked=any(row.decision == "block" and row.source in BY_THE_MODEL for row in rows),
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
            row.decision = "approve"
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
            used = None if row.used == row.received else row.used
            body = text(arrival.body) if row.index == 0 else None
            log.append(
                made,
                Payload(log.seq, row.received, used, row.entity, body),
                loaded.bundle,
                np.array(row.received, dtype=np.float64),
            )
            self.ledger.add(made, row.received[group] if group >= 0 else -1.0)


def _flattened(arrival: Arrival) -> str:
    """Flatten the request's tensors; says why it is no request of ours, or ""."""
    try:
        flatten(arrival.request, arrival.body)
    except Malformed:
        return "a shape is a list of whole numbers"
    known = all(wanted.name in OUTPUTS for wanted in arrival.request.outputs)
    return "" if known else f"the outputs are {', '.join(OUTPUTS)}"


def refusal(status: int, title: str, detail: str, errors: Sequence[Problem] = ()) -> Reply:
    """A problem+json reply."""
    return Reply(status, problem(status, title, detail, errors))
