"""The protocol's messages, built from this table: no generated code, no compiler.

Names and numbers are those of the Open Inference Protocol v2 (package `inference`, service `GRPCInferenceService`). The
descriptors live in a pool of their own, so that a client library with its copy of them can be in the same process.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

SERVICE: Final = "inference.GRPCInferenceService"
_SCALARS: Final = {name: getattr(FieldDescriptorProto, f"TYPE_{name.upper()}") for name in (
    "bool", "bytes", "double", "float", "int32", "int64", "string", "uint32", "uint64")}  # fmt: skip
# Message → its fields, numbered from 1: "name type". "*" is repeated, "{" a map from strings, "|" one of a oneof.
_MESSAGES: Final = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("live bool",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("ready bool",),
    "ModelReadyRequest": ("name string", "version string"),
    "ModelReadyResponse": ("ready bool",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ("name string", "version string", "extensions *string"),
    "ModelMetadataRequest": ("name string", "version string"),
    "ModelMetadataResponse": (
        "name string", "versions *string", "platform string",
        "inputs *ModelMetadataResponse.TensorMetadata", "outputs *ModelMetadataResponse.TensorMetadata",
    ),
    "ModelMetadataResponse.TensorMetadata": ("name string", "datatype string", "shape *int64"),
    "ModelInferRequest": (
        "model_name string", "model_version string", "id string", "parameters {InferParameter",
        "inputs *ModelInferRequest.InferInputTensor", "outputs *ModelInferRequest.InferRequestedOutputTensor",
        "raw_input_contents *bytes",
    ),
    "ModelInferRequest.InferInputTensor": (
        "name string", "datatype string", "shape *int64", "parameters {InferParameter", "contents InferTensorContents",
    ),
    "ModelInferRequest.InferRequestedOutputTensor": ("name string", "parameters {InferParameter"),
    "ModelInferResponse": (
        "model_name string", "model_version string", "id string", "parameters {InferParameter",
        "outputs *ModelInferResponse.InferOutputTensor", "raw_output_contents *bytes",
    ),
    "ModelInferResponse.InferOutputTensor": (
        "name string", "datatype string", "shape *int64", "parameters {InferParameter", "contents InferTensorContents",
    ),
    "InferParameter": (
        "bool_param |bool", "int64_param |int64", "string_param |string", "double_param |double",
        "uint64_param |uint64",
    ),
    "InferTensorContents": (
        "bool_contents *bool", "int_contents *int32", "int64_contents *int64", "uint_contents *uint32",
        "uint64_contents *uint64", "fp32_contents *float", "fp64_contents *double", "bytes_contents *bytes",
    ),
}  # fmt: skip


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="seatrial/open_inference_v2.proto", package="inference", syntax="proto3")
    made: dict[str, Any] = {}
    for name, fields in sorted(_MESSAGES.items()):  # an outer message before its inner ones
        outer, _, inner = name.rpartition(".")
        message = made[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=name)
        made[name] = message
        if any("|" in field for field in fields):
            message.oneof_decl.add(name="parameter_choice")
        for number, field in enumerate(fields, 1):
            _add(message, name, number, *field.split())
    return file


def _add(message: Any, owner: str, number: int, name: str, kind: str) -> None:
    mark, kind = (kind[0], kind[1:]) if kind[0] in "*{|" else ("", kind)
    if mark == "{":
        entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        _add(entry, "", 1, "key", "string")
        _add(entry, "", 2, "value", kind)
        kind = f"{owner}.{entry.name}"
    many = mark in {"*", "{"}
    label = FieldDescriptorProto.LABEL_REPEATED if many else FieldDescriptorProto.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".inference.{kind}"
    if mark == "|":
        field.oneof_index = 0


def _classes() -> dict[str, Any]:
    pool = DescriptorPool()
    pool.Add(_file())
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}")) for name in _MESSAGES}


MESSAGES: Final = _classes()
