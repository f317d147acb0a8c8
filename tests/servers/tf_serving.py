"""TensorFlow Serving's REST interface, written from its public description, around a small model of named scalars.

`app` is an ASGI app; ``python tf_serving.py PORT`` serves it. As in the original: the request may name its rows one by
one (``instances``) or column by column (``inputs``) but not both; a reply has the form of its request, and no names if
there is but one output; versions and labels stand in the path; a mistake is a document with ``error``; ``NaN`` and
``Infinity`` are taken and given, though JSON knows neither.
"""

import json
import re
import sys

from model import CHANNELS, COUNTRIES, NUMBERS, score

NAME, VERSIONS, LABELS = "fraud", ("1", "2"), {"stable": "1", "canary": "2"}
PATH = re.compile(r"/v1/models/(\w+)(?:/versions/(\w+)|/labels/(\w+))?(:predict|/metadata)?")


class Refused(Exception):  # noqa: N818 - says what is the case
    def __init__(self, status, why):
        super().__init__(why)
        self.status = status


def version_of(match):
    name, version, label, _ = match.groups()
    found = LABELS.get(label) if label else version or VERSIONS[-1]
    if name != NAME or found not in VERSIONS:
        raise Refused(404, f"Could not find any versions of model {name}")
    return found


def tensor(name, values):
    """A dense tensor of one dimension: no null, one type."""
    kind = (int, float) if name in NUMBERS else str
    if not isinstance(values, list) or any(isinstance(v, bool) or not isinstance(v, kind) for v in values):
        raise Refused(400, f"Failed to process element of '{name}': JSON value is not of expected type")
    return values


def columns_of(document):
    if not isinstance(document, dict) or ("instances" in document) == ("inputs" in document):
        raise Refused(400, "Request must have one of 'instances' and 'inputs'")
    wanted = (*NUMBERS, "country", "channel")
    if "instances" in document:
        rows = document["instances"]
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            raise Refused(400, "'instances' must be a list of objects, not empty")
        if any(set(row) != set(wanted) for row in rows):
            raise Refused(400, "each instance must have exactly the inputs " + ", ".join(wanted))
        named = {name: [row[name] for row in rows] for name in wanted}
    else:
        named = document["inputs"]
        if not isinstance(named, dict) or set(named) != set(wanted):
            raise Refused(400, "'inputs' must have exactly the tensors " + ", ".join(wanted))
    columns = {name: tensor(name, named[name]) for name in wanted}
    if len({len(values) for values in columns.values()}) != 1:
        raise Refused(400, "Input tensors differ in their dimension 0")
    if any(v not in known for name, known in (("country", COUNTRIES), ("channel", CHANNELS)) for v in columns[name]):
        raise Refused(400, "indices are not in the vocabulary")
    return columns


def predict(document, version):
    """Version 1 has one output, of shape [n, 1] as a Keras model gives it; version 2 has two."""
    columns = columns_of(document)
    scores = [score(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]
    by_row = "instances" in document
    if version == "1":
        return {"predictions" if by_row else "outputs": [[s] for s in scores]}
    calls = ["block" if s > 0.5 else "allow" for s in scores]
    if by_row:
        return {"predictions": [{"score": s, "decision": d} for s, d in zip(scores, calls, strict=True)]}
    return {"outputs": {"score": scores, "decision": calls}}


def answer(method, path, body):
    match = PATH.fullmatch(path)
    if match is None:
        raise Refused(404, f"Malformed request: {method} {path}")
    version = version_of(match)
    if match[4] == ":predict" and method == "POST":
        try:
            return predict(json.loads(body), version)
        except (ValueError, OverflowError) as wrong:
            raise Refused(400, f"JSON Parse error: {wrong}") from None
    if match[4] or method != "GET":
        raise Refused(405, f"Malformed request: {method} {path}")
    fine = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": v, "state": "AVAILABLE", "status": fine} for v in VERSIONS]}


async def app(scope, receive, send):
    assert scope["type"] == "http"
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    status = 200
    try:
        document = answer(scope["method"], scope["path"], body)
    except Refused as refused:
        status, document = refused.status, {"error": str(refused)}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(document).encode()})


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", log_level="warning", access_log=False)
