"""The commands that look at one target: what it keeps of any server's promises. Registered by `simulator.cli`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from simulator.verdict import EXIT_CERTIFIED, EXIT_HARNESS_FAULT, EXIT_REFUSED

if TYPE_CHECKING:
    from simulator.conformance.rows import Row
    from simulator.survey.abilities import Ability

EXITS: Final = "Exit: 0 all kept, 1 a promise is broken, 2 bad input, 3 something could not be told, 4 harness fault."
_DOCTOR: Final = "Exit: 0 what the file says holds, 1 some of it does not, 2 bad input, 4 the target is not there."
_target = click.argument("target", type=click.Path(path_type=Path, dir_okay=False))


@click.command(epilog=EXITS, short_help="Try what any inference server owes its callers.")
@_target
@click.option("--rows", type=click.Path(path_type=Path, dir_okay=False), help="Legal rows, one JSON object a line.")
@click.option("--population", help="Take the rows of this population instead.")
@click.option("--version", "versions", multiple=True, help="The version that serves, and another one to release.")
@click.option("--allow", multiple=True, metavar="NAME", help="An environment or a host that would else be refused.")
@click.option("--json", "as_json", is_flag=True, help="Print every finding with its whole evidence as JSON.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Also write the findings to this file, as Markdown.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def conform(
    target: Path, *, rows: Path | None, population: str | None, versions: tuple[str, ...],
    allow: tuple[str, ...], as_json: bool,
    markdown: Path | None, quiet: bool,
) -> int:  # fmt: skip
    """Try what any inference server owes its callers, from outside: no labels and no cooperation needed.

    Isolation, identity, columns by name, validation, honest errors, readiness, graceful stop, death of workers,
    abandoned work. What is legal is what the rows hold.
    """
    import asyncio  # noqa: PLC0415 - lazy

    from simulator.conformance import render  # noqa: PLC0415 - lazy
    from simulator.conformance.suite import run  # noqa: PLC0415 - lazy
    from simulator.drivers.start import TargetDown  # noqa: PLC0415 - lazy
    from simulator.targets.guard import objections  # noqa: PLC0415 - lazy
    from simulator.targets.load import load  # noqa: PLC0415 - lazy

    known = load(target)
    if why := objections(known, allow):
        raise click.UsageError(f"{target}: {'; '.join(why)}")
    sample = _rows(rows, population)
    tell = (lambda _: None) if quiet else (lambda name: click.echo(f"  {name}", err=True))
    try:
        report = asyncio.run(run(known, sample, path=target, versions=versions, tell=tell))
    except TargetDown as error:
        click.echo(f"the target is not there: {error}", err=True)
        return EXIT_HARNESS_FAULT
    if markdown is not None:
        markdown.write_text(render.markdown(report), encoding="utf-8")
    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    click.echo(render.to_json(report).decode() if as_json else render.text(report, color=color), nl=False, color=color)
    return report.exit_code


@click.command(epilog=_DOCTOR, short_help="Say what can be proven of a target, what cannot.")
@_target
@click.option(
    "--rows", type=click.Path(path_type=Path, dir_okay=False), help="Rows to ask with, one JSON object a line."
)
@click.option("--population", help="Take the rows of this population instead.")
@click.option("--allow", multiple=True, metavar="NAME", help="An environment or a host that would else be refused.")
@click.option("--offline", is_flag=True, help="Read the target file only; start nothing and ask nothing.")
def doctor(
    target: Path, *, rows: Path | None, population: str | None, allow: tuple[str, ...], offline: bool
) -> int:  # fmt: skip
    """Say what can be proven of a target, what cannot, and what to write into its file.

    Reads the file, then starts the target (or reaches it) and tries what it says, without harm: it releases nothing.
    """
    import asyncio  # noqa: PLC0415 - lazy

    from simulator.drivers.start import TargetDown  # noqa: PLC0415 - lazy
    from simulator.survey.abilities import abilities, prospects  # noqa: PLC0415 - lazy
    from simulator.survey.look import SCORES, look  # noqa: PLC0415 - lazy
    from simulator.targets.guard import objections  # noqa: PLC0415 - lazy
    from simulator.targets.load import load  # noqa: PLC0415 - lazy

    known = load(target)
    found = abilities(known)
    seen: tuple[Ability, ...] = ()
    for ability in found:
        click.echo(f"{'yes' if ability.there else 'no ':<4}{ability.name:<22}{ability.why}")
    if known.start.url is not None and not offline:
        if why := objections(known, allow):
            raise click.UsageError(f"{target}: {'; '.join(why)}")
        try:
            seen = asyncio.run(look(known, target, _rows(rows, population) if rows or population else []))
        except TargetDown as error:
            click.echo(f"the target is not there: {error}", err=True)
            return EXIT_HARNESS_FAULT
        click.echo()
        for ability in seen:
            click.echo(f"{'ok' if ability.there else 'BAD':<4}{ability.name:<22}{ability.why}")
    click.echo()
    # What the file promises is worth nothing where not even a row is scored.
    mute = any(ability.name == SCORES and not ability.there for ability in seen)
    if mute:
        click.echo("    nothing can be decided before a row is scored: give rows that the service knows, mend the file")
    for prospect in () if mute else prospects(found):
        said = "can be decided" if not prospect.lacks else f"UNKNOWN: needs {', '.join(prospect.lacks)}"
        click.echo(f"    {prospect.family:<22}{said}")
    return EXIT_CERTIFIED if all(ability.there for ability in seen) else EXIT_REFUSED


@click.command(
    epilog="Exit: 0 drafted, 2 bad input, 4 the service is not there or says nothing of itself.",
    short_help="Draft a target file from a running service.",
)
@click.argument("url")
def init(url: str) -> int:
    """Draft a target file, on stdout, from what the service at URL says of itself.

    Asks for the metadata of the Open Inference Protocol, MLflow's version, and an OpenAPI document.
    """
    from functools import partial  # noqa: PLC0415 - lazy

    import httpx  # noqa: PLC0415 - lazy

    from simulator.survey.draft import Unknown, draft  # noqa: PLC0415 - lazy

    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("give a whole URL, such as http://127.0.0.1:8080", param_hint="URL")
    with httpx.Client(base_url=url, timeout=5.0, trust_env=False) as http:
        try:
            http.get("/")
        except httpx.HTTPError as error:
            click.echo(f"no draft: nobody answers at {url}: {error}", err=True)
            return EXIT_HARNESS_FAULT
        try:
            click.echo(draft(url.rstrip("/"), http.get, partial(http.post, json={})), nl=False)
        except (httpx.HTTPError, Unknown) as error:
            click.echo(f"no draft: {error}", err=True)
            return EXIT_HARNESS_FAULT
    return EXIT_CERTIFIED


def _rows(rows: Path | None, population: str | None) -> list[Row]:
    from simulator.conformance import rows as samples  # noqa: PLC0415 - lazy

    if (rows is None) == (population is None):
        raise click.UsageError("give the rows: --rows FILE, or --population NAME")
    if rows is not None:
        if not rows.is_file():
            raise click.BadParameter(f"{rows} is not there", param_hint="--rows")
        found: list[Any] = samples.read(rows)
        return found
    try:
        return list(samples.of_population(str(population)))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--population") from error


COMMANDS: Final = (conform, doctor, init)
