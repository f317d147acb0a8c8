"""Reaction rules (S11): people react to what the service decides, and later traffic is another one.

A reaction is a pure function of the request's key, the decision and a uniform that was drawn with the plan. So two runs
differ only where their decisions do, and rows are compared on the keys that both have.
"""

from __future__ import annotations

from typing import Final

import msgspec

from simulator.drivers.record import Planned, Sent
from simulator.history.schema import Outcome
from simulator.scenario.model import Feedback
from simulator.targets.protocol import Codec
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
        self._trying: set[str] = set()
        self.left = self.withheld = self.again = 0

    def comes(self, planned: Planned, now_ns: int) -> bool:
        """Whether this request is sent at all."""
        if planned.request_id.endswith(_AGAIN):
            name = planned.request_id.removesuffix(_AGAIN)
            comes = name in self._trying
            self._trying.discard(name)
            self.again += comes
            return comes
        until = self._away_until.get(planned.entity)
        if until is None or now_ns >= until:
            return True
        self.withheld += 1
        return False

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
            self._trying.add(planned.request_id)
