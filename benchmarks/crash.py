"""kill -9 under load: is what callers were told in the log? ``python -m benchmarks.crash [kills] [seconds]``.

The service writes its decision log to disk, in small files, so that kills fall on rotations as well. Thirty-two
callers ask as fast as they are answered, and the process is killed under them and started again on the same folder.
After each kill every answer that a caller ever got has to stand in the log exactly once, with the same score, version
and decision, and the chain has to verify and to go on from where it was. One line a kill; exit code 1 at a loss.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from benchmarks import shipped
from benchmarks.service import bodies
from reference_service.audit import archive
from reference_service.audit.files import LogBroken
from reference_service.audit.pages import page
from reference_service.audit.verify import verify

ROOT: Final = Path(__file__).parent.parent
PATH: Final = "/v2/models/payments/infer"
SERVICE: Final = ("-m", "reference_service")
CALLERS: Final = 32
ROWS: Final = 2000  # asked again and again, each time under another id
PAGE: Final = 10_000
_LENGTH: Final = re.compile(rb"content-length: (\d+)")


class Answer(NamedTuple):
    """What a caller was told, or the log says."""

    score: str  # with the six decimals of replies
    version: str
    decision: str


class Life:
    """One life of the service, from its start until it is ended.

    Args:
        settings: file.
        start: what Python is to run.

    Raises:
        SystemExit: it did not become ready.
    """

    def __init__(self, settings: Path, start: Sequence[str] = SERVICE) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        begin = time.monotonic()
        command = [sys.executable, *start, str(settings), "--port", str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT)
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > begin + 60:
                self.end(signal.SIGKILL)
                raise SystemExit("the service did not become ready")
            time.sleep(0.05)
        self.started_s = time.monotonic() - begin

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/health/ready", timeout=10) as reply:
                return bool(reply.status == 200)  # noqa: PLR2004 - ready
        except (OSError, urllib.error.URLError):
            return False

    def end(self, how: signal.Signals) -> int:
        """Its exit code."""
        self._process.send_signal(how)
        return self._process.wait(30)


def settings(folder: Path) -> Path:
    """The file of a service that logs into ``folder/log``."""
    bundles = shipped.bundles("payments")
    found = {
        "bundles": str(bundles),
        "feature_store": str(bundles / "customers.npz"),
        "decision_log": str(folder / "log"),
        "token": "secret",
        "policy": {"log_segment": 1 << 17},
    }
    path = folder / "settings.json"
    path.write_text(json.dumps(found))
    return path


class Load:
    """Callers, each on a connection of its own; what they asked, and what they were told until the service died."""

    def __init__(self) -> None:
        self._bodies = self._endless()
        self.asked = 0
        self.told: dict[str, Answer] = {}
        self._flow, self._wanted = asyncio.Event(), 0  # set with so many answers

    def _endless(self) -> Iterator[bytes]:
        rest = [body.partition(b",")[2] for body in bodies(ROWS)]  # after the id, which comes first
        for number, body in enumerate(itertools.cycle(rest)):
            yield b'{"id":"caller-%d",' % number + body

    async def until_killed(self, life: Life, seconds: float) -> int:
        """Ask, and kill the service under it; how many were without an answer then."""
        callers = [asyncio.create_task(self._call(life.port)) for _ in range(CALLERS)]
        try:
            await asyncio.sleep(seconds)
            # In the flow of answers: a machine that is busy with others may have kept us from asking just now.
            self._flow, self._wanted = asyncio.Event(), len(self.told) + 2 * CALLERS
            flows = asyncio.create_task(self._flow.wait())
            await asyncio.wait([flows, *callers], return_when=asyncio.FIRST_COMPLETED)
            waiting = self.asked - len(self.told)
        finally:
            life.end(signal.SIGKILL)
        await asyncio.gather(*callers)
        self.asked = len(self.told)
        return waiting

    async def _call(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: "
        try:
            for body in self._bodies:
                self.asked += 1
                writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
                found = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(found)
                if length is None or not found.startswith(b"HTTP/1.1 200 "):
                    raise RuntimeError(f"the service answered {found!r}")
                self._note(msgspec.json.decode(await reader.readexactly(int(length[1]))))
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def _note(self, reply: Any) -> None:
        said = {output["name"]: output["data"][0] for output in reply["outputs"]}
        self.told[reply["id"]] = Answer(f"{said['score']:.6f}", reply["model_version"], said["decision"])
        if len(self.told) == self._wanted:
            self._flow.set()


def logged(folder: Path) -> dict[str, list[Answer]]:
    """What a log says of each request."""
    found: dict[str, list[Answer]] = {}
    after = -1
    while lines := page(folder, after, PAGE).splitlines():
        for line in map(msgspec.json.decode, lines):
            if "seq" in line:  # or it is a seal
                after = line["seq"]
                found.setdefault(line["id"], []).append(
                    Answer(f"{line['score']:.6f}", line["version"], line["decision"])
                )
    return found


def losses(folder: Path, told: dict[str, Answer]) -> list[str]:
    """What callers were told, and the log does not say, or says otherwise, or says twice."""
    found = logged(folder)
    return [
        f"{request}: told {answer}, logged {found.get(request, 'nothing')}"
        for request, answer in told.items()
        if found.get(request) != [answer]
    ]


def survive(folder: Path, kills: int, seconds: float, start: Sequence[str] = SERVICE) -> tuple[int, list[str]]:
    """Kill the service so often, after so many seconds of load; answers that callers got, and what is wrong.

    Args:
        folder: for its settings and its log.
        kills: each followed by another start.
        seconds: of load before the first kill; before later ones up to twice as many.
        start: what Python is to run.
    """
    load, log, head = Load(), folder / "log", ""
    file = settings(folder)
    for kill in range(kills):
        life = Life(file, start)
        lasts = seconds * (1 + kill / kills)
        before = len(load.told)
        waiting = asyncio.run(load.until_killed(life, lasts))
        wrong, rows, head = _look(log, load.told, head)
        line = {
            "kill": kill + 1,
            "started_s": round(life.started_s, 2),
            "load_s": round(lasts, 2),
            "acknowledged": len(load.told) - before,
            "without_answer": waiting,
            "logged_in_all": rows,
            "wrong": len(wrong),
        }
        print(json.dumps(line), flush=True)
        if wrong:
            return len(load.told), wrong
    Life(file, start).end(signal.SIGTERM)  # comes back from the last kill, too, and leaves the log whole
    return len(load.told), _look(log, load.told, head)[0]


def _look(log: Path, told: dict[str, Answer], head: str) -> tuple[list[str], int, str]:
    """What is wrong with a log, its rows, and the head that its chain ends in; `head` is of an earlier look."""
    try:
        tail = verify(log)
    except LogBroken as broken:
        return [f"the chain is broken: {broken}"], 0, head
    wrong = losses(log, told)
    if head and not archive.passed(log, head):
        wrong.append(f"the chain does not go on from head {head}, in which it ended before")
    return wrong, tail.seq, tail.head.hex()


def main(arguments: Sequence[str], start: Sequence[str] = SERVICE) -> int:
    """Kill, print, and say whether anything was lost."""
    kills = int(arguments[0]) if arguments else 5
    seconds = float(arguments[1]) if len(arguments) > 1 else 3.0
    with tempfile.TemporaryDirectory(prefix="seatrial-crash-") as folder:
        told, wrong = survive(Path(folder), kills, seconds, start)
    for each in wrong[:5]:
        print(each, file=sys.stderr)
    print(json.dumps({"name": "crash.acknowledged", "kills": kills, "acknowledged": told, "wrong": len(wrong)}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
