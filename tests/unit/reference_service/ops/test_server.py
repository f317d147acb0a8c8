"""Our own HTTP server on a real socket: framing, order, limits, patience, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from conftest import ROW, SECOND, encode, run
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from reference_service.api.core import Core
from reference_service.api.tracing import Spans
from reference_service.server.connection import Connection
from reference_service.server.server import Server
from reference_service.server.traced import traced

INFER = "/v2/models/payments/infer"


def post(body, path=INFER, *, version="1.1", extra=""):
    return f"POST {path} HTTP/{version}\r\nhost: x\r\n{extra}content-length: {len(body)}\r\n\r\n".encode() + body


class Port:
    """A server of one service, and connections to it."""

    def __init__(self, h, **options):
        self.h = h
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = self.listening.getsockname()
        self.server = Server(Core(h.service), self.listening, **options)
        self.clients = []

    async def __aenter__(self):
        await self.server.start()
        return self

    async def __aexit__(self, *_):
        for client in self.clients:
            client.writer.close()
        if not self.server.draining:
            await self.stop()

    async def stop(self, grace_s=10):
        stopping = asyncio.create_task(self.server.stop(grace_s * SECOND))
        while not stopping.done():
            await self.pause()
            await self.h.clock.advance(SECOND // 100)
        await stopping

    async def pause(self):
        await asyncio.sleep(0.002)

    async def until(self, true):
        while not true():
            await self.pause()

    async def connect(self):
        reader, writer = await asyncio.open_connection(*self.address)
        self.clients.append(Client(reader, writer))
        return self.clients[-1]


class Client:
    """Sends bytes, reads answers."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def send(self, data):
        self.writer.write(data)

    async def read(self, *, head_only=False):
        head = await self.reader.readuntil(b"\r\n\r\n")
        line, *lines = head.decode().strip().split("\r\n")
        headers = dict(each.split(": ", 1) for each in lines)
        body = b"" if head_only else await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(line.split()[1]), headers, body

    async def ask(self, data):
        self.send(data)
        return await self.read()

    async def ended(self):
        try:
            return await self.reader.read() == b""
        except ConnectionResetError:
            return True


def on_a_port(harness, scenario, seams=None, **settings):
    async def body():
        h = harness(seams, **settings)
        async with asyncio.timeout(20), Port(h) as port:
            await scenario(port)

    run(body())


