"""One model version on disk and in memory: model, contract, reference profile, policy, golden rows, manifest.

A bundle is a folder. `manifest.json` holds the SHA-256 of every other file, and its own digest is the bundle's
name. Nothing is parsed before all digests agree, and nothing is served before the golden rows, whose margins
LightGBM itself computed when the bundle was packed, come out of this machine equal bit for bit.

With the golden rows stand the libraries that made them. Other versions are no reason to refuse a bundle as long as the
rows agree; where they do not, the refusal names the libraries that differ, which is where to look first.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np

from reference_service import profile as profiles
from reference_service.contract import Contract
from reference_service.core import compiled as compiling
from reference_service.core import kernel
from reference_service.core.binning import UNSEEN
from reference_service.core.cells import N_CELLS
from reference_service.core.compiled import Compiled
from reference_service.core.trees import parse
from reference_service.profile import Profile

__all__ = ["UNSEEN", "Bundle", "BundleError", "Golden", "Profile", "load", "pack"]

FILES: Final = ("compiled.npz", "contract.json", "golden.json", "model.txt", "policy.json", "profile.json")
GOLDEN_ROWS: Final = 256
_FORMAT: Final = 1
_LIBRARIES: Final = ("lightgbm", "numba", "numpy")  # those that scores could depend on
_EXPONENT_LIMIT: Final = 700.0  # exp of more overflows


class BundleError(Exception):
    """A bundle that must not be served, and why."""

    def __init__(self, reason: Literal["missing", "corrupt", "contract", "golden"], detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows whose margins are known, from LightGBM."""

    values: list[list[float | None]]  # contract order; None is null
    margins: list[float]
    # Rows as clients send them, stored fields beside, and the margins that training gave them by its own preprocessing.
    # Whoever serves must come to the same by its own: what differs is a skew between training and serving.
    requests: list[dict[str, float | str | bool | None]] = []
    expected: list[float] = []
    made_with: dict[str, str] = {}  # library → version, where the margins were computed


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified model version. Immutable, and safe to share between threads."""

    version: str
    digest: str  # 64 hex digits; replies show the first 12
    contract: Contract
    policy: Mapping[str, Any]
    profile: Profile
    sigmoid: float
    golden: Golden
    blocks: int  # of the compiled forest: what a row costs
    arena: np.ndarray  # of `kernel.build_arena`

    def new_counts(self) -> np.ndarray:
        """int64[f, 14] of zeros, for `count` to add to."""
        return np.zeros((len(self.contract.fields), N_CELLS), dtype=np.int64)

    def score(self, values: np.ndarray) -> float:
        """The raw margin of one row, LightGBM's bit for bit.

        Args:
            values: float64[f] in contract order. Null is NaN, a category its ordinal, an unseen category `UNSEEN`,
                a boolean 0 or 1.

        Raises:
            TypeError: An array of another dtype or layout.
            ValueError: An array of another shape.
        """
        margin: float = kernel.score(self.arena, values)
        return margin

    def codes(self, values: np.ndarray) -> np.ndarray:
        """uint8[n, f] codes of float64[n, f] values, as in `score`; with `digest` exact cache keys."""
        codes = np.empty(values.shape, dtype=np.uint8)
        self.encode(values, codes)
        return codes

    def encode(self, values: np.ndarray, codes: np.ndarray) -> None:
        """Write the codes of float64[n, f] values into uint8[n, f]."""
        kernel.codes_rows(self.arena, values, codes)

    def count(self, values: np.ndarray, counts: np.ndarray) -> None:
        """Add the cells of float64[n, f] values, as in `score`, to int64[f, 14] counts."""
        kernel.count_rows(self.arena, values, counts)

    def cells(self) -> np.ndarray:
        """uint8[f, 256]: the cell of every code of every field."""
        return kernel.cells_of(self.arena)

    def mean_over_fields(self, values: np.ndarray, table: np.ndarray) -> np.ndarray:
        """float64[n]: for each row of float64[n, f] values the mean of what float64[f * 256] says of its codes."""
        means = np.empty(len(values))
        kernel.mean_rows(self.arena, values, table, means)
        return means

    def margin(self, codes: np.ndarray) -> np.ndarray:
        """float64[n] raw margins of uint8[n, f] codes, LightGBM's bit for bit."""
        margins = np.empty(len(codes))
        kernel.margin_rows(self.arena, codes, margins)
        return margins

    def scores(self, values: np.ndarray) -> list[float]:
        """What `score` says of each row of float64[n, f] values."""
        margins: list[float] = self.margin(self.codes(values)).tolist()
        return margins

    def probability(self, margin: float) -> float:
        """The probability that a margin stands for: the logistic function with the objective's slope."""
        exponent = -self.sigmoid * margin
        return 1.0 / (1.0 + math.exp(exponent)) if exponent < _EXPONENT_LIMIT else 0.0

    def fallback(self, category: str | None) -> float:
        """The heuristic's probability, from the value of `profile.fallback_field` alone."""
        return self.profile.fallback_rates.get(category or "", self.profile.fallback_otherwise)


