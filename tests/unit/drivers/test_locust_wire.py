"""What a worker puts on the wire: each body once, in an open loop, and whose fault it was if nothing came back."""

import errno
import socket
import threading
import time
from zlib import crc32

import pytest

pytest.importorskip("geventhttpclient", reason="Locust is not installed; `make test` installs it")

import gevent

from simulator.drivers.locust import wire as wires
from simulator.drivers.locust.frames import Done, Entry, Go, Halt, Job, Parcel, Ping, Pong, Report, Shipment
from simulator.drivers.locust.wire import Wire
from simulator.drivers.locust.worker import Worker
from simulator.history.schema import NEVER, Outcome

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
LAST = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"


class Server:
    """One thread a connection; `reply(k, request)` says what the k-th request gets, None: the connection is cut."""

    def __init__(self, reply) -> None:
        self.reply, self.requests, self.connections = reply, [], 0
        self.lock = threading.Lock()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection) -> None:
        with connection:
            while request := whole(connection):
                with self.lock:
                    k = len(self.requests)
                    self.requests.append(request)
                answer = self.reply(k, request)
                if answer is None:
                    return
                connection.sendall(answer)
                if answer != GOOD:
                    return


def whole(connection) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def serve():
    servers = []

    def start(reply):
        servers.append(Server(reply))
        return servers[-1]

    yield start
    for server in servers:
        server.socket.close()


@pytest.fixture
def wire_to():
    wires = []

    def start(server, seconds=5.0) -> Wire:
        headers = ((b"content-type", b"application/json"),)
        wires.append(Wire(server.url, "/predict", headers, int(seconds * 1e9), time.monotonic_ns))
        return wires[-1]

    yield start
    for wire in wires:
        wire.close()


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


def test_a_body_goes_out_as_it_is_and_a_connection_is_used_again(serve, wire_to):
    server = serve(lambda *_: GOOD)
    wire = wire_to(server)
    for body in (b"", b"\x00\xff", b"x" * 100_000):
        answer = wire.post(body)
        assert (answer.status, answer.body, answer.failure) == (200, b"{}", None)
        assert answer.sent_ns <= answer.replied_ns <= answer.ended_ns
    wire.post(b"{}", key="main-7")
    assert [body_of(r) for r in server.requests] == [b"", b"\x00\xff", b"x" * 100_000, b"{}"]
    assert b"\r\nidempotency-key: main-7\r\n" in server.requests[-1]
    assert b"idempotency-key" not in server.requests[0]
    assert server.requests[0].startswith(b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1:")
    assert server.connections == 1


@pytest.mark.parametrize("first", [LAST, LAST.replace(b"connection: close\r\n", b"x: it does not say so\r\n")])
def test_a_connection_that_the_service_closed_is_not_used_again(serve, wire_to, first):
    server = serve(lambda k, _: first if k == 0 else GOOD)
    wire = wire_to(server)
    assert wire.post(b"{}").failure is None
    gevent.sleep(0.1)  # the end of a connection travels, too
    assert [wire.post(b"{}").failure for _ in range(2)] == [None] * 2
    assert server.connections == 2
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "reply",
    [
        None,  # cut before a word was said
        b"HTTP/1.1 200 OK\r\ncontent-",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",  # cut in the middle
        b"what is this\r\n\r\n",
    ],
)
def test_a_broken_reply_is_a_reset_and_nothing_is_sent_twice(serve, wire_to, reply):
    server = serve(lambda *_: reply)
    answer = wire_to(server).post(b"{}")
    assert (answer.failure, answer.replied_ns) == (Outcome.RESET, NEVER)
    assert answer.sent_ns > 0
    assert len(server.requests) == 1


def test_a_service_that_is_not_there_is_a_reset():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    answer = Wire(f"http://127.0.0.1:{port}", "/", (), 10**9, time.monotonic_ns).post(b"{}")
    assert answer.failure is Outcome.RESET
    assert answer.sent_ns > 0


def test_silence_is_a_timeout(serve, wire_to):
    silent = threading.Event()
    server = serve(lambda *_: silent.wait(30) and GOOD)
    answer = wire_to(server, 0.2).post(b"{}")
    silent.set()
    assert (answer.failure, answer.replied_ns) == (Outcome.TIMEOUT, NEVER)


