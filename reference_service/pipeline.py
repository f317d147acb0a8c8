"""The short way of the ordinary request, before the thorough way of any.

`quick` answers the ordinary request (one row, nothing odd, dependencies that answer at once) without creating a
coroutine. Whatever is not ordinary goes to `thorough`, which starts from the same request and takes over the answers
that `quick` already has. Both end in the same replies.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from reference_service.api.oip import decode
from reference_service.asking import recall
from reference_service.audit.records import Decision, Payload
from reference_service.core.cache import Recalled
from reference_service.features import FeatureRow
from reference_service.release.judge import GOOD, Answer
from reference_service.release.registry import Loaded
from reference_service.reply import Reply
from reference_service.thorough import NOT_ASKED, Arrival, Thorough

Pending = Coroutine[Any, Any, Reply]


class Pipeline(Thorough):
    """What every request meets first."""

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
            features = NOT_ASKED
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
        log.append(made, Payload(log.seq, row.tobytes(), None, entity), loaded.bundle)
        group = self.watch.groups.position
        crowd = 0 if releases.split is None else releases.crowd(loaded, entity, refused=decision == "block")
        self.ledger.add(made, values[group] if group >= 0 else -1.0, crowd)
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

    def keyed(self, body: bytes, arrived_ns: int, now_ns: int, mark: str, pinned: Loaded | None = None) -> Pending:
        """What has to be awaited for the reply to a request under an idempotency key. Raises Malformed."""
        return self.thorough(Arrival(decode(body), body, arrived_ns, pinned, mark), now_ns)
