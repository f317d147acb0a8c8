"""The contract of the payments model: what the reference service asks of a caller, and what it does when it is not so.

Defaults that are not given here are the typical values of the training window. Ranges are what is possible at all,
wider than what training saw: whether a possible value is a likely one is for the monitors to say.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from reference_service.contract import Contract, Field
from reference_service.training.rules import Condition, Rule
from reference_service.training.train import Recipe


def _stored(name: str, *, unit: str = "", maximum: float | None = None) -> Field:
    return Field(
        name=name,
        kind="number",
        origin="store",
        unit=unit,
        minimum=0.0,
        maximum=maximum,
        on_null="default",
        on_invalid="default",
    )


def _age(name: str) -> Field:
    """Days since something, which may be unknown: the model has learned what that means."""
    return Field(name=name, kind="number", unit="d", minimum=0.0, maximum=36_500.0, on_null="model", on_alert="default")


CONTRACT: Final = Contract(
    model="payments",
    version="",  # each bundle has its own
    entity="customer_id",
    fields=(
        # A score without the amount would be a guess; an amount in another unit is possible, so it is watched.
        Field(name="amount", kind="number", unit="EUR", minimum=0.0, maximum=1e6, on_alert="default"),
        Field(
            name="merchant_category",
            kind="category",
            categories=("grocery", "fashion", "fuel", "electronics", "travel", "digital", "gaming", "jewellery"),
            aliases=("mcc",),  # the name that older terminals send
            on_null="default",
        ),
        Field(
            name="payment_method",
            kind="category",
            categories=("card", "wallet", "bank_transfer", "prepaid"),
            on_alert="default",
        ),
        Field(
            name="country",
            kind="category",
            categories=("DE", "US", "FR", "GB", "NL", "PL", "ES", "BR", "IN", "NG"),
            on_null="default",
        ),
        Field(name="channel", kind="category", categories=("web", "app", "phone"), on_null="default"),
        Field(name="hour", kind="integer", unit="h", minimum=0, maximum=23, drift="ticket"),
        _age("device_age_days"),
        Field(name="is_new_device", kind="boolean", on_null="default"),
        Field(name="basket_size", kind="integer", minimum=1, maximum=1_000, on_null="default", on_alert="default"),
        Field(name="ip_risk", kind="number", minimum=0, maximum=1, on_null="model", on_alert="default"),
        Field(
            name="distance_km", kind="number", unit="km", minimum=0, maximum=1e9, on_null="default", on_alert="default"
        ),
        Field(name="attempts_1h", kind="integer", minimum=0, maximum=10_000, on_null="default", on_alert="default"),
        _age("email_age_days"),
        # What the feature store knows of the customer. When it cannot be asked, typical values answer, and say so.
        _stored("tenure_days", unit="d"),
        _stored("mean_amount", unit="EUR"),
        _stored("txn_7d"),
        _stored("chargebacks_1y"),
        _stored("night_share", maximum=1.0),
        _stored("merchants_30d"),
    ),
)

_NAMES: Final = [field.name for field in CONTRACT.fields]

FALLBACK_FIELD: Final = "payment_method"

RECIPES: Final = {
    "v1": Recipe(seed=1, trees=50, leaves=15),
    "v2": Recipe(seed=2, trees=120, leaves=15),  # a better model, with scores of its own
    "v3": Recipe(seed=3, trees=60, leaves=15),  # the next attempt, for releases that follow one another
    "v4": Recipe(seed=4, trees=20, leaves=15),  # trained on amounts in cents, which are sent in euros
    "v5": Recipe(seed=5, trees=20, leaves=15),  # trained on categories in the order of the alphabet
}


def _in_cents(values: np.ndarray) -> np.ndarray:
    found = values.copy()
    found[:, _NAMES.index("amount")] *= 100
    return found


def _in_alphabetical_order(values: np.ndarray) -> np.ndarray:
    found, j = values.copy(), _NAMES.index("merchant_category")
    known = CONTRACT.fields[j].categories
    order = np.array([sorted(known).index(name) for name in known], dtype=np.float64)
    there = values[:, j] >= 0  # neither null nor unseen
    found[there, j] = order[values[there, j].astype(np.int64)]
    return found


# What the training of a version did to its rows that serving does not: a skew that no row of the bundle's own shows.
SKEWS: Final = {"v4": _in_cents, "v5": _in_alphabetical_order}

# What was there before the model: six rules and their points in log-odds, as people who look at frauds wrote them down.
BASE: Final = -3.5
RULES: Final = (
    Rule(2.2, (Condition("amount", above=250.0), Condition("is_new_device", equals=True))),
    Rule(1.1, (Condition("amount", above=120.0), Condition("payment_method", equals="prepaid"))),
    Rule(1.3, (Condition("attempts_1h", above=1.0),)),
    Rule(1.2, (Condition("merchant_category", equals="jewellery"), Condition("ip_risk", above=0.3))),
    Rule(0.9, (Condition("chargebacks_1y", above=0.0), Condition("is_new_device", equals=True))),
    Rule(0.6, (Condition("merchant_category", equals="electronics"), Condition("amount", above=80.0))),
)
