"""Shipped scenarios with the quiet cut out of them, so that a run takes seconds: same world, same events, same demands.

Whatever is kept of `then` is kept word for word. What looks further ahead than the shortened run goes on is left out,
and has to be named here, so that nothing is left out by accident.
"""

from __future__ import annotations

import json
from pathlib import Path

from ruamel.yaml import YAML

from simulator.scenario.load import load

SCENARIOS = Path(__file__).parents[2] / "scenarios"
DAYS = Path(__file__).parent / "days"
TARGET = SCENARIOS / "targets/payments.target.yaml"


def shortened(name, folder, *, warmup, lasts, events, without=(), matrix=None, rate="10/s", source=None):
    """The cells of a shipped scenario, shortened.

    Args:
        name: Of the shipped scenario, and of the file.
        folder: Where the shortened file is written.
        warmup: Instead of its own.
        lasts: Length of the whole run.
        events: Those that still happen: name → (at, for).
        without: Expectations that are left out. Those of other events go with them.
        matrix: Instead of its own.
        rate: Instead of its own, where requests are of one row.
        source: The shipped scenario, where `name` is that of another short form of it.
    """
    places = (SCENARIOS, SCENARIOS / "campaign")
    shipped = next(path for place in places if (path := place / f"{source or name}.scenario.yaml").is_file())
    document = YAML(typ="safe").load(shipped)
    document["given"]["warmup"] = warmup
    document["given"]["steady_state"] = []  # so short a warm-up could not decide one
    document["given"]["traffic"]["for"] = lasts
    # A shorter window needs a denser day to decide the same shares.
    if "rate" in document["given"]["traffic"] and document["given"]["traffic"].get("batch", 1) == 1:
        document["given"]["traffic"]["rate"] = rate
    document.setdefault("when", [])
    gone = {event["event"] for event in document["when"]} - set(events)
    document["when"] = [
        {
            key: value
            for key, value in (event | dict(zip(("at", "for"), events[event["event"]], strict=True))).items()
            if value
        }
        for event in document["when"]
        if event["event"] not in gone
    ]
    missing = set(without) - {demand["id"] for demand in document["then"]}
    assert not missing, f"{name} expects no {missing}"
    document["then"] = [
        demand for demand in document["then"] if demand["id"] not in without and not _named(demand) & gone
    ]
    if matrix is not None:
        document["matrix"] = matrix
    path = folder / f"{name}.scenario.yaml"
    path.write_text(json.dumps(document, indent=1))
    if not (folder / "targets").exists():
        (folder / "targets").symlink_to(TARGET.parent)
    return load(path)


def _named(demand):
    return {demand.get("of"), demand.get("during"), demand.get("outside"), demand.get("after", "").split(".")[0]}


def target(factory, folder, name="payments"):
    """The shipped target file with another factory, `module:name`, and without switches.

    A saboteur is to be caught by what it does, not for want of a control: hence no switches, and no runs without them.
    """
    document = YAML(typ="safe").load(TARGET.with_name(f"{name}.target.yaml"))
    document["start"]["asgi"] = factory
    document["safeguards"] = {}
    path = folder / f"{factory.partition(':')[2]}.{name}.target.yaml"
    path.write_text(json.dumps(document, indent=1).replace("$here", str(TARGET.parent)))
    return path
