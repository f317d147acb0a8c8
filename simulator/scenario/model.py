"""The scenario language as frozen data: given / when / then.

An event holds exactly one *verb* (what happens), an expectation exactly one *family* (what must be
true). Both are flat models whose verbs and families are optional keys, so that a wrong key is
reported where it stands instead of as a failed union.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from simulator.scenario.quantities import MINUTE, SECOND, Duration, Rate, Share, parse_rate

Scalar = str | int | float | bool
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Frozen(BaseModel):
    """Every part of a scenario is immutable and refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


# ---------------------------------------------------------------- given


class Replay(Frozen):
    """A slice of a recorded population, in event order; dates are the population's own."""

    start: str = Field(alias="from", description="first day, ISO date, inclusive")
    end: str = Field(alias="to", description="last day, ISO date, exclusive")


class Traffic(Frozen):
    """How requests arrive: either a synthetic `rate` for a duration, or a recorded slice."""

    rate: Rate | None = None
    length: Duration | None = Field(None, alias="for")
    replay: Replay | None = None
    arrivals: Literal["poisson", "regular"] = "poisson"
    rhythm: Literal["flat", "daily"] = "flat"
    batch: int = Field(1, ge=1, le=1024, description="rows in one request")
    timeout: Duration = 10 * SECOND
    retries: int = Field(0, ge=0, le=5, description="client retries after a shed or lost request")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        synthetic = self.rate is not None and self.length is not None
        if (self.replay is None) == (not synthetic) or (self.replay and (self.rate or self.length)):
            msg = "traffic needs either `rate` and `for` (synthetic), or `replay` (recorded)"
            raise ValueError(msg)
        return self


class Delay(Frozen):
    """A lognormal delay given by two of its quantiles."""

    median: Duration
    p95: Duration


class Labels(Frozen):
    """When the truth arrives. Without `delay`: the population's own moment. `every` is the feed's cadence."""

    delay: Delay | None = None
    missing: Share = 0.0
    every: Duration = Field(MINUTE, gt=0)


class AtMost(Frozen):
    """An upper limit on a share."""

    max: Share


class AtLeast(Frozen):
    """A lower limit on a share."""

    min: Share


class Latency(Frozen):
    """One quantile of the latency from the scheduled send, and its limit."""

    p50: Duration | None = None
    p90: Duration | None = None
    p95: Duration | None = None
    p99: Duration | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1:
            msg = "name exactly one quantile: p50, p90, p95 or p99"
            raise ValueError(msg)
        return self

    @property
    def quantile(self) -> tuple[float, int]:
        """(quantile in (0,1), limit in ns)."""
        name = next(iter(self.model_fields_set))
        return int(name[1:]) / 100, getattr(self, name)


class Steady(Frozen):
    """A condition on the second half of the warm-up; unmet, no event is injected."""

    error_rate: AtMost | None = None
    latency: Latency | None = None
    no_alert: Literal["any"] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1:
            msg = "a steady state names exactly one of error_rate, latency, no_alert"
            raise ValueError(msg)
        return self


class Given(Frozen):
    """The world before anything happens."""

    population: Name
    serving: str = "v1"
    traffic: Traffic
    labels: Labels = Labels()
    warmup: Duration = 0
    steady_state: tuple[Steady, ...] = ()


# ---------------------------------------------------------------- when

Where = Mapping[str, Scalar]


class Selective(Frozen):
    """Which rows of the event's window are touched: a keyed share of those that match `where`."""

    share: Share = 1.0
    where: dict[str, Scalar] | None = None


class Nulls(Selective):
    """A value goes missing, in one of its spellings (W1)."""

    field: str
    spelling: Literal["null", "nan", "empty", "na", "missing"] = "null"


class Rename(Selective):
    """A field arrives under another name (W2)."""

    field: str
    to: str


class Drop(Selective):
    """A field is no longer sent (W2)."""

    field: str


class Add(Selective):
    """A field that the contract does not know is sent as well (W2)."""

    field: str
    value: Scalar


class Retype(Selective):
    """The same value in another type (W2)."""

    field: str
    to: Literal["string", "number", "boolean", "list"]


