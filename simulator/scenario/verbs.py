"""What can happen, as frozen data: one model to a verb, and the event that holds exactly one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from simulator.scenario.frozen import Frozen, Name, Scalar, present
from simulator.scenario.quantities import MINUTE, SECOND, Duration, Share, Size, parse_rate


class Bounds(Frozen):
    """A number above one value, below another, or both; null is neither."""

    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.above is None and self.below is None:
            msg = "bounds need `above`, `below` or both"
            raise ValueError(msg)
        if self.above is not None and self.below is not None and self.above >= self.below:
            msg = f"nothing is above {self.above:g} and below {self.below:g}"
            raise ValueError(msg)
        return self


class Selective(Frozen):
    """Which rows of the event's window are touched: a keyed share of those that match `where`.

    Missing completely at random is a `share`; at random, `where` another field has some value; not at random,
    `where` the field itself has (Rubin, Inference and Missing Data, Biometrika 63, 1976).
    """

    share: Share = 1.0
    where: dict[str, Scalar | Bounds] | None = None


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


class Nest(Selective):
    """A field moves into an object of that name (W2)."""

    field: str
    under: str


class Garble(Selective):
    """The body of a request is not what it should be: cut off, no JSON at all, or far too large (W8)."""

    how: Literal["truncated", "not_json", "oversized"]
    size: int = Field(4 * 2**20, ge=1024, le=64 * 2**20, description="oversized: bytes of the body")


class Reorder(Selective):
    """The columns arrive in another order; nothing else changes (W2, J10)."""


Shape = Literal["sudden", "gradual", "incremental", "recurring", "seasonal"]


class Shaped(Selective):
    """A change that comes in one of the shapes of concept drift (Gama et al., ACM Computing Surveys 46, 2014).

    Sudden: at once. Gradual: in ever more rows. Incremental: in ever larger steps. Recurring: on in the first half of
    each period, off in the second. Seasonal: there and back in a wave, its mean that of the world as it was.
    """

    shape: Shape = "sudden"
    over: Duration | None = Field(
        None, description="gradual, incremental: length of the ramp; the whole event unless said"
    )
    every: Duration | None = Field(None, gt=0, description="recurring, seasonal: the period")


class Drift(Shaped):
    """Covariate drift: the world's rows change, and their truth with them (W3)."""

    field: str
    shift: float | None = Field(None, description="in standard deviations of the population")
    category: str | None = Field(None, description="rows move to this category, known or new")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.shift is None) == (self.category is None):
            msg = "drift needs exactly one of `shift` (numbers) and `category` (categories)"
            raise ValueError(msg)
        return self


class Concept(Shaped):
    """Concept drift: the label rule changes while inputs do not; a keyed share of truths is reversed (W4)."""

    flip: Share


class Prior(Selective):
    """Prior shift: positives become so many of the rows, and look as positives always did (W4)."""

    to: Share = Field(description="share of positives among the rows concerned")


class OfOutcome(Selective):
    """What happens to labels may depend on what they say (W5)."""

    outcome: Literal["any", "positive", "negative"] = "any"


class LabelDelay(OfOutcome):
    """Labels of touched rows come later by this much (W5)."""

    by: Duration


class LabelLoss(OfOutcome):
    """Labels of touched rows never come (W5)."""


class LabelNoise(OfOutcome):
    """Labels of touched rows say the opposite of the truth (W5)."""


class LabelTwice(OfOutcome):
    """Labels of touched rows are delivered a second time, as by a feed that lost the receipt of the first (W5)."""

    after: Duration = Field(5 * MINUTE, description="from the first delivery to the second, at least")


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


class Network(Selective):
    """The way of requests to the service is bad (W10, W9). In real time they go through a proxy; not with Locust.

    Latency: they arrive later than they were sent. Loss: they never arrive. Half open: they arrive, and the answer
    never comes. Reset: the service answers, and the connection is cut before the answer arrives. Partition: no
    connection can be made. Upload: the body arrives in pieces over that time.
    """

    fault: Literal["latency", "loss", "half_open", "reset", "partition", "upload"]
    by: Duration | None = Field(None, description="latency: added to the way; upload: from the first piece to the last")


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
    over: Duration | None = Field(
        None, gt=0, description="a ramp: the time in which it gets there; at once unless said"
    )
    distinct: int | None = Field(None, ge=1, description="a bot: so many different rows, over and over (W8)")


class Dependency(Frozen):
    """A dependency of the service is slow, down, or stale, or a disk is full (W11)."""

    name: str
    fault: Literal["slow", "down", "stale", "full"]
    by: Duration | None = Field(None, description="slow: added latency; stale: age of the answers")
    share: Share = 1.0


class Restart(Frozen):
    """The service ends and starts again on what it left behind; it is gone for the event's `for` (W12)."""

    how: Literal["stop", "kill"] = Field("stop", description="stop: it may tidy up; kill: it may not")


class Pause(Frozen):
    """The service stands still, as under a debugger or a hypervisor; it lives, and its connections stay open (W12)."""


