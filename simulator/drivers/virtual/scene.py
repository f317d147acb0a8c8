"""What the parts of one run in virtual time share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simulator.drivers.record import Recorder
from simulator.drivers.spec import RunSpec
from simulator.drivers.virtual.life import Life
from simulator.drivers.virtual.loop import VirtualLoop
from simulator.targets.seams import Seam


@dataclass(slots=True, eq=False)
class Scene:
    """The loop, the service, and what is set down of both. `sending` ends where no steady state is met."""

    loop: VirtualLoop
    spec: RunSpec
    recorder: Recorder
    life: Life
    seams: dict[str, Seam]
    token: str  # of the service's control plane
    end_ns: int
    sending: bool = True

    def note(self, kind: str, **data: Any) -> None:
        """Something that happened now."""
        self.recorder.note(self.loop.now_ns, kind, **data)
