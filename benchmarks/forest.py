"""The forest kernel beside LightGBM, on one thread: ``python -m benchmarks.forest``.

Ours and the peer take turns, so that a machine that others use slows both alike. Both begin with float64 values and end
with the raw margin, which is checked to be equal bit for bit first. Ours counts the row for the monitors as well.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np

from benchmarks.figures import show
from reference_service.core import kernel
from reference_service.core.compiled import compile_model
from reference_service.core.trees import parse

FEATURES = 16
PAIRS = 41
TURN = 0.02  # seconds
NULLS = 0.1  # share of values
_C_API_DTYPE_FLOAT64 = 1
_C_API_PREDICT_RAW_SCORE = 1


def data(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """float64[rows, 16] some of them null, and labels that depend on them."""
    rng = np.random.default_rng(20260517)
    values = rng.normal(size=(rows, FEATURES))
    values[:, 1::4] = np.floor(np.abs(values[:, 1::4]) * 6)
    signal = np.sin(values[:, 0] * 2) + values[:, 1] / 6 * values[:, 2] + values[:, 3:].sum(axis=1) / 4
    values[rng.random(values.shape) < NULLS] = np.nan
    return values, (np.nan_to_num(signal) + rng.normal(size=rows) > 0).astype(np.int64)


def single_row_fast(booster: lightgbm.Booster) -> Callable[[np.ndarray], float]:
    """LightGBM's own fastest way for one row, which its Python package does not offer: the C API, configured once."""
    library = lightgbm.basic._LIB  # noqa: SLF001 - the loaded library has no public name
    config = ctypes.c_void_p()
    done = library.LGBM_BoosterPredictForMatSingleRowFastInit(
        booster._handle,  # noqa: SLF001 - likewise
        ctypes.c_int(_C_API_PREDICT_RAW_SCORE),
        ctypes.c_int(0),
        ctypes.c_int(-1),
        ctypes.c_int(_C_API_DTYPE_FLOAT64),
        ctypes.c_int32(FEATURES),
        ctypes.c_char_p(b"num_threads=1"),
        ctypes.byref(config),
    )
    if done:
        raise RuntimeError(library.LGBM_GetLastError())
    length, margin = ctypes.c_int64(), ctypes.c_double()
    to_length, to_margin = ctypes.byref(length), ctypes.byref(margin)
    call = library.LGBM_BoosterPredictForMatSingleRowFast
    call.argtypes = [ctypes.c_void_p] * 4  # spares ctypes the guess at every call

    def predict(row: np.ndarray) -> float:
        call(config, row.ctypes.data, to_length, to_margin)
        return margin.value

    return predict


def seconds(work: Callable[[], Any], times: int) -> float:
    """Of one call, the mean over `times` calls."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


def compare(name: str, peer_name: str, ours: Callable[[], Any], peer: Callable[[], Any], *, rows: int) -> None:
    """Print one figure: rows a second of ours and of the peer, in turns."""
    times = [max(1, round(TURN / seconds(work, 3))) for work in (ours, peer)]
    pairs = [(rows / seconds(ours, times[0]), rows / seconds(peer, times[1])) for _ in range(PAIRS)]
    show(name, *zip(*pairs, strict=True), peer_name=peer_name, unit="rows/s")


def main() -> None:
    """Two sizes of forest; one row and a batch of 10,000."""
    values, labels = data(30_000)
    batch, row = values[:10_000].copy(), values[17].copy()
    for trees, leaves in ((100, 15), (100, 31), (300, 31)):
        settings = {"objective": "binary", "num_leaves": leaves, "max_bin": 200, "seed": 1, "verbose": -1}
        settings |= {"num_threads": 1, "deterministic": True, "force_row_wise": True}
        booster = lightgbm.train(settings, lightgbm.Dataset(values, labels, params=settings), trees)
        compiled = compile_model(parse(booster.model_to_string()), np.zeros(FEATURES, np.int64), values)
        arena = kernel.build_arena(compiled.bins, compiled.forest, compiled.cells)
        codes, margins = np.empty(batch.shape, np.uint8), np.empty(len(batch))
        row_codes, counts = np.empty(FEATURES, np.uint8), np.zeros((FEATURES, 14), np.int64)
        fast = single_row_fast(booster)

        def ours_batch(arena: Any = arena, codes: Any = codes, margins: Any = margins) -> Any:
            kernel.codes_rows(arena, batch, codes)
            kernel.margin_rows(arena, codes, margins)
            return margins

        def ours_row(arena: Any = arena, codes: Any = row_codes, counts: Any = counts) -> Any:
            return kernel.observe_and_score(arena, row, codes, counts)

        def peer_batch(booster: Any = booster) -> Any:
            return booster.predict(batch, raw_score=True, num_threads=1)

        def peer_row(booster: Any = booster) -> Any:
            return booster.predict(row[None], raw_score=True, num_threads=1)[0]

        def peer_fast(fast: Any = fast) -> Any:
            return fast(row)

        if not np.array_equal(ours_batch().view(np.int64), peer_batch().view(np.int64)):
            raise SystemExit("the margins differ")
        if not ours_row() == peer_row() == peer_fast():
            raise SystemExit("the margin of the row differs")

        size = f"{trees} trees of {leaves} leaves"
        predict, c_api = "LightGBM Booster.predict, 1 thread", "LightGBM C API SingleRowFast"
        compare(f"batch of 10,000, {size}", predict, ours_batch, peer_batch, rows=len(batch))
        compare(f"one row, {size}", predict, ours_row, peer_row, rows=1)
        compare(f"one row, {size}", c_api, ours_row, peer_fast, rows=1)


if __name__ == "__main__":
    main()
