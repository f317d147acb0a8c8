"""``retrain``: from data to a version that serves, through the gate, or no further than it deserves."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import httpx

from reference_service import bundle as bundles
from reference_service.bundle import BundleError
from reference_service.clock import SECOND, SystemClock
from reference_service.release.store import Store
from reference_service.training import gate
from reference_service.training.pull import Refused, pull
from reference_service.training.retrain import due, retrain
from reference_service.training.rollout import Outcome, roll_out
from reference_service.training.train import Recipe


def main(arguments: list[str]) -> int:
    """0: the new version serves, or there was no reason for one. 1: a step refused it, or it was rolled back."""
    parser = argparse.ArgumentParser(prog="seatrial-service retrain", description="Train, gate, release.")
    parser.add_argument("champion", type=Path, help="folder of the bundle that serves")
    data = "Parquet file: the contract's fields, event_ns, label; of a service that refuses, decision and reasons"
    parser.add_argument("data", type=Path, help=data)
    parser.add_argument("version", help="name of the new version")
    parser.add_argument("--gate", required=True, help="command that must end with 0, such as 'seatrial run scenarios'")
    parser.add_argument("--to", type=Path, help="the service's bundles folder, or with --registry its registry")
    parser.add_argument("--registry", action="store_true", help="--to is a registry of files")
    parser.add_argument("--staging", type=Path, default=Path("staging"), help="folder that it is packaged in")
    parser.add_argument("--url", help="the service; absent: nothing is released. Its token is read from SEATRIAL_TOKEN")
    parser.add_argument("--alerts", action="store_true", help="only if the service's alerts are evidence for it")
    parser.add_argument("--shadow", type=float, default=600.0, metavar="SECONDS", help="in the shadow")
    parser.add_argument("--canary", type=float, default=3600.0, metavar="SECONDS", help="as a canary, at most")
    parser.add_argument("--seed", type=int, default=1, help="of the training")
    options = parser.parse_args(arguments)
    try:
        return asyncio.run(_run(options))
    except (Refused, BundleError, OSError, httpx.HTTPError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1


async def _run(options: argparse.Namespace) -> int:
    async with httpx.AsyncClient(
        base_url=options.url or "http://127.0.0.1",
        headers={"authorization": f"Bearer {os.environ.get('SEATRIAL_TOKEN', '')}"},
    ) as client:

        async def call(method: str, path: str, body: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
            try:
                reply = await client.request(method, path, json=body)
                return reply.status_code, reply.json()
            except (httpx.TransportError, ValueError) as error:  # it may be starting again
                return 503, {"detail": f"{options.url} does not answer: {type(error).__name__}"}

        if options.alerts:
            status, monitors = await call("GET", "/v1/monitors", None)
            if "alerts" not in monitors:
                raise Refused(f"evidence: {monitors.get('detail', status)}")
            reason = due([alert["alertname"] for alert in monitors["alerts"]], 0, 0, 0)
            if not reason:
                print("no alert asks for it")
                return 0
            print(f"because of {reason}")
        champion = bundles.load(options.champion)
        place = retrain(
            champion, pull(options.data, champion.contract), options.version, staging=options.staging,
            gate=gate.command(shlex.split(options.gate)), recipe=Recipe(seed=options.seed),
        )  # fmt: skip
        if options.to is None or options.url is None:
            return 0
        _hand_over(place, options.to, registry=options.registry)
        outcome: Outcome
        outcome, why = await roll_out(
            call, options.version, SystemClock(),
            shadow_ns=round(options.shadow * SECOND), canary_ns=round(options.canary * SECOND),
        )  # fmt: skip
    print(f"{options.version}: {outcome}{f' ({why})' if why else ''}")
    return 0 if outcome == "promoted" else 1


def _hand_over(place: Path, to: Path, *, registry: bool) -> None:
    if registry:
        Store(to).add(place)
        return
    fresh = to / f".{place.name}.fresh"
    shutil.copytree(place, fresh)
    fresh.rename(to / place.name)
