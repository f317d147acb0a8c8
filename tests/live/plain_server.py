"""A small service as people write them: JSON in, a score out, 422 for a row without its amount.

It writes down what it was sent, one line a request, so that a test can count: `RECORD` names the file.
`VERSION` is what it says of itself, if it is to say anything.
"""

import hashlib
import json
import os
import sys

import uvicorn


async def body_of(receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def answer(body: bytes) -> tuple[int, dict]:
    row = json.loads(body)
    amount = row.get("amount")
    if amount is None:
        return 422, {"error": "amount is missing"}
    return 200, {"score": round(min(1.0, amount / 1000 + (row.get("ip_risk") or 0) / 2), 6), **VERSION}


async def app(scope, receive, send) -> None:
    if scope["type"] != "http":
        return
    status, document = 200, {}
    if scope["method"] == "POST":
        body = await body_of(receive)
        if RECORD:
            RECORD.write(hashlib.sha256(body).hexdigest() + "\n")
        status, document = answer(body)
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(document).encode()})


VERSION = {"version": os.environ["VERSION"]} if "VERSION" in os.environ else {}
RECORD = open(os.environ["RECORD"], "a", buffering=1, encoding="utf-8") if os.environ.get("RECORD") else None  # noqa: SIM115, PTH123

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", log_level="warning", access_log=False)
