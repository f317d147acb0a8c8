"""A harness whose clean runs have another seed than they say: broken when this is imported, before a plan is made."""

from __future__ import annotations

from reference_service.app import create_app
from simulator.drivers.virtual import run

_plan = run.plan


def _another(scenario, *rest, **more):
    clean = not scenario.when
    return _plan(scenario.model_copy(update={"seed": scenario.seed + 1}) if clean else scenario, *rest, **more)


run.plan = _another
another_seed = create_app
