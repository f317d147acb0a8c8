"""What production sent and what became of it: from a file, or from the service's own decision log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reference_service.audit import archive
from reference_service.audit.files import RECORDS, segments
from reference_service.audit.records import PERSON, unpacked
from reference_service.contract import Contract
from reference_service.guards.exploration import propensity
from reference_service.training import features


class Refused(Exception):  # noqa: N818  # an answer, not a fault
    """A step of retraining says no; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Data:
    """n rows in any order."""

    values: np.ndarray  # float64[n, f] of `features.encode`
    event_ns: np.ndarray  # int64[n]
    labels: np.ndarray  # int64[n]; -1: not known
    sent: Mapping[str, np.ndarray]  # the same rows as a client sends them, by field: what `features.encode` takes
    refused: np.ndarray | None = None  # bool[n]: whom a model decided to refuse, allowed at random or not; None: unsaid
    propensity: np.ndarray | None = None  # float64[n]: with which probability each was let through; None: all with 1


def pull(path: Path, contract: Contract) -> Data:
    """Read a Parquet file with a column for each field, `event_ns`, and `label` (null where it is not known).

    With a column `decision` it says what was refused; `reasons`, which of these were allowed at random.
    """
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise Refused(f"pull: {path} cannot be read: {error}") from None
    missing = sorted({*(field.name for field in contract.fields), "event_ns", "label"} - set(table.column_names))
    if missing:
        raise Refused(f"pull: {path} has no column {', '.join(missing)}")
    columns = {
        field.name: np.array(table[field.name].to_pylist(), dtype=object if field.kind == "category" else np.float64)
        for field in contract.fields
    }
    known, times = table["label"].to_pylist(), table["event_ns"].to_pylist()
    strange = next((value for value in known if value not in {None, 0, 1}), None)
    if strange is not None:
        raise Refused(f"pull: {path}: a label is {strange!r}; it is 0, 1, or null where it is not known")
    if None in times:
        raise Refused(f"pull: {path}: event_ns is null; when a row happened decides what is learned and what is judged")
    labels = np.array([-1 if value is None else int(value) for value in known], dtype=np.int64)
    event_ns = np.array(times, dtype=np.int64)
    refused = chance = None
    if "decision" in table.column_names:
        said = table["reasons"].to_pylist() if "reasons" in table.column_names else [""] * len(table)
        chance = np.array([_chance(path, reasons or "") for reasons in said])
        refused = (chance < 1) | np.array([decision == "block" for decision in table["decision"].to_pylist()], bool)
    return Data(features.encode(contract, columns), event_ns, labels, columns, refused, chance)


def _chance(path: Path, reasons: str) -> float:
    try:
        found = propensity(reasons)
    except ValueError:
        found = 0.0
    if not 0 < found <= 1:
        raise Refused(f"pull: {path}: {reasons!r} names no probability above 0 and up to 1")
    return found


def logged(folder: Path, contract: Contract, label: Callable[[str, int], int | None]) -> Data:
    """What the service itself wrote down, as it was received, so that training sees what serving saw.

    Rows that were refused or erased are left out, and a request that came twice is one. Archives are not read: what
    retraining wants is recent.

    Args:
        folder: of the decision log; whoever writes to it has flushed.
        contract: by which the rows were received.
        label: (request's id, row) → its label, None while it is not known.
    """
    values: list[np.ndarray] = []
    event_ns: list[int] = []
    labels: list[int] = []
    refused: list[bool] = []
    chances: list[float] = []
    seen: set[tuple[str, int]] = set()
    for records in [*segments(folder), folder / RECORDS]:
        for decision, payload in archive.written(records):
            if decision.source == PERSON or payload.received is None or decision.score is None:
                continue
            if (decision.id, decision.row) in seen:
                continue  # as the ledger has it: the first one
            seen.add((decision.id, decision.row))
            known = label(decision.id, decision.row)
            values.append(unpacked(payload.received))
            event_ns.append(decision.at_ns)
            labels.append(-1 if known is None else known)
            chance = propensity(decision.reasons)
            refused.append(decision.decision == "block" or chance < 1)
            chances.append(chance)
    if not values:
        raise Refused(f"pull: no decision is written down in {folder}")
    received = np.array(values, np.float64)
    sent = features.decode(contract, received)
    at_ns, known_labels = np.array(event_ns, np.int64), np.array(labels, np.int64)
    return Data(received, at_ns, known_labels, sent, np.array(refused, bool), np.array(chances))
