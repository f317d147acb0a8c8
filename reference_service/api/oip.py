"""Open Inference Protocol v2: bytes in, bytes out. Null is allowed in data (a documented deviation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from reference_service.validation import Problem, Row


class Tensor(msgspec.Struct, gc=False):
    """One named column. Its elements are judged one by one by the contract, so `datatype` is not consulted."""

    name: str
    data: list[Any]


class _Shaped(msgspec.Struct, gc=False):
    """The same with its shape, which only nested data need."""

    data: list[Any]
    shape: list[int] = []


class _ShapedRequest(msgspec.Struct, gc=False):
    inputs: list[_Shaped]


class Wanted(msgspec.Struct, gc=False):
    """An output that the caller asks for."""

    name: str


class Parameters(msgspec.Struct, gc=False, frozen=True):
    """What a request says of itself, apart from its rows."""

    event_time_ms: int | None = None  # when it happened, Unix time; a batch that comes late says so by it


NOTHING = Parameters()


class Request(msgspec.Struct, gc=False):
    """An inference request; what it holds beside this is ignored."""

    inputs: list[Tensor]
    id: str = ""
    outputs: list[Wanted] = []  # none: all of them
    parameters: Parameters = NOTHING


class Malformed(ValueError):  # noqa: N818  # named after what the body is
    """A body that is not JSON, or not a request."""


OUTPUTS: Final = {"score": "FP64", "decision": "BYTES", "source": "BYTES", "reasons": "BYTES"}  # name → datatype

_decode = msgspec.json.Decoder(Request).decode
_decode_shaped = msgspec.json.Decoder(_ShapedRequest).decode
_encode = msgspec.json.encode


def decode(body: bytes) -> Request:
    """The request of a body. Raises Malformed; a bare NaN token is not JSON."""
    try:
        return _decode(body)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, or too deep
        # The decoder's message may quote the body; ours never does.
        raise Malformed from None


def flatten(request: Request, body: bytes) -> None:
    """Flatten data of shape [n, 1], as the protocol allows both; a list anywhere else stays one, for the contract."""
    if any(type(tensor.data[0]) is list for tensor in request.inputs if tensor.data):
        try:
            shaped = _decode_shaped(body).inputs
        except (ValueError, RecursionError):
            raise Malformed from None
        for tensor, twin in zip(request.inputs, shaped, strict=True):
            if len(twin.shape) > 1:
                tensor.data = [e[0] if type(e) is list and len(e) == 1 else e for e in tensor.data]


def _json(text: str) -> bytes:
    return _encode(text)


class Replies:
    """Encoder of one version's answers; what never changes is encoded once.

    Args:
        model: the model's public name.
        version: the version that answers.
        bundle: first 12 hex digits of the bundle's digest.
    """

    __slots__ = ("_head", "_one")

    def __init__(self, model: str, version: str, bundle: str) -> None:
        name, tag, digest = (_json(text).replace(b"%", b"%%") for text in (model, version, bundle))
        self._head = b'{"model_name":' + name + b',"model_version":' + tag + b',"id":%b,"parameters":{"bundle":'
        self._head += digest + b'},"outputs":['
        self._one = self._head + (
            b'{"name":"score","shape":[1],"datatype":"FP64","data":[%.6f]},'
            b'{"name":"decision","shape":[1],"datatype":"BYTES","data":["%b"]},'
            b'{"name":"source","shape":[1],"datatype":"BYTES","data":["%b"]},'
            b'{"name":"reasons","shape":[1],"datatype":"BYTES","data":[""]}]}'
        )

    def one(self, request_id: str, score: float, decision: bytes, source: bytes) -> bytes:
        """The ordinary reply: one row, answered by the model or from the cache, nothing to explain."""
        return self._one % (_encode(request_id), score, decision, source)

    def many(self, request: Request, rows: Sequence[Row]) -> bytes:
        """Any other reply. A refused row has no score and no decision; its neighbours are not affected."""
        wanted = [output.name for output in request.outputs] or OUTPUTS
        tensors = b",".join(_tensor(name, rows) for name in wanted)
        return self._head % _encode(request.id) + tensors + b"]}"


def _tensor(name: str, rows: Sequence[Row]) -> bytes:
    if name == "score":
        data = b",".join(b"null" if row.source == "rejected" else b"%.6f" % row.score for row in rows)
    elif name == "decision":
        data = b",".join(_json(row.decision) for row in rows)
    elif name == "source":
        data = b",".join(_json(row.source) for row in rows)
    else:
        data = b",".join(_json(",".join(row.reasons)) for row in rows)
    fields = (name.encode(), len(rows), OUTPUTS[name].encode(), data)
    return b'{"name":"%b","shape":[%d],"datatype":"%b","data":[%b]}' % fields


def problem(status: int, title: str, detail: str, errors: Sequence[Problem] = ()) -> bytes:
    """An RFC 9457 body with the inference protocol's member. It names row, field and reason, no value or stack."""
    body = {
        "type": "about:blank",
        "error": f"{title}: {detail}" if detail else title,  # all that the inference protocol knows
        "title": title,
        "status": status,
        "detail": detail,
        "errors": [{"row": error.row, "field": error.field, "reason": error.reason} for error in errors],
    }
    return _encode(body)
