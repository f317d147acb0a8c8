"""What every probe works with: a client, a wire, and rows whose answers alone are known."""

from __future__ import annotations

import asyncio
import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import httpx

from simulator.conformance.finding import Exchange, Finding
from simulator.conformance.rows import Column, Row, columns
from simulator.conformance.wire import Wire
from simulator.history.schema import Outcome, Source
from simulator.targets.model import Target
from simulator.targets.protocol import Reply
from simulator.verdict import Status

_TYPE: Final = "content-type: application/json"
_DECLARED: Final = (Source.DEFAULT, Source.FALLBACK, Source.REJECTED)
_ATTEMPTS: Final = 3  # a server may close a kept connection at any time, also as we write to it
QUOTED: Final = 300  # characters of an error that a person is shown
_BLANKS: Final = 997  # so long are the blanks that make one body differ from the next
KEPT: Final = 4096  # bytes of a reply that evidence holds


@dataclass(frozen=True, slots=True)
class Answer:
    """One exchange and how the target file reads it."""

    exchange: Exchange
    reply: Reply

    @property
    def scores(self) -> tuple[float, ...]:
        """One a row; none if it was not answered."""
        return self.reply.scores if self.reply.outcome is Outcome.OK else ()

    @property
    def refused(self) -> bool:
        """A clear client error."""
        return self.reply.outcome is Outcome.REJECT

    def declared(self, row: int) -> bool:
        """Whether the reply says that this row's answer is none of the model's, or refuses the row, or has a reason."""
        sources, reasons = self.reply.sources, self.reply.reasons
        return (bool(sources) and sources[row] in _DECLARED) or (bool(reasons) and bool(reasons[row]))

    def noted(self, note: str) -> Exchange:
        """The exchange as a piece of evidence."""
        return replace(self.exchange, note=note)

    def told(self) -> str:
        """The answer in a few words."""
        if self.scores:
            return "score " + ", ".join(f"{s:.6g}" for s in self.scores[:8]) + (", …" if len(self.scores) > 8 else "")  # noqa: PLR2004 - a line's worth
        if self.exchange.failure:
            return self.exchange.failure
        unread = " that cannot be read" if self.reply.outcome is Outcome.UNPARSEABLE else ""
        return f"status {self.exchange.status}{unread}"

    def quoted(self) -> str:
        """The same, and what the service says to it: for whoever has to mend a target file."""
        said = " ".join(self.exchange.reply.decode("utf-8", "replace").split())[:QUOTED]
        return self.told() if self.scores or not said else f"{self.told()}: {said}"


