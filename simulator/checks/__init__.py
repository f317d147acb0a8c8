"""Checks: what a history says of an expectation. Pure functions; semantics S1 to S9."""

from simulator.checks.evaluate import evaluate
from simulator.checks.evidence import Evidence

__all__ = ["Evidence", "evaluate"]
