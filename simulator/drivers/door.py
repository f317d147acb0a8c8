"""What comes to the alert receiver, counted before it: one that loses alerts certifies silence, and blames who told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from simulator.targets.model import POLLED
from simulator.targets.sink import Sink

_DOWN: Final = 503
_SEVERAL: Final = "alertmanager"


class _Several(msgspec.Struct, gc=False):
    alerts: list[msgspec.Raw]


_decode: Final = msgspec.json.Decoder(_Several).decode


class Door:
    """Stands in front of the receiver; `receive` is what the network is given.

    Args:
        sink: the receiver.
        shut: whether the receiver is down now because an event says so: what is refused then is refused on purpose.
    """

    def __init__(self, sink: Sink, shut: Callable[[], bool] = lambda: False) -> None:
        self._sink = sink
        self._shut = shut
        self._came = 0

    def receive(self, path: str, body: bytes) -> int:
        """Pass one notification on; the HTTP status to answer."""
        shut = self._shut()
        status = self._sink.receive(path, body)
        if body and not (shut and status == _DOWN):
            self._came += _alerts_in(path, body) if status < 400 or status >= 500 else 1  # noqa: PLR2004 - else noted whole
        return status

    def lost(self) -> str:
        """What came and is not among what the receiver kept; empty: all of it is there."""
        kept = sum(record.route != POLLED for record in self._sink.alerts)
        kept += sum(note.kind in ("heartbeat", "unread") and note.data["route"] != POLLED for note in self._sink.notes)
        return "" if kept == self._came else f"the alert receiver kept {kept} of {self._came} that came"


def _alerts_in(path: str, body: bytes) -> int:
    """Alertmanager sends several at once, all others one by one, whatever else their bodies say."""
    if path.strip("/") != _SEVERAL:
        return 1
    try:
        return len(_decode(body).alerts)
    except (ValueError, RecursionError):
        return 1  # that nobody can read, and ours did not say so
