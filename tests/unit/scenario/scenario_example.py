from __future__ import annotations

from pathlib import Path

import pytest

from simulator.scenario.errors import BadInput, Problem
from simulator.scenario.load import Cell, load

EXAMPLE = Path(__file__).with_name("unit_change.example.yaml")  # not *.scenario.yaml: pytest would run it


class Example:
    """The scenario of the design, with a few words replaced."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "unit_change.scenario.yaml"

    def write(self, *edits: tuple[str, str]) -> Path:
        text = EXAMPLE.read_text(encoding="utf-8")
        for old, new in edits:
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the example"
            text = text.replace(old, new)
        self.path.write_text(text, encoding="utf-8")
        return self.path

    def cells(self, *edits: tuple[str, str]) -> tuple[Cell, ...]:
        return load(self.write(*edits))

    def problems(self, *edits: tuple[str, str]) -> tuple[Problem, ...]:
        with pytest.raises(BadInput) as raised:
            self.cells(*edits)
        return raised.value.problems

    def problem(self, *edits: tuple[str, str]) -> Problem:
        """The only problem: one mistake is told once."""
        problems = self.problems(*edits)
        assert len(problems) == 1, "\n\n".join(map(str, problems))
        return problems[0]


def underlined(problem: Problem) -> str:
    return problem.source[problem.column - 1 : problem.column - 1 + problem.length]
