"""Any decision again, from its record and the bundle that it names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reference_service import bundle as bundles
from reference_service import policy as policies
from reference_service.audit import archive
from reference_service.audit.files import logs
from reference_service.audit.records import PERSON, Decision, Payload, unpacked
from reference_service.bundle import Bundle, BundleError
from reference_service.clock import SECOND
from reference_service.foreign import outside
from reference_service.foreign.process import Process
from reference_service.guards import exploration
from reference_service.guards.fallback import Heuristic
from reference_service.release.store import Store
from reference_service.settings import Artifact, Settings


class NotReproducible(Exception):  # noqa: N818  # named after what the decision is
    """The record is there or not, but there is nothing to compute it from; the message says what is missing."""


class Again(NamedTuple):
    """A decision as it was recorded, and as it comes out now."""

    recorded: Decision
    score: float
    decision: str

    @property
    def equal(self) -> bool:
        """Bit for bit."""
        return (self.score, self.decision) == (self.recorded.score, self.recorded.decision)


def recorded(settings: Settings, request_id: str, row: int = 0) -> list[tuple[Decision, Payload]]:
    """What the log says of a row, oldest first: one decision, unless it was asked again without an idempotency key.

    Args:
        settings: of the service that decided; those of several workers name the folder that all their logs are in.
        request_id: as the client sent it.
        row: of the request.

    Raises:
        NotReproducible: there is nothing.
        LogBroken: a payload is not the one that its record names.
    """
    if settings.decision_log is None:
        raise NotReproducible("these settings name no decision_log")
    found = [each for log in logs(Path(settings.decision_log)) for each in archive.found(log, request_id, row)]
    found = [each for each in found if each[0].source != PERSON]  # whose verdict nobody can compute
    if not found:
        raise NotReproducible(f"no decision on row {row} of request {request_id!r} in {settings.decision_log}")
    return sorted(found, key=lambda each: (each[0].at_ns, each[0].seq))


def reproduce(settings: Settings, decision: Decision, payload: Payload) -> Again:
    """Compute a decision anew.

    Args:
        settings: of the service that made it: its bundles, or its registry of them, and its policy.
        decision: as it was recorded.
        payload: its own.

    Raises:
        NotReproducible: refused, erased, or made by a bundle or a policy that is not here.
    """
    if decision.score is None:
        raise NotReproducible(f"the row was refused ({decision.reasons}); no model was asked")
    if payload.received is None:
        raise NotReproducible("its payload has been erased")
    bundle, margin = _model(settings, decision)
    shipped = policies.read(bundle.policy, settings.policy)
    policy = policies.moved(shipped, decision.policy)
    if policy is None:
        raise NotReproducible(f"it was made by policy {decision.policy}, these settings give {policies.tag(shipped)}")
    received = unpacked(payload.received).tolist()
    if decision.source == "fallback":
        score = Heuristic(bundle)(received)
    else:
        score = bundle.probability(margin(received if payload.used is None else unpacked(payload.used).tolist()))
    made = policy.decide(score)
    # A refusal that was allowed at random: the lot is as reproducible as the rest.
    share = policy.explore_share
    if made == "block" and share and exploration.chosen(decision.id, decision.row, share):
        made = "approve"
    return Again(decision, score, made)


def _model(settings: Settings, decision: Decision) -> tuple[Bundle, Callable[[list[float]], float]]:
    """The version that decided, and the margin that its model gives to a row."""
    version = decision.version
    place = Store(Path(settings.registry)).place(version) if settings.registry is not None else None
    folder = place or Path(settings.bundles) / version
    try:
        bundle = bundles.load(folder)
    except BundleError as error:
        raise NotReproducible(f"its bundle cannot be loaded: {error}") from None
    artifact = settings.foreign.get(version)
    tag = bundle.digest[:12] if artifact is None else outside.tag(bundle, artifact)
    if tag != decision.bundle:
        raise NotReproducible(f"it was made by bundle {decision.bundle}, {folder} is {tag}")
    if artifact is None:
        return bundle, lambda values: float(bundle.margin(bundle.codes(np.array([values])))[0])
    return bundle, partial(_outside, artifact)


def _outside(artifact: Artifact, values: list[float]) -> float:
    """The margin that a model of another library gives to a row."""
    try:
        process = Process(artifact.factory, artifact.artifact, artifact.sha256, start_ns=60 * SECOND)
    except OSError as error:
        raise NotReproducible(f"its model cannot be started: {error}") from None
    try:
        return process.ask_now(np.array([values]))[0]
    except (OSError, ValueError) as error:
        raise NotReproducible(f"its model does not answer: {error}") from None
    finally:
        process.kill()
