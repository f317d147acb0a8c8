"""What the records of a run say of the harness that made them: a harness that is broken decides nothing (S3)."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from simulator.checks.evidence import Evidence
from simulator.checks.joins import NOBODY, partners
from simulator.history.schema import NEVER, EventRecord, History, Outcome
from simulator.scenario.model import Scenario
from simulator.scenario.verbs import REPRESENTATION

_KEY = ("stream", "index", "copy")
_READ = (*_KEY, "request", "row", "attempts", "outcome", "label_due_ns", "label_ns", "sent_ns", "replied_ns")


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
_CARRIED = "see whether the protocol of the target carries it at all; if it does, report it: a defect of the harness"


_AS_IT_WAS: Final = 0.5  # of what was changed: some changes write the same bytes, and most do not


def unsent(evidence: Evidence, history: History, scenario: Scenario) -> tuple[str, str]:
    """Which disturbance is in the plan and not in the bytes: they are those of the clean twin, whatever the plan says.

    Two empty strings if there is none, or no twin to tell by.
    """
    twin, items = evidence.twin, history.items
    disturbing = [event.event for event in scenario.when if event.verb in REPRESENTATION | {"drift"}]
    if twin is None or history is twin or not disturbing:
        return "", ""
    if twin.events or twin.items["touched"].any() or _distinct(twin.items) < len(twin):
        return "", ""  # for whoever needs the twin to say
    partner = partners(evidence, history, twin)
    known = (partner != NOBODY) & (items["copy"] == 0) & (items["sent_ns"] != NEVER)
    same = known & (items["sent_digest"] == twin.items["sent_digest"][np.maximum(partner, 0)])
    for record in history.events:
        if record.name in disturbing and _mostly(same, known & _changed(items, record)):
            return f"records: what `{record.name}` is to have changed was sent as in the clean twin", _CARRIED
    return "", ""


def _changed(items: dict[str, np.ndarray], record: EventRecord) -> np.ndarray:
    return np.asarray((items["potent"] >> np.uint64(record.index)) & np.uint64(1) == 1)


def _mostly(same: np.ndarray, of: np.ndarray) -> bool:
    return bool(of.any()) and int((same & of).sum()) > _AS_IT_WAS * int(of.sum())


def _flaw(items: dict[str, np.ndarray]) -> tuple[str, str]:
    due, came = items["label_due_ns"], items["label_ns"]
    early = int(((came != NEVER) & ((due == NEVER) | (came < due))).sum())
    if early:
        return f"labels: {early} came before their truth was known", _REPORT
    sent, replied = items["sent_ns"], items["replied_ns"]
    before = int(((replied != NEVER) & ((sent == NEVER) | (replied < sent))).sum())
    if before:
        return f"records: {before} replies came before their requests were sent", _REPORT
    twice = len(items["index"]) - _distinct(items)
    if twice:
        return f"records: {twice} items are on record twice", _REPORT
    return "", ""


def _distinct(items: dict[str, np.ndarray]) -> int:
    streams, _ = pd.factorize(items["stream"])
    table = pd.DataFrame({"stream": streams, "index": items["index"], "copy": items["copy"]})
    return len(table) - int(table.duplicated().sum())
