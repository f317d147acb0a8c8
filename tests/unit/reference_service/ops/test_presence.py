from __future__ import annotations

import asyncio

import pytest
from conftest import run, settle

from reference_service.guards.presence import Left, while_there


class Client:
    """Leaves when told to; counts who listens."""

    def __init__(self):
        self.listened = 0
        self.left = asyncio.Event()

    async def receive(self):
        self.listened += 1
        await self.left.wait()
        return {"type": "http.disconnect"}


class Work:
    """Three steps with a wait before each of the last two."""

    def __init__(self):
        self.done = []
        self.gates = [asyncio.Event(), asyncio.Event()]

    async def __call__(self):
        self.done.append(0)
        for number, gate in enumerate(self.gates, 1):
            await gate.wait()
            self.done.append(number)
        return "answer"


def test_work_of_a_client_that_stays_is_done():
    async def body():
        client, work = Client(), Work()
        task = asyncio.create_task(while_there(work(), client.receive))
        await settle()
        for gate in work.gates:
            gate.set()
        assert await task == "answer"
        await settle()
        assert not task.cancelling()
        assert len(asyncio.all_tasks()) == 1  # nobody goes on listening

    run(body())


def test_work_of_a_client_that_leaves_stops_where_it_waits():
    async def body():
        client, work = Client(), Work()
        task = asyncio.create_task(while_there(work(), client.receive))
        await settle()
        work.gates[0].set()
        await settle()
        client.left.set()
        with pytest.raises(Left):
            await task
        work.gates[1].set()
        await settle()
        assert work.done == [0, 1]
        assert task.cancelling() == 0

    run(body())


def test_work_that_never_waits_is_done_and_nobody_is_listened_to():
    async def body():
        client = Client()
        client.left.set()

        async def work():
            return "answer"

        assert await while_there(work(), client.receive) == "answer"
        await settle()
        assert client.listened == 0
        await asyncio.sleep(0)  # the task has not been cancelled behind its back

    run(body())


def test_a_cancellation_from_elsewhere_is_no_departure():
    async def body():
        client, work = Client(), Work()
        task = asyncio.create_task(while_there(work(), client.receive))
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settle()
        assert len(asyncio.all_tasks()) == 1

    run(body())


def test_both_at_once_is_a_cancellation():
    async def body():
        client, work = Client(), Work()
        task = asyncio.create_task(while_there(work(), client.receive))
        await settle()
        client.left.set()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(body())


def test_an_error_is_the_works_own():
    async def body():
        async def broken():
            await asyncio.sleep(0)
            raise ValueError

        with pytest.raises(ValueError, match=r"^$"):
            await while_there(broken(), Client().receive)
        await settle()
        assert len(asyncio.all_tasks()) == 1

    run(body())
