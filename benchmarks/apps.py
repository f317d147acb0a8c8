"""The same small scoring app three ways, as peers for throughput: plain ASGI with msgspec, Starlette, FastAPI."""

from __future__ import annotations

from typing import Any

import msgspec


class Tensor(msgspec.Struct, gc=False):
    """One input column."""

    name: str
    data: list[Any]


class Infer(msgspec.Struct, gc=False):
    """The request, as far as the app needs it."""

    id: str
    inputs: list[Tensor]


class Output(msgspec.Struct, gc=False):
    """The score, the only output column."""

    data: list[float]
    name: str = "score"
    shape: tuple[int] = (1,)
    datatype: str = "FP64"


class Answer(msgspec.Struct, gc=False):
    """The smallest honest answer of the protocol."""

    id: str
    outputs: tuple[Output]
    model_name: str = "model"
    model_version: str = "v1"


_decode = msgspec.json.Decoder(Infer).decode
_encode = msgspec.json.Encoder().encode
_HEADERS = [(b"content-type", b"application/json")]
PATH = "/v2/models/model/infer"


def score(inputs: list[Tensor]) -> float:
    """Something that depends on the row, and costs nothing."""
    for tensor in inputs:
        if tensor.name == "amount":
            return min(1.0, (tensor.data[0] or 0.0) / 1000)
    return 0.0


def reply(request_id: str, value: float) -> Answer:
    """What the request of that id is answered."""
    return Answer(request_id, (Output([value]),))


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


async def null(_scope: Any, receive: Any, send: Any) -> None:
    """Reads the body and answers nothing: what is left is the driver."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b""})


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

    async def infer(body: Body) -> Any:
        return msgspec.to_builtins(reply(body.id, score(body.inputs)))  # type: ignore[arg-type]

    infer.__annotations__["body"] = Body  # defined in here, out of reach of postponed annotations
    app.post(PATH)(infer)
    return app
