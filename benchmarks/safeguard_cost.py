"""What the safeguards cost of a request's processor time: ``python -m benchmarks.safeguard_cost [seconds] [--write]``.

The service that `seatrial-service` starts, on its own server, with everything on and its decision log on disk, is
loaded as in `benchmarks.http` and looked at from inside by a sampler (`sampled`). Nothing is switched off: a service
without a safeguard is another service, and the difference of two is not what it costs in this one. Each sample belongs
to one stage (`stages`, which says what counts as a safeguard). Readers validate as they read: the share of validation
in reading is what the JSON decoder saves if it checks no name, no type and no range.

``--write`` puts the table and the flame graph into docs/explanation. Needs wrk.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.flame import draw
from benchmarks.sampled import Frame, Samples
from benchmarks.stages import LOOP, SAFEGUARDS, SERVING, by_stage, stage, wilson
from benchmarks.under_load import ROOT, Server, load, prepared, running
from reference_service import bundle as bundles
from reference_service.api.oip import NOTHING, Parameters
from reference_service.api.ordinary import Ordinary
from reference_service.validation import Validator

DOCS: Final = ROOT / "docs/explanation"
PAGE: Final = DOCS / "what-safeguards-cost.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
RUN_S: Final = 3  # of load in one life of the service
TIMES: Final = 40  # chunks of each reader, in turn
COLOURS: Final = dict.fromkeys(SAFEGUARDS, "#e8934a") | dict.fromkeys(SERVING, "#8fb8de")


class _Loose(msgspec.Struct, gc=False):
    data: tuple[Any]


class _LooseRequest(msgspec.Struct, gc=False):
    inputs: list[_Loose]
    id: str = ""
    outputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: Parameters = NOTHING


def share_of_checks(folder: Path, sent: list[bytes]) -> float:
    """Of the time from a body to a row, what a reader saves that takes each column for what it should be."""
    names = [tensor["name"] for tensor in json.loads(sent[0])["inputs"]]
    validator = Validator(bundles.load(folder))
    strict, loose = Ordinary(validator), Ordinary(validator)
    for reader in (strict, loose):
        reader.learn(names)
    decode = msgspec.json.Decoder(_LooseRequest).decode
    loose._layout = loose._layout._replace(decode=decode)  # type: ignore[union-attr]  # noqa: SLF001 - the same reader otherwise
    # A form checks as well, and cannot be taken apart: it is charged what checks are of a decoder.
    readers = strict._decoded, loose._decoded  # noqa: SLF001 - as they read what no form knows
    if any(readers[0](body) != readers[1](body) for body in sent):
        raise SystemExit("the two readers differ")
    saved = []
    for _ in range(TIMES):
        spent = []
        for read in readers:
            begin = time.process_time_ns()
            for body in sent:
                read(body)
            spent.append(time.process_time_ns() - begin)
        saved.append(1 - spent[1] / spent[0])
    return max(0.0, statistics.median(saved))


def sampled(folder: Path, ours: Server, file: Path, seconds: float) -> tuple[Samples, float]:
    """The samples of one worker on the first core under load from the second, and the requests meanwhile."""
    out = folder / "samples.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.sampled", str(out), *ours.command[3:]]
    with running(dataclasses.replace(ours, command=command), "0") as process:
        load(ours, file, 2, "1")  # warm
        os.kill(process, signal.SIGUSR1)
        rate, _ = load(ours, file, seconds, "1")
        os.kill(process, signal.SIGUSR2)
        until = time.monotonic() + 10
        while not out.exists():
            if time.monotonic() > until:
                raise SystemExit("the sampled service has written nothing")
            time.sleep(0.05)
        return msgspec.json.decode(out.read_bytes(), type=Samples), rate * seconds


def together(folder: Path, ours: Server, file: Path, seconds: float) -> tuple[Samples, float, int]:
    """The samples of as many short runs as it takes, the requests meanwhile, and how many runs were left out.

    faulthandler reads the stack in the middle of whatever the interpreter is doing, and every so often that brings the
    process down: such a run is left out, and another one made.
    """
    stacks: Counter[tuple[Frame, ...]] = Counter()
    user_s = system_s = requests = done = 0.0
    fell = 0
    while done < seconds:
        try:
            samples, answered = sampled(folder, ours, file, RUN_S)
        except SystemExit as end:
            fell += 1
            print(f"a run is left out: {str(end).splitlines()[0]}", file=sys.stderr)
            if fell > max(3.0, seconds / RUN_S):
                raise
            continue
        stacks.update(dict(samples.stacks))
        user_s, system_s = user_s + samples.user_s, system_s + samples.system_s
        requests, done = requests + answered, done + RUN_S
    return Samples(user_s, system_s, list(stacks.items())), requests, fell


def measure(folder: Path, ours: Server, file: Path, seconds: float) -> tuple[list[str], Samples]:
    """The table's lines, and the samples."""
    checks = share_of_checks(folder / "bundles/v1", file.read_bytes().splitlines())
    samples, requests, fell = together(folder, ours, file, seconds)
    found = by_stage(samples.stacks, checks)
    n = found.total()
    each = (samples.user_s + samples.system_s) / requests * 1e6
    lines = ["| stage | µs a request | share | 95 % |", "|---|---|---|---|"]

    def line(name: str, hits: int) -> None:
        share = wilson(hits, n)
        lines.append(f"| {name} | {share.share * each:.1f} | {share.share:.1%} | {share.low:.1%} to {share.high:.1%} |")

    for kind, names in (("serving", SERVING), ("safeguards", SAFEGUARDS)):
        for name in names:
            line(name, found[name])
        line(f"**{kind}**", sum(found[name] for name in names))
    kernel = samples.system_s / (samples.user_s + samples.system_s)
    said = (
        f"{n} samples in {requests:.0f} requests of {each:.1f} µs of processor time, "
        f"of which the kernel's {kernel:.0%}. "
        f"Of the time of reading, {checks:.0%} is counted as validation. "
        f"Runs that fell and were left out: {fell}."
    )
    lines += ["", said]
    return lines, samples


def flame(samples: Samples) -> str:
    """Functions by name; the colour is the stage's of that line."""
    merged: Counter[tuple[tuple[str, str], ...]] = Counter()
    for stack, count in samples.stacks:
        bars = tuple(_bar(stack[: k + 1]) for k in range(len(stack)) if not stack[k][0].endswith("serve.py"))
        merged[bars or ((LOOP, COLOURS[LOOP]),)] += count
    return draw(merged.items(), "one-row requests, all safeguards on: orange is a safeguard's, blue is serving")


def _bar(stack: tuple[Frame, ...]) -> tuple[str, str]:
    file, function, _ = stack[-1]
    return f"{Path(file).stem}: {function}", COLOURS[stage(stack)]


def main() -> None:
    """Measure and print."""
    if shutil.which("wrk") is None:
        raise SystemExit("needs wrk (Debian: apt-get install wrk)")
    given = [argument for argument in sys.argv[1:] if argument != "--write"]
    seconds = float(given[0]) if given else 30
    with tempfile.TemporaryDirectory(prefix="seatrial-cost-") as name:
        folder = Path(name)
        ours, file = prepared(folder)
        lines, samples = measure(folder, ours, file, seconds)
    print("\n".join(lines))
    if "--write" in sys.argv:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text("\n".join([before + BEGIN, *lines, END]) + after)
        (DOCS / "what-safeguards-cost.svg").write_text(flame(samples))


if __name__ == "__main__":
    main()
