"""What strangers may send: ``python -m benchmarks.fuzz [requests] [seed]``. 100,000 unless said otherwise.

In process, against the whole service: bodies, headers, methods and paths that are nearly right. A request is answered
well if its status is one that the service promises, a refusal is a problem document (RFC 9457) that shows neither
values nor internals, and an ordinary request is still answered afterwards. One line is printed; exit 1 if any was not.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from benchmarks import shipped
from benchmarks.service import bodies
from reference_service.api.http import Edge
from reference_service.app import create_app
from reference_service.clock import SystemClock
from simulator.targets.leaks import leak

INFER: Final = "/v2/models/payments/infer"
TOKEN: Final = b"a-token-of-this-run"
# What the service may say while all its dependencies are well. 503: the readiness of a version that is not served.
PROMISED: Final = frozenset({200, 202, 400, 401, 404, 405, 409, 413, 415, 422})
SEEDS: Final = 64  # bodies that are right, to start from
KEPT: Final = 5  # of what went wrong
PATHS: Final = (
    INFER, INFER + "/", "/v2/models/payments/versions/v1/infer", "/v2/models/payments/versions/v9/infer",
    "/v2/models/other/infer", "/v2", "/v2/health/live", "/v2/models/payments", "/v1/releases", "/v1/labels",
    "/v1/reviews", "/v1/decisions", "/v1/decision", "/metrics", "/", "/../etc/passwd", "/v2/models/%00/infer",
)  # fmt: skip
ODD: Final = (
    None, True, 0, -1, 2**63, 1e308, "", "N/A", "NaN", "x" * 5000, [], {}, [[1.0]], {"a": 1}, "\u0000", "\ud7ff😀", 3.5,
)  # fmt: skip
WORDS: Final = (b"NaN", b"Infinity", b"-1e400", b"null", b"[" * 400, b'"\\ud800"', b"\xff\xfe", b"}", b",,", b"1" * 400)


class Sent(NamedTuple):
    """One request."""

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Said(NamedTuple):
    """One answer."""

    status: int
    kind: bytes
    body: bytes


# ---------------------------------------------------------------- requests


def requests(count: int, seed: int) -> Iterator[Sent]:
    """Nearly right requests, the same ones for the same seed."""
    draw = random.Random(seed)  # noqa: S311 - not for secrets
    right = bodies(SEEDS)
    for _ in range(count):
        yield _request(draw, right)


def _request(draw: random.Random, right: Sequence[bytes]) -> Sent:
    body = draw.choice(right)
    for _ in range(draw.choice((0, 1, 1, 1, 2, 4))):
        body = draw.choice(MUTATIONS)(draw, body)
    path = INFER if draw.random() < 0.8 else draw.choice(PATHS)  # noqa: PLR2004 - four of five are inferences
    method = "POST" if draw.random() < 0.9 else draw.choice(("GET", "PUT", "DELETE", "HEAD", "OPTIONS", "POST", "BREW"))  # noqa: PLR2004 - rare
    query = draw.choice((b"", b"", b"", b"limit=-1", b"limit=1e9", b"id=%00&row=x", b"\xff"))
    return Sent(method, path, query, list(_headers(draw, body)), body)


def _headers(draw: random.Random, body: bytes) -> Iterator[tuple[bytes, bytes]]:
    if draw.random() < 0.5:  # noqa: PLR2004 - the control plane, half of the time
        yield b"authorization", b"Bearer " + (TOKEN if draw.random() < 0.7 else draw.randbytes(9))  # noqa: PLR2004 - mostly right
    if draw.random() < 0.1:  # noqa: PLR2004 - rare
        yield b"idempotency-key", draw.choice((b"k%d" % draw.randrange(50), b"", b"\xff", b"a b", b"x" * 300))
    if draw.random() < 0.05:  # noqa: PLR2004 - rare
        length = draw.choice((b"-1", b"x", b"%d" % len(body), b"%d" % (len(body) // 2), b"9" * 30))
        yield b"inference-header-content-length", length
    if draw.random() < 0.02:  # noqa: PLR2004 - rare
        yield b"content-encoding", draw.choice((b"gzip", b"identity", b"br"))


def _flipped(draw: random.Random, body: bytes) -> bytes:
    if not body:
        return b"\x00"
    at = draw.randrange(len(body))
    return body[:at] + bytes([body[at] ^ (1 << draw.randrange(8))]) + body[at + 1 :]


def _cut(draw: random.Random, body: bytes) -> bytes:
    return body[: draw.randrange(len(body) + 1)]


def _inserted(draw: random.Random, body: bytes) -> bytes:
    at = draw.randrange(len(body) + 1)
    return body[:at] + draw.choice(WORDS) + body[at:]


def _edited(draw: random.Random, body: bytes) -> bytes:
    """Valid JSON in which one thing is another."""
    try:
        document = json.loads(body)
        tensor = draw.choice(document["inputs"])
        what = draw.choice(("data", "element", "shape", "name", "drop", "twice", "id", "many", "outputs", "parameters"))
        if what == "data":
            tensor["data"] = draw.choice(ODD)
        elif what == "element":
            tensor["data"] = [draw.choice(ODD)]
        elif what == "shape":
            tensor["shape"] = draw.choice(([0], [-1], [2], [1, 1], [1, 2], "1", None, [10**9]))
        elif what == "name":
            tensor["name"] = draw.choice(ODD)
        elif what == "drop":
            document["inputs"].remove(tensor)
        elif what == "twice":
            document["inputs"].append(tensor)
        elif what == "many":
            for each in document["inputs"]:
                each["data"], each["shape"] = each["data"] * 40, [40]
        else:
            document[what] = draw.choice(ODD)
        return json.dumps(document).encode()
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return body


def _else(draw: random.Random, _: bytes) -> bytes:
    return draw.choice((
        b"", b"{}", b"[]", b"0", b'{"inputs":[]}', b'{"inputs":{}}', b'{"labels":[{"id":"x","label":1}]}',
        b'{"labels":[{"id":1}]}', b'{"version":"v2","by":"canary","share":0.1}', b'{"version":"v9"}',
        b'{"version":"v2","by":"swap"}', b'{"verdicts":[]}', b'{"verdicts":[{"id":"x","verdict":"maybe","by":""}]}',
        draw.randbytes(40),
    ))  # fmt: skip


MUTATIONS: Final[tuple[Callable[[random.Random, bytes], bytes], ...]] = (
    _flipped, _cut, _inserted, _edited, _edited, _edited, _else,
)  # fmt: skip


# ---------------------------------------------------------------- answers


async def ask(edge: Edge, sent: Sent) -> Said:
    """One exchange over ASGI."""
    messages: list[dict[str, Any]] = []
    parts = [sent.body]

    async def receive() -> dict[str, Any]:
        if not parts:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": parts.pop(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    scope = {
        "type": "http", "method": sent.method, "path": sent.path, "query_string": sent.query, "headers": sent.headers,
        "client": ("127.0.0.1", 1),
    }  # fmt: skip
    await edge(scope, receive, send)
    kind = dict(messages[0]["headers"]).get(b"content-type", b"")
    return Said(messages[0]["status"], kind, b"".join(message.get("body", b"") for message in messages[1:]))


def wrong(sent: Sent, said: Said) -> str:
    """What is wrong with an answer; an empty string if nothing is."""
    if said.status not in PROMISED:
        return f"status {said.status}"
    if said.status < HTTPStatus.BAD_REQUEST:
        return ""
    if leak(sent.body, said.body):
        return "a leak"
    if sent.method == "HEAD":
        return ""
    try:
        problem = json.loads(said.body)
    except ValueError:
        return "no JSON"
    whole = isinstance(problem, dict) and problem.get("status") == said.status and bool(problem.get("title"))
    return "" if whole and said.kind == b"application/problem+json" else "no problem document"


async def campaign(count: int, seed: int) -> dict[str, Any]:
    """The figure: how many were asked, which statuses came, and the first that were not answered well."""
    here = shipped.bundles("payments")
    settings = {"bundles": str(here), "feature_store": str(here / "customers.npz"), "token": TOKEN.decode()}
    app = create_app(settings, clock=SystemClock())
    await app.startup()
    assert app.edge is not None  # noqa: S101 - it has just started
    statuses: Counter[int] = Counter()
    found: list[dict[str, str]] = []
    bad = 0
    for sent in requests(count, seed):
        said = await ask(app.edge, sent)
        statuses[said.status] += 1
        why = wrong(sent, said)
        if why:
            bad += 1
            if len(found) < KEPT:
                asked = f"{sent.method} {sent.path} {sent.body[:200]!r} {sent.headers}"
                found.append({"why": why, "asked": asked, "said": said.body[:200].decode("utf-8", "replace")})
    last = await ask(app.edge, Sent("POST", INFER, b"", [], bodies(1)[0]))
    await app.shutdown()
    return {
        "name": "fuzz", "n": count, "seed": seed, "wrong": bad, "answers_afterwards": last.status == HTTPStatus.OK,
        "statuses": {str(status): statuses[status] for status in sorted(statuses)}, "first": found,
    }  # fmt: skip


def main() -> None:
    """Print the line."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1  # noqa: PLR2004 - the second argument
    figure = asyncio.run(campaign(count, seed))
    print(json.dumps(figure), flush=True)
    sys.exit(bool(figure["wrong"]) or not figure["answers_afterwards"])


if __name__ == "__main__":
    main()
