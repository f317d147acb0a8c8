"""The family that holds the service's decision log against the replies that callers got: logged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import Final

import numpy as np

from simulator.checks import decision_log, evaluators, premises, selection, words
from simulator.checks.decision_log import Record
from simulator.checks.evidence import Evidence
from simulator.checks.premises import PremiseError
from simulator.checks.windows import resolve
from simulator.history.ids import request_ids
from simulator.history.schema import History, Outcome, Source
from simulator.scenario.families import Logged
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Finding, Status

_ROUNDED: Final = 1e-6  # S11: replies are rounded to six decimals, records need not be
Key = tuple[str, int]  # request's id, row
Reply = tuple[float, str, str, str]  # score, decision, version, source
_SPOKEN: Final = {int(source): "" if source is Source.NONE else source.name.lower() for source in Source}


def logged(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """equal: each answered row has its record, that record says what the reply said, and the log is whole.

    A row that was delivered once has exactly one record; one that was delivered n times (retries, duplicates under
    one key) at least one and at most n. Under a key only deliveries count that were sent before it was answered: what
    is asked later is answered by what was decided then. Of two requests of which the one was answered before the other
    was sent, the records stand in that order. What the log itself proves FAILs although the run may be in doubt (S3).
    """
    main = evidence.main
    window = resolve(expectation, scenario, main)
    reading = decision_log.read(_lines(main))
    rows = np.flatnonzero(
        selection.rows(expectation, main, window, of=expectation.of)
        & (main.items["outcome"] == Outcome.OK)
        & ~_of_another_payload(scenario, main)
    )
    book = _Deliveries.of(scenario, main)
    records: dict[Key, list[Record]] = {}
    for record in reading.records:
        records.setdefault((record.id, record.row), []).append(record)
    if reading.records and not reading.broken and not records.keys() & book.times.keys():
        raise PremiseError(
            "decision log: none of its records has the id of a request of this run",
            "log the `id` that a request brings",
        )
    wrong = list(
        chain(
            reading.broken,
            _unlike(main, rows, book, records, evidence.tolerance),
            _out_of_order(main, rows, book, reading.records),
        )
    )
    minimum = (expectation.logged or Logged()).min_pairs
    finding = evaluators.equal(
        tuple(wrong[: words.MOST_WITNESSES]),
        limit=f"one record of each answer, of at least {minimum}",
        pairs=len(rows),
        failures=len(wrong),
        min_pairs=minimum,
        noun="answers and their records",
    )
    if finding.status is not Status.FAIL:
        premises.sound_run(evidence, main, scenario)
    return finding


def _lines(history: History) -> tuple[bytes, ...]:
    """Raises PremiseError if the log was not read to its end."""
    attempts = [str(note.data["why"]) for note in history.notes if note.kind == "log"]
    if history.log is None or not attempts:
        raise PremiseError("decision log: unsupported, nobody read one", "name it in the target file: `decisions`")
    for why in attempts:
        if why:
            raise PremiseError(f"decision log: it could not be read: {why}", "see `decisions` in the target file")
    return history.log


def _of_another_payload(scenario: Scenario, history: History) -> np.ndarray:
    """bool[n]: second deliveries that carry another payload, perhaps another id."""
    found = np.zeros(len(history), bool)
    for k, event in enumerate(scenario.when):
        if event.duplicate is not None and event.duplicate.payload != "same":
            found |= selection.bit(history.items["touched"], k) & (history.items["copy"] > 0)
    return found


@dataclass(frozen=True, slots=True)
class _Deliveries:
    """Under which key each item is to be found in the log, how often that was delivered, and may have been decided."""

    keys: list[Key]  # by position
    times: dict[Key, int]
    most: dict[Key, int]

    @classmethod
    def of(cls, scenario: Scenario, history: History) -> _Deliveries:
        items = history.items
        shared = share_keys(scenario)
        keys = named(scenario, history)
        times: dict[Key, int] = {}
        for key, attempts in zip(keys, items["attempts"].tolist(), strict=True):
            times[key] = times.get(key, 0) + attempts
        return cls(keys, times, _undecided(history, keys) if shared else times)


def share_keys(scenario: Scenario) -> bool:
    """Whether second deliveries come under the first one's key, and so under its id."""
    return any(event.duplicate and event.duplicate.key for event in scenario.when)


