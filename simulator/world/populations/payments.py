"""Synthetic card payments of a world-wide shop, about one in twenty a fraud.

Every number is a keyed draw pushed through `portable`, so a row is the same on every machine, whether it is drawn
alone or in a block. The customers are fixed: they belong to the population and not to a run.

The hour is the customer's own. Customers live in all time zones, so it does not follow the clock of the run: ninety
minutes of traffic are a fair sample of the population, and a monitor that alarms on them is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from simulator.scenario.quantities import HOUR, SECOND
from simulator.world import portable
from simulator.world.keyed import Draw
from simulator.world.population import Field, Rows, Truth
from simulator.world.populations import payments_fraud

CUSTOMERS: Final = 20_000
TRAINING_ROWS: Final = 120_000
_CUSTOMER_SEED: Final = 7_301_984  # of the population, whatever the scenario's seed is
_TRAINING_SEED: Final = 19_112_013

# Each choice with its relative frequency.
MERCHANTS: Final = {
    "grocery": 26, "fashion": 18, "fuel": 12, "electronics": 12,
    "travel": 9, "digital": 11, "gaming": 8, "jewellery": 4,
}  # fmt: skip
METHODS: Final = {"card": 52, "wallet": 25, "bank_transfer": 15, "prepaid": 8}
COUNTRIES: Final = {"DE": 20, "US": 18, "FR": 14, "GB": 13, "NL": 8, "PL": 8, "ES": 8, "BR": 5, "IN": 4, "NG": 2}
CHANNELS: Final = {"web": 46, "app": 42, "phone": 12}
_HOURS: Final = (3, 2, 1, 1, 1, 2, 4, 6, 8, 10, 11, 12, 12, 11, 11, 11, 12, 13, 15, 16, 15, 12, 8, 5)

_AMOUNT_OF_MERCHANT: Final = {
    "grocery": 0.6, "fashion": 1.1, "fuel": 0.8, "electronics": 1.9,
    "travel": 2.6, "digital": 0.4, "gaming": 0.5, "jewellery": 2.9,
}  # fmt: skip

# In the order of the wire. The spreads are measured (a test holds them to the draws).
FIELDS: Final = (
    Field("customer_id", "integer", spread=4410.0, minimum=0, maximum=CUSTOMERS - 1),
    Field("amount", "number", spread=84.0, minimum=0.01),
    Field("merchant_category", "category", categories=tuple(MERCHANTS)),
    Field("payment_method", "category", categories=tuple(METHODS)),
    Field("country", "category", categories=tuple(COUNTRIES)),
    Field("channel", "category", categories=tuple(CHANNELS)),
    Field("hour", "integer", spread=5.3, minimum=0, maximum=23),
    Field("device_age_days", "number", spread=250.0, minimum=0.0),
    Field("is_new_device", "boolean"),
    Field("basket_size", "integer", spread=2.28, minimum=1),
    Field("ip_risk", "number", spread=0.2, minimum=0.0, maximum=1.0),
    Field("distance_km", "number", spread=350.0, minimum=0.0),
    Field("attempts_1h", "integer", spread=0.54, minimum=0),
    Field("email_age_days", "number", spread=900.0, minimum=0.0),
)

# Shares of nulls as training has them; every field that is not named here is always there.
NULLS: Final = {"device_age_days": 0.03, "email_age_days": 0.05, "ip_risk": 0.01}


@dataclass(frozen=True, slots=True)
class Choice:
    """A draw among names with given weights."""

    names: np.ndarray
    cuts: np.ndarray

    @classmethod
    def of(cls, weights: dict[str, int]) -> Choice:
        """`weights` maps each name to its relative frequency."""
        total = np.cumsum(np.array(list(weights.values()), dtype=np.int64))
        return cls(np.array(list(weights), dtype=object), total[:-1] / total[-1])

    def at(self, u: np.ndarray) -> np.ndarray:
        """The codes that the uniforms `u` choose."""
        return np.searchsorted(self.cuts, u, side="right")


_MERCHANT: Final = Choice.of(MERCHANTS)
_METHOD: Final = Choice.of(METHODS)
_COUNTRY: Final = Choice.of(COUNTRIES)
_CHANNEL: Final = Choice.of(CHANNELS)
_HOUR: Final = Choice.of({str(hour): weight for hour, weight in enumerate(_HOURS)})
_MERCHANT_LOG2: Final = portable.log2(np.array([_AMOUNT_OF_MERCHANT[name] for name in MERCHANTS]))


@cache
def customers() -> dict[str, np.ndarray]:
    """The feature store's table: what is known of customer i stands at position i of every column.

    Busy customers come first. float64[CUSTOMERS] each: tenure_days, mean_amount, txn_7d, chargebacks_1y,
    night_share (of the payments at night), merchants_30d (distinct ones).
    """
    draw = Draw(_CUSTOMER_SEED, "payments.customers")
    who = np.arange(CUSTOMERS, dtype=np.int64)
    busy = 1.0 - who / CUSTOMERS
    tenure = np.floor(900.0 * portable.exponential_quantile(draw.uniform("tenure", who)))
    per_week = 12.0 * busy * busy * portable.exponential_quantile(draw.uniform("txn", who))
    # A chargeback a year for one customer in twelve, for few of them several.
    chargebacks = np.floor(portable.exponential_quantile(draw.uniform("chargebacks", who)) / 2.5)
    table = {
        "tenure_days": tenure,
        "mean_amount": _cents(portable.exp2(5.3 + 0.9 * portable.normal_quantile(draw.uniform("amount", who)))),
        "txn_7d": np.floor(per_week),
        "chargebacks_1y": np.minimum(chargebacks, 6.0),
        "night_share": np.floor(100.0 * draw.uniform("night", who) * draw.uniform("night2", who)) / 100.0,
        "merchants_30d": 1.0 + np.floor(per_week * draw.uniform("merchants", who)),
    }
    for column in table.values():
        column.setflags(write=False)  # shared by every caller
    return table


def training(rows: int = TRAINING_ROWS) -> tuple[Rows, Truth]:
    """Rows of the training stream, one a second; under its own seed, so that no scenario replays them."""
    draw = Draw(_TRAINING_SEED, "training")
    index = np.arange(rows, dtype=np.int64)
    drawn = POPULATION.rows(draw, index, index * SECOND)
    return drawn, POPULATION.truth(draw, index, drawn)


def _cents(amount: np.ndarray) -> np.ndarray:
    return np.maximum(np.rint(amount * 100.0), 1.0) / 100.0


class Payments:
    """The population named ``payments``."""

    name = "payments"
    fields: tuple[Field, ...] = FIELDS

    def rows(self, draw: Draw, index: np.ndarray, event_ns: np.ndarray) -> Rows:
        """Any rows of any stream, at any time."""

        def u(purpose: str) -> np.ndarray:
            return draw.uniform(purpose, index)

        who = (u("customer_id") * u("customer_id.busy") * CUSTOMERS).astype(np.int64)  # the busy ones are first
        latent = {name: column[who] for name, column in customers().items()}
        merchant = _MERCHANT.at(u("merchant_category"))
        scatter = 0.8 * portable.normal_quantile(u("amount")) + _MERCHANT_LOG2[merchant]
        device_age = _tenths(250.0 * portable.exponential_quantile(u("device_age_days")))
        new_device = u("is_new_device") < 0.06  # noqa: PLR2004 - the share of payments from a new device
        device_age = np.where(new_device, 0.0, device_age)
        risk = u("ip_risk")
        sent = {
            "customer_id": who.astype(np.float64),
            "amount": _cents(latent["mean_amount"] * portable.exp2(scatter)),
            "merchant_category": _MERCHANT.names[merchant],
            "payment_method": _METHOD.names[_METHOD.at(u("payment_method"))],
            "country": _COUNTRY.names[_COUNTRY.at(u("country"))],
            "channel": _CHANNEL.names[_CHANNEL.at(u("channel"))],
            "hour": _HOUR.at(u("hour")).astype(np.float64),
            "device_age_days": device_age,
            "is_new_device": new_device.astype(np.float64),
            "basket_size": 1.0 + np.floor(2.3 * portable.exponential_quantile(u("basket_size"))),
            "ip_risk": np.floor(1000.0 * risk * risk * u("ip_risk.2")) / 1000.0,
            "distance_km": np.floor(portable.exp2(4.0 + 2.6 * portable.normal_quantile(u("distance_km")))),
            "attempts_1h": np.floor(0.6 * portable.exponential_quantile(u("attempts_1h"))),
            "email_age_days": np.floor(900.0 * portable.exponential_quantile(u("email_age_days"))),
        }
        for name, share in NULLS.items():
            sent[name] = np.where(u(f"{name}.null") < share, np.nan, sent[name])
        return Rows(event_ns=event_ns, entity=who, segment=sent["country"], sent=sent, latent=latent)

    def truth(self, draw: Draw, index: np.ndarray, rows: Rows) -> Truth:
        """Fraud with the probability of `payments_fraud`; frauds are reported in days, the rest clears in a month."""
        fraud = draw.uniform("fraud", index) < payments_fraud.probability(rows)
        days = portable.exp2(0.6 + 1.5 * portable.normal_quantile(draw.uniform("reported", index)))
        after = np.where(fraud, np.rint(days * 24.0 * HOUR), 30.0 * 24.0 * HOUR)
        return Truth(label=fraud.astype(np.int8), label_after_ns=after.astype(np.int64))


def _tenths(x: np.ndarray) -> np.ndarray:
    return np.floor(x * 10.0) / 10.0


POPULATION: Final = Payments()
