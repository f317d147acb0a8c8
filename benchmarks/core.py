"""The numeric core beside LightGBM and ONNX Runtime, on one thread: ``python -m benchmarks.core``.

Ours and the peer take turns, so that a machine that others use slows both alike. Both begin with float64 values (ONNX
Runtime: float32, all that its tree ensembles take) and end with the raw margin. Ours and LightGBM's are checked to be
equal bit for bit first. Run it without OPENBLAS_* and OMP_* in the environment; ONNX Runtime needs ``--group bench``.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import lightgbm
import numpy as np

from benchmarks.figures import show
from reference_service.core import kernel
from reference_service.core.cache import Cache, Known
from reference_service.core.compiled import compile_model
from reference_service.core.trees import parse

FEATURES = 24
ROWS = 10_000
PAIRS = 15
TURN = 0.05  # seconds
NULLS = 0.1  # share of values
FLOAT32 = 1e-4  # what float32 arithmetic may do to a typical margin; near a threshold it may do anything
_C_API_DTYPE_FLOAT64 = 1
_C_API_PREDICT_RAW_SCORE = 1


def data(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """float64[rows, 24], some of them null, and labels that depend on them."""
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


def onnx_session(booster: lightgbm.Booster) -> Any:
    """The same trees in ONNX Runtime on one thread. A regression objective: then its one output is the raw margin."""
    import onnxruntime
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    text = booster.model_to_string().replace("objective=binary sigmoid:1", "objective=regression")
    plain = lightgbm.Booster(model_str=text.replace("[objective: binary]", "[objective: regression]"))
    kind = [("input", FloatTensorType([None, FEATURES]))]
    model = convert_lightgbm(plain, initial_types=kind, zipmap=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


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


def recall(arena: np.ndarray, row: np.ndarray) -> Callable[[], Any]:
    """One row by a cache that knows it, among 10,000 others."""
    cache = Cache(1 << 25, always=True)
    known = Known(cache, "00" * 32, FEATURES, partial(kernel.codes_rows, arena))
    for number in range(ROWS):
        cache.put(number.to_bytes(32 + FEATURES, "big"), 0.0)
    cache.put(known.key(row[None]), kernel.score(arena, row))
    return lambda: known.get(known.key(row[None]))


def measure(booster: lightgbm.Booster, values: np.ndarray) -> None:
    """Print the figures of one forest: a batch and a row, beside each peer."""
    batch, row = values[:ROWS].copy(), values[17].copy()
    batch32, row32 = batch.astype(np.float32), row[None].astype(np.float32)
    compiled = compile_model(parse(booster.model_to_string()), np.zeros(FEATURES, np.int64), values)
    arena = kernel.build_arena(compiled.bins, compiled.forest, compiled.cells)
    codes, margins = np.empty(batch.shape, np.uint8), np.empty(ROWS)

    def ours_batch() -> np.ndarray:
        kernel.codes_rows(arena, batch, codes)
        kernel.margin_rows(arena, codes, margins)
        return margins

    ours_row = partial(kernel.score, arena, row)
    lightgbm_batch = partial(booster.predict, batch, raw_score=True, num_threads=1)
    lightgbm_row = partial(booster.predict, row[None], raw_score=True, num_threads=1)
    lightgbm_fast = partial(single_row_fast(booster), row)
    onnx = partial(onnx_session(booster).run, None)
    onnx_batch, onnx_row = partial(onnx, {"input": batch32}), partial(onnx, {"input": row32})

    if not np.array_equal(ours_batch().view(np.int64), lightgbm_batch().view(np.int64)):
        raise SystemExit("the margins differ from LightGBM's")
    if not ours_row() == lightgbm_row()[0] == lightgbm_fast():
        raise SystemExit("the margin of the row differs from LightGBM's")
    if np.median(np.abs(onnx_batch()[0].ravel() - margins)) > FLOAT32:
        raise SystemExit("ONNX Runtime does not compute this model")

    size = f"{booster.num_trees()} trees of 31 leaves on 24 features"
    predict, c_api, runtime = "LightGBM Booster.predict", "LightGBM C API SingleRowFast", "ONNX Runtime"
    compare(f"batch of 10,000, {size}", predict, ours_batch, lightgbm_batch, rows=ROWS)
    compare(f"batch of 10,000, {size}", runtime, ours_batch, onnx_batch, rows=ROWS)
    compare(f"one row, {size}", predict, ours_row, lightgbm_row, rows=1)
    compare(f"one row, {size}", runtime, ours_row, onnx_row, rows=1)
    compare(f"one row, {size}", c_api, ours_row, lightgbm_fast, rows=1)
    compare(f"a hit of the exact cache, {size}", "the forest itself", recall(arena, row), ours_row, rows=1)


def main() -> None:
    """Forests of 200 and of 2,000 trees of 31 leaves."""
    values, labels = data(30_000)
    settings = {"objective": "binary", "num_leaves": 31, "max_bin": 200, "seed": 1, "verbose": -1}
    settings |= {"num_threads": 1, "deterministic": True, "force_row_wise": True}
    whole = lightgbm.train(settings, lightgbm.Dataset(values, labels, params=settings), 2000)
    for trees in (200, 2000):
        measure(lightgbm.Booster(model_str=whole.model_to_string(num_iteration=trees)), values)


if __name__ == "__main__":
    main()
