"""Tensors as bytes: the protocol's binary extension for REST, and the raw contents of gRPC, which are the same.

Both become the protocol's JSON before anything else looks at them, so that what is judged, logged and reproduced has
one form. Null has no place in a tensor of numbers: NaN stands for it, in both directions.
"""

from __future__ import annotations

import math
import struct
from typing import Any, Final

import msgspec
import numpy as np

from reference_service.api.oip import OUTPUTS, Malformed

HEADER: Final = b"inference-header-content-length"
_SIZE: Final = struct.Struct("<I")  # before each element of BYTES
_TYPES: Final = {
    "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip


class _Parameters(msgspec.Struct):
    binary_data_size: int | None = None  # of an input
    binary_data: bool | None = None  # of an output
    binary_data_output: bool = False  # of a request: of all its outputs


class _Input(msgspec.Struct, omit_defaults=True):
    name: str
    shape: list[int]
    datatype: str
    parameters: _Parameters | msgspec.UnsetType = msgspec.UNSET
    data: list[Any] | msgspec.UnsetType = msgspec.UNSET


class _Output(msgspec.Struct):
    name: str
    parameters: _Parameters = msgspec.field(default_factory=_Parameters)


class _Request(msgspec.Struct, omit_defaults=True):
    inputs: list[_Input]
    id: str = ""
    parameters: _Parameters | msgspec.UnsetType = msgspec.UNSET
    outputs: list[_Output] | msgspec.UnsetType = msgspec.UNSET


class _Answer(msgspec.Struct):
    """A reply whose outputs are to be taken out of it."""

    model_name: str
    model_version: str
    id: str
    parameters: msgspec.Raw
    outputs: list[dict[str, Any]]


_decode: Final = msgspec.json.Decoder(_Request).decode
_answer: Final = msgspec.json.Decoder(_Answer).decode


def decode(body: bytes, header: bytes) -> tuple[bytes, frozenset[str]]:
    """A request as JSON alone, and the outputs that are to come as bytes.

    Args:
        body: JSON, then the bytes of each binary input in order.
        header: how long the JSON is.

    Raises:
        Malformed: lengths, shapes and datatypes do not agree.
    """
    if not header.isdigit() or int(header) > len(body):
        raise Malformed
    try:
        request = _decode(body[: int(header)])
    except (ValueError, RecursionError):  # not JSON, not UTF-8, or too deep
        raise Malformed from None
    at = int(header)
    for tensor in request.inputs:
        size = tensor.parameters.binary_data_size if tensor.parameters else None
        if size is not None:
            if size < 0 or tensor.data is not msgspec.UNSET:
                raise Malformed
            tensor.data = elements(tensor.datatype, body[at : at + size], tensor.shape)
            at += size
        elif tensor.data is msgspec.UNSET:
            raise Malformed
        tensor.parameters = msgspec.UNSET
    if at != len(body):
        raise Malformed
    everything = bool(request.parameters and request.parameters.binary_data_output)
    request.parameters = msgspec.UNSET
    outputs = request.outputs or [_Output(name) for name in OUTPUTS]
    wanted = (
        output.name
        for output in outputs
        if (everything if output.parameters.binary_data is None else output.parameters.binary_data)
    )
    return msgspec.json.encode(request), frozenset(wanted)


def encode(body: bytes, wanted: frozenset[str]) -> tuple[bytes, int]:
    """A reply with these outputs as bytes behind it, and the length of its JSON."""
    answer = _answer(body)
    parts = []
    for output in answer.outputs:
        if output["name"] in wanted:
            part = raw(output["datatype"], output.pop("data"))
            output["parameters"] = {"binary_data_size": len(part)}
            parts.append(part)
    header = msgspec.json.encode(answer)
    return b"".join((header, *parts)), len(header)


def elements(datatype: str, content: bytes, shape: list[int]) -> list[Any]:
    """The elements of a column. Raises Malformed: it is no column, or of another length than its shape says."""
    if datatype == "BYTES":
        found = _texts(content)
    else:
        kind = _TYPES.get(datatype)
        if kind is None or len(content) % np.dtype(kind).itemsize:
            raise Malformed
        found = plain(np.frombuffer(content, dtype=kind).tolist())
    check_shape(shape, len(found))
    return found


def plain(values: list[Any]) -> list[Any]:
    """NaN becomes null."""
    return [None if value != value else value for value in values]  # noqa: PLR0124  # NaN is what differs from itself


def check_shape(shape: list[int], count: int) -> None:
    """Raises Malformed unless so many elements of one column have this shape: [n], or [n, 1]."""
    if not shape or math.prod(shape) != count or any(side != 1 for side in shape[1:]):
        raise Malformed


def raw(datatype: str, data: list[Any]) -> bytes:
    """A column as bytes. Null becomes NaN."""
    if datatype == "BYTES":
        return b"".join(_SIZE.pack(len(text)) + text for text in (each.encode() for each in data))
    return np.array([math.nan if value is None else value for value in data], dtype=_TYPES[datatype]).tobytes()


def _texts(content: bytes) -> list[Any]:
    found, at = [], 0
    try:
        while at < len(content):
            (size,) = _SIZE.unpack_from(content, at)
            at += _SIZE.size
            if at + size > len(content):
                raise Malformed
            found.append(content[at : at + size].decode())
            at += size
    except (struct.error, UnicodeDecodeError):
        raise Malformed from None
    return found
