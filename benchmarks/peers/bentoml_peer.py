"""BentoML around the same booster: ``bentoml_peer.py FOLDER PORT``. One worker, a named row in, a score out."""

import os
import sys
from pathlib import Path

import bentoml
import lightgbm
import numpy as np


@bentoml.service(workers=1)
class Bench:
    def __init__(self) -> None:
        self.booster = lightgbm.Booster(model_file=os.environ["BENCH_MODEL"])
        self.names = self.booster.feature_name()

    @bentoml.api
    def predict(self, row: dict) -> dict:
        values = [row[name] for name in self.names]
        x = np.array([[float("nan") if value is None else value for value in values]])
        return {"score": float(self.booster.predict(x, num_threads=1)[0])}


if __name__ == "__main__":
    os.environ |= {"BENCH_MODEL": f"{sys.argv[1]}/model.bst", "BENTOML_DO_NOT_TRACK": "true"}
    os.chdir(Path(__file__).resolve().parent)
    command = ["bentoml", "serve", "bentoml_peer:Bench", "--host", "127.0.0.1", "--port", sys.argv[2]]
    os.execvp(sys.executable, [sys.executable, "-m", *command])  # noqa: S606
