"""Nobody works for a client that has left: what waits is cancelled, what has been decided stands."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")
_HUNG_UP: Final = getattr(select, "POLLRDHUP", 0)  # of the other side; elsewhere than on Linux it cannot be asked for


class Left(Exception):  # noqa: N818  # named after what the client has done
    """The client is gone; its work was given up where it waited."""


async def while_there(work: Coroutine[Any, Any, T], gone: Callable[[], Awaitable[Any]]) -> T:
    """The result of `work`, given up at its next wait once `gone()` returns.

    Work that never waits is done before `gone` is even listened to. Cancels the current task, as `asyncio.timeout` does
    and as a server does not when a client disconnects.

    Args:
        work: awaited in the current task.
        gone: returns when the client has left, such as ASGI's `receive` after the whole body.

    Raises:
        Left: `gone` was first.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # a coroutine runs in a task
    asked_before = task.cancelling()
    left = False

    async def listen() -> None:
        nonlocal left
        await gone()
        left = True
        task.cancel()

    listener = asyncio.get_running_loop().create_task(listen())
    try:
        return await work
    except asyncio.CancelledError:
        if left and task.uncancel() <= asked_before:
            raise Left from None
        raise
    finally:
        listener.cancel()


def hung_up(client: socket.socket) -> bool:
    """Whether the other side of a socket has hung up, which the loop may not have read yet."""
    watch = select.poll()
    watch.register(client.fileno(), _HUNG_UP)
    return bool(watch.poll(0))
