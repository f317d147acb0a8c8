"""Clean twins, shared by cells with the same world: their key (S9), and whether one is there already."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from functools import cache
from pathlib import Path

from simulator.drivers.spec import RunSpec
from simulator.history.read import Altered, verify
from simulator.trial.manifest import digest_of
from simulator.verdict import JUDGE_VERSION


def twin_key(clean: RunSpec) -> str:
    """S9: cached by (given, seed, target digest, judge version), and by what computes it."""
    given = clean.scenario.given.model_dump_json()
    parts = (clean.scenario.seed, clean.target_digest, clean.without, clean.driver, JUDGE_VERSION, harness())
    return digest_of("twin", given, *parts)[:16]


@cache
def harness() -> str:
    """Digest of the harness' own source and of what it computes with: another one would rehearse another twin."""
    total = hashlib.sha256(repr(sorted(versions().items())).encode())
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        total.update(file.read_bytes())
    return total.hexdigest()


def have(spec: RunSpec) -> bool:
    """Whether a twin of this very world is there already, whole and unaltered."""
    if spec.role not in {"twin", "aa"}:
        return False
    try:
        verify(spec.folder)
    except Altered:
        return False
    return True


def versions() -> dict[str, str]:
    """What a run is computed with."""
    wanted = ("seatrial", "numpy", "pandas", "pyarrow")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in wanted}
