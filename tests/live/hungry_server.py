"""A service that works for its answers: milliseconds of CPU a request, and bytes that it never gives back.

``hungry_server.py PORT [BURN_MS] [LEAK_BYTES]``; with a fourth argument what serves leaves
the session of its starter, and writes its pid there.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

BURN, LEAK = (int(arg) for arg in (*sys.argv[2:4], "0", "0")[:2])
KEPT = []
HEEDS = "HEEDS" in os.environ  # looks whether its client is still there


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            _, _, length = head.lower().partition(b"content-length:")
            await reader.readexactly(int(length.split(b"\r\n")[0] or 0))
            for _ in range(BURN):
                until = time.process_time() + 0.001
                while time.process_time() < until:
                    pass
                if HEEDS:
                    await asyncio.sleep(0)
                    if reader.at_eof():
                        return writer.close()
            KEPT.append(bytearray(LEAK))
            body = b'{"score": 0.5}'
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, MemoryError):
        writer.close()


async def main() -> None:
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) > 4:
        if os.fork():
            time.sleep(3600)
        os.setsid()
        with Path(sys.argv[4]).open("a") as file:
            file.write(f"{os.getpid()}\n")
    asyncio.run(main())