def test_a_machine_without_sockets_is_late_and_does_not_blame_the_service(serve, wire_to, monkeypatch):
    server = serve(lambda *_: GOOD)
    real, refused = wires.gevent.socket.create_connection, []

    def full(address):
        if len(refused) < 3:
            refused.append(time.monotonic_ns())
            raise OSError(errno.EMFILE, "Too many open files")
        return real(address)

    monkeypatch.setattr(wires.gevent.socket, "create_connection", full)
    answer = wire_to(server).post(b"{}")
    assert answer.failure is None
    assert answer.sent_ns > refused[-1]  # what it waited for is lag of the driver
    refused.clear()
    monkeypatch.setattr(wires.gevent.socket, "create_connection", lambda _: full(refused.clear()))
    assert wire_to(server, 0.1).post(b"{}").sent_ns == NEVER


# ---------------------------------------------------------------- the open loop


def test_a_slow_service_does_not_slow_its_own_load(serve):
    held = threading.Event()
    server = serve(lambda *_: held.wait(30) and GOOD)
    told, fired = [], []
    worker = Worker(told.append, lambda *fact: fired.append(fact))
    n, gap = 30, 5_000_000
    bodies = [b"%d" % k for k in range(n)]
    worker.hear(Job("r", "fleet main", server.url, "/predict", (), 20 * 10**9, (422,)))
    worker.hear(Parcel(0, tuple(Shipment(k, k * gap, bodies[k]) for k in range(20))))
    zero = time.monotonic_ns()
    worker.hear(Go(zero))
    worker.hear(Parcel(0, tuple(Shipment(k, k * gap, bodies[k]) for k in range(20, n)), last=True))
    deadline = time.monotonic() + 20
    while len(server.requests) < n and time.monotonic() < deadline:
        gevent.sleep(0.01)
    assert sorted(map(body_of, server.requests)) == sorted(bodies)  # all of them, and not one is answered yet
    assert told == []
    held.set()
    while not any(isinstance(frame, Done) for frame in told) and time.monotonic() < deadline:
        gevent.sleep(0.01)
    entries = [entry for frame in told if isinstance(frame, Report) for entry in frame.entries]
    assert sorted(entry.request for entry in entries) == list(range(n))
    assert isinstance(told[-1], Done)
    by_request: dict[int, Entry] = {entry.request: entry for entry in entries}
    for k, entry in by_request.items():
        assert entry.digest == crc32(bodies[k])
        assert entry.sent_ns >= k * gap
        assert (entry.status, entry.failure) == (200, -1)
    took = sorted(fact[2] for fact in fired)
    whole_ns = sorted(entry.ended_ns - k * gap for k, entry in by_request.items())
    assert took == [ns / 1e6 for ns in whole_ns]  # from the scheduled moment, not from the sending
    assert {fact[:2] for fact in fired} == {("fleet main", "/predict")}


def test_what_locust_shows_as_failures_is_what_the_service_failed(serve):
    statuses = [b"200 OK", b"422 No", b"500 Oh", b"429 Full"]
    server = serve(lambda k, _: b"HTTP/1.1 %b\r\ncontent-length: 2\r\n\r\n{}" % statuses[k])
    told, fired = [], []
    worker = Worker(told.append, lambda *fact: fired.append(fact))
    worker.hear(Job("r", "fleet main", server.url, "/predict", (), 5 * 10**9, (422,)))
    worker.hear(Parcel(0, tuple(Shipment(k, k * 50_000_000, b"{}") for k in range(4)), last=True))
    worker.hear(Go(time.monotonic_ns()))
    deadline = time.monotonic() + 20
    while not any(isinstance(frame, Done) for frame in told) and time.monotonic() < deadline:
        gevent.sleep(0.01)
    assert [fact[4] and str(fact[4]) for fact in fired] == [None, None, "status 500", "status 429"]


def test_a_worker_that_is_told_to_halt_sends_nothing_more(serve):
    server = serve(lambda *_: GOOD)
    told = []
    worker = Worker(told.append, lambda *_: None)
    worker.hear(Job("r", "n", server.url, "/", (), 10**9, ()))
    worker.hear(Parcel(3, (Shipment(0, 3600 * 10**9, b"{}"),), last=True))
    worker.hear(Go(time.monotonic_ns()))
    gevent.sleep(0.01)
    worker.hear(Halt())
    gevent.sleep(0.05)
    assert told == [Done("r", 3)]
    assert server.requests == []


def test_a_ping_is_answered_with_ones_own_clock():
    told = []
    before = time.monotonic_ns()
    Worker(told.append, lambda *_: None).hear(Ping(12))
    (pong,) = told
    assert isinstance(pong, Pong)
    assert pong.sent_ns == 12
    assert before <= pong.here_ns <= time.monotonic_ns()
