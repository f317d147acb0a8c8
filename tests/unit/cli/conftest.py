"""A stand-in for the engine: same functions, same events, a verdict by the scenario's title, in no time."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from simulator.events import CellJudged, RunFinished, RunProgress, RunStarted
from simulator.history.read import Altered
from simulator.report.json_ import from_json, to_json
from simulator.verdict import CellVerdict, Control, Finding, Judged, Status, Verdict

# Runs inside the tests' process and, written out as a file, inside projects that pytester makes.
CERTIFICATE = "certificate.json"
OUTCOMES = {"green": Status.PASS, "red": Status.FAIL, "grey": Status.UNKNOWN}
SCENARIO = """\
seatrial: 1
title: {title}
tags: [gate]
seed: 7
given:
  population: payments
  traffic: {{rate: 10/s, for: 90m}}
matrix: {{factor: [0.01, 100]}}
when:
  - {{event: unit_change, at: 30m, for: 30m, scale: {{field: amount, by: $factor}}}}
then:
  - {{id: paged, alert: {{field: amount}}, after: unit_change, within: 8m}}
"""


def judged_as(word: str) -> tuple[Judged, ...]:
    seen = (Control("T", "dropped", Status.FAIL, Status.FAIL),)
    finding = Finding(OUTCOMES[word], "within 8m", "onset after 4m10s", why=f"because it is {word}")
    return (Judged("paged", "alert", True, finding, seen, ("T",), 12, "an alert fires"),)


def certify(
    cells, *, out, target=None, seed=None, without=None, workers=1, driver="virtual", allow=(), listen=lambda _: None
):
    del allow
    verdicts = []
    for cell in cells:
        listen(RunStarted(cell.name, "main"))
        listen(RunProgress(cell.name, "main", 0.5))
        word = cell.scenario.title.split()[-1]
        if word == "crash":
            msg = "the loop\nran dry"
            raise RuntimeError(msg)
        if word == "interrupt":
            raise KeyboardInterrupt
        listen(RunFinished(cell.name, "main", 0.25))
        judged = judged_as("green" if word == "fault" else word)
        verdicts.append(
            CellVerdict(
                cell.stem, cell.scenario.title, str(cell.path), dict(cell.values),
                cell.scenario.seed if seed is None else seed, str(target or f"without {without}, {workers}, {driver}"),
                judged, {"main": "d1"}, "p1", f"{cell.stem}{cell.values['factor']}",
                harness_fault="the clock stood still" if word == "fault" else "",
            )
        )  # fmt: skip
        listen(CellJudged(verdicts[-1]))
    out.mkdir(parents=True, exist_ok=True)
    verdict = Verdict(tuple(verdicts))
    (out / "verdict.json").write_bytes(to_json(verdict))
    return verdict


def read_verdict(out):
    return from_json((out / "verdict.json").read_bytes())


def recheck(out):
    given = read_verdict(out)
    if (out / "altered").exists():
        raise Altered(f"{out}: the history was altered after the run")
    now = given
    if (out / "moody").exists():
        now = Verdict(tuple(_changed(cell, judged=judged_as("green")) for cell in given.cells))
    if (out / "newer").exists():
        now = Verdict(tuple(_changed(cell, judge_version="newer") for cell in now.cells))
    return given, now


def replay(out, run_id, *, into, workers=1, listen=lambda _: None):  # noqa: ARG001 - the engine's signature
    (cell,) = (c for c in read_verdict(out).cells if c.run_id == run_id)
    cell = _changed(cell, evidence={"main": "d2"} if (out / "moody").exists() else cell.evidence)
    listen(CellJudged(cell))
    into.mkdir(parents=True, exist_ok=True)
    return Verdict((cell,))


def history(out, cell, role="main"):
    raise Altered(f"{out}: {cell.name} kept no history of {role}")


def _changed(cell, **changed):
    names = ("scenario", "title", "path", "cell", "seed", "target", "judged", "evidence", "plan_digest", "run_id")
    return CellVerdict(**({name: getattr(cell, name) for name in names} | changed))


@pytest.fixture
def engine(monkeypatch):
    """Put the stand-in where `simulator.trial` is imported from."""
    fake = ModuleType("simulator.trial")
    fake.__dict__.update(globals())
    monkeypatch.setitem(sys.modules, "simulator.trial", fake)
    return fake


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with a function that writes scenarios there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)

    def write(name: str, title: str) -> Path:
        path = Path(f"{name}.scenario.yaml")
        path.write_text(SCENARIO.format(title=title), encoding="utf-8")
        return path

    return write
