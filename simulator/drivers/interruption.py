"""A run that is told to end does so once, however often it is told: whoever is impatient must not break off healing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Final

_TOLD: Final = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """While this lasts, the first SIGINT or SIGTERM cancels the task that entered; yields what makes them too late.

    Raises:
        KeyboardInterrupt: One came, and was not too late.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None  # noqa: S101 - there is a running loop
    before = {number: signal.getsignal(number) for number in _TOLD}
    told = late = False

    def end() -> None:
        nonlocal told
        if not told and not late:
            told = True
            task.cancel()

    def too_late() -> None:
        nonlocal late
        late = True

    ours = threading.current_thread() is threading.main_thread()  # where signals arrive
    if ours:
        for number in _TOLD:
            loop.add_signal_handler(number, end)
    try:
        yield too_late
    except asyncio.CancelledError:
        if told:
            raise KeyboardInterrupt from None
        raise
    finally:
        if ours:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)