class Cpu(Frozen):
    """All processes of the service together get so much CPU time and no more (W12)."""

    cores: float = Field(gt=0, le=1024, description="CPU seconds a second, spent in periods of 100 ms")


class Memory(Frozen):
    """Each process of the service may take so much more memory than it has; then allocations fail (W12)."""

    headroom: Size = Field(gt=0)


class ClockStep(Frozen):
    """The wall clock of the service's machine is set, and set right again after the event's `for` (W11).

    Only the time of day changes: no second is longer, and no timer is due earlier.
    """

    by: Duration = Field(gt=0)
    way: Literal["forward", "back"] = "forward"


class ModelFault(Frozen):
    """The model behind the service hangs, raises, is slow, answers NaN, wrongly, or a little off (W11, W13)."""

    fault: Literal["hang", "raise", "slow", "nan", "wrong", "off"]
    by: Duration | None = Field(None, description="slow: added latency")
    share: Share = 1.0


class Release(Frozen):
    """A version is released, optionally with a defect (W13).

    `canary`: to a share, judged against the rest. `ab`: the same, and never promoted. `swap`: to everyone at once.
    `shadow`: it is asked as well, and answers nobody.
    """

    version: str
    by: Literal["canary", "ab", "swap", "shadow"] = "canary"
    share: Share = 0.1
    defect: ModelFault | None = None
    bundle: Literal["sound", "damaged", "skewed"] = Field(
        "sound",
        description="damaged: one digit of its largest file is another; skewed: trained on features that serving makes "
        "otherwise, and so in the target's folder",
    )


class Operator(Frozen):
    """An operator acts on releases: what is on trial is promoted or taken back, or a version is frozen (W13)."""

    does: Literal["promote", "rollback", "freeze"]
    version: str | None = Field(None, description="rollback: to this one; freeze: this one")


class Retrain(Frozen):
    """The service is asked to train itself anew on what it has seen, at once or as soon as it has evidence (S13, S17).

    How far the new version gets is up to the service, which tells step by step.
    """

    version: str = Field(description="name of the version that comes of it")
    on: Literal["request", "evidence"] = "request"


VERBS: Final = (
    "nulls", "rename", "drop", "add", "nest", "retype", "scale", "respell", "outlier", "reorder", "garble",
    "drift", "concept", "prior", "label_delay", "label_loss", "label_noise", "label_twice", "late", "duplicate",
    "network", "load", "dependency", "model", "release", "operator", "restart", "pause", "cpu", "memory",
    "clock_step", "retrain",
)  # fmt: skip
WORLD: Final = frozenset({"drift", "concept", "prior"})
REPRESENTATION: Final = frozenset(
    {"nulls", "rename", "drop", "add", "nest", "retype", "scale", "respell", "outlier", "reorder", "garble"}
)
TRANSPORT: Final = frozenset(
    {"label_delay", "label_loss", "label_noise", "label_twice", "late", "duplicate", "network", "load"}
)
PROCESS: Final = frozenset({"restart", "pause", "cpu", "memory"})  # befall the service's own processes
SERVICE: Final = frozenset({"dependency", "model", "release", "operator", "clock_step", "retrain"}) | PROCESS
# Which drivers can do what not all of them can.
ONLY_ON: Final[Mapping[str, tuple[str, ...]]] = {
    "network": ("virtual", "live"),
    "memory": ("live", "locust"),
    "clock_step": ("virtual",),
}


class Event(Frozen):
    """Something happens at `at`, for `for`; exactly one verb says what."""

    event: Name
    at: Duration
    length: Duration | None = Field(None, alias="for", description="absent: until the end of the run")
    nulls: Nulls | None = None
    rename: Rename | None = None
    drop: Drop | None = None
    add: Add | None = None
    nest: Nest | None = None
    retype: Retype | None = None
    scale: Scale | None = None
    respell: Respell | None = None
    outlier: Outlier | None = None
    reorder: Reorder | None = None
    garble: Garble | None = None
    drift: Drift | None = None
    concept: Concept | None = None
    prior: Prior | None = None
    label_delay: LabelDelay | None = None
    label_loss: LabelLoss | None = None
    label_noise: LabelNoise | None = None
    label_twice: LabelTwice | None = None
    late: Late | None = None
    duplicate: Duplicate | None = None
    network: Network | None = None
    load: Load | None = None
    dependency: Dependency | None = None
    model: ModelFault | None = None
    release: Release | None = None
    operator: Operator | None = None
    restart: Restart | None = None
    pause: Pause | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    clock_step: ClockStep | None = None
    retrain: Retrain | None = None

    @model_validator(mode="after")
    def _one_verb(self) -> Self:
        verbs = present(self, VERBS)
        if len(verbs) != 1:
            found = f"found {', '.join(verbs)}" if verbs else "found none"
            msg = f"an event has exactly one verb ({found}); the verbs are {', '.join(VERBS)}"
            raise ValueError(msg)
        return self

    @property
    def verb(self) -> str:
        """Name of the one verb, such as ``scale``."""
        return present(self, VERBS)[0]

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
