"""Who an answer says it comes from is who gave it: ids, model names, versions, swaps and caches."""

from __future__ import annotations

import json
from typing import Any

from simulator.conformance import poison
from simulator.conformance.bench import Answer, Bench, curl, failed, passed, unknown
from simulator.conformance.finding import Exchange, Finding
from simulator.conformance.influence import influences
from simulator.conformance.rows import Column, Row

CROWD = 16
_LAST_DIGITS = 1e-6  # of a score: what other last digits in a row may do to it
UNKNOWN_NAME = "seatrial-no-such-model"
UNKNOWN_VERSION = "9876543"


async def probe(bench: Bench) -> list[Finding]:
    """Five findings: `ids`, `model`, `version`, `unknown_model`, `unknown_version`, and those of `cache`."""
    if bench.doubt:
        return [unknown("identity", "all", bench.doubt)]
    found = [await _cache(bench), await _version(bench)]
    if bench.target.protocol != "oip-v2":
        return [*found, unknown("identity", "ids", f"{bench.target.protocol} replies carry no ids and no model names")]
    return [*found, await _ids(bench), await _model(bench), *await _nobody(bench)]


def _document(answer: Answer) -> dict[str, Any]:
    try:
        document = json.loads(answer.exchange.reply)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


async def _ids(bench: Bench) -> Finding:
    """The id of the request comes back, also in a crowd and for a row that was asked before under another id."""
    wrong: list[tuple[str, Answer]] = []
    named = 0
    for k in range(2):
        crowd = [(f"crowd-{k}-{i}", bench.alone[i % len(bench.alone)]) for i in range(CROWD)]
        answers = await bench.together([bench.wire.body([one.row], name) for name, one in crowd])
        answered = [(name, a) for (name, _), a in zip(crowd, answers, strict=True) if a.scores]
        named += sum("id" in _document(a) for _, a in answered)
        wrong += [(name, a) for name, a in answered if _document(a).get("id", name) != name]
    if not named:
        return unknown("identity", "ids", "no reply carries the id of its request")
    if len(wrong) > 1:
        name, answer = wrong[0]
        why = f"the request {name} got a reply with the id {_document(answer).get('id')!r} ({len(wrong)} times)"
        return failed("identity", "ids", why, [answer.noted(name)], bench.curl(answer.exchange.body))
    return passed("identity", "ids", f"{named} replies to {2 * CROWD} requests at once: each has its request's id")


async def _model(bench: Bench) -> Finding:
    answer = await bench.ask(bench.alone[0].body)
    said = _document(answer).get("model_name")
    if said is None:
        return unknown("identity", "model", "replies do not name a model")
    if said != bench.target.model and bench.target.path is None:
        why = f"{bench.target.model} was asked, {said!r} answers"
        return failed("identity", "model", why, [answer.noted("asked")], bench.curl(answer.exchange.body))
    return passed("identity", "model", f"replies name {said!r}")


async def _version(bench: Bench) -> Finding:
    """Nothing was released meanwhile, so every reply names one version."""
    answers = [await bench.ask(one.body) for one in bench.alone[:4]]
    said = list(dict.fromkeys(a.reply.version for a in answers if a.scores))
    if said in ([], [""]):
        return unknown("identity", "version", "replies do not name a version (read.version), so none can be held to it")
    if len(said) > 1:
        return unknown("identity", "version", f"several versions answer ({', '.join(said)}): a canary may be on")
    return passed("identity", "version", f"replies name the version {said[0]!r}")


async def _nobody(bench: Bench) -> list[Finding]:
    """A model, or a version, that does not exist must not answer."""
    if bench.target.path is not None:
        why = "the target file names a path of its own, so others are not known"
        return [unknown("identity", "unknown_model", why), unknown("identity", "unknown_version", why)]
    body = bench.alone[0].body
    paths = {
        "unknown_model": f"/v2/models/{UNKNOWN_NAME}/infer",
        "unknown_version": f"/v2/models/{bench.target.model}/versions/{UNKNOWN_VERSION}/infer",
    }
    found = []
    for case, path in paths.items():
        exchange = await bench.call("POST", path, body)
        if 400 <= exchange.status < 500:  # noqa: PLR2004 - HTTP's client errors
            found.append(passed("identity", case, f"status {exchange.status}"))
            continue
        why = f"{path} gets status {exchange.status or exchange.failure}"
        found.append(failed("identity", case, why, [exchange], curl("POST", path, body)))
    return found


