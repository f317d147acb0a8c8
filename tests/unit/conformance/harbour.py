"""A small honest scoring service (Open Inference Protocol), and what can be broken in it, one thing at a time."""

from __future__ import annotations

import asyncio
import json
import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

RANGES = {"amount": (0, 1000), "age": (0, 100), "risk": (0, 1)}
COUNTRIES = {"DE": 0.0, "FR": 0.4, "US": 0.9}
COLUMNS = [*RANGES, "country"]
KINDS = {"amount": "FP64", "age": "FP64", "risk": "FP64", "country": "BYTES"}

ROWS = [
    {"amount": 10.0 + 17 * k, "age": float(20 + 3 * k % 70), "risk": round(k * 0.37 % 1, 2), "country": c}
    for k, c in enumerate(list(COUNTRIES) * 8)
]


class RefusedError(ValueError):
    """Why a request gets a 422."""


def score(row: dict[str, Any]) -> float:
    margin = row["amount"] / 200 - row["age"] / 50 + row["risk"] + COUNTRIES.get(row["country"], 0.0)
    return 1 / (1 + math.exp(-margin))


def checked(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Rows of what was sent; RefusedError if one of them cannot be right."""
    if missing := [name for name in COLUMNS if name not in columns]:
        raise RefusedError(f"missing: {missing[0]}")
    if len({len(columns[name]) for name in COLUMNS}) != 1:
        raise RefusedError("columns of different length")
    if not columns["amount"]:
        raise RefusedError("no rows")
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*(columns[n] for n in COLUMNS), strict=True)]
    wrong = [
        f"row {k}: {name}"
        for k, row in enumerate(rows)
        for name in COLUMNS
        if (type(row[name]) not in {int, float} or not RANGES[name][0] <= row[name] <= RANGES[name][1]
            if name in RANGES else type(row[name]) is not str or row[name] not in COUNTRIES)
    ]  # fmt: skip
    if wrong:
        raise RefusedError("; ".join(wrong))
    return rows


def parsed(body: bytes) -> tuple[str, dict[str, list[Any]]]:
    try:
        document = json.loads(body, parse_constant=_no)
        return str(document.get("id", "")), {t["name"]: list(t["data"]) for t in document["inputs"]}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RefusedError("not an inference request") from error


def _no(token: str) -> None:
    raise ValueError(token)


Columns = dict[str, list[Any]]


@dataclass
class Parts:
    """What the service is made of; a saboteur replaces one part."""

    parse: Callable[[bytes], tuple[str, Columns]] = parsed
    check: Callable[[Columns], list[dict[str, Any]]] = checked
    scored: Callable[[list[dict[str, Any]]], list[float]] = lambda rows: [score(row) for row in rows]
    gather: Callable[[Callable[[Columns], list[float]], Columns], Any] | None = None
    refusal: Callable[[Exception], tuple[int, bytes]] = lambda error: (422, json.dumps({"error": str(error)}).encode())
    reply: Callable[[str, str, list[float]], bytes] = lambda name, version, scores: json.dumps(
        {"model_name": "tug", "model_version": version, "id": name, "outputs": [{"name": "score", "data": scores}]}
    ).encode()
    ready: Callable[[], int] = lambda: 200
    elsewhere: Callable[[str, str], int] = lambda _, path: 405 if path == PATH else 404
    also: tuple[str, ...] = ()  # paths that score, beside the one that should
    state: dict[str, Any] = field(default_factory=lambda: {"version": "1"})

    def but(self, **parts: Any) -> Parts:
        return replace(self, **parts)


PATH = "/v2/models/tug/infer"


def app(parts: Parts) -> Any:
    """The service as an ASGI app."""

    async def answer(scope: Any, body: bytes) -> tuple[int, bytes]:
        method, path = scope["method"], scope["path"]
        if path == "/ready":
            return parts.ready(), b"{}"
        if path == "/release" and method == "POST":
            parts.state["version"] = json.loads(body)["version"]
            return 202, b"{}"
        if method != "POST" or path not in (PATH, *parts.also):
            return parts.elsewhere(method, path), b'{"error": "no such thing"}'
        try:
            name, columns = parts.parse(body)
            score_all = lambda found: parts.scored(parts.check(found))  # noqa: E731
            scores = await parts.gather(score_all, columns) if parts.gather else score_all(columns)
        except RefusedError as error:
            return parts.refusal(error)
        return 200, parts.reply(name, parts.state["version"], scores)

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        try:
            status, reply = await answer(scope, body)
        except Exception:  # noqa: BLE001 - what any server does
            status, reply = 500, b"Internal Server Error"
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(reply))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    return asgi


class Batcher:
    """Requests that arrive together are handed on together; `together` says how."""

    def __init__(self, together: Callable[[Any, list[Columns]], list[Any]], wait_s: float = 0.002) -> None:
        self.together, self.wait_s = together, wait_s
        self.waiting: list[tuple[Columns, asyncio.Future[Any]]] = []

    async def __call__(self, score_all: Any, columns: Columns) -> list[float]:
        mine = asyncio.get_running_loop().create_future()
        self.waiting.append((columns, mine))
        if len(self.waiting) == 1:
            await asyncio.sleep(self.wait_s)
            waiting, self.waiting = self.waiting, []
            try:
                answers = self.together(score_all, [c for c, _ in waiting])
            except Exception as error:  # noqa: BLE001 - all of the batch get it
                answers = [error] * len(waiting)
            for (_, future), one in zip(waiting, answers, strict=True):
                if isinstance(one, Exception):
                    future.set_exception(one)
                else:
                    future.set_result(one)
        return await mine


def one_by_one(score_all: Any, batch: list[Columns]) -> list[Any]:
    """Honest: each request by itself."""
    answers: list[Any] = []
    for columns in batch:
        try:
            answers.append(score_all(columns))
        except RefusedError as error:
            answers.append(error)
    return answers


def rotated(score_all: Any, batch: list[Columns]) -> list[Any]:
    """Everybody gets his neighbour's answer."""
    answers = one_by_one(score_all, batch)
    return answers[1:] + answers[:1]


def all_or_nothing(score_all: Any, batch: list[Columns]) -> list[Any]:
    """One bad request spoils the batch."""
    return [score_all(columns) for columns in batch]


def concatenated(score_all: Any, batch: list[Columns]) -> list[Any]:
    """Columns of all requests joined, and the scores cut at the lengths of the first column: short ones shift."""
    names = list(dict.fromkeys(name for columns in batch for name in columns))
    joined = {name: [v for columns in batch for v in columns.get(name, [])] for name in names}
    length = min(len(joined[name]) for name in COLUMNS if name in joined)
    scores = score_all({name: values[:length] for name, values in joined.items()})
    answers, at = [], 0
    for columns in batch:
        n = len(columns.get("amount", []))
        answers.append(scores[at : at + n])
        at += n
    return answers


class Remembering:
    """A cache in front of the whole service, by the bytes of a request, its id included."""

    def __init__(self) -> None:
        self.known: dict[Any, list[Any]] = {}

    def __call__(self, inner: Any) -> Any:
        async def asgi(scope: Any, receive: Any, send: Any) -> None:
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message.get("body", b""), message.get("more_body", False)
            key = (scope["path"], body)
            if key not in self.known:
                told: list[Any] = []

                async def keep(part: Any) -> None:
                    told.append(part)

                async def again() -> Any:
                    return {"type": "http.request", "body": body, "more_body": False}

                await inner(scope, again, keep)
                if told[0]["status"] == 200:
                    self.known[key] = told
            for part in self.known.get(key) or told:
                await send(part)

        return asgi


class Knowing:
    """A cache in front of a batcher, by the values of the rows."""

    def __init__(self, batcher: Batcher) -> None:
        self.batcher = batcher
        self.known: dict[str, list[float]] = {}

    async def __call__(self, score_all: Any, columns: Columns) -> list[float]:
        key = json.dumps(sorted(columns.items()))
        if key not in self.known:
            self.known[key] = await self.batcher(score_all, columns)
        return self.known[key]


def trace(error: Exception) -> tuple[int, bytes]:
    return 400, "".join(traceback.format_exception(error)).encode()
