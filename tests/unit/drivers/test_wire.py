"""The live driver's own HTTP: every form of reply is read, every fault seen, nothing waits, nothing is sent twice."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest

from simulator.drivers.wire import PreciseLoop, Wire
from simulator.history.schema import NEVER, Outcome
from simulator.scenario.quantities import SECOND

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"


class Server:
    """Answers the k-th request with the k-th script: bytes to write, then whether to hang up."""

    def __init__(self, *scripts):
        self.scripts, self.heads, self.connections, self.tasks = list(scripts), [], 0, []

    async def serve(self, reader, writer):
        self.connections += 1
        self.tasks.append(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                self.heads.append(head + body)
                pieces, hang_up = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)
                if hang_up:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def asked(server, *, count=1, at_once=False, timeout_s=5.0, key="", hung_up=False):
    """The answers of so many posts, one after the other or all at once."""

    async def go():
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        zero = time.monotonic_ns()
        wire = Wire(
            f"http://127.0.0.1:{port}",
            "/p",
            ((b"a", b"b"),),
            int(timeout_s * SECOND),
            lambda: time.monotonic_ns() - zero,
        )
        loop = asyncio.get_running_loop()
        futures = []
        for _ in range(count):
            futures.append(loop.create_future())
            wire.post(b"[1]", futures[-1].set_result, key)
            if not at_once:
                await futures[-1]
                while hung_up and wire.idle:  # noqa: ASYNC110 - a server that hangs up without a word
                    await asyncio.sleep(0.001)
        answers = await asyncio.gather(*futures)
        wire.close()
        await asyncio.gather(*server.tasks)
        listening.close()
        return answers

    with asyncio.Runner(loop_factory=PreciseLoop) as runner:
        return runner.run(go())


@pytest.mark.parametrize(
    ("pieces", "hang_up"),
    [
        ([OK], False),
        ([OK[:20], OK[20:-1], OK[-1:]], False),
        ([OK], True),
        ([CHUNKED], False),
        ([CHUNKED[:50], CHUNKED[50:]], False),
        ([b"HTTP/1.1 200 OK\r\n\r\n{}"], True),  # the body ends with the connection
        ([b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}"], True),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" + OK], False),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"], False),
    ],
)
def test_every_form_of_a_reply_is_read(pieces, hang_up):
    server = Server((pieces, hang_up))
    answers = asked(server, count=3, key="k", hung_up=hang_up)
    assert [(a.status, a.body, a.failure) for a in answers] == [(200, b"{}", None)] * 3
    assert len(server.heads) == 3
    assert all(b"\r\na: b\r\n" in head and b"idempotency-key: k\r\n\r\n[1]" in head for head in server.heads)
    assert all(a.sent_ns <= a.replied_ns == a.ended_ns for a in answers)


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [OK[:-1]],
        [OK[:10]],
        [CHUNKED[:-5]],
        [b"SSH-2.0-none\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"],
    ],
)
def test_a_broken_connection_is_seen_as_such_and_nothing_is_sent_again(pieces):
    server = Server((pieces, True))
    (answer,) = asked(server)
    assert (answer.failure, answer.status, answer.replied_ns) == (Outcome.RESET, 0, NEVER)
    assert len(server.heads) == 1


def test_a_reply_that_does_not_come_is_given_up_at_its_time():
    server = Server(([OK[:-1]], False))
    answers = asked(server, count=2, timeout_s=0.05)
    assert [a.failure for a in answers] == [Outcome.TIMEOUT] * 2
    assert all(a.ended_ns - a.sent_ns >= SECOND // 20 for a in answers)
    assert server.connections == 2  # nobody waits on a line that owes an answer


def test_nobody_listens():
    async def go():
        answer = asyncio.get_running_loop().create_future()
        Wire("http://127.0.0.1:1", "/", (), SECOND, lambda: 0).post(b"", answer.set_result)
        return await answer

    assert asyncio.run(go()).failure is Outcome.RESET


def test_requests_do_not_wait_for_each_other_and_idle_lines_are_used_again():
    server = Server(([OK], False))
    assert {a.status for a in asked(server, count=50, at_once=True)} == {200}
    assert server.connections == 50
    server = Server(([OK], False))
    asked(server, count=50)
    assert server.connections == 1


def test_a_line_that_says_more_than_it_was_asked_is_not_believed_again():
    server = Server(([OK + OK], False), ([OK], False))
    assert [a.body for a in asked(server, count=2)] == [b"{}", b"{}"]
    assert (len(server.heads), server.connections) == (2, 2)


def test_a_reply_is_stamped_with_the_moment_at_which_it_was_there_to_be_read():
    """However long those before it in the same batch take to be read."""

    async def go():
        server = Server(([OK], False))
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        answer = asyncio.get_running_loop().create_future()
        wire = Wire(url, "/p", (), SECOND, time.monotonic_ns, arrived=lambda: 7)
        wire.post(b"[1]", answer.set_result)
        found = await answer
        wire.close()
        await asyncio.gather(*server.tasks)
        listening.close()
        return found

    assert asyncio.run(go()).replied_ns == 7


def test_what_has_arrived_together_has_arrived_at_one_moment():
    with asyncio.Runner(loop_factory=PreciseLoop) as runner, contextlib.ExitStack() as stack:
        loop, seen = runner.get_loop(), []
        pairs = [tuple(map(stack.enter_context, socket.socketpair())) for _ in range(3)]

        def read(one):
            one.recv(1)
            seen.append((loop.woke_ns, time.monotonic_ns()))

        async def go():
            for one, other in pairs[:2]:
                loop.add_reader(one, read, one)
                other.send(b"x")
            await asyncio.sleep(0.01)
            one, other = pairs[2]
            loop.add_reader(one, read, one)
            other.send(b"x")
            await asyncio.sleep(0.01)

        runner.run(go())
        (first, after_first), (second, _), (third, _) = seen
        assert first == second <= after_first < third