def test_a_connection_is_kept_and_answers_are_the_edges_own(harness):
    async def body(port):
        client = await port.connect()
        for number in range(3):
            status, headers, reply = await client.ask(post(encode([ROW], f"r{number}")))
            assert (status, json.loads(reply)["id"]) == (200, f"r{number}")
            assert headers["content-type"] == "application/json"
            assert headers["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
        assert reply == (await port.h.call("POST", INFER, encode([ROW], "r2")))[1]
        status, _, reply = await client.ask(b"GET /v2/health/ready?x=1 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (status, reply) == (200, b'{"ready":true}')
        assert (await client.ask(post(b"{")))[0] == 400
        assert (await client.ask(post(encode([ROW]))))[0] == 200

    on_a_port(harness, body)


def test_requests_sent_ahead_are_answered_in_order_whatever_each_takes(harness):
    async def body(port):
        client = await port.connect()
        get = b"GET /v1/version HTTP/1.1\r\nhost: x\r\n\r\n"
        client.send(b"".join(post(encode([ROW], f"r{k}")) + get for k in range(20)))
        for k in range(20):
            assert json.loads((await client.read())[2])["id"] == f"r{k}"
            assert (await client.read())[0] == 401

    on_a_port(harness, body)


def test_bytes_may_come_one_by_one_and_bodies_in_chunks(harness):
    async def body(port):
        client = await port.connect()
        for byte in post(encode([ROW], "slow")):
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert json.loads((await client.read())[2])["id"] == "slow"
        whole = encode([ROW], "chunked")
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (whole[:50], whole[50:])) + b"0\r\n\r\n"
        client.send(f"POST {INFER} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode() + chunks)
        assert json.loads((await client.read())[2])["id"] == "chunked"

    on_a_port(harness, body)


def test_connections_end_where_http_says_so(harness):
    async def body(port):
        old = await port.connect()
        status, headers, _ = await old.ask(post(encode([ROW]), version="1.0"))
        assert (status, headers["connection"]) == (200, "close")
        assert await old.ended()
        kept = await port.connect()
        for _ in range(2):
            _, headers, _ = await kept.ask(post(encode([ROW]), version="1.0", extra="connection: keep-alive\r\n"))
            assert headers["connection"] == "keep-alive"
        last = await port.connect()
        _, headers, _ = await last.ask(post(encode([ROW]), extra="connection: close\r\n"))
        assert headers["connection"] == "close"
        assert await last.ended()
        invited = await port.connect()
        upgrade = b"GET /v2 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
        assert (await invited.ask(upgrade))[0] == 200
        assert await invited.ended()

    on_a_port(harness, body)


def test_head_is_get_without_the_body(harness):
    async def body(port):
        client = await port.connect()
        client.send(b"HEAD /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        status, headers, _ = await client.read(head_only=True)
        assert (status, headers["content-length"]) == (200, str(len(b'{"live":true}')))
        assert (await client.ask(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"))[2] == b'{"live":true}'

    on_a_port(harness, body)


def test_a_client_that_asks_first_is_told_to_go_on(harness):
    async def body(port):
        client = await port.connect()
        whole = post(encode([ROW]), extra="expect: 100-continue\r\n")
        head, _, sent = whole.partition(b"\r\n\r\n")
        client.send(head + b"\r\n\r\n")
        assert (await client.read(head_only=True))[0] == 100
        assert (await client.ask(sent))[0] == 200

    on_a_port(harness, body)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no host
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\n a: folded\r\nb : c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"a" * 70_000, 431),
        (post(b"x" * 3000), 413),
        (b"GET /%ff%fe HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 404),
    ],
)
def test_what_is_not_to_be_answered_is_refused_and_the_connection_ended(harness, sent, status):
    async def body(port):
        client = await port.connect()
        found, headers, reply = await client.ask(sent)
        assert found == status
        assert headers["connection"] == "close"
        assert json.loads(reply)["status"] == status
        assert await client.ended()

    on_a_port(harness, body, policy={"body_limit": 2048})


def test_an_answer_that_is_under_way_comes_before_a_refusal(harness):
    async def body(port):
        client = await port.connect()
        client.send(post(encode([ROW], "good")) + b"nonsense\r\n\r\n")
        assert json.loads((await client.read())[2])["id"] == "good"
        assert (await client.read())[0] == 400
        assert await client.ended()

    on_a_port(harness, body)


def test_patience_ends_with_a_slow_upload_and_with_an_idle_connection(harness):
    async def body(port):
        idle, slow, half = await port.connect(), await port.connect(), await port.connect()
        await idle.ask(b"GET /v2 HTTP/1.1\r\nhost: x\r\n\r\n")
        slow.send(post(encode([ROW]))[:-1])
        half.send(b"GET /v2 HT")
        await port.until(lambda: sum(c._waits for c in port.server.connections) == 2)
        await port.h.clock.advance(12 * SECOND)
        for client in (slow, half):
            assert (await client.read())[0] == 408
            assert await client.ended()
        assert len(port.server.connections) <= 3
        await port.h.clock.advance(80 * SECOND)
        assert await idle.ended()

    on_a_port(harness, body)


def test_a_client_that_takes_nothing_is_let_go(harness):
    async def body(port):
        client = await port.connect()
        client.writer.transport.pause_reading()
        get = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"
        while not any(c.stuck_ns for c in port.server.connections):
            client.send(get * 50)
            await port.pause()
        await port.h.clock.advance(40 * SECOND)
        await port.until(lambda: not port.server.connections)

    on_a_port(harness, body)


def hanging(_call):
    def call(*_):
        return asyncio.get_running_loop().create_future()

    return call


def test_nobody_works_for_a_client_that_has_left(harness):
    async def body(port):
        client = await port.connect()
        client.send(post(encode([ROW])))
        limiter = port.h.service.limiter
        await port.until(lambda: limiter.in_flight == 1)
        client.writer.transport.abort()
        await port.until(lambda: limiter.in_flight == 0)
        assert port.h.service.counters.statuses == {}

    on_a_port(harness, body, {"model": hanging})


def test_nobody_works_for_a_client_that_left_before_its_turn(harness):
    """Its hanging up lies unread in its socket, as it does behind others' work: it is looked for, not waited for."""

    async def body(port, presence):
        for _ in range(8):
            with socket.create_connection(port.address) as leaving:  # blocks: the server reads nothing meanwhile
                leaving.sendall(post(encode([ROW] * 50)))
        counters, limiter = port.h.service.counters, port.h.service.limiter
        await port.until(lambda: counters.arrived == 8 and not limiter.in_flight)
        assert (counters.left, counters.statuses.get(200, 0)) == ((8, 0) if presence else (0, 8))
        assert (await (await port.connect()).ask(post(encode([ROW]))))[0] == 200

    on_a_port(harness, lambda port: body(port, presence=True))
    on_a_port(harness, lambda port: body(port, presence=False), safeguards={"presence": False})


def test_a_request_that_stood_too_long_is_told_when_to_come_back(harness):
    async def body(port):
        client = await port.connect()
        real = port.server._turn

        def late():
            port.h.clock._now += 200 * SECOND // 1000  # more than half of the deadline
            real()

        port.server._turn = late
        status, headers, _ = await client.ask(post(encode([ROW])))
        assert (status, headers["retry-after"]) == (429, "1")
        port.server._turn = real
        assert (await client.ask(post(encode([ROW]))))[0] == 200
        assert port.h.service.limiter.in_flight == 0

    on_a_port(harness, body)


def test_stopping_answers_what_has_come_and_hangs_up(harness):
    waiting = []

    def slow(_call):
        def model(*_):
            waiting.append(asyncio.get_running_loop().create_future())
            return waiting[-1]

        return model

    async def body(port):
        busy, idle = await port.connect(), await port.connect()
        await idle.ask(b"GET /v2 HTTP/1.1\r\nhost: x\r\n\r\n")
        busy.send(post(encode([ROW])))
        await port.until(lambda: waiting)
        stopping = asyncio.create_task(port.stop())
        assert await idle.ended()
        with pytest.raises(OSError, match="Connect call failed"):
            await port.connect()
        waiting[0].set_result(0.5)
        status, headers, _ = await busy.read()
        assert (status, headers["connection"]) == (200, "close")
        await stopping

    on_a_port(harness, body, {"model": slow})


def test_stopping_waits_no_longer_than_its_grace(harness):
    async def body(port):
        client = await port.connect()
        client.send(post(encode([ROW]))[:-5])
        await port.until(lambda: port.server.connections)
        await port.stop(grace_s=1)
        assert await client.ended()

    on_a_port(harness, body)


def test_a_defect_is_a_500_that_tells_nothing(harness, caplog):
    async def body(port):
        client = await port.connect()
        port.server.core.service.releases.champion = None
        status, _, reply = await client.ask(post(encode([ROW])))
        assert status == 500
        assert b"None" not in reply
        assert "NoneType" in caplog.text
        assert port.h.service.limiter.in_flight == 0

    on_a_port(harness, body)


def test_an_answer_that_cannot_be_given_keeps_back_none_of_those_that_wait_for_the_same_write(harness, monkeypatch):
    given = Connection.inferred

    def broken(self, request, answer):
        if b'"r1"' in answer.body:
            raise RuntimeError("this one")
        given(self, request, answer)

    monkeypatch.setattr(Connection, "inferred", broken)
    goes_on = asyncio.Event()

    async def slow(_records, _payloads):
        await goes_on.wait()

    async def body(port):
        clients = [await port.connect() for _ in range(3)]
        for k, client in enumerate(clients):
            client.send(post(encode([ROW], f"r{k}")))
        await port.until(lambda: port.h.service.limiter.in_flight == len(clients))
        goes_on.set()
        assert [(await clients[k].read())[0] for k in (0, 2)] == [200, 200]
        assert await clients[1].ended()

    on_a_port(harness, body, {"decision_log": lambda _: slow})


# ---------------------------------------------------------------- traces


def traced_on_a_port(harness, scenario, seams=None, **settings):
    """The scenario gets the port, and what has been traced so far."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def body():
        h = harness(seams, **settings)
        async with asyncio.timeout(20), Port(h, connection=traced(Spans(h.clock, provider))) as port:
            await scenario(port, exporter.get_finished_spans)

    run(body())


def test_a_trace_names_the_cause_of_a_degraded_reply_and_goes_on_from_the_callers(harness):
    def down(_call):
        def call(*_):
            raise ConnectionError

        return call

    async def body(port, spans):
        trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
        client = await port.connect()
        status, _, reply = await client.ask(post(encode([ROW]), extra=f"Traceparent: 00-{trace}-{parent}-01\r\n"))
        assert (status, reply) == await port.h.call("POST", INFER, encode([ROW]))
        assert (await client.ask(post(b"{")))[0] == 400
        assert (await client.ask(b"GET /v2/health/ready?x=1 HTTP/1.1\r\nhost: x\r\n\r\n"))[0] == 200
        degraded, malformed, asked = spans()
        assert degraded.name == f"POST {INFER}"
        assert degraded.attributes["seatrial.reasons"] == ("dependency:feature_store",)
        assert degraded.attributes["seatrial.sources"] == ("fallback",)
        assert [event.name for event in degraded.events] == ["degraded"]
        assert (f"{degraded.context.trace_id:032x}", f"{degraded.parent.span_id:016x}") == (trace, parent)
        assert malformed.attributes["http.response.status_code"] == 400
        assert malformed.parent is None
        assert asked.attributes["url.path"] == "/v2/health/ready"

    traced_on_a_port(harness, body, {"feature_store": down})


def test_the_trace_of_a_client_that_left_says_that_no_answer_was_given(harness):
    async def hang(*_):
        await asyncio.Event().wait()

    async def body(port, spans):
        client = await port.connect()
        client.send(post(encode([ROW])))
        await port.until(lambda: port.h.service.counters.arrived)
        client.writer.close()
        await port.until(spans)
        (span,) = spans()
        assert span.attributes["http.response.status_code"] == 0
        assert not span.status.is_ok

    traced_on_a_port(harness, body, {"feature_store": lambda _: hang})
