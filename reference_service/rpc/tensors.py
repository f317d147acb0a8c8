"""Messages of the protocol to its JSON and back. What is judged, logged and reproduced has one form: JSON."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from reference_service.api.binary import check_shape, elements, plain, raw
from reference_service.api.oip import Malformed
from reference_service.rpc.messages import MESSAGES

_CONTENTS: Final = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


def to_json(request: Any) -> bytes:
    """A `ModelInferRequest` as the body of a REST request. Raises Malformed."""
    raws = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        raise Malformed
    inputs = []
    for index, tensor in enumerate(request.inputs):
        shape = list(tensor.shape)
        data = elements(tensor.datatype, raws[index], shape) if raws else _typed(tensor, shape)
        inputs.append({"name": tensor.name, "shape": shape, "datatype": tensor.datatype, "data": data})
    body: dict[str, Any] = {"id": request.id, "inputs": inputs}
    if request.outputs:
        body["outputs"] = [{"name": output.name} for output in request.outputs]
    return msgspec.json.encode(body)


def _typed(tensor: Any, shape: list[int]) -> list[Any]:
    name = _CONTENTS.get(tensor.datatype)
    if name is None:
        raise Malformed
    data = plain(list(getattr(tensor.contents, name)))
    check_shape(shape, len(data))
    try:
        return [each.decode() for each in data] if tensor.datatype == "BYTES" else data
    except UnicodeDecodeError:
        raise Malformed from None


def from_json(body: bytes, *, as_raw: bool) -> Any:
    """The body of a REST reply as a `ModelInferResponse`, its tensors as the request had its own."""
    answer = msgspec.json.decode(body)
    response = MESSAGES["ModelInferResponse"](
        model_name=answer["model_name"], model_version=answer["model_version"], id=answer["id"]
    )
    for name, value in answer["parameters"].items():
        response.parameters[name].string_param = value
    for output in answer["outputs"]:
        datatype, data = output["datatype"], output["data"]
        tensor = response.outputs.add(name=output["name"], datatype=datatype, shape=output["shape"])
        if as_raw:
            response.raw_output_contents.append(raw(datatype, data))
        elif datatype == "BYTES":
            tensor.contents.bytes_contents.extend(each.encode() for each in data)
        else:
            tensor.contents.fp64_contents.extend(float("nan") if each is None else each for each in data)
    return response
