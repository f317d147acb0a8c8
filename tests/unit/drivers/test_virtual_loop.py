"""The virtual loop keeps time, order and isolation; its guard rails speak."""

import asyncio
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.drivers.virtual.cpu import Wait
from simulator.drivers.virtual.loop import SECOND, VirtualLoop, VirtualTimeError


@pytest.fixture
def loop():
    made = VirtualLoop()
    yield made
    made.close()


def test_days_pass_in_no_time_and_end_exactly(loop):
    async def sleeps():
        await asyncio.sleep(3 * 86_400)
        await asyncio.sleep(0.000_000_001)
        return loop.now_ns

    assert loop.run_until_complete(sleeps()) == 3 * 86_400 * SECOND + 1


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_timers_run_by_time_then_by_order_of_setting(delays):
    loop = VirtualLoop()
    ran = []
    for i, delay in enumerate(delays):
        if i % 2:
            loop.post(delay * SECOND, ran.append, i)
        else:
            loop.call_later(delay, ran.append, i)
    loop.run_until(10 * SECOND)
    loop.close()
    assert ran == sorted(range(len(delays)), key=lambda i: (delays[i], i))


def test_timeouts_cancel_at_their_instant(loop):
    async def slow():
        try:
            async with asyncio.timeout(2):
                await asyncio.sleep(5)
        except TimeoutError:
            return loop.now_ns

    assert loop.run_until_complete(slow()) == 2 * SECOND


def test_a_cancelled_wait_wakes_its_task_at_once(loop):
    async def outer():
        async def waits():
            await Wait(loop, 100 * SECOND)

        task = asyncio.ensure_future(waits())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return loop.now_ns

    assert loop.run_until_complete(outer()) == SECOND


def test_a_deadlock_names_the_waiting_line(loop):
    async def forever():
        await loop.create_future()

    with pytest.raises(VirtualTimeError, match=r"deadlock .*test_virtual_loop\.py:\d+"):
        loop.run_until_complete(forever())


def test_a_busy_loop_is_a_runaway(loop):
    async def spins():
        while True:  # noqa: ASYNC110 - the mistake that is to be caught
            await asyncio.sleep(0)

    with pytest.raises(VirtualTimeError, match="runaway at 0"):
        loop.run_until_complete(spins())


def test_executors_run_inline(loop):
    async def asks():
        return await loop.run_in_executor(None, lambda: loop.now_ns)

    assert loop.run_until_complete(asks()) == 0


def test_a_posted_task_takes_its_first_step_at_once_as_a_task_of_its_own(loop):
    seen = []

    async def request():
        seen.append(asyncio.current_task().get_name())
        await asyncio.sleep(1)
        seen.append(loop.now_ns)

    def start(_):
        loop.start_now(request())
        seen.append("started")

    loop.post(5, start, None)
    loop.run_until(2 * SECOND)
    assert seen == ["request", "started", SECOND + 5]


def in_a_process(code: str) -> str:
    """Guard rails and clock patches cannot be taken back, so each trial has its own process."""
    prelude = """
        import asyncio
        from simulator.drivers.virtual.clocks import inline_worker_threads, patch_clocks
        from simulator.drivers.virtual.guards import raise_rails
        from simulator.drivers.virtual.loop import VirtualLoop
        loop = VirtualLoop(); asyncio.set_event_loop(loop)
    """
    source = textwrap.dedent(prelude) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_clock_follows_the_loop():
    out = in_a_process("""
        from time import monotonic
        import datetime, time
        patch_clocks(loop)
        async def main():
            before = time.time(), time.time_ns(), monotonic(), time.perf_counter(), datetime.datetime.now()
            await asyncio.sleep(90)
            after = time.time(), time.time_ns(), monotonic(), time.perf_counter(), datetime.datetime.now()
            print([b - a for a, b in zip(before, after)])
            time.sleep(5)
            print(loop.time(), loop.violations)
        loop.run_until_complete(main())
    """)
    assert "[90.0, 90000000000, 90.0, 90.0, datetime.timedelta(seconds=90)]" in out
    assert "95.0 ['time.sleep(5) blocked the event loop; use asyncio.sleep']" in out


@pytest.mark.parametrize(
    ("act", "says"),
    [
        ("import socket; socket.socket().connect(('127.0.0.1', 9))", "real socket"),
        ("import socket; socket.getaddrinfo('localhost', 80)", "real DNS"),
        ("import subprocess; subprocess.run(['true'])", "subprocess"),
        ("import threading; threading.Thread(target=print).start()", "started a thread"),
        ("import concurrent.futures as c; c.ThreadPoolExecutor().submit(print)", "started a thread"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused_and_recorded(act, says):
    out = in_a_process(f"""
        lower = raise_rails(loop)
        async def main():
            try:
                {act}
            except Exception as error:
                print(type(error).__name__, error)
        loop.run_until_complete(main())
        lower()
        print("recorded:", loop.violations)
    """)
    assert "VirtualTimeError" in out
    assert says in out.partition("recorded:")[2]


def test_an_endless_computation_is_interrupted():
    out = in_a_process("""
        lower = raise_rails(loop, stall_seconds=1)
        async def main():
            while True:
                pass
        try:
            loop.run_until_complete(main())
        except Exception as error:
            print(error)
        lower()
    """)
    assert "stalled at 0.000s" in out


def test_a_client_library_reaches_the_harness_and_nobody_else():
    out = in_a_process("""
        import httpx
        from simulator.targets.model import Alerts
        from simulator.targets.sink import HOST, PORT, Sink
        sink = Sink(Alerts(receive=("alertmanager",)), lambda: loop.now_ns)
        loop.network.serve(HOST, PORT, sink.protocol)
        alert = {"status": "firing", "fingerprint": "f", "labels": {"alertname": "a", "field": "x", "severity": "page"}}
        lower = raise_rails(loop)
        async def main():
            async with httpx.AsyncClient() as client:
                await asyncio.sleep(7)
                good = await client.post(f"http://{HOST}/alertmanager", json={"alerts": [alert]})
                bad = await client.post(f"http://{HOST}/alertmanager", content=b"{")
                none = await client.post(f"http://{HOST}/nowhere", json={})
                print(good.status_code, bad.status_code, none.status_code)
                try:
                    await client.get("http://10.1.2.3/")
                except httpx.ConnectError as error:
                    print("refused")
        loop.run_until_complete(main())
        print(sink.alerts)
        print(loop.violations)
    """)
    assert "200 400 404" in out
    assert "refused" in out
    assert "AlertRecord(at_ns=7000000000, route='alertmanager', fingerprint='f', name='a', field='x'" in out
    assert "opened a connection to 10.1.2.3:80" in out


def test_what_the_fork_server_has_imported_is_not_collected_again_by_every_run():
    assert "True" in in_a_process("import gc, simulator.drivers.frozen; print(gc.get_freeze_count() > 10_000)")
