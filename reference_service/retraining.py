"""Retraining that is asked for over the control plane, on the decisions that the service wrote down itself.

    POST /v1/retraining {"version": "v9", "on": "request"}    at once; "evidence": as soon as an alert asks for it
    GET /v1/retraining                                         what became of the last one, step by step

The steps are those of `seatrial-service retrain`, which is for production: there, training is a process of its own
and takes no CPU from those who wait for answers. This one is for rehearsals, where one process is all there is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from reference_service import settings as configuration
from reference_service.api.control import Handler
from reference_service.api.http import Edge
from reference_service.app import App
from reference_service.assembly import Seams
from reference_service.bundle import BundleError
from reference_service.clock import SECOND, Clock, LoopClock
from reference_service.monitor.post import Post
from reference_service.release.store import Store
from reference_service.reply import Reply, refusal
from reference_service.service import Service
from reference_service.settings import SettingsError
from reference_service.training import gate, pull, retrain
from reference_service.training.rollout import roll_out
from reference_service.training.train import Recipe

PATH: Final = "/v1/retraining"
_LOOK_NS: Final = 10 * SECOND
_ENDS: Final = {"promoted": "live", "rolled_back": "back", "refused": "refused"}


class Retraining(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings' part `retraining`."""

    audited: str  # Parquet file of rows whose labels somebody has looked into: what the gate examines on
    staging: str  # folder that a bundle lies in until it has passed
    shadow_seconds: float = 600.0
    canary_seconds: float = 3600.0
    share: float = 0.1  # of the canary
    gate: bool = True  # False: whatever was packed is released; for those who want to see what the gate is for
    seed: int = 1
    trees: int = 50
    leaves: int = 15


class Wanted(msgspec.Struct, frozen=True):
    """What to train, and when."""

    version: str
    on: Literal["request", "evidence"] = "request"


class Step(msgspec.Struct, frozen=True):
    """One line of the journal: waiting, begun, packed, shadow, canary, and in the end live, back, refused or broken."""

    at_ns: int
    step: str
    why: str = ""


class Retrainer:
    """At most one retraining at a time.

    Args:
        settings: of retraining.
        clock: waits.
    """

    def __init__(self, settings: Retraining, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._edge: Edge | None = None
        self._task: asyncio.Task[None] | None = None
        self._version = ""
        self.journal: list[Step] = []

    def routes(self, edge: Edge) -> Mapping[tuple[str, str], Handler]:
        """What the control plane offers besides its own."""
        self._edge = edge
        return {("POST", PATH): self._ask, ("GET", PATH): self._show}

    def stop(self) -> None:
        """The service ends, and what it was about to learn with it."""
        if self._task is not None:
            self._task.cancel()

    async def _ask(self, _service: Service, body: bytes, _query: str) -> Reply:
        """Retrain, now or when there is evidence."""
        try:
            wanted = msgspec.json.decode(body, type=Wanted)
        except ValueError:
            return refusal(400, "Malformed retraining", 'needs {"version", "on": "request"|"evidence"}')
        if self._task is not None and not self._task.done():
            return refusal(409, "Retraining refused", f"{self._version} is being made")
        self._version, self.journal = wanted.version, []
        self._task = asyncio.get_running_loop().create_task(self._work(wanted))
        return Reply(202, msgspec.json.encode({"version": wanted.version}))

    async def _show(self, _service: Service, _body: bytes, _query: str) -> Reply:
        """The journal of the last retraining."""
        return Reply(200, msgspec.json.encode({"version": self._version, "steps": self.journal}))

    def _tell(self, step: str, why: str = "") -> None:
        self.journal.append(Step(self._clock.now_ns(), step, why))

    async def _work(self, wanted: Wanted) -> None:
        try:
            self._tell("begun", await self._reason(wanted))
            place = await self._packed(wanted.version)
            self._tell("packed")
            service = self._service()
            store = Store(Path(service.settings.registry or ""))
            await asyncio.to_thread(store.add, place)
            options = self._settings
            outcome, why = await roll_out(
                self._call, wanted.version, self._clock, share=options.share, tell=self._tell,
                shadow_ns=round(options.shadow_seconds * SECOND), canary_ns=round(options.canary_seconds * SECOND),
            )  # fmt: skip
            self._tell(_ENDS[outcome], why)
        except (pull.Refused, BundleError) as refused:
            self._tell("refused", str(refused))
        except Exception as error:
            logging.getLogger("reference_service").exception("a retraining broke off")
            self._tell("broken", type(error).__name__)  # no end that anybody waits for: whoever asked has to look

    async def _reason(self, wanted: Wanted) -> str:
        """Why to begin; returns when there is a reason."""
        if wanted.on == "request":
            return "request"
        self._tell("waiting")
        while True:
            _, monitors = await self._call("GET", "/v1/monitors", None)
            reason = retrain.due((alert["alertname"] for alert in monitors["alerts"]), 0, 0, 0)
            if reason:
                return reason
            await self._clock.sleep(_LOOK_NS)

    async def _packed(self, version: str) -> Path:
        """The bundle that has passed the gate. Raises Refused or BundleError."""
        service, options = self._service(), self._settings
        champion = service.releases.champion.bundle
        service.log.flush()
        if not await service.log.committed():
            raise pull.Refused("pull: the decision log cannot be written, and what is on disk is not all of it")
        recipe = Recipe(seed=options.seed, trees=options.trees, leaves=options.leaves)
        examined = gate.examination(Path(options.audited), champion) if options.gate else lambda _: None
        folder = Path(service.settings.decision_log or "")
        data = await asyncio.to_thread(pull.logged, folder, champion.contract, service.ledger.known)
        return await asyncio.to_thread(
            retrain.retrain, champion, data, version, staging=Path(options.staging), gate=examined, recipe=recipe,
            tell=lambda _: None,
        )  # fmt: skip

    def _service(self) -> Service:
        assert self._edge is not None  # noqa: S101 - nobody can ask before the service has started
        return self._edge.service

    async def _call(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, dict[str, Any]]:
        assert self._edge is not None  # noqa: S101 - see above
        token = self._edge.service.settings.token.encode()
        sent = b"" if body is None else msgspec.json.encode(body)
        reply = await self._edge.core.other(method, path, "", [(b"authorization", b"Bearer " + token)], sent)
        return reply.status, msgspec.json.decode(reply.body)


def create_app(
    settings: Mapping[str, Any],
    *,
    clock: Clock | None = None,
    seams: Seams | None = None,
    post: Post | None = None,
) -> App:
    """As `app.create_app`, of a service that retrains: `settings` has a part `retraining` as well.

    Raises:
        SettingsError: naming the key.
    """
    own = dict(settings)
    try:
        options = msgspec.convert(own.pop("retraining", {}), Retraining)
    except msgspec.ValidationError as problem:
        raise SettingsError(f"settings: retraining: {problem}") from None
    read, clock = configuration.read(own), clock or LoopClock()
    if read.registry is None or read.decision_log is None:
        raise SettingsError("settings: retraining needs a registry, to put models into, and a decision_log to learn of")
    return App(read, clock, seams or {}, post, Retrainer(options, clock))
