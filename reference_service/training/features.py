"""Columns as production sends them, encoded as the model reads them. Serving encodes the same way, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

from reference_service.contract import Contract, Field
from reference_service.core.binning import UNSEEN

_STRANGER: Final = "\0"  # a category of no contract: what an unseen one was is not written down


def categories(field: Field) -> int:
    """How many values the field has: 0 for a number, 2 for a boolean."""
    return 2 if field.kind == "boolean" else len(field.categories)


def n_categories(contract: Contract) -> np.ndarray:
    """int64[f] of `categories`."""
    return np.array([categories(field) for field in contract.fields], dtype=np.int64)


def encode(contract: Contract, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """float64[n, f] in contract order: null is NaN, a category its ordinal, an unseen category `UNSEEN`.

    Args:
        contract: Whose fields to take.
        columns: By field name, float64[n] of a number or boolean (null is NaN), object[n] of `str | None` of a
            category. Others are ignored.

    Raises:
        KeyError: A field has no column.
    """
    return np.column_stack([_encode_field(field, columns[field.name]) for field in contract.fields])


def decode(contract: Contract, values: np.ndarray) -> dict[str, np.ndarray]:
    """By field name, columns that `encode` makes float64[n, f] values of: what a client could have sent."""
    return {field.name: _decode_field(field, values[:, j]) for j, field in enumerate(contract.fields)}


def for_model(contract: Contract, values: np.ndarray) -> np.ndarray:
    """The encoded rows as LightGBM is to see them: it knows no unseen categories, so they are null to it."""
    unseen = (values == UNSEEN) & (n_categories(contract) > 0)
    return np.where(unseen, np.nan, values)


def typical(contract: Contract, values: np.ndarray) -> np.ndarray:
    """float64[f]: the median of a number (one that occurs), the most common ordinal of a category; NaN if all null."""
    found = np.full(len(contract.fields), np.nan)
    for j, field in enumerate(contract.fields):
        column = values[:, j]
        known = column[~np.isnan(column) & ~((column == UNSEEN) & (categories(field) > 0))]
        if len(known):
            found[j] = (
                np.bincount(known.astype(np.int64)).argmax()
                if categories(field)
                else np.quantile(known, 0.5, method="inverted_cdf")
            )
    return found


def with_defaults(contract: Contract, values: np.ndarray) -> Contract:
    """The contract with every default that a policy needs and that is not declared filled in by the typical value."""
    found = typical(contract, values)
    return msgspec.structs.replace(
        contract,
        fields=tuple(_with_default(field, found[j]) for j, field in enumerate(contract.fields)),
    )


def _with_default(field: Field, value: float) -> Field:
    policies = (field.on_null, field.on_unseen if field.categories else "", field.on_invalid, field.on_alert)
    if "default" not in policies or field.default is not None or np.isnan(value):
        return field
    return msgspec.structs.replace(field, default=field.categories[int(value)] if field.categories else float(value))


def _encode_field(field: Field, column: np.ndarray) -> np.ndarray:
    if field.kind != "category":
        return np.asarray(column, dtype=np.float64)
    ordinals: dict[str | None, float] = {name: float(i) for i, name in enumerate(field.categories)}
    ordinals[None] = np.nan
    return np.array([ordinals.get(value, UNSEEN) for value in column.tolist()], dtype=np.float64)


def _decode_field(field: Field, column: np.ndarray) -> np.ndarray:
    if field.kind != "category":
        return column
    names = np.array([*field.categories, _STRANGER, None], object)
    null, unseen = np.isnan(column), column == UNSEEN
    position = np.where(null | unseen, 0, column).astype(np.int64)
    position[unseen], position[null] = len(field.categories), len(field.categories) + 1
    return np.asarray(names[position])
