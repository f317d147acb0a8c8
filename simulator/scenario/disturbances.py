"""What can happen to rows, requests and labels, as frozen data: one model to a verb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from simulator.scenario.frozen import Frozen, Scalar
from simulator.scenario.quantities import MINUTE, SECOND, Duration, Share, parse_rate


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


Outcome = Literal["any", "positive", "negative"]


class Selective(Frozen):
    """Which rows of the event's window are touched: a keyed share of those that match `where`.

    Missing completely at random is a `share`; at random, `where` another field has some value; not at random,
    `where` the field itself has (Rubin, Inference and Missing Data, Biometrika 63, 1976).
    """

    share: Share = 1.0
    where: dict[str, Scalar | Bounds] | None = None


class Nulls(Selective):
    """A value goes missing, in one of its spellings (W1).

    With an `outcome` it is missing by what is to be predicted: a field that knows its label, and a leak for whoever
    learns of it (Kaufman et al., Leakage in Data Mining, ACM TKDD 6, 2012).
    """

    field: str
    outcome: Outcome = "any"
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

    outcome: Outcome = "any"


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
    one); `payload: other` is a client that uses a key twice, for a request that is another one, and `one_value` for one
    that differs in a single value, each in its turn.
    """

    after: Duration = 2 * SECOND
    key: bool = False
    payload: Literal["same", "one_value", "other"] = "same"

    @model_validator(mode="after")
    def _keyed(self) -> Self:
        if self.payload != "same" and not self.key:
            msg = f"`payload: {self.payload}` is about idempotency keys; say `key: true` as well"
            raise ValueError(msg)
        return self


class Network(Selective):
    """The way of requests to the service is bad (W10, W9). In real time they go through a proxy.

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
