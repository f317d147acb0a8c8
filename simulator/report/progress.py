"""Tells a person what a trial is doing: one live line on a terminal, plain lines everywhere else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TextIO

from simulator.events import CellJudged, RunFinished, RunInterrupted, RunProgress, RunStarted, TrialEvent
from simulator.report import words

if TYPE_CHECKING:
    from simulator.verdict import CellVerdict

_BAR: Final = 20
_CLEAR: Final = "\r\x1b[2K"  # back to the start of the line, and wipe it


def listener(stream: TextIO, *, cells: int, live: bool) -> Callable[[TrialEvent], None]:
    """A listener for `simulator.trial.certify`.

    Args:
        stream: Where to write, usually stderr; stdout is for data.
        cells: How many cells there are to judge.
        live: Keep one line up to date (a terminal) instead of writing a line per run and cell.
    """
    return _live(stream, cells) if live else _plain(stream, cells)


def _plain(stream: TextIO, cells: int) -> Callable[[TrialEvent], None]:
    judged: list[str] = []

    def listen(event: TrialEvent) -> None:
        match event:
            case RunFinished():
                stream.write(f"{event.cell} {event.role}: ran in {event.seconds:.1f}s\n")
            case RunInterrupted():
                stream.write(_ending(event))
            case CellJudged():
                judged.append(event.verdict.name)
                stream.write(_said(event.verdict, len(judged), cells))
        stream.flush()

    return listen


def _live(stream: TextIO, cells: int) -> Callable[[TrialEvent], None]:
    running: dict[tuple[str, str], float] = {}
    judged: list[str] = []

    def listen(event: TrialEvent) -> None:
        stream.write(_CLEAR)
        match event:
            case RunStarted():
                running[event.cell, event.role] = 0.0
            case RunProgress():
                running[event.cell, event.role] = event.share
            case RunFinished():
                running.pop((event.cell, event.role), None)
            case RunInterrupted():
                stream.write(_ending(event))
            case CellJudged():
                judged.append(event.verdict.name)
                stream.write(_said(event.verdict, len(judged), cells))
        if len(judged) < cells:
            stream.write(_line(running, len(judged), cells)[: shutil.get_terminal_size().columns - 1])
        stream.flush()

    return listen


def _ending(event: RunInterrupted) -> str:
    return f"interrupted: {event.cell} {event.role} puts right what it has broken, and ends\n"


def _said(verdict: CellVerdict, judged: int, cells: int) -> str:
    return f"{words.headline(verdict)} {verdict.name} ({judged}/{cells})\n"


def _line(running: dict[tuple[str, str], float], judged: int, cells: int) -> str:
    if not running:
        return f"{judged}/{cells} judged"
    (cell, role), share = max(running.items(), key=lambda item: (item[1], item[0]))
    bar = "█" * round(share * _BAR)
    more = f" and {len(running) - 1} more" if len(running) > 1 else ""
    return f"{judged}/{cells} judged  {bar:·<{_BAR}} {share:4.0%}  {cell} {role}{more}"
