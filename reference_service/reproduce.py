"""Any decision again, from its record and the bundle that it names."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reference_service import bundle as bundles
from reference_service import policy as policies
from reference_service.audit import archive
from reference_service.audit.records import Decision
from reference_service.bundle import Bundle, BundleError
from reference_service.guards import exploration
from reference_service.guards.fallback import Heuristic
from reference_service.settings import Settings


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


def reproduce(settings: Settings, request_id: str, row: int = 0) -> Again:
    """Compute a decision anew.

    Args:
        settings: of the service that made it: its log, its bundles, its policy.
        request_id: as the client sent it.
        row: of the request.

    Raises:
        NotReproducible: not in the log, refused, erased, or made by a bundle or a policy that is not here.
    """
    if settings.decision_log is None:
        raise NotReproducible("these settings name no decision_log")
    try:
        decision, payload = archive.find(Path(settings.decision_log), request_id, row)
    except KeyError:
        raise NotReproducible(
            f"no decision on row {row} of request {request_id!r} in {settings.decision_log}"
        ) from None
    if decision.score is None:
        raise NotReproducible(f"the row was refused ({decision.reasons}); no model was asked")
    if payload.received is None:
        raise NotReproducible("its payload has been erased")
    bundle = _bundle(Path(settings.bundles), decision)
    policy = policies.read(bundle.policy, settings.policy)
    if policies.tag(policy) != decision.policy:
        raise NotReproducible(f"it was made by policy {decision.policy}, these settings give {policies.tag(policy)}")
    received = _floats(payload.received)
    if decision.source == "fallback":
        score = Heuristic(bundle)(received)
    else:
        values = received if payload.used is None else _floats(payload.used)
        score = bundle.probability(float(bundle.margin(bundle.codes(np.array([values])))[0]))
    made = policy.decide(score)
    # A refusal that was allowed at random: the lot is as reproducible as the rest.
    share = policy.explore_share
    if made == "block" and share and exploration.chosen(request_id, row, share):
        made = "approve"
    return Again(decision, score, made)


def _floats(values: list[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _bundle(folder: Path, decision: Decision) -> Bundle:
    try:
        bundle = bundles.load(folder / decision.version)
    except BundleError as error:
        raise NotReproducible(f"its bundle cannot be loaded: {error}") from None
    if bundle.digest[:12] != decision.bundle:
        raise NotReproducible(
            f"it was made by bundle {decision.bundle}, {folder / decision.version} is {bundle.digest[:12]}"
        )
    return bundle
