"""Idempotency keys belong to whoever sent them: another caller's request under the same key is another request.

Whoever shows other credentials is another caller (IETF, The Idempotency-Key HTTP Header Field, section 2.3 leaves the
scope of keys to the server; one that answers a caller with another one's answer, or turns it away for what another one
once chose, has none).
"""

from __future__ import annotations

from hashlib import sha256

from simulator.conformance.bench import Answer, Bench, failed, passed, unknown
from simulator.conformance.finding import Finding

_PAIR = 2


async def probe(bench: Bench, token: str) -> list[Finding]:
    """One finding: `apart`. `token` is this run's own, so that no key is one of an earlier run."""
    if bench.doubt or len(bench.alone) < _PAIR:
        return [unknown("keys", "apart", bench.doubt or "there are no two rows of different scores")]
    one, other = bench.alone[:_PAIR]
    key = f"seatrial-{sha256(token.encode()).hexdigest()[:16]}"

    async def ask(known: int, caller: str) -> Answer:
        headers = {"idempotency-key": key, "authorization": f"Bearer seatrial-{caller}"}
        return await bench.ask(bench.named([bench.alone[known].row], "key"), headers=headers)

    first, again, theirs = await ask(0, "one"), await ask(1, "one"), await ask(1, "another")
    told = f"a caller: {first.told()}; again, for another row: {again.told()}; another caller: {theirs.told()}"
    if not bench.right(first, one.score):
        return [unknown("keys", "apart", f"who shows credentials is not answered, {told}")]
    if bench.right(again, other.score):
        return [unknown("keys", "apart", "it knows no keys: one key stood for two requests of one caller")]
    if bench.right(theirs, other.score):
        return [passed("keys", "apart", f"{told}, as without a key")]
    if not theirs.scores and not theirs.refused:
        return [unknown("keys", "apart", told)]
    evidence = [first.noted("one caller"), theirs.noted("another caller, the same key, another row")]
    why = f"one caller's key stands for another's as well: {told}"
    shown = (f'-H "Idempotency-Key: {key}" -H "Authorization: Bearer {who}"' for who in ("one", "another"))
    repro = "\n".join(f"{bench.curl(each.body)} {headers}" for each, headers in zip((one, other), shown, strict=True))
    return [failed("keys", "apart", why, evidence, repro)]
