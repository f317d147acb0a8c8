"""The target file as frozen data: maps any service to what the harness needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from simulator.scenario.quantities import Duration


class Frozen(BaseModel):
    """Every part of a target file is immutable and refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Start(Frozen):
    """How to get the service: its ASGI app in process, a command to run, or the URL of a running one.

    In `env` and `command`, ``$settings`` is the path of a JSON file with the settings.
    There and in `settings`, ``$here`` is the folder of the target file, ``$sink`` the harness' alert
    receiver, ``$token`` the control plane's token of this run and ``$port`` a free port.
    """

    asgi: str | None = Field(None, description="module:factory, or module:app")
    clock: Literal["injected", "patched", "none"] | None = Field(
        None,
        description="virtual time: whether the process' clocks are patched; only if the factory takes none unless said",
    )
    command: tuple[str, ...] | None = None
    url: str | None = None
    settings: dict[str, Any] = {}
    env: dict[str, str] = {}
    ready: str | None = Field(None, description="path that answers 200 once the service can be called")

    @property
    def takes_settings(self) -> bool:
        """Whether the command is told the settings, which safeguards are switched by."""
        return any("$settings" in part for part in (*(self.command or ()), *self.env.values()))

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not (self.asgi or self.command or self.url):
            raise ValueError("start needs one of asgi, command and url")
        if self.command and not self.url:
            raise ValueError("start.command also needs the url at which it will answer, such as http://127.0.0.1:$port")
        return self


class Read(Frozen):
    """Where a reply carries what: the name of an output tensor, or a path such as ``$.predictions``."""

    score: str = "score"
    decision: str | None = None
    source: str | None = None
    reasons: str | None = None
    version: str | None = None


class Errors(Frozen):
    """Which statuses mean what; a status of 400 and above that stands in neither list is an error of the service."""

    reject: tuple[int, ...] = (400, 413, 422)
    # 503 only where the target says so: else a service that is down would pass as one that sheds.
    shed: tuple[int, ...] = (429,)


class Match(Frozen):
    """Which label of an alert names what."""

    name: str = "alertname"
    field: str = "field"
    severity: str = "severity"


class Heartbeat(Frozen):
    """An alert that always comes, through the same path: proof that silence is silence."""

    name: str = "Watchdog"
    every: Duration


Route = Literal["alertmanager", "slack", "pagerduty"]
POLLED: Final = "prometheus"  # the route of an alert that was asked for


class Poll(Frozen):
    """A Prometheus whose alerts are asked for: ``GET <url>/api/v1/alerts``."""

    prometheus: str
    every: Duration = 5_000_000_000


class Alerts(Frozen):
    """How alerts reach the harness."""

    receive: tuple[Route, ...] = ("alertmanager",)
    listen: str = Field("127.0.0.1:0", description="live: address and port of the receiver; port 0 is any free one")
    reach: str | None = Field(None, description="live: the receiver's URL as the service sees it, if it is another")
    poll: Poll | None = None
    heartbeat: Heartbeat | None = None
    match: Match = Match()
    names: tuple[str, ...] = Field((), description="all that it may send; a scenario that names another is refused")
    severities: tuple[str, ...] = Field((), description="the same of severities")


class LabelIntake(Frozen):
    """Where the truth is posted, and which decisions keep it from ever being known."""

    post: str
    censored_by: tuple[str, ...] = ()


class Reviews(Frozen):
    """Human review: where cases wait and verdicts go, where it says what stands, and its words for a verdict."""

    queue: str = Field(description='GET: {"waiting": [{"id", "row"}]}; POST: {"verdicts": [{"id", "row", "verdict"}]}')
    stands: str = Field(description='GET ?id=ID&row=ROW: {"decision"}')
    approve: str = Field("approve", description="what a person says of a negative")
    block: str = Field("block", description="what a person says of a positive")


class Metrics(Frozen):
    """Metrics in Prometheus' text format: which of them counts requests, and which names the version that serves."""

    path: str
    requests: str = Field(description="counter of inference requests that were answered, by HTTP status")
    code: str = Field("code", description="its label with the status")
    build: str | None = Field(None, description="gauge that names the version that serves")
    version: str = Field("version", description="its label with the version")


class Admin(Frozen):
    """The control plane, as ``METHOD /path``."""

    release: str | None = None
    rollback: str | None = None
    promote: str | None = None
    freeze: str | None = None
    retrain: str | None = None