def named(scenario: Scenario, history: History) -> list[Key]:
    """Under which id the service knows each item, and which row of that request it is; by position."""
    items = history.items
    copies = np.zeros_like(items["copy"]) if share_keys(scenario) else items["copy"]
    firsts = np.flatnonzero(items["row"] == 0)
    ids = request_ids(*(column[firsts].tolist() for column in (items["stream"], items["index"], copies)))
    by_request = dict(zip(items["request"][firsts].tolist(), ids, strict=True))
    return [
        (by_request.get(request, ""), row)
        for request, row in zip(items["request"].tolist(), items["row"].tolist(), strict=True)
    ]


def _undecided(history: History, keys: list[Key]) -> dict[Key, int]:
    """How often each key was sent before anybody had an answer under it."""
    items = history.items
    answered: dict[Key, int] = {}
    for i in np.flatnonzero(items["outcome"] == Outcome.OK).tolist():
        at = int(items["replied_ns"][i])
        answered[keys[i]] = min(answered.get(keys[i], at), at)
    most: dict[Key, int] = {}
    for key, sent, attempts in zip(keys, items["sent_ns"].tolist(), items["attempts"].tolist(), strict=True):
        if sent <= answered.get(key, sent):
            most[key] = most.get(key, 0) + attempts
    return most


def _unlike(
    history: History, rows: np.ndarray, book: _Deliveries, records: dict[Key, list[Record]], tolerance: float
) -> Iterator[str]:
    """Answers without a record, with too many, or with none that says the same."""
    items = history.items
    for row in rows.tolist():
        key = book.keys[row]
        found, most = records.get(key, []), max(1, book.most[key])
        source = _SPOKEN[int(items["source"][row])]
        reply = float(items["score"][row]), str(items["decision"][row]), str(items["version"][row]), source
        if not found:
            yield f"{words.item(history, row)}: answered, and not in the log"
        elif len(found) > most:
            yield f"{words.item(history, row)}: {len(found)} records of {most} deliveries"
        elif not any(_says(record, reply, tolerance) for record in found):
            said = " ".join(part for part in (words.score(reply[0]), *reply[1:]) if part)
            yield f"{words.item(history, row)}: answered {said}, and the log says {_spelled(found[0])}"


def _says(record: Record, reply: Reply, tolerance: float) -> bool:
    """Whether it says what the reply said; of what one of the two does not say, nothing is asked."""
    score, decision, version, source = reply
    noted = record.score
    if noted is None or not isfinite(score):
        same = noted is None and not isfinite(score)
    else:
        same = abs(noted - score) <= tolerance + _ROUNDED
    pairs = ((record.decision, decision), (record.version, version), (record.source, source))
    return same and all(a == b for a, b in pairs if a and b)


def _spelled(record: Record) -> str:
    score = "no score" if record.score is None else words.score(record.score)
    return " ".join(part for part in (score, record.decision, record.version, record.source) if part)


def _out_of_order(history: History, rows: np.ndarray, book: _Deliveries, records: tuple[Record, ...]) -> Iterator[str]:
    """Records of a request that had been answered before another one was sent whose record stands earlier."""
    items = history.items
    sent, replied = items["sent_ns"].tolist(), items["replied_ns"].tolist()
    answered = items["outcome"] == Outcome.OK
    once = {key: i for i, key in enumerate(book.keys) if book.times[key] == 1 and answered[i]}
    chosen, latest = set(rows.tolist()), -1
    for record in records:
        i = once.get((record.id, record.row))
        if i is None:
            continue
        if replied[i] < latest and i in chosen:
            yield f"{words.item(history, i)}: its record stands after that of a later request"
        latest = max(latest, sent[i])


__all__ = ["Key", "logged", "named"]
