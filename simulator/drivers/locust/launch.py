"""Command lines: a run that starts its own fleet of Locust processes, a fleet that starts the trial it belongs to."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import simulator

FLEET: Final = "SEATRIAL_FLEET"  # port:token of the bridge, on loopback
PROCESSES: Final = "SEATRIAL_LOCUST_PROCESSES"  # workers of a fleet that a run starts for itself
LOCUSTFILE: Final = Path(simulator.__file__).with_name("locustfile.py")


class NoFleet(RuntimeError):  # noqa: N818 - says what is the case
    """There is no fleet to send the requests, or it was told to stop."""


def fleet(processes: int, port: int) -> list[str]:
    """The command of a fleet of its own, in one process or with so many workers; `port` is Locust's, on loopback.

    Raises:
        NoFleet: Locust is not installed.
    """
    if importlib.util.find_spec("locust") is None:
        raise NoFleet("Locust is not installed; install seatrial[locust]")
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
    if processes > 1:
        where = ["--master-bind-host", "127.0.0.1", "--master-bind-port", str(port), "--master-port", str(port)]
        command += ["--processes", str(processes), *where]
    return [*command, "--loglevel", "WARNING"]


def environment(address: str, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a process that must know the bridge."""
    return {**base, FLEET: address}


def trial(scenarios: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """The command of the trial that a fleet carries out: ``seatrial run`` on the locust driver."""
    command = [sys.executable, "-m", "simulator.cli", "run", *scenarios, "--driver", "locust"]
    for name, value in options.items():
        if value is True:
            command.append(f"--{name}")
        elif isinstance(value, list):
            command += [part for one in value for part in (f"--{name}", str(one))]
        elif value is not None and value is not False:
            command += [f"--{name}", str(value)]
    return command
