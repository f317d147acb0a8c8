"""The same small scoring app three ways, as peers for throughput: plain ASGI with msgspec, Starlette, FastAPI."""

from __future__ import annotations

from typing import Any

import msgspec


class Tensor(msgspec.Struct):
    """One input column."""

    name: str
    data: list[Any]


class Infer(msgspec.Struct):
    """The request, as far as the app needs it."""

    id: str
    inputs: list[Tensor]


_decode = msgspec.json.Decoder(Infer).decode
_encode = msgspec.json.Encoder().encode
_HEADERS = [(b"content-type", b"application/json")]
PATH = "/v2/models/model/infer"


def score(inputs: list[Tensor]) -> float:
    """Something that depends on the row, and costs nothing."""
    amount = next((t.data[0] for t in inputs if t.name == "amount"), None)
    return min(1.0, (amount or 0.0) / 1000)


def reply(request_id: str, value: float) -> dict[str, Any]:
    """The smallest honest answer of the protocol."""
    output = {"name": "score", "shape": [1], "datatype": "FP64", "data": [value]}
    return {"model_name": "model", "model_version": "v1", "id": request_id, "outputs": [output]}


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """ASGI by hand."""
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    request = _decode((await receive())["body"])
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _encode(reply(request.id, score(request.inputs)))})


def starlette() -> Any:
    """The same in Starlette."""
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    async def infer(request: Any) -> Response:
        body = _decode(await request.body())
        return Response(_encode(reply(body.id, score(body.inputs))), media_type="application/json")

    return Starlette(routes=[Route(PATH, infer, methods=["POST"])])


def fastapi() -> Any:
    """The same in FastAPI, validated by pydantic as its users would write it."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Column(BaseModel):
        name: str
        shape: list[int]
        datatype: str
        data: list[Any]

    class Body(BaseModel):
        id: str
        inputs: list[Column]

    app = FastAPI()

    async def infer(body: Body) -> dict[str, Any]:
        return reply(body.id, score(body.inputs))  # type: ignore[arg-type]

    infer.__annotations__["body"] = Body  # defined in here, out of reach of postponed annotations
    app.post(PATH)(infer)
    return app
