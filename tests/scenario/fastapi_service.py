"""A scoring service as its users write it. It knows nothing of seatrial, of virtual time, or of tests."""

import asyncio
import time
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from pydantic import BaseModel, Field

app = FastAPI()
seen = {"rows": 0, "since": time.time()}


class Payment(BaseModel):
    amount: Annotated[float, Field(ge=0)]
    country: str
    payment_method: str


class Answer(BaseModel):
    score: float
    source: str = "model"


def limits():
    yield {"most": 100_000.0}


def count():
    seen["rows"] += 1


def scored(payment, limit):
    if payment.amount > limit["most"]:
        raise HTTPException(422, "amount out of range")
    return Answer(score=min(1.0, payment.amount / 1000 + len(payment.country + payment.payment_method) / 100))


@app.post("/async")
async def score_async(payment: Payment, limit: Annotated[dict, Depends(limits)], later: BackgroundTasks) -> Answer:
    await asyncio.sleep(0.02)  # a feature store
    later.add_task(count)
    return scored(payment, limit)


@app.post("/sync")
def score_sync(payment: Payment, limit: Annotated[dict, Depends(limits)]) -> Answer:
    return scored(payment, limit)


@app.get("/health")
def health():
    return {"rows": seen["rows"], "up": time.time() - seen["since"]}
