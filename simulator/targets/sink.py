"""The harness' alert receiver: a small HTTP server, the same on the virtual and on the real network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Final

import h11

from simulator.history.schema import AlertRecord, Note
from simulator.targets.alert_formats import parse
from simulator.targets.model import Alerts, Match
from simulator.targets.seams import Injected

HOST: Final = "alerts.seatrial.invalid"  # RFC 2606: never a real host
PORT: Final = 80


class Sink:
    """Collects notifications posted to ``/<route>``. Heartbeats become notes, not alerts."""

    def __init__(self, alerts: Alerts | None, now_ns: Callable[[], int]) -> None:
        self._config = alerts or Alerts(receive=())
        self._now_ns = now_ns
        self.alerts: list[AlertRecord] = []
        self.notes: list[Note] = []
        self._beats: dict[str, dict[str, object]] = {}  # by route: what is noted of each of its heartbeats
        self.gate: Callable[[str, bytes], int] = self._take  # what a seam may wrap

    def receive(self, path: str, body: bytes) -> int:
        """Take one notification; the HTTP status to answer."""
        try:
            return int(self.gate(path, body))
        except Injected:
            return 503

    def _take(self, path: str, body: bytes) -> int:
        route, at = path.strip("/"), self._now_ns()
        if route not in self._config.receive:
            if body:  # else somebody asks whether we are there
                self._unread(at, route, f"the target file lists no route `{route}`")
            return 404
        try:
            records = parse(route, body, at, self._config.match)
        except ValueError as error:
            self._unread(at, route, str(error))
            return 400
        heartbeat = self._config.heartbeat
        for record in records:
            if heartbeat is not None and record.name == heartbeat.name:
                said = self._beats.setdefault(route, {"route": route, "every_ns": heartbeat.every})
                self.notes.append(Note(at, "heartbeat", said))
            else:
                self.alerts.append(record)
        return 200

    def _unread(self, at_ns: int, route: str, why: str) -> None:
        """It may have been any alert: what cannot be read must not count as silence."""
        self.notes.append(Note(at_ns, "unread", {"route": route, "why": why}))

    # ------------------------------------------------------------ for observers that ask

    @property
    def match(self) -> Match:
        """Which label names what."""
        return self._config.match

    def take(self, route: str, changed: Iterable[tuple[str, str, str, str, bool]]) -> None:
        """Alerts that began or ended: fingerprint, name, field, severity, whether it fires."""
        heartbeat = self._config.heartbeat
        for fingerprint, name, field, severity, firing in changed:
            if heartbeat is None or name != heartbeat.name:
                self.alerts.append(AlertRecord(self._now_ns(), route, fingerprint, name, field, severity, firing))

    def beats(self, route: str, names: Collection[str]) -> None:
        """The names of everything that fires: if the heartbeat is among them, silence is silence."""
        heartbeat = self._config.heartbeat
        if heartbeat is not None and heartbeat.name in names:
            self.notes.append(Note(self._now_ns(), "heartbeat", {"route": route, "every_ns": heartbeat.every}))

    def unread(self, route: str, why: str) -> None:
        """An observer got no answer."""
        self.notes.append(Note(self._now_ns(), "action", {"what": f"poll {route}", "status": 0, "body": why}))

    def protocol(self, receive: Callable[[str, bytes], int] | None = None) -> asyncio.Protocol:
        """A server protocol for one connection; `receive`: what takes notifications in place of the sink's own."""
        return _Http(receive or self.receive)


class _Http(asyncio.Protocol):
    """One request per connection is all that a webhook needs; h11 does the parsing."""

    def __init__(self, receive: Callable[[str, bytes], int]) -> None:
        self._receive = receive
        self._http = h11.Connection(h11.SERVER)
        self._target = ""
        self._body = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        try:
            self._advance()
        except h11.RemoteProtocolError:
            self._close()

    def _advance(self) -> None:
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.Request):
                self._target = event.target.decode("ascii", "replace")
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._answer(self._receive(self._target.partition("?")[0], bytes(self._body)))
                return
            elif isinstance(event, h11.ConnectionClosed):
                self._close()
                return

    def _answer(self, status: int) -> None:
        if self._transport is not None:
            headers = [("content-length", "0"), ("connection", "close")]
            self._transport.write(self._http.send(h11.Response(status_code=status, headers=headers)) or b"")
            self._transport.write(self._http.send(h11.EndOfMessage()) or b"")
        self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