@dataclass(frozen=True, slots=True)
class Alone:
    """One row and the score that it gets when nobody else asks."""

    row: Row
    body: bytes
    score: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two legal rows that differ in one column and score differently: an answer without it can be right for one only.

    So an answer to a row that lacks this column's value, without a word, is a guess passed off as an answer.
    """

    column: Column
    one: Alone
    other: Alone


@dataclass(slots=True)
class Bench:
    """One target, reached over `http`. Everything that was ever answered with an error is in `errors`."""

    target: Target
    http: httpx.AsyncClient
    rows: Sequence[Row]
    columns: tuple[Column, ...] = field(init=False)
    wire: Wire = field(init=False)
    alone: tuple[Alone, ...] = ()  # of distinct scores; filled by the control
    company: list[Alone] = field(default_factory=list)  # answered in company as they were alone afterwards
    pairs: tuple[Pair, ...] = ()  # filled when influence is first asked for
    doubt: str = ""  # why answers cannot be compared, if they cannot
    requests: int = 0
    named_so_far: int = 0
    errors: list[Exchange] = field(default_factory=list)
    invalid: list[Exchange] = field(default_factory=list)  # 200, and no JSON

    def __post_init__(self) -> None:
        self.columns = columns(self.rows)
        self.wire = Wire(self.target, self.columns)

    async def call(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Exchange:
        """One exchange; a failure to get an answer is an exchange with status 0."""
        self.requests += 1
        sent = ({"content-type": "application/json"} if body else {}) | (headers or {})
        for attempt in range(_ATTEMPTS):
            try:
                response = await self.http.request(method, path, content=body, headers=sent)
                break
            except httpx.TimeoutException:
                return Exchange(method, path, body, 0, b"", "no answer in time")
            except httpx.TransportError as error:
                if attempt == _ATTEMPTS - 1:
                    return Exchange(method, path, body, 0, b"", f"connection lost ({type(error).__name__})")
        exchange = Exchange(method, path, body, response.status_code, response.content)
        if response.status_code >= 400:  # noqa: PLR2004 - HTTP's errors
            self.errors.append(exchange)
        return exchange

    async def ask(self, body: bytes, rows: int = 1, headers: dict[str, str] | None = None) -> Answer:
        """Post one body to where rows are scored."""
        exchange = await self.call("POST", self.wire.path, body, headers)
        if not exchange.status:
            return Answer(exchange, Reply(Outcome.RESET))
        answer = Answer(exchange, self.wire.read(exchange.status, exchange.reply, rows))
        if answer.reply.outcome is Outcome.UNPARSEABLE:
            self.invalid.append(exchange)
        return answer

    def named(self, rows: Sequence[Row], name: str) -> bytes:
        """These rows in bytes that nobody has sent before: under an id of their own, or with blanks at their end."""
        self.named_so_far += 1
        body = self.wire.body(rows, f"{name}-{self.named_so_far}")
        return body if self.target.protocol == "oip-v2" else body + b" " * (self.named_so_far % _BLANKS)

    async def score(self, *rows: Row) -> Answer:
        """Ask for rows, in one request."""
        return await self.ask(self.wire.body(rows), len(rows))

    async def together(self, bodies: Iterable[bytes]) -> list[Answer]:
        """Ask for all of them at once, each in a request of its own."""
        return list(await asyncio.gather(*(self.ask(body) for body in bodies)))

    def same(self, one: float, other: float) -> bool:
        """Equal within the target's declared tolerance."""
        return one == other or (math.isnan(one) and math.isnan(other)) or abs(one - other) <= self.target.tolerance

    def right(self, answer: Answer, score: float) -> bool:
        """Whether the answer is this one score."""
        return len(answer.scores) == 1 and self.same(answer.scores[0], score)

    def unlike(self, score: float, others: Iterable[float]) -> bool:
        """Further from every other score than the tolerance could explain."""
        return all(abs(score - other) > 2 * self.target.tolerance for other in others)

    # ------------------------------------------------------------ words

    def curl(self, *bodies: bytes, note: str = "") -> str:
        """Shell that posts these bodies, one after the other."""
        lines = [f"# {note}"] if note else []
        return "\n".join([*lines, *(curl("POST", self.wire.path, body) for body in bodies)])

    def curl_company(self, bodies: Sequence[bytes], alone: bytes) -> str:
        """Shell that posts these bodies at once, the first of them last, and then what is to be answered alone."""
        first, *others = bodies
        background = "\n".join(f"{curl('POST', self.wire.path, body)} > /dev/null &" for body in others)
        return (
            f"# in company, for the first time: a server that remembers has to be started anew\n{background}\n"
            f"{curl('POST', self.wire.path, first)}; wait\n# alone\n{curl('POST', self.wire.path, alone)}"
        )

    def curl_together(self, first: bytes, others: Sequence[bytes], times: int = 8) -> str:
        """Shell that posts a body alone, and then again and again beside the others."""
        background = "\n".join(f"  {curl('POST', self.wire.path, body)} &" for body in [first, *others])
        return (
            f"# alone\n{curl('POST', self.wire.path, first)}\n# in company\n"
            f"for k in $(seq {times}); do\n{background}\ndone; wait"
        )


def curl(method: str, path: str, body: bytes = b"") -> str:
    """One curl command; the base URL is in ``$URL``. The reply's status stands behind its body."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.decode("latin-1")
    data = f" -H {shlex.quote(_TYPE)} --data-raw {shlex.quote(text)}" if body else ""
    return f"""curl -sS -w ' [%{{http_code}}]\\n' -X {method} "$URL"{shlex.quote(path)}{data}"""


def passed(probe: str, case: str, why: str) -> Finding:
    """Nothing was wrong, and `why` says what was seen."""
    return Finding(probe, case, Status.PASS, why)


def unknown(probe: str, case: str, why: str, evidence: tuple[Exchange, ...] = ()) -> Finding:
    """It could not be told, and `why` says why not."""
    return Finding(probe, case, Status.UNKNOWN, why, evidence)


def failed(probe: str, case: str, why: str, evidence: Iterable[Exchange], repro: str) -> Finding:
    """A broken promise, with what shows it."""
    return Finding(probe, case, Status.FAIL, why, tuple(map(_cut, evidence)), repro)


def _cut(exchange: Exchange) -> Exchange:
    return replace(exchange, reply=exchange.reply[:KEPT])


def listed(names: Iterable[Any], most: int = 6) -> str:
    """``a, b and 3 more``."""
    known = [str(name) for name in names]
    return ", ".join(known[:most]) + (f" and {len(known) - most} more" if len(known) > most else "")
