"""Wire protocols: plan rows → request bodies, replies → outcomes."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.targets.documents import Documents
from simulator.targets.model import Target
from simulator.targets.oip import OipV2
from simulator.targets.protocol import Codec
from simulator.world.population import Field


def codec(target: Target, fields: Sequence[Field]) -> Codec:
    """The codec of the target's protocol for a population's fields."""
    return OipV2(target, fields) if target.protocol == "oip-v2" else Documents(target, fields)