class Scale(Selective):
    """A unit changes: the value is multiplied (W2)."""

    field: str
    by: float


class Respell(Selective):
    """A category is spelled differently (W2)."""

    field: str
    category: str
    to: str


class Outlier(Selective):
    """Extreme values in a few rows (W8)."""

    field: str
    value: float
    count: int = Field(1, ge=1)


class Reorder(Selective):
    """The columns arrive in another order; nothing else changes (W2, J10)."""


class Drift(Selective):
    """Covariate drift: the world's rows change, and their truth with them (W3)."""

    field: str
    shift: float | None = Field(None, description="in standard deviations of the population")
    category: str | None = Field(None, description="rows move to this category, known or new")
    shape: Literal["sudden", "gradual"] = "sudden"
    over: Duration | None = Field(None, description="gradual: length of the ramp; the whole event unless said")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.shift is None) == (self.category is None):
            msg = "drift needs exactly one of `shift` (numbers) and `category` (categories)"
            raise ValueError(msg)
        return self


class Concept(Selective):
    """Concept drift: the label rule changes while inputs do not; a keyed share of truths is reversed (W4)."""

    flip: Share


class LabelDelay(Selective):
    """Labels of touched rows come later by this much (W5)."""

    by: Duration


class LabelLoss(Selective):
    """Labels of touched rows never come (W5)."""


class Late(Selective):
    """Requests are delivered late; they keep the moment at which they happened (W7)."""

    by: Duration


class Duplicate(Selective):
    """Requests are delivered a second time (W7).

    `key`: as a client's retry, under the idempotency key of the first delivery (every request of the run then carries
    one); `payload: other` is a client that uses a key twice, for a request that is another one.
    """

    after: Duration = 2 * SECOND
    key: bool = False
    payload: Literal["same", "other"] = "same"

    @model_validator(mode="after")
    def _keyed(self) -> Self:
        if self.payload == "other" and not self.key:
            msg = "`payload: other` is about idempotency keys; say `key: true` as well"
            raise ValueError(msg)
        return self


class LoadLevel(Frozen):
    """A total request rate: absolute, a multiple of the base rate, or of the target's capacity."""

    value: float
    unit: Literal["per_second", "base", "capacity"]


def _load(value: Any) -> Any:
    if isinstance(value, str):
        number, _, unit = value.strip().partition("x")
        try:
            if unit.strip() in {"", "capacity"} and "x" in value:
                return {"value": float(number), "unit": "capacity" if unit.strip() else "base"}
            return {"value": parse_rate(value), "unit": "per_second"}
        except ValueError:
            pass
    if isinstance(value, Mapping | LoadLevel):
        return value
    msg = f"{value!r} is not a load; write 3x, 1.5x capacity, or a rate such as 500/s"
    raise ValueError(msg)


class Load(Frozen):
    """Further requests arrive on a stream of their own until the total reaches `to` (W9)."""

    to: Annotated[
        LoadLevel,
        BeforeValidator(_load),
        WithJsonSchema({"type": "string", "examples": ["3x", "1.5x capacity", "500/s"]}),
    ]


class Dependency(Frozen):
    """A dependency of the service is slow, down, or stale (W11)."""

    name: str
    fault: Literal["slow", "down", "stale"]
    by: Duration | None = Field(None, description="slow: added latency; stale: age of the answers")
    share: Share = 1.0


class ModelFault(Frozen):
    """The model behind the service hangs, raises, is slow, answers NaN, or answers wrongly (W11, W13)."""

    fault: Literal["hang", "raise", "slow", "nan", "wrong"]
    by: Duration | None = Field(None, description="slow: added latency")
    share: Share = 1.0


class Release(Frozen):
    """A version is released, whole or as a canary, optionally with a defect (W13)."""

    version: str
    by: Literal["canary", "swap"] = "canary"
    share: Share = 0.1
    defect: ModelFault | None = None
    bundle: Literal["sound", "damaged"] = Field(
        "sound", description="damaged: one digit of its largest file is another"
    )


