"""A plain FastAPI app: one typed row in, a score out."""

import sys

import uvicorn
from fastapi import FastAPI
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


app = FastAPI()


@app.get("/health")
def health() -> dict:
    return {"status": "ok"}


@app.post("/predict")
def predict(row: Row) -> dict:
    return {"score": score(row.model_dump())}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
