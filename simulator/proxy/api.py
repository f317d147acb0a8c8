"""The proxies' control, in the shape of toxiproxy's HTTP API, so that the real one can take this one's place.

Beyond toxiproxy, a toxic says what it did, the receipt of a fault: over how many connections something went its way
(`used`), how many of them it took (`connections`, with so many `bytes`), and of how many the effect was complete
(`potent`). A proxy says how many pieces of data any toxic got hold of (`struck`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import h11
import msgspec

from simulator.proxy.relay import Relay
from simulator.proxy.toxics import ACTS, Stream, Toxic

_LARGEST: Final = 1 << 20
_Answer = tuple[int, Any]


class Refused(ValueError):  # noqa: N818 - says what became of the request
    """The request cannot be done; `status` says why, as HTTP does."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Proxies:
    """All relays of one harness, under one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.relays: dict[str, Relay] = {}

    async def close(self) -> None:
        """Nobody can connect any more, and nobody is connected."""
        for relay in self.relays.values():
            await relay.disable()

    async def answer(self, method: str, path: str, body: bytes) -> _Answer:
        """Status and JSON of one request."""
        try:
            said = msgspec.json.decode(body) if body else {}
            return await self._route(method, tuple(path.strip("/").split("/")), said)
        except Refused as refused:
            return refused.status, {"error": str(refused), "status": refused.status}
        except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
            return 400, {"error": f"bad request: {error}", "status": 400}
        except OSError as error:
            return 500, {"error": str(error), "status": 500}

    async def _route(self, method: str, path: tuple[str, ...], said: Any) -> _Answer:
        match method, path:
            case "GET", ("version",):
                return 200, {"version": "seatrial"}
            case "POST", ("reset",):
                for relay in self.relays.values():
                    relay.toxics.clear()
                    await relay.enable()
                return 204, None
            case "POST", ("populate",):
                return 201, {"proxies": [shown(await self._put(one)) for one in said]}
            case "GET", ("proxies",):
                return 200, {name: shown(relay) for name, relay in self.relays.items()}
            case "POST", ("proxies",):
                if said["name"] in self.relays:
                    raise Refused(409, f"there is a proxy {said['name']} already")
                return 201, shown(await self._put(said))
            case _, ("proxies", name, *rest):
                if name not in self.relays:
                    raise Refused(404, f"there is no proxy {name}")
                return await self._one(method, self.relays[name], rest, said)
        raise Refused(404, f"nothing answers {method} /{'/'.join(path)}")

    async def _one(self, method: str, relay: Relay, rest: list[str], said: Any) -> _Answer:
        match method, rest:
            case "GET", []:
                return 200, shown(relay)
            case "POST" | "PATCH", []:
                await (relay.enable() if said.get("enabled", relay.enabled) else relay.disable())
                return 200, shown(relay)
            case "DELETE", []:
                await relay.disable()
                del self.relays[relay.name]
                return 204, None
            case "GET", ["toxics"]:
                return 200, [_toxic(one) for one in relay.toxics.values()]
            case "POST", ["toxics"]:
                toxic = _read(said)
                if toxic.name in relay.toxics:
                    raise Refused(409, f"there is a toxic {toxic.name} already")
                relay.toxics[toxic.name] = toxic
                return 200, _toxic(toxic)
            case _, ["toxics", name] if name not in relay.toxics:
                raise Refused(404, f"there is no toxic {name}")
            case "GET", ["toxics", name]:
                return 200, _toxic(relay.toxics[name])
            case "DELETE", ["toxics", name]:
                del relay.toxics[name]
                return 204, None
        raise Refused(405, f"{method} is not for this")

    async def _put(self, said: Any) -> Relay:
        if (old := self.relays.pop(said["name"], None)) is not None:
            await old.disable()
        relay = Relay(said["name"], said["listen"], said["upstream"], self._seed)
        if said.get("enabled", True):
            await relay.enable()
        self.relays[relay.name] = relay
        return relay


def _read(said: Any) -> Toxic:
    kind = said["type"]
    stream: Stream = said.get("stream") or "downstream"
    if kind not in ACTS:
        raise Refused(400, f"there is no toxic of type {kind}; there are {', '.join(ACTS)}")
    if stream not in {"upstream", "downstream"}:
        raise Refused(400, f"stream is upstream or downstream, not {stream}")
    attributes = {str(k): int(v) for k, v in said.get("attributes", {}).items()}
    return Toxic(said.get("name") or f"{kind}_{stream}", kind, stream, float(said.get("toxicity", 1.0)), attributes)


def _toxic(toxic: Toxic) -> dict[str, Any]:
    return {
        "name": toxic.name, "type": toxic.kind, "stream": toxic.stream, "toxicity": toxic.toxicity,
        "attributes": toxic.attributes, "used": len(toxic.used), "connections": len(toxic.connections),
        "potent": len(toxic.potent), "bytes": toxic.affected,
    }  # fmt: skip


def shown(relay: Relay) -> dict[str, Any]:
    """A relay as the API tells it."""
    return {
        "name": relay.name, "listen": relay.listen, "upstream": relay.upstream, "enabled": relay.enabled,
        "struck": relay.struck,
        "toxics": [_toxic(one) for one in relay.toxics.values()],
    }  # fmt: skip


async def serve(answer: Callable[[str, str, bytes], Awaitable[_Answer]], host: str = "127.0.0.1") -> asyncio.Server:
    """The API on a free port of `host`."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http, body, request = h11.Connection(h11.SERVER), bytearray(), None
        try:
            while not isinstance(event := http.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    http.receive_data(await reader.read(_LARGEST))
                elif isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.Data) and len(body) < _LARGEST:
                    body += event.data
                else:
                    return
            assert request is not None  # noqa: S101 - a message begins with it
            # A page in a browser on this machine must not be able to break things here.
            strange = any(name == b"origin" for name, _ in request.headers)
            status, said = (
                (403, {"error": "not for browsers", "status": 403})
                if strange
                else await answer(request.method.decode(), request.target.decode().partition("?")[0], bytes(body))
            )
            payload = b"" if said is None else msgspec.json.encode(said)
            headers = [("content-type", "application/json"), ("content-length", str(len(payload)))]
            if status == 204:  # noqa: PLR2004 - has no body, and must not say how long it is
                headers = []
            response = h11.Response(status_code=status, headers=[*headers, ("connection", "close")])
            for part in (response, h11.Data(data=payload), h11.EndOfMessage()):
                writer.write(http.send(part) or b"")
            await writer.drain()
        except (h11.RemoteProtocolError, OSError):
            pass  # whoever asked is gone, or speaks no HTTP
        finally:
            writer.close()

    return await asyncio.start_server(one, host, 0)
