"""What the records of a run say of the harness that made them: a harness that is broken decides nothing (S3)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from simulator.checks.evidence import Evidence
from simulator.history.schema import NEVER, History, Outcome

_KEY = ("stream", "index", "copy")
_READ = (*_KEY, "request", "row", "attempts", "outcome", "label_due_ns", "label_ns")


def flaw(evidence: Evidence, history: History) -> tuple[str, str]:
    """What is wrong with the records, and what to do; two empty strings if nothing is."""
    items = history.items
    found = evidence.remember("records", tuple(items[name] for name in _READ), lambda: _flaw(items))
    if found[0]:
        return found
    sent = [int(note.data["attempts"]) for note in history.notes if note.kind == "driver" and "attempts" in note.data]
    if not sent:
        return "", ""
    first = items["row"] == 0
    recorded = int(items["attempts"][first].sum())
    # Of a request that was never concluded nobody knows how often it was tried.
    if sum(sent) != recorded and not np.any(items["outcome"] == Outcome.MISSING):
        return f"driver: it sent {sum(sent)} requests, and {recorded} are on record", _REPORT
    return "", ""


_REPORT = "report it: this is a defect of the harness"


def _flaw(items: dict[str, np.ndarray]) -> tuple[str, str]:
    due, came = items["label_due_ns"], items["label_ns"]
    early = int(((came != NEVER) & ((due == NEVER) | (came < due))).sum())
    if early:
        return f"labels: {early} came before their truth was known", _REPORT
    twice = len(items["index"]) - _distinct(items)
    if twice:
        return f"records: {twice} items are on record twice", _REPORT
    return "", ""


def _distinct(items: dict[str, np.ndarray]) -> int:
    streams, _ = pd.factorize(items["stream"])
    table = pd.DataFrame({"stream": streams, "index": items["index"], "copy": items["copy"]})
    return len(table) - int(table.duplicated().sum())