class Seam(Frozen):
    """A dependency that may be broken: in process by wrapping it, in real time through a proxy before its address."""

    proxy: str | None = Field(
        None, pattern=r"^tcp://[^/:]+:\d+$", description="real time: its address; the service connects to $proxy_NAME"
    )


def _texts(value: Any) -> Iterator[str]:
    """Every string inside a nested value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _seams(value: Any) -> Any:
    return {name: {} for name in value} if isinstance(value, list | tuple) else value


class ServiceTime(Frozen):
    """Virtual time only: the CPU that the service is given."""

    per_request: Duration
    per_row: Duration = 0
    cores: int = Field(1, ge=1)

    def ns(self, rows: int) -> int:
        """Work of one request, in nanoseconds."""
        return self.per_request + self.per_row * rows

    def capacity(self, rows: int) -> float:
        """Requests of `rows` rows per second at full utilisation."""
        return self.cores * 1e9 / self.ns(rows)


class Tensors(Frozen):
    """How the tensors of the Open Inference Protocol look, where the server insists."""

    shape: Literal["vector", "column"] = Field("vector", description="of n rows: [n], or [n, 1] as Triton batches them")
    number: Literal["FP64", "FP32"] = "FP64"
    integer: Literal["INT64", "INT32"] = "INT64"

    def datatype(self, kind: str) -> str:
        """Of a field of that kind."""
        return {"number": self.number, "integer": self.integer, "boolean": "BOOL", "category": "BYTES"}[kind]

    def of(self, rows: int) -> list[int]:
        """The shape of that many rows."""
        return [rows] if self.shape == "vector" else [rows, 1]


class Target(Frozen):
    """One service under trial."""

    target: Literal[1]
    environment: str = "local"
    hosts: tuple[str, ...] = Field((), description="hosts beyond this machine that may be sent synthetic traffic")
    marker: str | None = Field(
        "x-synthetic-traffic: seatrial",
        description="header of every live request; null for a service that must not know",
    )
    start: Start
    bundles: str | None = Field(
        None, description="folder with one folder a version; `$bundles` in settings is it, or a copy with one damaged"
    )
    protocol: Literal["oip-v2", "mlflow", "tf-serving", "json"]
    model: str = "model"
    path: str | None = Field(None, description="where to post; the protocol's own unless said")
    tensors: Tensors = Tensors()
    read: Read = Read()
    errors: Errors = Errors()
    alerts: Alerts | None = None
    labels: LabelIntake | None = None
    reviews: Reviews | None = None
    metrics: Metrics | None = None
    serving: str | None = Field(None, description='path that says which version serves: {"serving"}')
    admin: Admin = Admin()
    seams: Annotated[dict[str, Seam], BeforeValidator(_seams)] = Field(
        {}, description="dependencies that may be broken: names, or name → how"
    )
    toxiproxy: str | None = Field(
        None, pattern=r"^https?://[^/]+$", description="real time: URL of a Toxiproxy's API, instead of our own proxy"
    )
    safeguards: dict[str, dict[str, Any]] = Field({}, description="safeguard → settings that switch it off")
    quality: str | None = None
    monitors: str | None = None
    decisions: str | None = Field(
        None, description="path of the decision log, a JSON record a line: `?after=SEQ&limit=N` gives what follows"
    )
    retraining: str | None = Field(None, description="path of the journal of what `admin.retrain` set going")
    service_time: ServiceTime | None = None
    tolerance: float = Field(0.0, ge=0, description="scores that differ by no more than this are equal")

    def reads_bundles(self, driver: str) -> bool:
        """Whether the service that this driver starts is told where the bundles are that the harness offers."""
        start = self.start
        virtual = driver == "virtual"  # a factory is given its settings, a command only if it asks for them
        settings = _texts(start.settings) if virtual or start.takes_settings else ()
        told = (*(() if virtual else (*(start.command or ()), *start.env.values())), *settings)
        return self.bundles is not None and any("$bundles" in text for text in told)

    def marked(self) -> tuple[tuple[bytes, bytes], ...]:
        """The marker as headers: one, or none."""
        if self.marker is None:
            return ()
        name, _, value = self.marker.partition(":")
        return ((name.strip().lower().encode(), value.strip().encode()),)

    @model_validator(mode="after")
    def _marker_is_a_header(self) -> Self:
        if self.marker is not None and not re.fullmatch(r"[\w-]+: ?[ -~]+", self.marker):
            raise ValueError("marker is one header, such as `x-synthetic-traffic: seatrial`, or null")
        return self