async def _cache(bench: Bench) -> Finding:
    """An answer kept for one row must not be given to another, however little they differ.

    Pairs of rows that differ in one column are asked in both orders; if something remembers the first by less than
    all columns, the second gets its answer.
    """
    pairs = await influences(bench)
    if not pairs:
        return unknown("identity", "cache", "no column was found that the score depends on")
    seen = {pair.column.name for pair in pairs}
    for column in bench.columns:
        if column.name not in seen and (hidden := await _hidden(bench, column)):
            return hidden
    for pair in pairs:
        # New rows, made of values that the sample has, which nobody asked for before.
        for base in bench.alone[2:4]:
            rows = [poison.replaced(base.row, pair.column.name, one.row[pair.column.name])
                    for one in (pair.one, pair.other)]  # fmt: skip
            forward = [await bench.score(row) for row in rows]
            backward = [await bench.score(row) for row in reversed(rows)][::-1]
            for one, two in zip(forward, backward, strict=True):
                if one.scores and two.scores and not bench.same(one.scores[0], two.scores[0]):
                    why = f"a row gets {one.told()}, and {two.told()} after a row that differs in {pair.column.name}"
                    evidence = (one.noted("first"), two.noted("after its neighbour"))
                    return failed("identity", "cache", why, evidence, bench.curl(*(a.exchange.body for a in forward)))
    return passed("identity", "cache", f"{len(pairs)} pairs that differ in one column: each row has its own answer")


async def _hidden(bench: Bench, column: Column) -> Finding | None:
    """A column without influence on rows that were asked before, and with influence on rows that never were.

    Never asked: other last digits in the numbers, up and down, because one of the two may cross a threshold.
    """
    for base in bench.alone[:2]:
        for value in [v for v in column.values if v != base.row.get(column.name)][:3]:
            changed = {**base.row, column.name: value}
            kept = await bench.score(changed)
            if not bench.right(kept, base.score):
                continue
            fresh = [await bench.score(_nudged(bench, changed, k)) for k in (3, -5)]
            same = [await bench.score(_nudged(bench, base.row, k)) for k in (7, -9)]
            if not all(len(a.scores) == 1 for a in (*fresh, *same)):
                continue
            noise = max(abs(a.scores[0] - base.score) for a in same)
            moved = min(abs(a.scores[0] - base.score) for a in fresh)
            if moved > 2 * bench.target.tolerance + 100 * noise and moved > abs(base.score) * _LAST_DIGITS:
                why = (
                    f"a row that differs from one asked before in {column.name} alone gets the same answer, "
                    f"{kept.told()}; with other last digits in its numbers, it gets {fresh[0].told()}"
                )
                bodies = (base.body, kept.exchange.body, fresh[0].exchange.body)
                evidence = (kept.noted(f"other {column.name}"), fresh[0].noted("and other last digits"))
                return failed("identity", "cache", why, evidence, bench.curl(*bodies))
    return None


# ---------------------------------------------------------------- swaps


async def swap(bench: Bench, versions: tuple[str, ...], token: str) -> Finding:
    """Release another version under load, then hold every answer to the version that it names.

    What a version answers is learned from rows that nobody asked for before: copies of the sample whose numbers
    differ in the last digits. A cache that forgets the version answers old rows with old scores under the new name.
    """
    release = bench.target.admin.release
    if release is None or len(versions) < 2:  # noqa: PLR2004 - from one to another
        return unknown(
            "identity", "swap", "needs admin.release in the target file, and two versions to swap (--version)"
        )
    method, _, path = release.partition(" ")
    learned: dict[str, dict[int, float]] = {}
    actions: list[Exchange] = []
    for k, version in enumerate((versions[1], versions[0])):
        headers = {"authorization": f"Bearer {token}"}
        body = json.dumps({"version": version, "by": "swap"}).encode()
        action = await bench.call(method, path, body, headers)
        actions.append(action)
        if not 200 <= action.status < 300:  # noqa: PLR2004 - HTTP's success range
            why = f"the release of {version} was answered with status {action.status}"
            return unknown("identity", "swap", why, (action,))
        wrong = await _held(bench, learned, k)
        if wrong is not None:
            return wrong
    return passed("identity", "swap", f"{len(learned)} versions, each answer is the one of the version that it names")


async def _held(bench: Bench, learned: dict[str, dict[int, float]], k: int) -> Finding | None:
    for i, one in enumerate(bench.alone):
        fresh = await bench.score(_nudged(bench, one.row, k))
        kept = await bench.ask(one.body)
        if not (fresh.scores and kept.scores):
            return unknown("identity", "swap", f"not answered after the swap: {kept.told()}", (kept.noted("kept"),))
        learned.setdefault(fresh.reply.version, {})[i] = fresh.scores[0]
        if kept.reply.version == fresh.reply.version and not bench.same(kept.scores[0], fresh.scores[0]):
            again, twin = await bench.ask(one.body), await bench.score(_nudged(bench, one.row, k + 2))
            if again.scores and twin.scores and not bench.same(again.scores[0], twin.scores[0]):
                why = (
                    f"version {kept.reply.version} answers {kept.told()} to a row that was asked before it was "
                    f"released, and {fresh.told()} to the same row with other last digits"
                )
                evidence = (kept.noted("asked before"), fresh.noted("never asked"))
                bodies = (kept.exchange.body, fresh.exchange.body)
                return failed("identity", "swap", why, evidence, bench.curl(*bodies, note="after the release"))
    return None


def _nudged(bench: Bench, row: Row, k: int) -> dict[str, Any]:
    kinds = {column.name: column.kind for column in bench.columns}
    factor = 1 + (k + 1) * 1e-9
    return {name: v * factor if kinds.get(name) == "number" and v is not None else v for name, v in row.items()}
