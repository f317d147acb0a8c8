"""Refusals that are allowed at random, so that somebody learns whether they were right.

A decision that keeps its own truth from being known can only be judged by such a slice (Swaminathan and Joachims,
Counterfactual risk minimization, ICML 2015: logged propensities). Each says so in its reasons, with the probability
with which it was chosen; the lot is keyed by the request's id, so that a retry meets the same fate. By a hash that
mixes: neighbours among ids that are counted up must not share their fate, as a checksum has them do.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

_REASON: Final = "explored:"


def chosen(request_id: str, row: int, share: float) -> bool:
    """Whether this refusal belongs to the random slice."""
    lot = blake2b(f"explore\x1f{request_id}\x1f{row}".encode(), digest_size=8).digest()
    return int.from_bytes(lot, "little") < share * 2**64


def reason(share: float) -> str:
    """What the reply and the log say of a refusal that was allowed at random."""
    return f"{_REASON}{share:g}"


def propensity(reasons: str) -> float:
    """The probability with which a decision of these reasons was allowed; 1 for all others."""
    if not reasons:
        return 1.0
    for each in reasons.split(","):
        if each.startswith(_REASON):
            return float(each.removeprefix(_REASON))
    return 1.0
