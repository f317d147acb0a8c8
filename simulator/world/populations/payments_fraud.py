"""Why a payment is a fraud: the known causes, one line each.

The chance is the logistic of a base plus the effects. A null says nothing, except where an effect says otherwise.
The effects are piecewise linear or steps, so that they are exact everywhere and easy to check by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from simulator.world import portable
from simulator.world.population import Rows

BASE: Final = -6.1

_OF_METHOD: Final = {"card": 0.0, "wallet": -0.5, "bank_transfer": -0.3, "prepaid": 1.3}
_OF_MERCHANT: Final = {
    "grocery": -0.7, "fashion": 0.0, "fuel": -0.5, "electronics": 0.6,
    "travel": 0.2, "digital": 0.4, "gaming": 0.9, "jewellery": 1.1,
}  # fmt: skip
_OF_COUNTRY: Final = {"BR": 0.4, "IN": 0.3, "NG": 0.9}
_OF_CHANNEL: Final = {"web": 0.2, "app": -0.2, "phone": 0.5}
_UNHEARD_OF: Final = 0.8  # a method, merchant or channel that fraudsters found before the shop knew it


def _above_usual(rows: Rows) -> np.ndarray:
    """Doublings of the amount over what the customer usually pays."""
    return portable.log2(np.maximum(rows.sent["amount"], 0.01) / rows.latent["mean_amount"])


EFFECTS: Final[Mapping[str, Callable[[Rows], np.ndarray]]] = {
    "much more than this customer usually pays": lambda r: 0.75 * _ramp(_above_usual(r), -1.0, 4.0),
    "a large amount": lambda r: 0.9 * _ramp(r.sent["amount"], 100.0, 500.0) / 400.0,
    "an address that others complained about": lambda r: 3.2 * _ramp(r.sent["ip_risk"], 0.05, 0.85),
    "a new device": lambda r: 1.1 * (r.sent["is_new_device"] > 0),
    "a young device": lambda r: 0.9 * _ramp(30.0 - r.sent["device_age_days"], 0.0, 30.0) / 30.0,
    "the device hides its age": lambda r: 0.7 * np.isnan(r.sent["device_age_days"]),
    "several attempts within the hour": lambda r: 0.8 * _ramp(r.sent["attempts_1h"], 0.0, 4.0),
    "far from home": lambda r: 1.2 * _ramp(r.sent["distance_km"], 100.0, 1500.0) / 1400.0,
    "a young mail address": lambda r: 0.9 * _ramp(180.0 - r.sent["email_age_days"], 0.0, 180.0) / 180.0,
    "at night": lambda r: 0.7 * (r.sent["hour"] < 6) * (1.0 - r.latent["night_share"]),  # noqa: PLR2004
    "a big basket": lambda r: 0.1 * _ramp(r.sent["basket_size"], 4.0, 12.0),
    "the payment method": lambda r: _looked_up(r.sent["payment_method"], _OF_METHOD, _UNHEARD_OF),
    "the kind of merchant": lambda r: _looked_up(r.sent["merchant_category"], _OF_MERCHANT, _UNHEARD_OF),
    "the country": lambda r: _looked_up(r.sent["country"], _OF_COUNTRY, 0.0),
    "the channel": lambda r: _looked_up(r.sent["channel"], _OF_CHANNEL, _UNHEARD_OF),
    "a new customer": lambda r: 1.0 * _ramp(90.0 - r.latent["tenure_days"], 0.0, 90.0) / 90.0,
    "earlier chargebacks": lambda r: 0.8 * _ramp(r.latent["chargebacks_1y"], 0.0, 3.0),
    "many merchants in a month": lambda r: 0.06 * _ramp(r.latent["merchants_30d"], 4.0, 14.0),
    "a stranger with a large amount": lambda r: (
        1.3 * (r.sent["is_new_device"] > 0) * (_above_usual(r) > 1.0)  # neither alone is as bad
    ),
}


def probability(rows: Rows) -> np.ndarray:
    """The chance that each payment is a fraud."""
    total = np.full(len(rows.event_ns), BASE)
    for effect in EFFECTS.values():  # one after the other: a sum with a fixed order
        total = total + effect(rows)
    return portable.logistic(total)


def _ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """How far `x` lies above `low`, at most up to `high`; 0 for a null."""
    return np.where(np.isnan(x), 0.0, np.minimum(np.maximum(x, low), high) - low)


def _looked_up(column: np.ndarray, effect: Mapping[str, float], other: float) -> np.ndarray:
    """The effect of each category; `other` for those that are not listed, 0 for a null."""
    known: dict[str | None, float] = {None: 0.0} | dict(effect)
    return np.array([known.get(value, other) for value in column.tolist()], dtype=np.float64)