VERBS: Final = (
    "nulls", "rename", "drop", "add", "retype", "scale", "respell", "outlier", "reorder",
    "drift", "concept", "label_delay", "label_loss", "late", "duplicate", "load",
    "dependency", "model", "release",
)  # fmt: skip
WORLD: Final = frozenset({"drift", "concept"})
REPRESENTATION: Final = frozenset(
    {"nulls", "rename", "drop", "add", "retype", "scale", "respell", "outlier", "reorder"}
)
TRANSPORT: Final = frozenset({"label_delay", "label_loss", "late", "duplicate", "load"})
SERVICE: Final = frozenset({"dependency", "model", "release"})


def _present(model: BaseModel, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if getattr(model, name) is not None]


class Event(Frozen):
    """Something happens at `at`, for `for`; exactly one verb says what."""

    event: Name
    at: Duration
    length: Duration | None = Field(None, alias="for", description="absent: until the end of the run")
    nulls: Nulls | None = None
    rename: Rename | None = None
    drop: Drop | None = None
    add: Add | None = None
    retype: Retype | None = None
    scale: Scale | None = None
    respell: Respell | None = None
    outlier: Outlier | None = None
    reorder: Reorder | None = None
    drift: Drift | None = None
    concept: Concept | None = None
    label_delay: LabelDelay | None = None
    label_loss: LabelLoss | None = None
    late: Late | None = None
    duplicate: Duplicate | None = None
    load: Load | None = None
    dependency: Dependency | None = None
    model: ModelFault | None = None
    release: Release | None = None

    @model_validator(mode="after")
    def _one_verb(self) -> Self:
        verbs = _present(self, VERBS)
        if len(verbs) != 1:
            found = f"found {', '.join(verbs)}" if verbs else "found none"
            msg = f"an event has exactly one verb ({found}); the verbs are {', '.join(VERBS)}"
            raise ValueError(msg)
        return self

    @property
    def verb(self) -> str:
        """Name of the one verb, such as ``scale``."""
        return _present(self, VERBS)[0]

    @property
    def params(self) -> Any:
        """The verb's own model, such as `Scale`."""
        return getattr(self, self.verb)

    @property
    def layer(self) -> Literal["world", "representation", "transport", "service"]:
        """S12: where the disturbance acts."""
        if self.verb in WORLD:
            return "world"
        if self.verb in REPRESENTATION:
            return "representation"
        return "transport" if self.verb in TRANSPORT else "service"


# ---------------------------------------------------------------- then


class AlertIs(Frozen):
    """Selects alerts; what is not said matches anything."""

    name: str | None = None
    field: str | None = None
    severity: str | None = None


class Handled(Frozen):
    """Each touched row was rejected, declared (default, fallback) or repaired (S8)."""

    by: tuple[Literal["reject", "default", "fallback", "repair"], ...]
    min: Share


class Recovers(Frozen):
    """From some moment before the deadline on, for `hold`.

    `model`: every answer is the model's. `healthy`: no error, no shed.
    """

    to: Literal["model", "healthy"]


class Rollback(Frozen):
    """The version that must serve every reply again, for `hold`."""

    to: str


class Exposure(Frozen):
    """Share of answered requests that this version served."""

    version: str
    max: Share


class Parity(Frozen):
    """Scores of the selected rows equal the clean twin's scores of the same rows (J10).

    `serving`: those that this version answered equal the scores of a clean run that it serves from the start.
    """

    min_pairs: int = Field(100, ge=1)
    serving: str | None = None


class Idempotent(Frozen):
    """A second delivery under the same key gets the first one's answer; with another payload, a refusal (J8)."""

    min_pairs: int = Field(100, ge=1)


class Readiness(Frozen):
    """What the readiness endpoint says (J9)."""

    to: Literal["ready", "unready"]


class Refuses(Frozen):
    """The release of this version is refused, and it never answers anybody."""

    version: str


class Quality(Frozen):
    """The service's own estimate on matured cohorts agrees with the truth (J6)."""

    of: Literal["positive_rate", "brier"] = "brier"
    within: float = Field(gt=0)


FAMILIES: Final = (
    "alert", "resolved", "no_alert", "handled", "harmed", "error_rate", "latency", "labels_seen",
    "fallback", "shed", "answered", "recovers", "rollback", "exposure", "parity", "quality",
    "clean_reject", "idempotent", "readiness", "refuses",
)  # fmt: skip

