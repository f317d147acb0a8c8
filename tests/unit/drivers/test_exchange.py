"""One request in flight: what the app sees of its client, and that a wait which is skipped was no different."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.drivers.record import Planned
from simulator.drivers.virtual.cpu import VirtualCpu
from simulator.drivers.virtual.exchange import Client, Exchange
from simulator.drivers.virtual.loop import VirtualLoop

MS = 1_000_000
BODY = b"hello"


def exchange(loop, app, concluded=lambda _: None, service_ns=3 * MS, cores=1):
    client = Client(loop, app, {"type": "http"}, VirtualCpu(loop, cores), (0, service_ns), concluded)
    return Exchange(client, Planned(0, "main-0", loop.now_ns, BODY, None, (-1,), 0.0), loop.now_ns)


@pytest.fixture
def loop():
    made = VirtualLoop()
    yield made
    made.close()


def serve(loop, app):
    """One exchange, started at 1 ms, after one virtual second."""
    made = []

    def begin(_):
        made.append(exchange(loop, app))
        loop.start_now(made[0].run())

    loop.post(MS, begin, None)
    loop.run_until(1000 * MS)
    return made[0]


async def answer(send, body=b"ok"):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_receive_and_send_are_coroutines_as_servers_have_them(loop):
    async def app(_, receive, send):
        message = await asyncio.create_task(receive())
        await asyncio.create_task(send({"type": "http.response.start", "status": 201, "headers": []}))
        await asyncio.create_task(send({"type": "http.response.body", "body": message["body"]}))

    done = serve(loop, app)
    assert (done.status, done.reply, done.replied_ns) == (201, BODY, 4 * MS)


def test_a_request_is_a_task_that_others_can_see(loop):
    seen = []

    async def app(_, receive, send):
        seen.append(asyncio.current_task() in asyncio.all_tasks())
        child = asyncio.create_task(receive())
        seen.append(child in asyncio.all_tasks())
        await child
        seen.append(asyncio.current_task() in asyncio.all_tasks())
        await answer(send)

    serve(loop, app)
    assert seen == [True, True, True]
    assert asyncio.all_tasks(loop) == set()


def test_a_deadline_shorter_than_the_service_time_is_kept(loop):
    async def app(_, receive, send):
        try:
            async with asyncio.timeout(0.002):
                await receive()
        except TimeoutError:
            await answer(send, b"late")

    done = serve(loop, app)
    assert (done.reply, done.replied_ns) == (b"late", 3 * MS)


JOBS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=25
)  # gap, service time, deadline (0: none) in ms


@given(JOBS, st.integers(1, 2), st.booleans())
def test_skipping_a_wait_changes_nothing(jobs, cores, ticking):
    """The same requests with and without the short cut: the same instants, statuses and order of everything."""

    def rehearse(loop):
        log = []
        cpu = VirtualCpu(loop, cores)

        async def app(scope, receive, send):
            try:
                async with asyncio.timeout(scope["deadline"] / 1000 if scope["deadline"] else None):
                    await receive()
            except TimeoutError:
                log.append(("late", loop.now_ns))
            await answer(send)

        def begin(k):
            _, service, deadline = jobs[k]
            if k + 1 < len(jobs):
                loop.post(loop.now_ns + jobs[k + 1][0] * MS, begin, k + 1)
            client = Client(loop, app, {"deadline": deadline}, cpu, (0, service * MS), lambda x: log.append(
                (x.planned.item, x.seen_ns, x.replied_ns, x.status)))  # fmt: skip
            loop.start_now(Exchange(client, Planned(k, "", loop.now_ns, BODY, None, (-1,), 0.0), loop.now_ns).run())

        async def ticks():
            while True:
                log.append(("tick", loop.now_ns))
                await asyncio.sleep(0.004)

        task = loop.create_task(ticks()) if ticking else None
        loop.post(jobs[0][0] * MS, begin, 0)
        loop.run_until(500 * MS)
        if task is not None:
            task.cancel()
        loop.run_until(501 * MS)
        loop.close()
        return log

    class Patient(VirtualLoop):
        def skip_to(self, when_ns):
            del when_ns
            return False

    assert rehearse(VirtualLoop()) == rehearse(Patient())


def test_requests_that_have_ended_are_let_go_and_those_that_wait_are_not(loop):
    """The register of tasks stays small however many requests had to wait, and knows all that still do."""
    ends = []

    async def app(scope, receive, send):
        await receive()
        if scope.get("stays"):
            await loop.create_future()
        await answer(send)

    def begin(k):
        client = Client(loop, app, {"stays": k < 3}, VirtualCpu(loop, 1), (0, MS), ends.append)
        loop.start_now(Exchange(client, Planned(k, "", loop.now_ns, BODY, None, (-1,), 0.0), loop.now_ns).run())

    for k in range(2000):
        loop.post(k * MS, begin, k)
        loop.post(k * MS + MS // 2, lambda _: None, None)  # so that no wait is skipped
    loop.run_until(3000 * MS)
    assert len(ends) == 1997
    assert len(asyncio.all_tasks(loop)) == 3
    assert len(asyncio.tasks._all_tasks.noted) < 600
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until(3001 * MS)
    assert asyncio.all_tasks(loop) == set()
