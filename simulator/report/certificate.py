"""A verdict as an in-toto statement: what was tried, on what, with which outcome, each by its digest. Not signed.

It is written for every verdict, also a refusal: `predicate.verdict` says which it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from simulator.report import words
from simulator.report.json_ import to_json
from simulator.verdict import CellVerdict, Verdict

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "urn:seatrial:trial:v1"


@dataclass(frozen=True, slots=True)
class Tried:
    """One judged cell with what it was judged on; digests are SHA-256, in hex."""

    cell: CellVerdict
    scenario_digest: str  # of the scenario file
    target_digest: str  # of the target file, and of what it starts as far as that can be seen
    driver: str
    without: str | None
    seatrial: str  # version of the harness that ran it


def statement(verdict: Verdict, tried: Sequence[Tried]) -> bytes:
    """UTF-8 JSON; the same bytes for the same verdict."""
    subjects = {one.cell.target: one.target_digest for one in tried}
    document = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(subjects.items())],
        "predicateType": PREDICATE,
        "predicate": {
            "verdict": words.headline(verdict),
            "exitCode": verdict.exit_code,
            "verdictJson": {"sha256": hashlib.sha256(to_json(verdict)).hexdigest()},
            "seatrial": ", ".join(sorted({one.seatrial for one in tried})),
            "trials": [_trial(one) for one in tried],
        },
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _trial(one: Tried) -> dict[str, object]:
    cell = one.cell
    return {
        "name": cell.name,
        "status": cell.status.value,
        "scenario": {"path": cell.path, "sha256": one.scenario_digest},
        "target": cell.target,
        "seed": cell.seed,
        "driver": one.driver,
        "without": one.without,
        "runId": cell.run_id,
        "judge": cell.judge_version,
        "planDigest": cell.plan_digest,
        "evidence": cell.evidence,
        "expectations": {judged.id: judged.status.value for judged in cell.judged},
    }
