"""What can happen, as frozen data: one model to a verb, and the event that holds exactly one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from simulator.scenario.disturbances import (
    Add,
    Concept,
    Drift,
    Drop,
    Duplicate,
    Garble,
    LabelDelay,
    LabelLoss,
    LabelNoise,
    LabelTwice,
    Late,
    Load,
    Nest,
    Network,
    Nulls,
    Outlier,
    Prior,
    Rename,
    Reorder,
    Respell,
    Retype,
    Scale,
)
from simulator.scenario.frozen import Frozen, Name, present
from simulator.scenario.quantities import Duration, Share, Size


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
    def changes_version(self) -> bool:
        """Whether another version may answer after it."""
        return self.verb in {"release", "retrain", "operator"}

    @property
    def counted(self) -> bool:
        """Whether somebody stands in between to do it, and so has to have counted what was done (S7)."""
        released = self.release
        through = released is not None and (released.defect is not None or released.by == "shadow")
        return self.verb in {"dependency", "model"} or through

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
