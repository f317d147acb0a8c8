"""The ``seatrial`` command: data to stdout, progress to stderr. Heavy parts are imported when a command needs them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from simulator import target_commands
from simulator.campaign.command import campaign
from simulator.verdict import EXIT_BAD_INPUT, EXIT_CERTIFIED, EXIT_HARNESS_FAULT, Verdict

if TYPE_CHECKING:
    from simulator.scenario.load import Cell
    from simulator.trial import Listener

_EXITS: Final = "Exit: 0 certified, 1 refused, 2 bad input, 3 inconclusive, 4 harness fault. Never 0 when nothing ran."
_REPORTS: Final = Path("reports")


def _debug(context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    context.obj["debug"] = context.obj["debug"] or value


_paths = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
_with_debug = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_debug, help="Show the traceback of a harness fault."
)
_with_json = click.option("--json", "as_json", is_flag=True, help="Print verdict.json instead of the table.")
_with_quiet = click.option("--quiet", is_flag=True, help="No progress on stderr.")
_with_workers = click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Runs at once.")
_with_reports = click.option(
    "--reports", type=click.Path(path_type=Path), default=_REPORTS, show_default=True, help="Where runs are looked up."
)


def _out(default: Path) -> Callable[[Any], Any]:
    kind = click.Path(path_type=Path, file_okay=False)
    return click.option("--out", type=kind, default=default, show_default=True, help="Folder for evidence and reports.")


@click.group(epilog=_EXITS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="seatrial")
@_with_debug
def cli() -> None:
    """Sea trials for machine-learning services: rehearse production before the release."""


@cli.command(epilog=_EXITS, short_help="Run scenarios, judge them, write the reports.")
@_paths
@click.option("--target", type=click.Path(path_type=Path), help="Target file, instead of each scenario's own.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed, instead of each scenario's own.")
@click.option(
    "--without",
    type=click.Choice(["validation", "fallback", "alerts", "rollback"]),
    help="Switch a safeguard of the service off: scenarios that guard it must then be refused.",
)
@click.option("--driver", type=click.Choice(["virtual", "live", "locust"]), default="virtual", show_default=True)
@click.option("--allow", multiple=True, metavar="NAME", help="An environment or a host that would else be refused.")
@click.option("--set", "choices", multiple=True, metavar="NAME=VALUE", help="Only matrix cells with this value.")
@_with_workers
@_out(_REPORTS / "latest")
@_with_json
@_with_quiet
@_with_debug
def run(
    paths: tuple[Path, ...], *, choices: tuple[str, ...], out: Path, as_json: bool, quiet: bool, **options: Any
) -> int:
    """Run scenarios (files, or folders of *.scenario.yaml), judge them, and write the reports."""
    cells = _chosen(_cells(paths), choices)
    from simulator.trial import certify  # noqa: PLC0415 - lazy, see the module's docstring

    verdict = certify(cells, out=out, listen=_listener(len(cells), quiet=quiet), **options)
    return _deliver(verdict, out, as_json=as_json)


@cli.command(epilog=_EXITS, short_help="Run a suite against one target; write a certificate.")
@_paths
@click.option("--target", type=click.Path(path_type=Path), required=True, help="The service that is to be certified.")
@click.option("--driver", type=click.Choice(["virtual", "live", "locust"]), default="live", show_default=True)
@click.option("--allow", multiple=True, metavar="NAME", help="An environment or a host that would else be refused.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed, instead of each scenario's own.")
@_with_workers
@_out(_REPORTS / "certificate")
@_with_json
@_with_quiet
@_with_debug
def certify(paths: tuple[Path, ...], *, out: Path, as_json: bool, quiet: bool, **options: Any) -> int:
    """Run a suite against one target, and write a certificate: certificate.json, an in-toto statement.

    Scenarios that do not run on the driver are left out, and said so on stderr.
    """
    from simulator.trial import CERTIFICATE, certificate  # noqa: PLC0415 - lazy
    from simulator.trial import certify as tried  # noqa: PLC0415 - lazy

    cells = _cells(paths)
    there = [cell for cell in cells if options["driver"] in cell.scenario.runs_on]
    for name in sorted({cell.stem for cell in cells} - {cell.stem for cell in there}):
        click.echo(f"left out: {name} does not run on {options['driver']}", err=True)
    verdict = tried(there, out=out, listen=_listener(len(there), quiet=quiet), **options)
    path = out / CERTIFICATE
    path.write_bytes(certificate(out))
    code = _deliver(verdict, out, as_json=as_json)
    click.echo(f"certificate: {path}", err=True)
    return code


@cli.command(epilog=_EXITS, short_help="Find what is wrong with scenarios; run nothing.")
@_paths
@click.option("--target", type=click.Path(path_type=Path), help="Target file, instead of each scenario's own.")
@_with_debug
def check(paths: tuple[Path, ...], *, target: Path | None) -> int:
    """Find everything that is wrong with scenarios and target files, without running them."""
    from simulator.scenario.errors import BadInput  # noqa: PLC0415 - lazy

    cells = _cells(paths)
    if problems := list(dict.fromkeys(problem for cell in cells for problem in _problems(cell, target))):
        raise BadInput(problems)
    files = len({cell.path for cell in cells})
    click.echo(f"ok: {files} scenario{'s' * (files != 1)}, {len(cells)} cell{'s' * (len(cells) != 1)}")
    return EXIT_CERTIFIED


@cli.command(epilog=_EXITS, short_help="Say in English what scenarios do and demand.")
@_paths
@_with_debug
def explain(paths: tuple[Path, ...]) -> int:
    """Say in English, with a timeline, what scenarios do and demand, without running them."""
    from simulator.scenario.explain import explain as explained  # noqa: PLC0415 - lazy

    click.echo("\n".join(explained(cell) for cell in _cells(paths)), nl=False)
    return EXIT_CERTIFIED


@cli.command(epilog=_EXITS, short_help="Import recorded traffic, redacted.")
@click.argument("population", type=click.Path(path_type=Path))
@_out(Path("scenarios/populations"))
@_with_debug
def record(population: Path, out: Path) -> int:
    """Import recorded traffic (POPULATION: a *.population.yaml): redacted, in event order, as a file to share.

    Not to be confused with `seatrial replay`, which repeats an earlier run.
    """
    from simulator.world.populations.redacted import write  # noqa: PLC0415 - lazy

    click.echo(f"recorded: {write(population, out)}")
    return EXIT_CERTIFIED


@cli.command(epilog=_EXITS, short_help="Judge the evidence of a run again, offline.")
@click.argument("run")
@_with_reports
@_with_json
@_with_debug
def recheck(run: str, reports: Path, *, as_json: bool) -> int:
    """Judge the evidence of RUN (a folder, or an id) again, offline. Altered evidence is refused.

    So is a certificate.json beside it that says anything else than the evidence does.
    """
    from simulator.report import words  # noqa: PLC0415 - lazy
    from simulator.runs import find  # noqa: PLC0415 - lazy
    from simulator.trial import CERTIFICATE  # noqa: PLC0415 - lazy
    from simulator.trial import recheck as judge_again  # noqa: PLC0415 - lazy

    folder = find(run, reports)
    given, now = judge_again(folder)
    _show(now, as_json=as_json)
    difference = words.difference(given, now)
    certified = "" if difference or not (folder / CERTIFICATE).exists() else ", and the certificate says so"
    click.echo(f"recheck: {difference or 'the same verdict'}{certified}", err=True)
    same_judge = {c.judge_version for c in given.cells} == {c.judge_version for c in now.cells}
    return EXIT_HARNESS_FAULT if difference and same_judge else now.exit_code


@cli.command(epilog=_EXITS, short_help="Run one cell again as it was asked then.")
@click.argument("run_id")
@_with_reports
@_with_workers
@_out(_REPORTS / "replay")
@_with_json
@_with_quiet
@_with_debug
def replay(run_id: str, reports: Path, *, workers: int, out: Path, as_json: bool, quiet: bool) -> int:
    """Run the cell RUN_ID again as it was asked then, and say whether the same happened."""
    from simulator.report import words  # noqa: PLC0415 - lazy
    from simulator.runs import find_cell  # noqa: PLC0415 - lazy
    from simulator.trial import replay as run_again  # noqa: PLC0415 - lazy

    folder, cell = find_cell(run_id, reports)
    verdict = run_again(folder, cell.run_id, into=out, workers=workers, listen=_listener(1, quiet=quiet))
    code = _deliver(verdict, out, as_json=as_json)
    click.echo(f"replay: {words.divergence(cell, verdict.cells[0]) or 'the same plan and the same history'}", err=True)
    return code


@cli.command(epilog=_EXITS, short_help="Write the reports of an earlier run again.")
@click.argument("run")
@_with_reports
@_with_json
@_with_debug
def report(run: str, reports: Path, *, as_json: bool) -> int:
    """Write the reports of RUN (a folder, or an id) again from its verdict and its histories."""
    from simulator.runs import find  # noqa: PLC0415 - lazy
    from simulator.trial import read_verdict  # noqa: PLC0415 - lazy

    folder = find(run, reports)
    return _deliver(read_verdict(folder), folder, as_json=as_json)


@cli.command(short_help="Print the JSON Schema of scenario files.")
@_with_debug
def schema() -> int:
    """Print the JSON Schema of scenario files, for editors."""
    from simulator.scenario.jsonschema import text  # noqa: PLC0415 - lazy

    click.echo(text(), nl=False)
    return EXIT_CERTIFIED


for command in (campaign, *target_commands.COMMANDS):
    cli.add_command(_with_debug(command))


# ---------------------------------------------------------------- shared by the commands


def _cells(paths: Sequence[Path]) -> list[Cell]:
    from simulator.scenario.load import load_all  # noqa: PLC0415 - lazy

    return load_all(paths)


def _chosen(cells: list[Cell], choices: Sequence[str]) -> list[Cell]:
    """The cells that have every chosen value; a choice that leaves nothing is a usage error."""
    for choice in choices:
        name, _, value = choice.partition("=")
        cells = [cell for cell in cells if str(cell.values.get(name)) == value]
        if not cells:
            raise click.BadParameter(f"no cell has {choice}", param_hint="--set")
    return cells


def _problems(cell: Cell, target: Path | None) -> Sequence[Any]:
    """What `certify` would refuse before it runs anything."""
    from simulator.scenario.errors import BadInput  # noqa: PLC0415 - lazy
    from simulator.scenario.feasibility import check as feasible  # noqa: PLC0415 - lazy
    from simulator.targets.load import find, load  # noqa: PLC0415 - lazy
    from simulator.world.populations import misfit, population_of  # noqa: PLC0415 - lazy

    try:
        time = load(target or find(cell)).service_time
        population = population_of(cell)
    except BadInput as error:
        return error.problems
    capacity = time.capacity(cell.scenario.given.traffic.batch) if time else None
    why = misfit(population, cell.scenario.given.traffic)
    return feasible(cell, {f.name: f for f in population.fields}, capacity, why)


def _listener(cells: int, *, quiet: bool) -> Listener:
    from simulator.report.progress import listener  # noqa: PLC0415 - lazy

    return (lambda _: None) if quiet else listener(sys.stderr, cells=cells, live=sys.stderr.isatty())


def _deliver(verdict: Verdict, out: Path, *, as_json: bool) -> int:
    """Write every rendering, show the verdict, and turn it into the exit code."""
    from simulator.report import github  # noqa: PLC0415 - lazy
    from simulator.report.write import write  # noqa: PLC0415 - lazy
    from simulator.trial import history  # noqa: PLC0415 - lazy

    page = write(verdict, out, lambda cell: history(out, cell))
    _show(verdict, as_json=as_json)
    if os.environ.get("GITHUB_ACTIONS"):
        click.echo("\n".join(github.annotations(verdict)), err=True)
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(github.summary(verdict))
    click.echo(f"report: {page}", err=True)
    return verdict.exit_code


def _show(verdict: Verdict, *, as_json: bool) -> None:
    from simulator.report import json_, text  # noqa: PLC0415 - lazy

    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    click.echo(json_.to_json(verdict).decode() if as_json else text.render(verdict, color=color), nl=False, color=color)


# ---------------------------------------------------------------- exit codes


def invoke(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code (S4); whatever goes wrong, there is a code and a sentence for it."""
    state = {"debug": False}
    try:
        return int(cli.main(list(arguments), prog_name="seatrial", standalone_mode=False, obj=state) or 0)
    except click.ClickException as error:
        error.show()
        return EXIT_BAD_INPUT
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted: nothing was concluded", err=True)
        return EXIT_HARNESS_FAULT
    except Exception as error:  # noqa: BLE001 - the last line of defence: a fault of ours must never look like a verdict
        if state["debug"]:
            import traceback  # noqa: PLC0415 - lazy

            traceback.print_exc()
        return _explained(error)


def _explained(error: Exception) -> int:
    from simulator.history.read import Altered  # noqa: PLC0415 - lazy
    from simulator.scenario.errors import BadInput  # noqa: PLC0415 - lazy

    if isinstance(error, BadInput | Altered):
        click.echo(str(error), err=True)
        return EXIT_BAD_INPUT
    first = str(error).partition("\n")[0]
    click.echo(f"harness fault: {type(error).__name__}: {first} (--debug shows where)", err=True)
    return EXIT_HARNESS_FAULT


def main() -> NoReturn:
    """The console script."""
    # Told to end by whoever runs it, it must still stop and heal what it started, as if by hand.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(invoke(sys.argv[1:]))


if __name__ == "__main__":
    main()
