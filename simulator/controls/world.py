"""Grade W: the clean world in place of the run. What detects something must not be satisfied by it (S10)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from simulator.checks.evidence import Evidence
from simulator.checks.joins import NOBODY, partners
from simulator.history.schema import History, Note
from simulator.scenario.model import Expectation

# What the service did comes from the twin; what the harness did, and whether it was fit to speak, from the run.
OBSERVED: Final = frozenset({"heartbeat", "unread", "quality", "capacity", "action"})
DETECTIONS: Final = frozenset({"alert", "resolved", "labels_seen", "fallback", "rollback", "promoted"})


def detects(expectation: Expectation) -> bool:
    """Whether the clean world must not satisfy it."""
    goes_live = expectation.retrain is not None and expectation.retrain.goes == "live"
    return expectation.family in DETECTIONS or goes_live


def in_clean_world(evidence: Evidence) -> Evidence | None:
    """The evidence, had the service behaved as in the twin while all was done to it; None without a twin."""
    if evidence.twin is None:
        return None
    main, twin = evidence.main, evidence.twin
    notes = [note for note in twin.notes if note.kind in OBSERVED]
    notes += [_kept(note) for note in main.notes if note.kind not in OBSERVED]
    items = dict(twin.items)
    for name in ("touched", "potent", "sent_digest"):
        items[name] = _marks(evidence, main, twin, name)
    return replace(evidence, main=replace(main, items=items, alerts=twin.alerts, notes=tuple(notes)))


def _kept(note: Note) -> Note:
    # How often the driver sent belongs to the items of its own run; how late it was says whether it was fit to speak.
    return (
        replace(note, data={k: v for k, v in note.data.items() if k != "attempts"}) if note.kind == "driver" else note
    )


def _marks(evidence: Evidence, main: History, twin: History, name: str) -> np.ndarray:
    """What was done to each of the twin's rows: what was done to it in the run."""
    mate = partners(evidence, twin, main)
    if not len(main):
        return np.zeros(len(twin), np.uint64)
    return np.asarray(np.where(mate == NOBODY, np.uint64(0), main.items[name][np.maximum(mate, 0)]))