def pack(
    path: Path,
    *,
    contract: Contract,
    policy: Mapping[str, Any],
    profile: Profile,
    model_text: str,
    compiled: Compiled,
    golden: Golden,
) -> Bundle:
    """Write a bundle to the folder `path`, replacing one that is there, and return it as `load` would.

    The folder appears complete or not at all: it is written and loaded under another name first.

    Raises:
        BundleError: What was given would be refused on loading.
    """
    contents = {
        "compiled.npz": compiling.to_bytes(compiled),
        "contract.json": msgspec.json.format(msgspec.json.encode(contract)),
        "golden.json": msgspec.json.encode(golden),
        "model.txt": model_text.encode(),
        "policy.json": msgspec.json.format(msgspec.json.encode(dict(policy))),
        "profile.json": profiles.to_json(profile),
    }
    fresh = path.with_name(f".{path.name}.fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, data in contents.items():
        (fresh / name).write_bytes(data)
    (fresh / "manifest.json").write_bytes(_manifest(contract.model, contract.version, contents))
    try:
        bundle = load(fresh)
    except BundleError:
        shutil.rmtree(fresh)
        raise
    shutil.rmtree(path, ignore_errors=True)
    fresh.rename(path)
    return bundle


def load(path: Path, *, digest: str | None = None) -> Bundle:
    """Verify every digest, then parse, compile and recompute the golden rows.

    Args:
        path: The bundle's folder.
        digest: If given, the bundle must be the one of this digest.

    Raises:
        BundleError: `missing` (a file is not there), `corrupt` (a digest or a format disagrees), `contract` (model,
            contract and profile are not of one another) or `golden` (a known row has another margin here).
    """
    path = Path(path)
    manifest, contents = _verified(path)
    found = hashlib.sha256(manifest).hexdigest()
    if digest is not None and digest != found:
        raise BundleError("corrupt", f"{path} is bundle {found[:12]}, not {digest[:12]}")
    try:
        contract = msgspec.json.decode(contents["contract.json"], type=Contract)
        golden = msgspec.json.decode(contents["golden.json"], type=Golden)
        policy = msgspec.json.decode(contents["policy.json"], type=dict[str, Any])
        profile = profiles.from_json(contents["profile.json"])
        model = parse(contents["model.txt"].decode())
        compiled = compiling.from_bytes(contents["compiled.npz"], len(contract.fields))
    except ValueError as error:  # msgspec's errors, ModelError and UnicodeDecodeError are all of this kind
        raise BundleError("corrupt", f"{path}: {error}") from error
    names = tuple(field.name for field in contract.fields)
    if names != model.features:
        raise BundleError("contract", f"{path}: the model reads {model.features}, the contract promises {names}")
    if profile.cell_shares.shape != (len(names), N_CELLS) or profile.fallback_field not in names:
        raise BundleError("contract", f"{path}: the profile is not about the fields of the contract")
    if manifest != _manifest(contract.model, contract.version, contents):
        raise BundleError("corrupt", f"{path}: manifest.json is not the manifest of these files")
    bundle = Bundle(
        version=contract.version,
        digest=found,
        contract=contract,
        policy=policy,
        profile=profile,
        sigmoid=model.sigmoid,
        golden=golden,
        blocks=len(compiled.forest.starts) - 1,
        arena=kernel.build_arena(compiled.bins, compiled.forest, compiled.cells),
    )
    _check_golden(path, bundle)
    return bundle


def _manifest(model: str, version: str, contents: Mapping[str, bytes]) -> bytes:
    """The one way to write a manifest, so that a change of any byte of it shows."""
    files = {name: hashlib.sha256(contents[name]).hexdigest() for name in FILES}
    document = {"format": _FORMAT, "model": model, "version": version, "files": files}
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def _verified(path: Path) -> tuple[bytes, dict[str, bytes]]:
    """The bytes of the manifest and of every file, read once, after their digests agreed."""
    manifest = _read(path / "manifest.json")
    try:
        listed = json.loads(manifest)["files"]
        expected = {name: str(listed[name]) for name in FILES}
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError("corrupt", f"{path / 'manifest.json'} is not a manifest: {error!r}") from error
    contents = {name: _read(path / name) for name in FILES}
    for name, data in contents.items():
        if hashlib.sha256(data).hexdigest() != expected[name]:
            raise BundleError("corrupt", f"{path / name} is not the file that the manifest lists")
    return manifest, contents


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError("missing", f"{path}: {error.strerror}") from error


def libraries() -> dict[str, str]:
    """Library that scores could depend on → its version here, "none" where it is not installed."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version_of(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def _others(made_with: Mapping[str, str]) -> str:
    """What to look at first where known rows have other margins; "" if every library is the same."""
    here = libraries()
    others = [f"{name} {there} (here {here.get(name, 'none')})" for name, there in made_with.items()
              if there != here.get(name)]  # fmt: skip
    return f"; they were made with {', '.join(others)}" if others else ""


def _check_golden(path: Path, bundle: Bundle) -> None:
    values = np.array(bundle.golden.values, dtype=np.float64)  # None becomes NaN
    expected = np.array(bundle.golden.margins, dtype=np.float64)
    if values.shape != (GOLDEN_ROWS, len(bundle.contract.fields)) or expected.shape != (GOLDEN_ROWS,):
        raise BundleError("golden", f"{path}: there must be {GOLDEN_ROWS} golden rows of the contract's fields")
    if len(bundle.golden.requests) != len(bundle.golden.expected):
        raise BundleError("golden", f"{path}: each golden request has one margin")
    codes = bundle.codes(values)
    wrong = np.flatnonzero(bundle.margin(codes).view(np.int64) != expected.view(np.int64))
    if len(wrong):
        raise BundleError(
            "golden",
            f"{path}: {len(wrong)} of {GOLDEN_ROWS} golden rows differ, the first is {wrong[0]}"
            + _others(bundle.golden.made_with),
        )
