"""``seatrial campaign``. Registered by `simulator.cli`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click


@click.command(
    epilog="Exit: 0 certified, 1 refused, 2 bad input, 3 inconclusive, 4 harness fault, over all seeds.",
    short_help="Over many seeds: how often is a service refused?",
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--seeds", type=click.IntRange(1), default=100, show_default=True, help="How many.")
@click.option("--first", type=click.IntRange(0, 2**62), default=1, show_default=True, help="The first seed.")
@click.option("--target", type=click.Path(path_type=Path), help="Target file, instead of each scenario's own.")
@click.option(
    "--without",
    type=click.Choice(["validation", "fallback", "alerts", "rollback"]),
    help="Switch a safeguard of the service off.",
)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Runs at once on this machine.")
@click.option(
    "--cluster", metavar="ADDRESS", help="A Dask scheduler, such as tcp://host:8786, instead of this machine."
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("reports/seeds"), show_default=True,
    help="Folder for verdicts and the table; what it holds already is not run again.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print campaign.json instead of the table.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def campaign(
    paths: tuple[Path, ...], *, seeds: int, first: int, workers: int, cluster: str | None, out: Path,
    as_json: bool, quiet: bool, **asked: Any,
) -> int:  # fmt: skip
    """Judge scenarios under many seeds: how often is the service refused, and by which seeds?

    In virtual time; scenarios that do not run in it are left out, and said so on stderr.
    """
    from simulator.campaign import engine, places, render  # noqa: PLC0415 - lazy
    from simulator.campaign.job import rehearsable  # noqa: PLC0415 - lazy
    from simulator.report import words  # noqa: PLC0415 - lazy
    from simulator.scenario.load import load_all  # noqa: PLC0415 - lazy

    cells = load_all(paths)
    for name in sorted({cell.stem for cell in cells} - {cell.stem for cell in rehearsable(cells)}):
        click.echo(f"left out: {name} does not run in virtual time", err=True)

    def tell(job: Any, verdict: Any, done: int, of: int) -> None:
        if not quiet:
            click.echo(f"{words.headline(verdict)} {job.path} seed {job.seed} ({done}/{of})", err=True)

    place = places.cluster(cluster) if cluster else places.here(workers)
    found = engine.campaign(cells, range(first, first + seeds), out=out, place=place, listen=tell, **asked)
    click.echo(render.to_json(found).decode() if as_json else render.text(found), nl=False)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(render.markdown(found))
    click.echo(f"report: {out / 'campaign.html'}", err=True)
    return found.verdict.exit_code
