"""The scenario language as frozen data: given / when / then.

An event holds exactly one *verb* (what happens), an expectation exactly one *family* (what must be
true). Both are flat models whose verbs and families are optional keys, so that a wrong key is
reported where it stands instead of as a failed union.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from simulator.scenario.families import (
    AlertIs,
    Amplification,
    AtLeast,
    AtMost,
    Better,
    Cost,
    Exposure,
    Fairness,
    GroupErrors,
    Handled,
    Idempotent,
    Latency,
    Logged,
    Lossless,
    Metered,
    Parity,
    Promoted,
    Quality,
    Readiness,
    Recovers,
    Refuses,
    Retrained,
    Review,
    Reviewed,
    Rollback,
    ShadowIs,
    Shown,
)
from simulator.scenario.frozen import Frozen, Name, Scalar, present
from simulator.scenario.quantities import DAY, MINUTE, SECOND, Duration, Rate, Share
from simulator.scenario.verbs import Event

# ---------------------------------------------------------------- given


class Replay(Frozen):
    """A slice of a recorded population, in event order; dates are the population's own."""

    start: str = Field(alias="from", description="first day or moment, ISO 8601, inclusive")
    end: str = Field(alias="to", description="last day or moment, ISO 8601, exclusive")


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


class Feedback(Frozen):
    """The service's decisions change later traffic (W6): of those who get one of `on`, some leave, some try again.

    Which labels ever arrive is the target's to say: `labels: {censored_by: [...]}` of its target file.
    """

    on: tuple[str, ...] = Field(min_length=1, description="decisions that people react to")
    leave: Share = Field(0.0, description="share of them that stay away")
    away: Duration = Field(7 * DAY, gt=0, description="and for how long: no further request of that entity")
    again: Share = Field(0.0, description="share of them that try once more with the same row")
    after: Duration = Field(5 * MINUTE, gt=0, description="and when")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not 0 < self.leave + self.again <= 1:
            msg = "feedback needs `leave`, `again` or both, together at most 100%"
            raise ValueError(msg)
        return self


class Reviewers(Frozen):
    """People look at the service's queue of reviews, and say of each case what is true of it (J11)."""

    every: Duration = Field(MINUTE, gt=0, description="how often they look")


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
    feedback: Feedback | None = None
    reviewers: Reviewers | None = None
    warmup: Duration = 0
    steady_state: tuple[Steady, ...] = ()


# ---------------------------------------------------------------- then

FAMILIES: Final = (
    "alert", "resolved", "no_alert", "handled", "harmed", "error_rate", "latency", "labels_seen",
    "fallback", "shed", "answered", "recovers", "rollback", "exposure", "parity", "quality",
    "clean_reject", "idempotent", "readiness", "refuses", "promoted", "shadow", "lossless",
    "review", "fairness", "amplification", "logged", "retrain", "group_errors", "cost", "better",
    "reviewed", "shown", "metered",
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
Safeguard = Literal["validation", "fallback", "alerts", "rollback", "gate"]
SAFEGUARDS: Final[tuple[Safeguard, ...]] = ("validation", "fallback", "alerts", "rollback", "gate")


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
    amplification: Amplification | None = None
    refuses: Refuses | None = None
    promoted: Promoted | None = None
    shadow: ShadowIs | None = None
    lossless: Lossless | None = None
    review: Review | None = None
    fairness: Fairness | None = None
    logged: Logged | None = None
    retrain: Retrained | None = None
    group_errors: GroupErrors | None = None
    cost: Cost | None = None
    better: Better | None = None
    reviewed: Reviewed | None = None
    shown: Shown | None = None
    metered: Metered | None = None

    after: str | None = Field(None, description="event, or event.end")
    within: Duration | None = None
    during: Name | None = None
    outside: Name | None = None
    of: str | None = Field(None, description="event: the items it touched; or `untouched`")
    at: Name | None = Field(None, description="labels_seen: id of the alert expectation that fixes the moment")
    settle: Duration = 0
    hold: Duration = 5 * MINUTE
    once: bool = False
    stands: bool = False
    severity: Literal["gate", "warn"] = "gate"
    guards: Safeguard | Literal["none"] | None = None

    @model_validator(mode="after")
    def _one_family(self) -> Self:
        families = present(self, FAMILIES)
        if len(families) != 1:
            found = f"found {', '.join(families)}" if families else "found none"
            msg = f"an expectation has exactly one family ({found}); the families are {', '.join(FAMILIES)}"
            raise ValueError(msg)
        return self

    @property
    def family(self) -> str:
        """Name of the one family, such as ``handled``."""
        return present(self, FAMILIES)[0]

    @property
    def params(self) -> Any:
        """The family's own value, such as a `Handled`."""
        return getattr(self, self.family)

    @property
    def safeguard(self) -> str | None:
        """The safeguard whose absence must turn this red, or None."""
        # Without a gate everything goes live: only for what is to be refused is this a fault.
        gated = "gate" if self.retrain is not None and self.retrain.goes == "nowhere" else None
        guard = self.guards or gated or GUARD_OF.get(self.family)
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
    matrix: dict[Name, tuple[Scalar, ...]] = Field({})
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

    def to_be_refused(self, event: Event) -> bool:
        """Whether it is expected that this release is refused."""
        anchors = {one.after for one in self.then if one.refuses is not None}
        return event.event in {str(anchor).removesuffix(".end") for anchor in anchors}

    def clean(self) -> Scenario:
        """The twin's scenario: the same world in which nothing happens (S9)."""
        return self.model_copy(update={"when": (), "then": ()})
