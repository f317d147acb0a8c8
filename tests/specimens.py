"""For every family one expectation, and evidence on which it PASSes, FAILs, and is UNKNOWN."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from histories import (
    AT,
    END,
    Evidence,
    N,
    columns,
    edited,
    ending,
    evidence,
    firing,
    notes,
    record,
    run,
    scenario,
)

from simulator.history.schema import Note, Outcome, Source
from simulator.scenario.model import Scenario
from simulator.scenario.quantities import SECOND

PAGED = {"id": "paged", "alert": {"field": "amount"}, "after": "e", "within": "8m"}
RELEASE = [{"event": "e", "at": "10m", "release": {"version": "v2"}}]
RETRAIN = [{"event": "e", "at": "10m", "retrain": {"version": "v2"}}]
OUTAGE = [{"event": "e", "at": "10m", "for": "10m", "dependency": {"name": "store", "fault": "down"}}]


@dataclass(frozen=True)
class Specimen:
    """One family: the expectation `it`, and evidence for each status."""

    it: dict[str, Any]
    passing: Evidence
    failing: Evidence
    unknown: Evidence
    others: tuple[dict[str, Any], ...] = ()
    when: list[dict[str, Any]] | None = None
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def scenario(self) -> Scenario:
        """The whole of it; `it` comes first."""
        return scenario({"id": "it"} | self.it, *self.others, when=self.when, **self.given)


def where(mask: np.ndarray, value: Any, name: str, base: Evidence | None = None) -> np.ndarray:
    """A column of the main run, with `value` where the mask holds."""
    column = (base or evidence()).main.items[name].copy()
    column[mask] = value
    return column


def second() -> np.ndarray:
    """When each item was scheduled, in seconds."""
    return np.arange(N)


def alerts(*records: Any) -> Evidence:
    """The touched run, with these alerts."""
    found = evidence()
    return replace(found, main=replace(found.main, alerts=records))


def some(count: int, *, touched: bool) -> np.ndarray:
    """A mask of the first rows that were touched, or were not."""
    inside = (second() >= 600) & (second() < 1200)
    return np.isin(second(), np.flatnonzero(inside == touched)[:count])


def set_at(mask: np.ndarray, **values: Any) -> Evidence:
    """The touched run, with other values where the mask holds."""
    return edited(evidence(), **{name: where(mask, value, name) for name, value in values.items()})


def declared(count: int = 600) -> Evidence:
    """The first touched rows are answered by a default that says so; the rest silently, and wrong."""
    wrong = set_at(some(600, touched=True), score=0.0123)
    mask = some(count, touched=True)
    source = where(mask, int(Source.DEFAULT), "source", wrong)
    return edited(wrong, source=source, reasons=where(mask, "quarantine:amount", "reasons", wrong))


def in_outage(count: int) -> Evidence:
    """The first rows of the outage are answered by the fallback."""
    mask = some(count, touched=True)
    return edited(evidence(), source=where(mask, int(Source.FALLBACK), "source"))


def refused(shown: int) -> Evidence:
    """Every touched request is refused; so many of the replies show a value."""
    base = set_at(some(600, touched=True), outcome=int(Outcome.REJECT), status=422)
    return edited(base, leak=where(some(shown, touched=True), 1, "leak", base))


def written(edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = list) -> Evidence:
    """A decision log of all answers, `edit` done to its records before they are sealed in blocks of a hundred."""
    found = evidence()
    items = found.main.items
    records = edit(
        [
            {"seq": 0, "id": f"main-{i}", "row": 0, "score": float(items["score"][i]), "decision": "approve"}
            for i in range(N)
        ]
    )
    told = (*found.main.notes, Note(END, "log", {"why": ""}))
    return replace(found, main=replace(found.main, log=sealed(records), notes=told))


def sealed(records: list[dict[str, Any]], block: int = 100) -> tuple[bytes, ...]:
    """Their lines, numbered, with a seal under every block."""
    head, lines = "00" * 32, []
    for k in range(0, len(records), block):
        group = [json.dumps(one | {"seq": k + i}).encode() + b"\n" for i, one in enumerate(records[k : k + block])]
        previous, head = head, hashlib.sha256(bytes.fromhex(head) + b"".join(group)).hexdigest()
        seal = {"block": 1 + k // block, "rows": len(group), "previous": previous, "head": head}
        lines += [*group, json.dumps(seal).encode() + b"\n"]
    return tuple(lines)


def again(*, wrong: int = 0, copies: int = 150) -> Evidence:
    """The last items are second deliveries of the first touched ones; so many of their answers are other ones."""
    base = evidence()
    items = {name: column.copy() for name, column in base.main.items.items()}
    late, first = np.arange(N - 150, N - 150 + copies), np.flatnonzero(items["touched"] != 0)[:copies]
    for name in ("stream", "index", "score", "decision", "version"):
        items[name][late] = items[name][first]
    items["copy"][late] = 1
    items["touched"][:] = 0
    for name in ("touched", "potent"):
        items[name][late] = 1
    items["score"][late[:wrong]] += 0.25
    receipt = record(at=N - 150, until=N, planned=copies, delivered=copies, potent=copies)
    return replace(base, main=replace(base.main, items=items, events=(receipt,)))


def scraped(*, missed: int = 0, read: bool = True) -> Evidence:
    """Metrics that count all but so many of the requests, and name the version that answers."""
    found = evidence()
    data = {"requests": {"200": N - missed}, "versions": ["v1"], "series": 50, "why": ""}
    told = [Note(END, "metrics", data), Note(END, "serving", {"version": "v1"})] if read else []
    return replace(found, main=replace(found.main, notes=(*found.main.notes, *told)))


def looked(*, cases: int = 200, unseen: int = 0, more: int = 0, asked: bool = True) -> Evidence:
    """People are shown all but `unseen` of so many rows that are to be reviewed, and `more` others; they block all."""
    found = set_at(np.arange(N) < cases, decision="review")
    seen = [*range(unseen, cases), *range(cases, cases + more)]
    told = [
        note
        for i in seen
        for note in (
            Note((i + 2) * SECOND, "review", {"id": f"main-{i}", "row": 0, "verdict": "block", "taken": True}),
            Note(END, "stands", {"id": f"main-{i}", "row": 0, "decision": "block"}),
        )
    ]
    read = [Note(END - SECOND, "queue", {"why": ""})] if asked else []
    return replace(found, main=replace(found.main, notes=(*found.main.notes, *told, *read)))


def ready(*unready: int, every: int = 60) -> Evidence:
    """The readiness endpoint, asked every minute, says no at these seconds."""
    found = evidence()
    asked = sorted({*range(0, N, every), *unready})
    said = tuple(Note(at * SECOND, "ready", {"ready": at not in unready}) for at in asked)
    return replace(found, main=replace(found.main, notes=(*found.main.notes, *said)))


def called(per_second: int, twin: int = 10) -> Evidence:
    """The store is called so often a second, in the main run while the event lasts; counted every minute."""

    def counted(run: Any, during: int, otherwise: int) -> Any:
        totals = [otherwise * at + (during - otherwise) * min(max(at - 600, 0), 600) for at in range(60, N, 60)]
        said = tuple(Note(at * SECOND, "calls", {"store": n}) for at, n in zip(range(60, N, 60), totals, strict=True))
        return replace(run, notes=(*run.notes, *said))

    base = evidence()
    assert base.twin is not None
    return replace(base, main=counted(base.main, per_second, twin), twin=counted(base.twin, twin, twin))


def answered(status: int | None) -> Evidence:
    """The release of v2 is answered by this status, and v2 answers nobody."""
    base = evidence(run(columns(), events=(record(planned=1, delivered=1, potent=1),)))
    data = {"what": "release v2", "status": status, "body": ""}
    more = () if status is None else (Note(600 * SECOND, "action", data),)
    return replace(base, main=replace(base.main, notes=(*base.main.notes, *more)))


def released(*v2: int, until: int = 700) -> Evidence:
    """v2 answers every tenth request from 600 s to `until`, and at these seconds."""
    mask = ((second() >= 600) & (second() < until) & (second() % 10 == 0)) | np.isin(second(), v2)
    items = columns(version=np.where(mask, "v2", "v1"), touched=mask.astype(np.uint64))
    receipt = record(planned=1, delivered=1, potent=1, until=max(until, *v2, 601))
    return evidence(run(items, events=(receipt,)))


def promotion(others: int) -> Evidence:
    """v2 answers everything from 800 s on, but for so many requests after 900 s."""
    mask = (second() >= 800) & ~np.isin(second(), np.arange(900, 900 + others))
    items = columns(version=np.where(mask, "v2", "v1"), touched=mask.astype(np.uint64))
    return evidence(run(items, events=(record(planned=1, delivered=1, potent=1, until=N),)))


def shadowed(later: int = 0) -> Evidence:
    """A shadow is asked while `e` lasts; so many replies come 1 ns later for it."""
    plain = columns()
    replied = plain["replied_ns"] + some(later, touched=True) if later else plain["replied_ns"]
    return evidence(run(columns(replied_ns=replied), events=(record(planned=1, delivered=1, potent=1),)))


def switched(outcome: Outcome = Outcome.OK, *, open_then: bool = True) -> Evidence:
    """v2 takes over at 600 s, when one request is in flight, which ends so."""
    last = second() == 599
    replied = columns()["replied_ns"] + np.where(last & open_then, 2 * SECOND, 0)
    version = np.where(second() >= 600, "v2", "v1")
    items = columns(replied_ns=replied, version=version, outcome=np.where(last, int(outcome), int(Outcome.OK)))
    return evidence(run(items, events=(record(planned=1, delivered=1, potent=1, until=N),)))


def untagged() -> Evidence:
    """No answer says which version gave it."""
    return evidence(run(columns(version=""), events=(record(planned=1, delivered=1, potent=1),)))


def wronged(in_a_hundred: int, *, few: int = 0) -> Evidence:
    """Of a hundred negatives of the east so many are refused, of the west ten. So many rows are of a third group."""
    index = np.arange(N)
    east, turn = index % 4 == 0, index // 4 % 100
    refused = (index % 2 == 0) & (turn < np.where(east, in_a_hundred, 10))
    segment = np.where(index < few, "north", np.where(east, "east", "west"))
    return edited(evidence(), segment=segment.astype(object), decision=np.where(refused, "block", "approve"))


def beside(off: float, *, arms: float = 0.5) -> Evidence:
    """Customers of three rows each; v2 answers this share of them from 600 s on, so far off the truth; v1 .45 off."""
    index = np.arange(N)
    customer = index // 3
    second = (customer % 20 < 20 * arms) & (index >= AT)
    wrong = np.where(second, off, 0.45) + (index * 7919 % 100) / 1000 - 0.05
    truth = evidence().main.items["truth"]
    found = edited(evidence(), entity=customer, version=np.where(second, "v2", "v1").astype(object))
    return edited(found, score=np.where(truth == 1, 1 - wrong, wrong))


def measured(microseconds: int, *, marks: int = 30) -> Evidence:
    """Each prediction takes the service so much CPU time; measured every minute, so often."""
    found = evidence()
    said = [Note(at * SECOND, "cpu", {"used_ns": at * microseconds * 1000}) for at in range(0, marks * 60, 60)]
    return replace(found, main=replace(found.main, notes=(*found.main.notes, *said)))


def learned(*steps: str, asked: int = 50, heard: bool = True) -> Evidence:
    """v2 is retrained at 600 s, each of these steps 100 s after the one before; it answers as the steps say."""
    at = {step: 600 + 100 * k for k, step in enumerate(("begun", *steps))}
    canary, live = at.get("canary", N), at.get("live", N)
    mask = ((second() >= canary) & (second() < live) & (second() % 10 == 0)) | ((second() >= live) & heard)
    journal = []
    for step, when in at.items():
        entered = {"said_ns": when * SECOND, "last_ns": (when - 1) * SECOND}
        data = {"version": "v2", "step": step, "why": "", "asked": asked} | entered
        journal.append(Note((when + 1) * SECOND, "retraining", data))
    items = columns(version=np.where(mask, "v2", "v1"), touched=mask.astype(np.uint64))
    found = evidence(run(items, events=(record(planned=1, delivered=1, potent=1, until=N),)))
    return replace(found, main=replace(found.main, notes=(*found.main.notes, *journal)))


def estimated(value: float | None, n: int = 1000) -> Evidence:
    """The service says so of its positive rate; the truth is 0.5."""
    found = evidence()
    data = {"as_of_ns": 1500 * SECOND, "matured_before_ns": 1400 * SECOND, "n": n, "positive_rate": value, "brier": 0.2}
    more = () if value is None else (Note(1500 * SECOND, "quality", data),)
    return replace(found, main=replace(found.main, notes=(*found.main.notes, *more)))


def deaf() -> Evidence:
    """Nobody listened to alerts."""
    found = evidence()
    return replace(found, main=replace(found.main, notes=tuple(n for n in notes() if n.kind != "heartbeat")))


def share(it: dict[str, Any], base: Callable[[int], Evidence], *failures: int, **more: Any) -> Specimen:
    """A family of shares: numbers of failures that PASS, FAIL, and leave it open."""
    passing, failing, unknown = (base(k) for k in failures)
    return Specimen(it, passing, failing, unknown, **more)


def labelled(count: int) -> Evidence:
    """The alert came at 700 s, and so many labels of touched rows just before."""
    at = {name: where(some(count, touched=True), 699 * SECOND, name) for name in ("label_due_ns", "label_ns")}
    return edited(alerts(firing(700)), **at)


SPECIMENS: dict[str, Specimen] = {
    "alert": Specimen(PAGED, alerts(firing(700)), alerts(firing(1080)), deaf()),
    "resolved": Specimen(
        {"resolved": "paged", "after": "e.end", "within": "3m", "hold": "2m"},
        alerts(firing(700), ending(1300)), alerts(firing(700)), deaf(), (PAGED,),
    ),
    "no_alert": Specimen(
        {"no_alert": "any", "outside": "e", "settle": "2m"},
        alerts(firing(700), ending(1300)), alerts(firing(700), ending(1321)), deaf(),
    ),
    "handled": share(
        {"handled": {"by": ["default", "repair"], "min": "95%"}, "of": "e"}, lambda k: declared(600 - k), 15, 60, 28
    ),
    "harmed": share(
        {"harmed": {"max": "1%"}}, lambda k: set_at(some(k, touched=False), score=0.0123), 4, 40, 10
    ),
    "error_rate": share(
        {"error_rate": {"max": "1%"}}, lambda k: set_at(some(k, touched=True), outcome=int(Outcome.ERROR)), 8, 50, 16
    ),
    "latency": share(
        {"latency": {"p95": "100ms"}}, lambda k: set_at(some(k, touched=True), replied_ns=END), 60, 150, 85
    ),
    "shed": share(
        {"shed": {"max": "1%"}}, lambda k: set_at(some(k, touched=True), outcome=int(Outcome.SHED)), 8, 50, 16
    ),
    "answered": share(
        {"answered": {"min": "99%"}}, lambda k: set_at(some(k, touched=True), score=np.nan), 8, 50, 16
    ),
    "exposure": share(
        {"exposure": {"version": "v2", "max": "1%"}},
        lambda k: released(until=600 + 10 * k), 8, 50, 16, when=RELEASE,
    ),
    "fallback": share(
        {"fallback": {"min": "95%"}, "during": "e"}, lambda k: in_outage(600 - k), 15, 60, 28, when=OUTAGE
    ),
    "labels_seen": Specimen(
        {"labels_seen": {"max": "2%"}, "of": "e", "at": "paged"}, labelled(2), labelled(3), deaf(), (PAGED,)
    ),
    "recovers": Specimen(
        {"recovers": {"to": "model"}, "after": "e.end", "within": "3m", "hold": "2m"},
        set_at((second() >= 600) & (second() < 1250), source=int(Source.FALLBACK)),
        set_at((second() >= 600) & (second() < 1400), source=int(Source.FALLBACK)),
        replace(evidence(), twin=None),
        when=OUTAGE,
    ),
    "rollback": Specimen(
        {"rollback": {"to": "v1"}, "after": "e", "within": "5m", "hold": "5m"},
        released(), released(950), untagged(),
        when=RELEASE,
    ),
    "parity": Specimen(
        {"parity": {}, "of": "untouched"},
        evidence(), set_at(some(1, touched=False), score=0.0123), replace(evidence(), aa=None),
    ),
    "review": share(
        {"review": {"max": "8%"}}, lambda k: set_at(some(k, touched=True), decision="review"), 100, 250, 144
    ),
    "metered": Specimen({"metered": {}}, scraped(), scraped(missed=1), scraped(read=False)),
    "reviewed": Specimen(
        {"reviewed": {}}, looked(), looked(unseen=1), looked(asked=False), given={"reviewers": {"every": "1m"}}
    ),
    "shown": replace(
        share({"shown": {"max": "8%"}}, lambda k: looked(cases=0, more=k), 100, 250, 144),
        given={"reviewers": {"every": "1m"}},
    ),
    "fairness": share(
        {"fairness": {"max": "8%"}}, lambda k: set_at(some(k, touched=True), source=int(Source.DEFAULT)), 100, 250, 144
    ),
    "clean_reject": share(
        {"clean_reject": {"min": "99%"}}, refused, 0, 30, 4
    ),
    "idempotent": Specimen(
        {"idempotent": {"min_pairs": 100}, "of": "e"}, again(), again(wrong=1), again(copies=50),
        when=[{"event": "e", "at": "1650s", "duplicate": {"key": True}}],
    ),
    "logged": Specimen({"logged": {}}, written(), written(lambda lines: lines[1:]), evidence()),
    "amplification": Specimen(
        {"amplification": {"to": "store", "times": 1.2}, "during": "e"}, called(12), called(13), called(12, twin=0),
        when=OUTAGE,
    ),
    "readiness": Specimen(
        {"readiness": {"to": "unready"}, "after": "e", "within": "1m"}, ready(630, 660), ready(), evidence(),
        when=[{"event": "e", "at": "10m", "for": "10m", "model": {"fault": "hang"}}],
    ),
    "refuses": Specimen(
        {"refuses": {"version": "v2"}, "after": "e", "within": "1m"}, answered(422), answered(202), answered(None),
        when=[{"event": "e", "at": "10m", "release": {"version": "v2", "bundle": "damaged"}}],
    ),
    "group_errors": Specimen(
        {"group_errors": {"of": "false_positive", "gap": "20%"}}, wronged(15), wronged(60), wronged(15, few=60),
    ),
    "better": Specimen(
        {"better": {"version": "v2", "than": "v1", "by": 0.01}, "after": "e"},
        beside(0.3), beside(0.6), beside(0.3, arms=0.05),
        when=[{"event": "e", "at": "10m", "release": {"version": "v2", "by": "ab", "share": 0.5}}],
    ),
    "cost": Specimen({"cost": {"cpu": "5s"}}, measured(4900), measured(5100), measured(4900, marks=1)),
    "retrain": Specimen(
        {"retrain": {"version": "v2", "goes": "live"}, "after": "e", "within": "8m"},
        learned("shadow", "canary", "live"), learned("canary", "live"), evidence(), when=RETRAIN,
    ),
    "promoted": share(
        {"promoted": {"to": "v2", "min": "90%"}, "after": "e", "within": "5m"}, promotion, 10, 60, 30, when=RELEASE
    ),
    "shadow": Specimen(
        {"shadow": {"version": "v2"}, "during": "e"}, shadowed(), shadowed(1), replace(shadowed(), aa=None),
        when=[{"event": "e", "at": "10m", "for": "10m", "release": {"version": "v2", "by": "shadow"}}],
    ),
    "lossless": Specimen(
        {"lossless": {}, "after": "e", "within": "30s"},
        switched(), switched(Outcome.RESET), switched(open_then=False),
        when=[{"event": "e", "at": "10m", "release": {"version": "v2", "by": "swap"}}],
    ),
    "quality": Specimen(
        {"quality": {"of": "positive_rate", "within": 0.05}}, estimated(0.52), estimated(0.56), estimated(None)
    ),
}  # fmt: skip
