"""The contract of a model: fields, types, ranges, defaults, aliases, units. Versioned, discoverable, hiding internals.

Field order is the model's feature order. Data only; `thorough.py` acts on it.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One feature. `origin` says who supplies it; the policies say what happens when it is not as training had it."""

    name: str
    kind: Literal["number", "integer", "category", "boolean"]
    origin: Literal["request", "store"] = "request"
    unit: str = ""
    categories: tuple[str, ...] = ()  # category: in ordinal order; training saw exactly these
    minimum: float | None = None
    maximum: float | None = None
    aliases: tuple[str, ...] = ()  # other names under which it may arrive; using one is a declared repair
    default: float | str | None = None  # declared default, in the field's own terms
    # null or missing: `model` where training had nulls, else refuse or answer by the default and say so
    on_null: Literal["reject", "default", "model"] = "reject"
    on_unseen: Literal["reject", "default"] = "default"  # a category that training never saw
    on_invalid: Literal["reject", "default"] = "reject"  # wrong type, out of range, not finite
    drift: Literal["page", "ticket", "off"] = "page"  # severity of a drift alert
    drift_fire: float | None = None  # PSI that matters in this field, where the policy's is what its seasons bring
    on_alert: Literal["none", "default", "fallback"] = "none"  # quarantine while an alert on this field fires


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a caller may rely on."""

    model: str
    version: str
    entity: str  # request field that names the customer: hashing for canary, key for the feature store
    entity_kind: Literal["integer", "string"] = "integer"
    fields: tuple[Field, ...]
