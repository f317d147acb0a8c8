"""Controls: proof that a check can fail (S10), and the judgement of a whole cell."""

from simulator.controls.judge import judge

__all__ = ["judge"]
