"""A BentoML service with a typed row, started as people start it."""

import os
import sys
from pathlib import Path

import bentoml
from model import score
from pydantic import BaseModel


class Row(BaseModel):
    amount: float
    hour: float
    device_age_days: float
    ip_risk: float
    attempts: float
    country: str
    channel: str


@bentoml.service(workers=1)
class Fraud:
    @bentoml.api
    def predict(self, row: Row, /) -> dict:
        return {"score": score(row.model_dump())}


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    os.environ["BENTOML_DO_NOT_TRACK"] = "true"
    command = ["bentoml", "serve", "bentoml_server:Fraud", "--host", "127.0.0.1", "--port", sys.argv[1]]
    os.chdir(here)
    os.execvp(sys.executable, [sys.executable, "-m", *command])  # noqa: S606 - our own interpreter
