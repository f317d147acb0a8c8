"""One label, from a feed or from a person: joined to its decision, and told to whoever learns from it."""

from __future__ import annotations

from reference_service.monitor.labels import Remembered, Verdict, by_model
from reference_service.release.gain import Labelled
from reference_service.service import Service


def labelled(service: Service, request_id: str, row: int, label: int, now_ns: int) -> Verdict:
    """Take in a label; each row has one."""
    verdict, made = service.ledger.label(request_id, row, label)
    if made is not None and made.score is not None:
        refused = made.decision == "block" or made.propensity < 1
        _learn(service, made, made.score, label, now_ns)
        # A review is never wrong, and a refusal that was let through is as wrong as any other.
        wrong = not label if refused else made.decision == "approve" and label == 1
        service.releases.label(made.version, made.at_ns, now_ns, wrong=wrong)
    return verdict


def _learn(service: Service, made: Remembered, score: float, label: int, now_ns: int) -> None:
    """Whoever estimates something from labels is told of one."""
    chance, refused = made.propensity, made.decision == "block"
    serving = made.version == service.watch.bundle.version
    # Where some refusals are let through at random they stand for all: one that nobody drew would count twice.
    stood_for = refused and bool(service.policy.explore_share)
    if by_model(made):
        service.cohorts.add(
            made.at_ns, score, label, now_ns, refused=refused, propensity=chance, tested=serving, stood_for=stood_for
        )
    if stood_for:
        return
    if serving:
        service.watch.errors.add(
            made.group, label, approved=made.decision == "approve", propensity=chance, seen_ns=made.at_ns, now_ns=now_ns
        )
    if made.crowd:
        loss = (score - label) ** 2
        service.releases.learn(made.version, Labelled(made.at_ns, made.crowd, loss, 1 / chance, refused))
