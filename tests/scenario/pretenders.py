"""Services that do nothing of what they are for, as ASGI apps that a target file can name."""

from __future__ import annotations

import json


def _service(answer):
    """A service that answers each request by a status and a document."""

    async def app(scope, receive, send):
        body = (await receive()).get("body", b"") if scope["method"] == "POST" else b""
        status, document = answer(scope["path"], body)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(document).encode()})

    return app


def _honest(body):
    return 200, {"score": min(1.0, (json.loads(body).get("amount") or 0.0) / 1000), "source": "model"}


constant = _service(lambda _, __: (200, {"score": 0.5, "source": "model"}))
refuses_everybody = _service(lambda _, __: (422, {"error": "no"}))
sheds_everybody = _service(lambda _, __: (429, {"error": "later"}))
always_a_default = _service(lambda _, body: (200, _honest(body)[1] | {"source": "default"}))
fails_when_all_is_well = _service(
    lambda _, body: (200, {"score": 0.4, "source": "default"}) if b"betrag" in body else (500, {})
)
loses_labels = _service(lambda path, body: (500, {}) if path == "/labels" else _honest(body))
without_metrics = _service(lambda path, body: (200, {}) if path in ("/quality", "/monitors") else _honest(body))
