"""One HTTP request on one connection, in steps: sent and not yet read. httpx does not stop half way."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11


@dataclass(slots=True)
class Line:
    """A connection that the server has already answered on once, so that it is known to be accepted."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection
    host: str

    async def send(self, method: str, path: str, body: bytes = b"") -> None:
        """Hand the whole request to the socket."""
        headers = [("host", self.host), ("content-length", str(len(body))), ("content-type", "application/json")]
        events = [h11.Request(method=method, target=path, headers=headers), h11.Data(data=body), h11.EndOfMessage()]
        for event in events:
            self.writer.write(self.http.send(event) or b"")
        await self.writer.drain()

    async def receive(self) -> tuple[int, bytes]:
        """Status and body of the next reply. Raises ConnectionError if the connection ends before it is complete."""
        status, body = 0, bytearray()
        while True:
            try:
                event = self.http.next_event()
            except h11.RemoteProtocolError as error:
                raise ConnectionResetError(str(error)) from error
            if event is h11.NEED_DATA:
                self.http.receive_data(await self.reader.read(65536))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
                    self.http.start_next_cycle()
                return status, bytes(body)
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                raise ConnectionResetError("closed before the reply was complete")

    async def close(self) -> None:
        """Leave, whatever is still to come."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def dial(url: str) -> Line:
    """A new connection to the server at that URL."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    return Line(reader, writer, h11.Connection(h11.CLIENT), parts.netloc)


async def accepted(url: str, path: str) -> Line:
    """A connection on which a GET was answered, so it waits in no queue of the kernel. Raises ConnectionError."""
    line = await dial(url)
    await line.send("GET", path)
    await line.receive()
    return line
