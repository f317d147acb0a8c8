"""Reaction rules (S11): people react to what the service decides, and later traffic is another one.

A reaction is a pure function of the request's key, the decision and a uniform that was drawn with the plan. So two runs
differ only where their decisions do, and rows are compared on the keys that both have.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from simulator.drivers.record import Planned, Sent
from simulator.history.schema import Outcome
from simulator.scenario.model import Feedback
from simulator.targets.protocol import Codec
from simulator.world.chunk import Chunk
from simulator.world.disturbances.transport import AGAIN

_AGAIN: Final = f"~{AGAIN}"


class Reactions:
    """Who stays away and who tries again. For requests of one row."""

    def __init__(self, feedback: Feedback, codec: Codec) -> None:
        self._feedback, self._codec = feedback, codec
        self._on = frozenset(feedback.on)
        # Most replies hold none of these words, and need not be read twice.
        self._words = tuple(msgspec.json.encode(word) for word in feedback.on)
        self._away_until: dict[int, int] = {}
        self._trying: dict[str, bytes] = {}  # id of a first try → its body
        self.left = self.withheld = self.again = 0

    def may_come(self, chunk: Chunk, now_ns: int) -> np.ndarray:
        """bool[n]: all but those who will still be away, and their second tries; those who are, are done with."""
        until = self._away_until
        away = np.fromiter([until.get(entity, 0) for entity in chunk.entity.tolist()], np.int64) > chunk.scheduled_ns
        first = chunk.copy != AGAIN
        self.withheld += int((away & first).sum())
        # A second try stays away with its first one, unless that has been sent before.
        return np.asarray(~away | ~first & (chunk.scheduled_ns - self._feedback.after <= now_ns))

    def idle(self, planned: Planned, ended_ns: int) -> bool:
        """Whether it is a second try that will not be made, as is known once all are done that were sent by then."""
        name = planned.request_id
        if not name.endswith(_AGAIN) or planned.scheduled_ns - self._feedback.after > ended_ns:
            return False
        return name.removesuffix(_AGAIN) not in self._trying

    def comes(self, planned: Planned, now_ns: int) -> Planned | None:
        """This request as it is sent; None if it is not. A second try says what the first one said, under its id."""
        if planned.request_id.endswith(_AGAIN):
            name = planned.request_id.removesuffix(_AGAIN)
            body = self._trying.pop(name, None)
            if body is None:
                return None
            self.again += 1
            said = planned.key or planned.request_id
            return planned._replace(body=body.replace(name.encode(), said.encode(), 1))
        until = self._away_until.get(planned.entity)
        if until is None or now_ns >= until:
            return planned
        self.withheld += 1
        return None

    def concluded(self, sent: Sent) -> None:
        """React to the decision, if it is one that people react to."""
        if sent.failure is not None:
            return
        said = sent.reply
        for word in self._words:
            if word in said:
                break
        else:
            return
        reply = self._codec.decode(sent.status, sent.reply, len(sent.planned.due))
        if reply.outcome is not Outcome.OK or not self._on.intersection(reply.decisions):
            return
        planned, feedback = sent.planned, self._feedback
        if planned.react_u < feedback.leave:
            self.left += 1
            self._away_until[planned.entity] = sent.ended_ns + feedback.away
        elif planned.react_u >= 1.0 - feedback.again and "~" not in planned.request_id:
            self._trying[planned.request_id] = planned.body
