"""JUnit XML: a cell is a suite, an expectation a test case. FAIL is a failure, UNKNOWN an error, a warning is text."""

from __future__ import annotations

import re
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from simulator.report import words
from simulator.verdict import CellVerdict, Judged, Status, Verdict

# XML 1.0 has no spelling for these, not even an escaped one.
_UNSPEAKABLE: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(verdict: Verdict) -> bytes:
    """UTF-8 JUnit XML. It carries no durations and no date, so that the same verdict is the same file."""
    root = Element("testsuites", {"name": "seatrial"} | _totals([_counts(cell) for cell in verdict.cells]))
    for cell in verdict.cells:
        _suite(root, cell)
    indent(root)
    body: bytes = tostring(root, encoding="utf-8")
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + body + b"\n"


def _suite(root: Element, cell: CellVerdict) -> None:
    suite = SubElement(
        root, "testsuite", {"name": _text(cell.name), "file": _text(cell.path)} | _totals([_counts(cell)])
    )
    properties = SubElement(suite, "properties")
    facts = {"title": cell.title, "target": cell.target, "seed": str(cell.seed), "run_id": cell.run_id}
    facts |= {"plan_digest": cell.plan_digest, "judge_version": cell.judge_version}
    facts |= {f"evidence.{role}": digest for role, digest in sorted(cell.evidence.items())}
    for name, value in facts.items():
        SubElement(properties, "property", name=_text(name), value=_text(value))
    for judged in cell.judged:
        _case(suite, cell, judged)
    if _lacks_a_gate(cell):
        case = SubElement(suite, "testcase", name="(cell)", classname=_text(cell.name), file=_text(cell.path))
        fault = cell.harness_fault
        kind, message = ("harness-fault", fault) if fault else ("unknown", "no expectation gates this scenario")
        SubElement(case, "error", type=kind, message=_text(message))


def _case(suite: Element, cell: CellVerdict, judged: Judged) -> None:
    place = {"classname": _text(cell.name), "file": _text(cell.path), "line": str(judged.line)}
    case = SubElement(suite, "testcase", {"name": _text(judged.id)} | place)
    if judged.gating and judged.status is Status.FAIL:
        failure = SubElement(case, "failure", type=_text(judged.family), message=_text(words.why(judged)))
        failure.text = _text(_details(judged))
    elif judged.gating and judged.status is Status.UNKNOWN:
        error = SubElement(case, "error", type="unknown", message=_text(words.why(judged)))
        error.text = _text(_details(judged))
    shown = f"warning ({judged.status}): {_details(judged)}" if words.tone(judged) == "warn" else _details(judged)
    SubElement(case, "system-out").text = _text(shown)


def _details(judged: Judged) -> str:
    finding = judged.finding
    lines = [
        judged.text,
        f"limit {finding.limit}, observed {finding.observed}, margin {words.margin(finding)}, seen red {judged.grades}",
        ", ".join(words.evidence(judged)),
        f"why: {words.why(judged)}" if judged.status is not Status.PASS else "",
        f"remedy: {words.remedy_of(judged)}" if words.remedy_of(judged) else "",
        *finding.witnesses,
    ]
    return "\n".join(line for line in lines if line)


def _lacks_a_gate(cell: CellVerdict) -> bool:
    return bool(cell.harness_fault) or not any(judged.gating for judged in cell.judged)


def _counts(cell: CellVerdict) -> tuple[int, int, int]:
    extra = int(_lacks_a_gate(cell))
    gating = [judged.status for judged in cell.judged if judged.gating]
    return len(cell.judged) + extra, gating.count(Status.FAIL), gating.count(Status.UNKNOWN) + extra


def _totals(counts: list[tuple[int, int, int]]) -> dict[str, str]:
    names = ("tests", "failures", "errors")
    return {name: str(sum(count[i] for count in counts)) for i, name in enumerate(names)}


def _text(value: str) -> str:
    return _UNSPEAKABLE.sub("\ufffd", value)
