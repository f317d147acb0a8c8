"""Versions on disk and in memory. A version is verified, compiled and given its golden rows before it may answer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from reference_service import bundle as bundles
from reference_service.api.oip import Replies
from reference_service.api.ordinary import Ordinary
from reference_service.bundle import Bundle, BundleError
from reference_service.core.cache import Known
from reference_service.guards.dependency import Dependency
from reference_service.guards.fallback import Heuristic
from reference_service.policy import Bands, Policy
from reference_service.release.store import Store
from reference_service.validation import Validator

Score = Callable[[np.ndarray], float]
ModelCall = Callable[[str, np.ndarray], Any]
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A version that can answer."""

    version: str
    bundle: Bundle
    policy: Policy
    tag: str  # first 12 hex digits of the bundle's digest
    bands: Bands  # of the policy, as it is with the operator's overrides, and as review has moved it
    validator: Validator
    ordinary: Ordinary
    heuristic: Heuristic
    replies: Replies
    model: Dependency
    many: Callable[[np.ndarray], list[float]] | None  # margins of float64[n, f] at once; None: row by row only
    known: Known | None  # margins that need not be computed again; None: the cache is off, or would not pay


class Scorer:
    """The bare model call, which a seam may wrap: the raw margin of one row by one version."""

    __slots__ = ("_versions",)

    def __init__(self) -> None:
        self._versions: dict[str, Score] = {}

    def add(self, bundle: Bundle) -> None:
        """Make a version callable."""
        self._versions[bundle.version] = bundle.score

    def __call__(self, version: str, values: np.ndarray) -> float:
        """Margin of float64[f] in contract order."""
        return self._versions[version](values)


def finite(margin: Any, _now_ns: int) -> str:
    """Cause why a margin cannot be used, or ""."""
    if type(margin) is float:
        return "" if math.isfinite(margin) else "nan"
    return "" if isinstance(margin, np.floating | int) and math.isfinite(margin) else "nan"


class Registry:
    """Bundles by version.

    Args:
        folder: one folder per version.
        assemble: makes a bundle answerable: policy, validator, guards.
        store: where bundles lie by their digests; what it has is taken from there, and what it has not is added.
    """

    __slots__ = ("_assemble", "_folder", "_loaded", "store")

    def __init__(self, folder: Path, assemble: Callable[[Bundle], Loaded], store: Store | None = None) -> None:
        self._folder = folder
        self._assemble = assemble
        self.store = store
        self._loaded: dict[str, Loaded] = {}

    def get(self, version: str) -> Loaded:
        """The version, loaded once. Raises BundleError; what is refused leaves nothing behind."""
        if version not in self._loaded:
            if not _VERSION.fullmatch(version):
                raise BundleError("missing", "no such version")
            bundle = self._verified(version)
            if bundle.version != version:
                raise BundleError("corrupt", "the bundle is another version than its folder says")
            self._loaded[version] = self._assemble(bundle)
        return self._loaded[version]

    def knows(self, version: str) -> bool:
        """Whether `get` would answer at once."""
        return version in self._loaded

    def _verified(self, version: str) -> Bundle:
        store, source = self.store, self._folder / version
        if store is None:
            return bundles.load(source)
        if store.digest(version) is None:
            store.add(source)
        try:
            return bundles.load(store.place(version) or source, digest=store.digest(version))
        except BundleError:
            # Damaged since it was taken in. What it was made of may still be there; only the very same replaces it.
            if not source.is_dir() or bundles.load(source).digest != store.digest(version):
                raise
            store.add(source)
            return bundles.load(store.place(version) or source, digest=store.digest(version))


def incompatible(old: Bundle, new: Bundle) -> str:
    """Why callers of `old` would not be served by `new`: what differs in the contract, or ""."""
    if (old.contract.model, old.contract.entity, old.contract.entity_kind) != (
        new.contract.model,
        new.contract.entity,
        new.contract.entity_kind,
    ):
        return "model or entity"
    before = [(f.name, f.kind, f.origin, f.unit, f.categories) for f in old.contract.fields]
    after = [(f.name, f.kind, f.origin, f.unit, f.categories) for f in new.contract.fields]
    differing = {name for name, *_ in set(before) ^ set(after)}
    return ", ".join(sorted(differing)) or ("" if before == after else "order of fields")
