"""Locust, under the command of a scenario: ``locust -f simulator/locustfile.py --scenario FILE``.

A test in Locust is a whole trial here: ``seatrial run --driver locust`` starts beside the master, starts the target,
has this fleet send its runs one after the other and judges them; its exit code becomes Locust's. Without `--scenario`
the fleet serves the one run that the environment names.

The only module that may import Locust, which patches the whole process.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from argparse import SUPPRESS
from typing import Any, Final

import gevent
from locust import LoadTestShape, User, constant, events
from locust.runners import STATE_INIT, MasterRunner, WorkerRunner

from simulator.drivers.locust import launch
from simulator.drivers.locust.bridge import Bridge
from simulator.drivers.locust.frames import Done, Frame, pack, unpack
from simulator.drivers.locust.worker import Worker
from simulator.verdict import EXIT_BAD_INPUT, EXIT_HARNESS_FAULT

_DOWN: Final = "seatrial.down"  # master → worker
_UP: Final = "seatrial.up"  # worker → master
_LEAVE: Final = 30.0  # seconds for a trial that was told to stop: it heals its target first
_OPTIONS: Final = ("target", "seed", "without", "set", "out", "json", "quiet")


class Fleet:
    """What this process is in the fleet: master, worker, or both."""

    bridge: Bridge | None = None
    trial: Any = None  # the process of the trial that this fleet carries out
    code: int | None = None


def _arguments(parser: Any) -> None:
    def add(*names: str, **more: Any) -> None:
        parser.add_argument(*names, include_in_web_ui=False, **more)

    add("--scenario", action="append", metavar="FILE", help="Scenario to carry out, or a folder of them.")
    add("--target", dest="trial_target", help="Target file, instead of each scenario's own.")
    add("--seed", dest="trial_seed", type=int, help="Seed, instead of each scenario's own.")
    add("--without", dest="trial_without", help="Safeguard of the service to switch off.")
    add("--set", dest="trial_set", action="append", metavar="NAME=VALUE", help="Only matrix cells with this value.")
    add("--out", dest="trial_out", help="Folder for evidence and reports.")
    add("--verdict-json", dest="trial_json", action="store_true", help="Print verdict.json instead of the table.")
    add("--trial-quiet", dest="trial_quiet", action="store_true", help=SUPPRESS)


def _begin(environment: Any, runner: Any, **_: Any) -> None:
    if not isinstance(runner, MasterRunner):
        _work(environment, runner)
    if isinstance(runner, WorkerRunner):
        environment.process_exit_code = 0  # requests that failed are the verdict's business, at the master
        return
    address = os.environ.get(launch.FLEET)
    if address is None and not environment.parsed_options.scenario:
        sys.stderr.write("seatrial: nothing to carry out; give --scenario FILE\n")
        sys.exit(EXIT_BAD_INPUT)
    port, token = (address or ":").split(":")

    def tell(member: str, frame: Frame) -> None:
        runner.send_message(_DOWN, pack(frame), member)

    def members() -> list[str]:
        if not isinstance(runner, MasterRunner):
            return ["local"]
        return [node.id for node in (*runner.clients.ready, *runner.clients.spawning, *runner.clients.running)]

    fleet = Fleet.bridge = Bridge(token or secrets.token_urlsafe(24), members, tell, int(port or 0))
    runner.register_message(_UP, lambda msg, **_: fleet.hear(msg.node_id, unpack(msg.data)))
    environment.process_exit_code = EXIT_HARNESS_FAULT  # until there is a verdict


def _work(environment: Any, runner: Any) -> None:
    def fire(name: str, path: str, took_ms: float, size: int, wrong: Exception | None) -> None:
        environment.events.request.fire(
            request_type="POST", name=f"{name} {path}", response_time=took_ms, response_length=size, exception=wrong,
            context={},
        )  # fmt: skip

    def tell(frame: Frame) -> None:
        if isinstance(frame, Done) and isinstance(runner, WorkerRunner):
            runner._send_stats()  # noqa: SLF001 - else a fleet that leaves now takes its last three seconds with it
        runner.send_message(_UP, pack(frame))

    worker = Worker(tell, fire)
    runner.register_message(_DOWN, lambda msg, **_: worker.hear(unpack(msg.data)))
    environment.events.quitting.add_listener(lambda **_: worker.stop())


def _start(environment: Any, **_: Any) -> None:
    bridge = Fleet.bridge
    if bridge is None:
        return
    if Fleet.trial is not None:
        _end(environment)  # the one that was stopped may still be healing
    Fleet.code = None
    bridge.left.clear()
    bridge.muster()
    options = environment.parsed_options
    if not options.scenario:
        return  # the run comes by itself
    command = launch.trial(options.scenario, {name: getattr(options, f"trial_{name}") for name in _OPTIONS})
    # A session of its own: an interrupt reaches Locust alone, and the trial is told to heal before it ends.
    Fleet.trial = subprocess.Popen(  # noqa: S603 - our own command
        command, env=launch.environment(bridge.address), stdin=subprocess.DEVNULL, start_new_session=True
    )
    gevent.spawn(_await, environment, Fleet.trial)


def _await(environment: Any, trial: Any) -> None:
    code = trial.wait()
    if Fleet.trial is trial:
        Fleet.trial = None
        Fleet.code = environment.process_exit_code = code if code >= 0 else EXIT_HARNESS_FAULT


def _stop(**_: Any) -> None:
    if Fleet.bridge is not None and (Fleet.trial is not None or Fleet.bridge.busy):
        Fleet.bridge.dismiss()


def _quit(environment: Any, **_: Any) -> None:
    if Fleet.bridge is not None and Fleet.trial is not None:
        Fleet.bridge.dismiss()
        _end(environment)


def _end(environment: Any) -> None:
    trial, Fleet.trial = Fleet.trial, None
    environment.process_exit_code = EXIT_HARNESS_FAULT
    try:
        code = trial.wait(_LEAVE)
    except subprocess.TimeoutExpired:
        trial.terminate()
    else:
        environment.process_exit_code = code if code >= 0 else EXIT_HARNESS_FAULT


class Voyage(LoadTestShape):  # type: ignore[misc]
    """A test lasts as long as its trial. Its users are there for Locust's sake: one a worker, and none sends."""

    def tick(self) -> tuple[int, float] | None:
        """Users and spawn rate; None once the trial is over."""
        left = Fleet.bridge is not None and Fleet.bridge.left.is_set()
        over = Fleet.code is not None or (left and Fleet.trial is None)
        if over and self.runner.state != STATE_INIT:
            return None
        return max(1, self.runner.worker_count), 100


class Watch(User):  # type: ignore[misc]
    """Stands by. Requests are sent at the plan's moments by the worker itself, not by users taking turns."""

    wait_time = constant(3600)
    tasks = [lambda _user: None]  # noqa: RUF012 - how Locust wants it


events.init_command_line_parser.add_listener(_arguments)
events.init.add_listener(_begin)
events.test_start.add_listener(_start)
events.test_stop.add_listener(_stop)
events.quitting.add_listener(_quit)
