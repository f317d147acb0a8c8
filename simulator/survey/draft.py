"""A first target file, from what a running service says of itself: its inference protocol, or its OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

_OPENAPI: Final = ("/openapi.json", "/docs.json", "/v3/api-docs")
_INFER: Final = re.compile(r"^/v2/models/([^/{}]+)/infer$")
_READY: Final = ("/v2/health/ready", "/readyz", "/health/ready", "/health", "/healthz", "/ping", "/-/healthz")


class Unknown(LookupError):  # noqa: N818 - says what is the case
    """The service says nothing that a draft could be made of."""


Ask = Callable[[str], httpx.Response]


def draft(url: str, get: Ask, post: Ask | None = None) -> str:
    """The text of a target file. Raises Unknown.

    Args:
        url: of the service.
        get: fetches a path of it.
        post: posts an empty object to a path of it: only to an inference server's index of its models.
    """
    lines = ["target: 1", "environment: staging  # never production", f'start: {{url: "{url}"{_ready(get)}}}']
    found = _oip(get, post) or _mlflow(get) or _tf_serving(get) or _openapi(get)
    if found is None:
        raise Unknown(f"{url} speaks no inference protocol that is known here, and has no OpenAPI document")
    lines += [*found, *_REST]
    host = httpx.URL(url).host
    if host not in {"localhost", "127.0.0.1", "::1"}:
        lines.insert(2, f"hosts: [{host}]  # may be sent synthetic traffic")
    return "\n".join(lines) + "\n"


_REST: Final = (
    "errors: {reject: [400, 413, 422], shed: [429]}  # what means: you are wrong; what means: not now",
    "# alerts: {receive: [alertmanager], heartbeat: {name: Watchdog, every: 60s}}",
    "# labels: {post: /labels}",
    "# admin: {release: POST /releases, rollback: POST /releases/rollback}",
)


def _document(get: Ask, path: str) -> Any:
    try:
        response = get(path)
        return response.json() if response.status_code == 200 else None  # noqa: PLR2004 - OK
    except (httpx.HTTPError, ValueError):
        return None


def _ready(get: Ask) -> str:
    for path in _READY:
        try:
            if get(path).status_code == 200:  # noqa: PLR2004 - OK
                return f", ready: {path}"
        except httpx.HTTPError:
            continue
    return ""


def _oip(get: Ask, post: Ask | None) -> list[str] | None:
    server = _document(get, "/v2")
    if not isinstance(server, Mapping) or "name" not in server:
        return None
    index = _document(get, "/v2/models")
    if index is None and post is not None:
        index = _document(post, "/v2/repository/index")
    models = index.get("models", index) if isinstance(index, Mapping) else index
    first = models[0] if isinstance(models, list) and models else None
    name = (first.get("name") if isinstance(first, Mapping) else first) or _described(get)
    if not isinstance(name, str):
        return [
            "protocol: oip-v2",
            "model: model  # its name is not to be found out: write it here",
            "read: {score: score}",
        ]
    about = _document(get, f"/v2/models/{name}")
    inputs, outputs = (_tensors(about, key) for key in ("inputs", "outputs"))
    tensors = [tensor["name"] for tensor in outputs]
    known = [t for t in ("score", "decision", "source", "reasons") if t in tensors]
    if "score" not in known and tensors:
        known, score = [t for t in known if t != tensors[0]], tensors[0]
        read = [f"score: {score}", *(f"{t}: {t}" for t in known)]
    else:
        read = [f"{t}: {t}" for t in known or ["score"]]
    others = len(models) - 1 if isinstance(models, list) else 0
    which = f"  # it has {others} more: {', '.join(_names(models)[1:4])}" if others else ""
    return ["protocol: oip-v2", f"model: {name}{which}", *_insists(inputs), f"read: {{{', '.join(read)}}}"]


def _described(get: Ask) -> str | None:
    """The model whose inference path an OpenAPI document names."""
    for where in _OPENAPI:
        document = _document(get, where)
        paths = document.get("paths") if isinstance(document, Mapping) else None
        for path in paths if isinstance(paths, Mapping) else ():
            if found := _INFER.match(str(path)):
                return found[1]
    return None


def _names(models: list[Any]) -> list[str]:
    return [str(model.get("name")) if isinstance(model, Mapping) else str(model) for model in models]


def _tensors(about: Any, key: str) -> list[Mapping[str, Any]]:
    found = about.get(key) if isinstance(about, Mapping) else None
    found = found if isinstance(found, list) else []
    return [tensor for tensor in found if isinstance(tensor, Mapping) and isinstance(tensor.get("name"), str)]


def _insists(inputs: list[Mapping[str, Any]]) -> list[str]:
    """How its tensors have to look, where that is not what is sent anyway."""
    shapes, kinds = [tensor.get("shape") for tensor in inputs], {tensor.get("datatype") for tensor in inputs}
    said = ["shape: column"] if shapes and all(isinstance(s, list) and s[1:] == [1] for s in shapes) else []
    for name, narrow, wide in (("number", "FP32", "FP64"), ("integer", "INT32", "INT64")):
        said += [f"{name}: {narrow}"] if narrow in kinds and wide not in kinds else []
    return [f"tensors: {{{', '.join(said)}}}"] if said else []


def _mlflow(get: Ask) -> list[str] | None:
    try:
        version, ping = get("/version"), get("/ping")
    except httpx.HTTPError:
        return None
    plain = version.status_code == ping.status_code == 200 and version.text.strip()[:1].isdigit()  # noqa: PLR2004 - OK
    return ["protocol: mlflow", "read: {score: $.predictions}"] if plain else None


def _tf_serving(get: Ask) -> list[str] | None:
    """It lists no models, but says of one that it has not what it would not say of a path that it does not know."""
    try:
        about = get("/v1/models/model").json()
    except (httpx.HTTPError, ValueError):
        return None
    if not isinstance(about, Mapping):
        return None
    if "model_version_status" in about:
        name = "model: model"
    elif str(about.get("error", "")).startswith("Could not find any versions of model"):
        name = "model: model  # it is not called so, and its name is not to be found out: write it here"
    else:
        return None
    return ["protocol: tf-serving", name, "read: {score: $.predictions}"]


def _openapi(get: Ask) -> list[str] | None:
    for place in _OPENAPI:
        document = _document(get, place)
        if isinstance(document, Mapping) and isinstance(document.get("paths"), Mapping):
            posts = [
                path for path, verbs in document["paths"].items() if isinstance(verbs, Mapping) and "post" in verbs
            ]
            likely = [p for p in posts if any(word in p for word in ("predict", "score", "infer", "invocations"))]
            if posts:
                path = (likely or posts)[0]
                score = _score(document, path)
                return ["protocol: json", f"path: {path}", f"read: {{score: $.{score}}}  # where a reply has the score"]
    return None


def _score(document: Mapping[str, Any], path: str) -> str:
    """The first number of the reply's schema; ``score`` if there is none."""
    schema: Any = document["paths"][path]["post"].get("responses", {}).get("200", {})
    schema = schema.get("content", {}).get("application/json", {}).get("schema", {})
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    schema = document.get("components", {}).get("schemas", {}).get(name, schema)
    numbers = [k for k, v in schema.get("properties", {}).items() if v.get("type") == "number"]
    return numbers[0] if numbers else "score"
