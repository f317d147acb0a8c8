"""Collects ``*.scenario.yaml`` as pytest items: one per scenario and matrix cell, each one trial.

Loaded into every pytest run of an environment that has seatrial, hence light: the engine is imported inside hooks.
Each item writes to a folder of its own and its verdict travels on the report, so that xdist workers share nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from simulator.history import History
    from simulator.scenario.load import Cell
    from simulator.verdict import CellVerdict, Verdict

SUFFIX: Final = ".scenario.yaml"
_OUT: Final = "reports/pytest"
_CARRIED: Final = "seatrial"  # attribute of a report: the verdict and its folder, as strings, for any process


class NotCertified(Exception):  # noqa: N818 - what happened, in the words of the verdict
    """The verdict of one item is not PASS. UNKNOWN fails a test too: what nobody saw may not be green."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(verdict.status.value)

    def __str__(self) -> str:
        from simulator.report import text  # noqa: PLC0415 - light entry point
        from simulator.verdict import EXIT_HARNESS_FAULT, EXIT_UNKNOWN  # noqa: PLC0415 - light entry point

        label = {
            EXIT_UNKNOWN: "UNKNOWN: neither met nor broken, so nothing is certified (`seatrial run` would exit with 3)",
            EXIT_HARNESS_FAULT: "HARNESS FAULT: this is not about the service (`seatrial run` would exit with 4)",
        }.get(self.verdict.exit_code, "FAIL (`seatrial run` would exit with 1)")
        cells = "\n".join(text.render_cell(cell) for cell in self.verdict.cells)
        ids = "".join(f"reproduce: seatrial replay {cell.run_id}\n" for cell in self.verdict.cells)
        return f"{label}\n\n{cells}\n{ids}"


class ScenarioFile(pytest.File):
    """One scenario file; a problem in it is a collection error at its line."""

    def collect(self) -> Iterable[pytest.Item]:
        """One item per matrix cell."""
        from simulator.scenario.errors import BadInput  # noqa: PLC0415 - light entry point
        from simulator.scenario.load import load  # noqa: PLC0415 - light entry point

        try:
            cells = load(self.path)
        except BadInput as error:
            raise self.CollectError(str(error)) from None
        for cell in cells:
            yield ScenarioItem.from_parent(self, name=cell.name, cell=cell)


class ScenarioItem(pytest.Item):
    """One matrix cell of one scenario."""

    def __init__(self, *, cell: Cell, **given: Any) -> None:
        super().__init__(**given)
        self.cell = cell
        self.verdict: Verdict | None = None
        for tag in cell.scenario.tags:
            # Registered first: a project may run with --strict-markers.
            self.config.addinivalue_line("markers", f"{tag}: scenarios tagged {tag}")
            self.add_marker(tag)

    @property
    def folder(self) -> Path:
        """Where this item, and no other, writes: the scenario's own place, mirrored below ``--seatrial-out``."""
        root = self.config.rootpath
        place = self.path.parent.relative_to(root) if self.path.is_relative_to(root) else Path(self.path.parent.name)
        return _out(self.config) / place / self.cell.folder

    def runtest(self) -> None:
        """Run and judge; anything but PASS raises."""
        from simulator.trial import certify  # noqa: PLC0415 - light entry point
        from simulator.verdict import EXIT_CERTIFIED  # noqa: PLC0415 - light entry point

        if "virtual" not in self.cell.scenario.runs_on:
            drivers = ", ".join(self.cell.scenario.runs_on)
            pytest.skip(f"runs on {drivers} only: `seatrial run {self.path.name} --driver {drivers}`")
        seed, target = self.config.getoption("--seatrial-seed"), self.config.getoption("--seatrial-target")
        self.verdict = certify(
            [self.cell], out=self.folder, target=Path(target) if target else None, seed=seed, without=None
        )
        for cell in self.verdict.cells:
            facts = {"run_id": cell.run_id, "seed": cell.seed, "plan_digest": cell.plan_digest}
            facts |= {f"evidence.{role}": digest for role, digest in sorted(cell.evidence.items())}
            self.user_properties += [(f"seatrial.{name}", value) for name, value in facts.items()]
        if self.verdict.exit_code != EXIT_CERTIFIED:
            raise NotCertified(self.verdict)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The table and the reasons instead of a traceback; a crash of the harness keeps its traceback."""
        from simulator.scenario.errors import BadInput  # noqa: PLC0415 - light entry point

        if isinstance(excinfo.value, NotCertified | BadInput):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """The line of the matrix that made this cell, or else of the file's start."""
        key = "matrix" if self.cell.values else "title"
        return self.path, self.cell.lines.get(key, 1) - 1, self.cell.name


# ---------------------------------------------------------------- hooks


def pytest_addoption(parser: pytest.Parser) -> None:
    """Three options, prefixed so that they get in nobody's way."""
    group = parser.getgroup("seatrial", "scenarios (*.scenario.yaml)")
    group.addoption("--seatrial-target", metavar="FILE", help="target file, instead of each scenario's own")
    group.addoption("--seatrial-seed", type=int, metavar="N", help="seed, instead of each scenario's own")
    group.addoption("--seatrial-out", default=_OUT, metavar="DIR", help=f"evidence and report (default: {_OUT})")


def pytest_report_header(config: pytest.Config) -> str:
    """What decides the outcome of scenarios in this run."""
    seed, target = config.getoption("--seatrial-seed"), config.getoption("--seatrial-target")
    own = "each scenario's own"
    return f"seatrial: seed {own if seed is None else seed}, target {target or own}"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScenarioFile | None:
    """Only files whose name ends in ``.scenario.yaml``."""
    return ScenarioFile.from_parent(parent, path=file_path) if file_path.name.endswith(SUFFIX) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the verdict on the report as plain text, which survives the way from an xdist worker."""
    report = yield
    if call.when == "call" and isinstance(item, ScenarioItem) and item.verdict is not None:
        from simulator.report.json_ import to_json  # noqa: PLC0415 - light entry point

        setattr(report, _CARRIED, {"verdict": to_json(item.verdict).decode(), "folder": str(item.folder)})
    return report


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """One page for all scenarios of the run, written by the controlling process alone."""
    carried = [
        getattr(report, _CARRIED)
        for reports in terminalreporter.stats.values()
        for report in reports
        if hasattr(report, _CARRIED)
    ]
    if not carried or hasattr(config, "workerinput"):
        return
    from simulator.report import words  # noqa: PLC0415 - light entry point
    from simulator.report.json_ import from_json  # noqa: PLC0415 - light entry point
    from simulator.report.write import page  # noqa: PLC0415 - light entry point
    from simulator.trial import history  # noqa: PLC0415 - light entry point
    from simulator.verdict import Verdict  # noqa: PLC0415 - light entry point

    judged = [(cell, Path(one["folder"])) for one in carried for cell in from_json(one["verdict"].encode()).cells]
    judged.sort(key=lambda pair: (pair[0].path, pair[0].name))
    folders = {cell.run_id: folder for cell, folder in judged}

    def main_of(cell: CellVerdict) -> History:
        return history(folders[cell.run_id], cell)

    verdict = Verdict(tuple(cell for cell, _ in judged))
    written = page(verdict, _out(config) / "report.html", main_of)
    terminalreporter.section("seatrial")
    terminalreporter.write_line(f"{words.headline(verdict)}  {words.counts(verdict)}")
    terminalreporter.write_line(f"report: {written}")


def _out(config: pytest.Config) -> Path:
    return config.rootpath / str(config.getoption("--seatrial-out"))
