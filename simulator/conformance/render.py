"""A report as text for a terminal, as JSON for a program, as Markdown for a page."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from simulator.conformance.finding import Finding, Report
from simulator.verdict import Status

_WORD: Final = {Status.PASS: "PASS", Status.FAIL: "FAIL", Status.UNKNOWN: "UNKNOWN"}
_COLOUR: Final = {Status.PASS: "\x1b[32m", Status.FAIL: "\x1b[31m", Status.UNKNOWN: "\x1b[33m"}
_SHOWN: Final = 300  # characters of a body in text and Markdown; JSON has all that was kept


def text(report: Report, *, color: bool = False) -> str:
    """One line a finding; what failed comes again at the end, with its evidence and how to see it."""
    width = max((len(f.name) for f in report.findings), default=0)
    lines = [f"{_marked(f.status, color=color)} {f.name:<{width}}  {f.why}" for f in report.findings]
    for found in _failed(report):
        lines += ["", f"{found.name}: {found.why}", *(f"  {line}" for line in _evidence(found))]
        lines += ["  see it:", *(f"    {line}" for line in found.repro.splitlines())] if found.repro else []
    return "\n".join([*lines, "", summary(report), ""])


def summary(report: Report) -> str:
    """One line: the target, its status, how many findings of each kind."""
    counts = ", ".join(
        f"{sum(f.status is status for f in report.findings)} {_WORD[status]}"
        for status in (Status.FAIL, Status.UNKNOWN, Status.PASS)
    )
    return f"{report.target}: {_WORD[report.status]} ({counts}; {report.requests} requests)"


def markdown(report: Report) -> str:
    """A table of all findings, then each failure with its evidence and its commands."""
    lines = [f"## {report.target}", "", summary(report), "", "| promise | result | what was seen |", "|---|---|---|"]
    lines += [f"| `{f.name}` | {_WORD[f.status]} | {_cell(f.why)} |" for f in report.findings]
    for found in _failed(report):
        lines += ["", f"### {found.name}", "", found.why, ""]
        if found.evidence:
            lines += ["```text", *_evidence(found), "```", ""]
        if found.repro:
            lines += ["```sh", found.repro, "```"]
    return "\n".join(lines).rstrip() + "\n"


def to_json(report: Report) -> bytes:
    """Everything; bodies as text, with what is no UTF-8 replaced."""
    document = {
        "suite_version": report.suite_version,
        "target": report.target,
        "url": report.url,
        "status": report.status,
        "exit_code": report.exit_code,
        "requests": report.requests,
        "findings": [_plain(f) for f in report.findings],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _plain(found: Finding) -> dict[str, Any]:
    return {
        "name": found.name,
        "status": found.status,
        "why": found.why,
        "evidence": [
            {
                "note": e.note, "method": e.method, "path": e.path, "body": _whole(e.body), "status": e.status,
                "reply": _whole(e.reply), "failure": e.failure,
            }
            for e in found.evidence
        ],
        "repro": found.repro,
    }  # fmt: skip


def _failed(report: Report) -> list[Finding]:
    return [f for f in report.findings if f.status is Status.FAIL]


def _marked(status: Status, *, color: bool) -> str:
    word = f"{_WORD[status]:<7}"
    return f"{_COLOUR[status]}{word}\x1b[0m" if color else word


def _evidence(found: Finding) -> list[str]:
    lines = []
    for e in found.evidence:
        lines += [f"{e.note or 'seen'}: {e.method} {e.path} → {e.status or e.failure}"]
        lines += [f"  > {_short(e.body)}"] if e.body else []
        lines += [f"  < {_short(e.reply)}"] if e.reply else []
    return lines


def _whole(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _short(body: bytes) -> str:
    # Servers' replies are strangers' text: no control character may reach a terminal.
    shown = "".join(c if c.isprintable() else " " for c in _whole(body))
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}… ({len(shown)} characters)"


def _cell(why: str) -> str:
    return "".join(c if c.isprintable() else " " for c in why).replace("|", "\\|").replace("<", "&lt;")
