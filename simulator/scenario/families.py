"""What can be expected, as frozen data: one model to a family, where a limit alone does not say it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from simulator.scenario.frozen import Frozen
from simulator.scenario.quantities import MINUTE, Duration, Share


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


class AlertIs(Frozen):
    """Selects alerts; what is not said matches anything."""

    name: str | None = None
    field: str | None = None
    severity: str | None = None
    route: str | None = Field(None, description="over which it came, such as pagerduty; any unless said")


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
    """Share of answered requests that this version served: at most `max`, or at least `min`.

    `by: customer`: share of those who were answered whom it ever served, at most `max`. Who is to meet always the same
    version is met by no other; a split by the request or by the clock shows all of them both.
    """

    version: str
    max: Share | None = None
    min: Share | None = None
    by: Literal["request", "customer"] = "request"

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.max is None) == (self.min is None):
            msg = "exposure needs exactly one of `max` and `min`; for both write two expectations"
            raise ValueError(msg)
        if self.by == "customer" and self.max is None:
            msg = "exposure by customer needs `max`; who asks once meets one version, however requests are split"
            raise ValueError(msg)
        return self


class Promoted(Frozen):
    """From the deadline on, for `hold`, this version gives at least so many of the answers."""

    to: str
    min: Share = 0.9


class ShadowIs(Frozen):
    """A version that is asked and not heard: replies, and how long they took, are the clean twin's (J9)."""

    version: str
    min_pairs: int = Field(100, ge=1)


class Lossless(Frozen):
    """Whatever was in flight when the event began, or was sent in the window, is answered by one known version (J4)."""


class Parity(Frozen):
    """Scores of the selected rows equal the clean twin's scores of the same rows (J10).

    `serving`: those that this version answered equal the scores of a clean run that it serves from the start.
    `target`: of another target, such as one that scores offline, or a service in development.
    """

    min_pairs: int = Field(100, ge=1)
    serving: str | None = None
    target: str | None = None

    @property
    def beside(self) -> str | None:
        """Name of the clean run that it needs besides the twin, if any: ``v2``, or ``v2@offline``."""
        return self.serving if self.target is None else f"{self.serving}@{self.target}"


class Idempotent(Frozen):
    """A second delivery under the same key gets the first one's answer; with another payload, a refusal (J8)."""

    min_pairs: int = Field(100, ge=1)


class Readiness(Frozen):
    """What the readiness endpoint says (J9). `ready_throughout`: whoever asks is told that it is ready."""

    to: Literal["ready", "unready", "ready_throughout"]


class Refuses(Frozen):
    """The release of this version is refused, and it never answers anybody."""

    version: str


class ToPeople(Frozen):
    """A share of answers that concerns people: at most `max`, or at least `min`."""

    max: Share | None = None
    min: Share | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.max is None) == (self.min is None):
            msg = "name exactly one of `max` and `min`; a band is two expectations"
            raise ValueError(msg)
        return self


class Review(ToPeople):
    """The share of answers that go to people: at most `max`, or at least `min` (J11)."""

    decision: str = Field("review", description="the service's word for it")


class Shown(ToPeople):
    """The share of answers that people were shown, whatever the answer said: at most `max`, or at least `min` (J11)."""


class Reviewed(Frozen):
    """Whatever is to be reviewed is shown to people, and what they say of a case stands in the end (J11)."""

    min_pairs: int = Field(100, ge=1)
    decision: str = Field("review", description="the service's word for what people are to look at")


class Fairness(Frozen):
    """In no segment are more rows than this worse off: refused, failed, or not answered by the model (J12)."""

    max: Share


class GroupErrors(Frozen):
    """About no group is the service wrong more often than about the others, by more than `gap` (J12).

    A false positive is another decision than `approve` about a negative, of all negatives; a false negative `approve`
    about a positive, of all positives.
    """

    of: Literal["false_positive", "false_negative"]
    gap: Share = Field(description="by how much the rate of a group may exceed that of all others together")
    approve: str = Field("approve", description="the service's word for it")
    min_rows: int = Field(100, ge=1, description="rows of known truth, of a group and of the others")


class Better(Frozen):
    """Of two versions side by side the first one's scores are surely nearer to the truth (S11).

    Customers are the sample, for it is they who are assigned; whom both versions answered belongs to no arm.
    """

    version: str
    than: str = Field(description="the version beside it, such as the rules that were there before the model")
    by: float = Field(0.0, ge=0, lt=1, description="Brier score of `than` less that of `version`, at least")
    min_customers: int = Field(200, ge=2, description="customers of known truth, of either arm")


class Cost(Frozen):
    """A thousand predictions take at most so much CPU time of the service (J14).

    In virtual time that is what the target file's `service_time` charges; in real time what the processes used.
    """

    cpu: Duration = Field(gt=0)
    min_rows: int = Field(1000, ge=1, description="predictions; what fewer take says little of the next")


class Amplification(Frozen):
    """Calls in the window are at most so many times the clean twin's: an outage is not answered by a storm (S4)."""

    to: str = Field(
        description="a dependency that the target file names among its seams, or `service`: client attempts"
    )
    times: float = Field(gt=0)


class Quality(Frozen):
    """The service's own estimate on matured cohorts agrees with the truth (J6)."""

    of: Literal["positive_rate", "brier"] = "brier"
    within: float = Field(gt=0)


class Logged(Frozen):
    """The service's decision log has one record of each answer, and says what the answer said (J7)."""

    min_pairs: int = Field(100, ge=1)


class Metered(Frozen):
    """When the run is over, the service's metrics count what was answered, and name the version that answers (J3)."""

    series: int = Field(1000, ge=1, description="time series, at most: labels are bounded")


class Retrained(Frozen):
    """How far a retrained version gets (J13).

    `live`: to everybody, and only through shadow, canary and promotion. `nowhere`: it is refused, and answers nobody.
    """

    version: str
    goes: Literal["live", "nowhere"]
    shadow: Duration = Field(MINUTE, description="live: how long it is asked and not heard, at least")
    canary: Duration = Field(MINUTE, description="live: how long it answers a few, at least")
    share: Share = Field(0.2, description="live: of answers that it gives before its promotion, at most")