# Which safeguard an expectation of this family watches unless it says so itself (`guards:`), for the
# S control: with that safeguard off the expectation must turn red. Absent: T (and W) only.
GUARD_OF: Final[Mapping[str, str]] = {
    "alert": "alerts",
    "resolved": "alerts",
    "labels_seen": "alerts",
    "handled": "validation",
    "fallback": "fallback",
    "rollback": "rollback",
}
Safeguard = Literal["validation", "fallback", "alerts", "rollback"]
SAFEGUARDS: Final[tuple[Safeguard, ...]] = ("validation", "fallback", "alerts", "rollback")


class Expectation(Frozen):
    """Exactly one family (what), and a window (when, of which items). See semantics S1, S2."""

    id: Name
    alert: AlertIs | None = None
    resolved: Name | None = Field(None, description="id of the alert expectation whose episode must end")
    no_alert: Literal["any"] | AlertIs | None = None
    handled: Handled | None = None
    harmed: AtMost | None = None
    error_rate: AtMost | None = None
    latency: Latency | None = None
    labels_seen: AtMost | None = None
    fallback: AtLeast | None = None
    shed: AtMost | None = None
    answered: AtLeast | None = None
    recovers: Recovers | None = None
    rollback: Rollback | None = None
    exposure: Exposure | None = None
    parity: Parity | None = None
    quality: Quality | None = None
    clean_reject: AtLeast | None = None
    idempotent: Idempotent | None = None
    readiness: Readiness | None = None
    refuses: Refuses | None = None

    after: str | None = Field(None, description="event, or event.end")
    within: Duration | None = None
    during: Name | None = None
    outside: Name | None = None
    of: str | None = Field(None, description="event: the items it touched; or `untouched`")
    at: Name | None = Field(None, description="labels_seen: id of the alert expectation that fixes the moment")
    settle: Duration = 0
    hold: Duration = 5 * MINUTE
    once: bool = False
    severity: Literal["gate", "warn"] = "gate"
    guards: Safeguard | Literal["none"] | None = None

    @model_validator(mode="after")
    def _one_family(self) -> Self:
        families = _present(self, FAMILIES)
        if len(families) != 1:
            found = f"found {', '.join(families)}" if families else "found none"
            msg = f"an expectation has exactly one family ({found}); the families are {', '.join(FAMILIES)}"
            raise ValueError(msg)
        return self

    @property
    def family(self) -> str:
        """Name of the one family, such as ``handled``."""
        return _present(self, FAMILIES)[0]

    @property
    def params(self) -> Any:
        """The family's own value, such as a `Handled`."""
        return getattr(self, self.family)

    @property
    def safeguard(self) -> str | None:
        """The safeguard whose absence must turn this red, or None."""
        guard = self.guards or GUARD_OF.get(self.family)
        return None if guard == "none" else guard


class Scenario(Frozen):
    """One incident, resolved: matrix values are in, nothing is left to substitute."""

    seatrial: Literal[1]
    title: str
    because: str = ""
    tags: tuple[str, ...] = ()
    seed: int = Field(ge=0, lt=2**63)
    runs_on: tuple[Literal["virtual", "live", "locust"], ...] = ("virtual",)
    target: str | None = Field(
        None, description="name of a target file beside the scenarios; the population's own unless said"
    )
    given: Given
    matrix: dict[Name, tuple[Scalar, ...]] = {}
    when: tuple[Event, ...] = Field((), max_length=64)
    then: tuple[Expectation, ...] = ()

    def event(self, name: str) -> Event:
        """The event of that name; KeyError if there is none."""
        for event in self.when:
            if event.event == name:
                return event
        raise KeyError(name)

    def expectation(self, name: str) -> Expectation:
        """The expectation of that id; KeyError if there is none."""
        for expectation in self.then:
            if expectation.id == name:
                return expectation
        raise KeyError(name)

    def clean(self) -> Scenario:
        """The twin's scenario: the same world in which nothing happens (S9)."""
        return self.model_copy(update={"when": (), "then": ()})
