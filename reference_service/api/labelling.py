"""One label, from a feed or from a person: joined to its decision, and told to whoever learns from it."""

from __future__ import annotations

from typing import Final

from reference_service.monitor.labels import Verdict, by_model
from reference_service.release.gain import Labelled
from reference_service.service import Service

_WRONG: Final = ("block", "approve")  # the decision that a label of 0, of 1 proves wrong; a review is never wrong


def labelled(service: Service, request_id: str, row: int, label: int, now_ns: int) -> Verdict:
    """Take in a label; each row has one."""
    verdict, judged = service.ledger.label(request_id, row, label)
    if judged is not None and judged.score is not None:
        chance = judged.propensity
        serving = judged.version == service.watch.bundle.version
        if by_model(judged):
            service.cohorts.add(
                judged.at_ns, judged.score, label, now_ns, refused=judged.decision == "block", propensity=chance,
                tested=serving,
            )  # fmt: skip
        if serving:
            service.watch.errors.add(
                judged.group, label, approved=judged.decision == "approve" and chance == 1,
                seen_ns=judged.at_ns, now_ns=now_ns,
            )  # fmt: skip
        if judged.crowd:
            loss, refused = (judged.score - label) ** 2, judged.decision == "block"
            service.releases.learn(judged.version, Labelled(judged.at_ns, judged.crowd, loss, 1 / chance, refused))
        service.releases.label(judged.version, judged.at_ns, now_ns, wrong=judged.decision == _WRONG[label])
    return verdict
