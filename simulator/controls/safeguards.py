"""Grade S: the run with a safeguard switched off. What the safeguard is there for must turn red without it (S10)."""

from __future__ import annotations

from dataclasses import replace

from simulator.checks.evidence import Evidence


def without(evidence: Evidence, safeguard: str) -> Evidence | None:
    """The evidence of the run without that safeguard, beside the same twins; None if there was no such run."""
    history = evidence.off.get(safeguard)
    return None if history is None else replace(evidence, main=history, off={})
