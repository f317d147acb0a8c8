"""An earlier trial: its verdict, its evidence, judged again, run again, certified."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from simulator.history.read import Altered, read, read_header, verify
from simulator.history.schema import History
from simulator.report.certificate import Tried, statement
from simulator.report.json_ import from_json
from simulator.trial.engine import CERTIFICATE, VERDICT, Listener, certify
from simulator.trial.judging import verdict_of
from simulator.trial.manifest import asked
from simulator.trial.twins import versions
from simulator.verdict import CellVerdict, Verdict


def recheck(out: Path) -> tuple[Verdict, Verdict]:
    """Judge the evidence under `out` again, offline: (the verdict that was given, the verdict now).

    A certificate beside it has to say exactly what the evidence says.

    Raises:
        Altered: Evidence or the certificate is missing or not what it was when it was judged.
    """
    given = read_verdict(out)
    if (out / CERTIFICATE).exists():
        _hold_against_evidence(out)
    now = []
    for old in given.cells:
        cell, manifest = asked(out, old)
        histories = {}
        for role, digest in old.evidence.items():
            history = verify(out / manifest.folders[role])
            if history.header.digest != digest:
                raise Altered(f"{out / manifest.folders[role]}: not the history that was judged")
            if history.header.driver != manifest.driver:
                raise Altered(f"{out / manifest.folders[role]}: not sent by the driver that trial.json names")
            if "@" not in role and history.header.target_digest != manifest.target_digest:
                raise Altered(f"{out / manifest.folders[role]}: not of the target that trial.json names")
            if history.header.seed != manifest.seed:
                raise Altered(f"{out / manifest.folders[role]}: not of the seed that trial.json names")
            histories[role] = history
        now.append(verdict_of(cell, manifest, histories))
    return given, Verdict(tuple(now))


def read_verdict(out: Path) -> Verdict:
    """The verdict written under `out`. Raises `Altered` if there is none."""
    try:
        return from_json((out / VERDICT).read_bytes())
    except (OSError, ValueError) as error:
        raise Altered(f"{out / VERDICT}: {error}") from error


def replay(out: Path, run_id: str, *, into: Path, workers: int = 1, listen: Listener = lambda _: None) -> Verdict:
    """Run the cell `run_id` of `out` again, as it was asked then, into another folder.

    Raises:
        KeyError: `out` knows no such run.
        Altered: What was asked cannot be read any more.
    """
    old = next((c for c in read_verdict(out).cells if c.run_id == run_id), None)
    if old is None:
        raise KeyError(run_id)
    cell, manifest = asked(out, old)
    return certify(
        [cell], out=into, target=Path(manifest.target), seed=manifest.seed, without=manifest.without,
        workers=workers, driver=manifest.driver, allow=manifest.allow, listen=listen,
    )  # fmt: skip


def history(out: Path, cell: CellVerdict, role: str = "main") -> History:
    """The evidence of one judged cell, for reports."""
    return read(out / asked(out, cell)[1].folders[role])


def certificate(out: Path) -> bytes:
    """The verdict under `out` as a statement of digests. Raises `Altered` if there is none, or it was altered."""
    verdict = read_verdict(out)
    tried = []
    for cell in verdict.cells:
        tried_cell, manifest = asked(out, cell)
        digest = hashlib.sha256((out / tried_cell.folder / "scenario.yaml").read_bytes()).hexdigest()
        # Who ran it, not who asks now: a later seatrial finds the same.
        by = read_header(out / manifest.folders["main"]).versions if cell.evidence else versions()
        tried.append(
            Tried(cell, digest, manifest.target_digest, manifest.driver, manifest.without, by.get("seatrial", ""))
        )
    return statement(verdict, tried)


def _hold_against_evidence(out: Path) -> None:
    """Refuse a certificate that says anything else than what lies beside it. Raises `Altered`."""
    path, meant = out / CERTIFICATE, certificate(out)
    said = path.read_bytes()
    if said != meant:
        try:
            where = _first_difference(json.loads(said), json.loads(meant))
        except ValueError as error:
            where = f"is no JSON: {error}"
        raise Altered(f"{path}: {where or 'has other bytes than it was written with'}")
    digest = hashlib.sha256((out / VERDICT).read_bytes()).hexdigest()
    if digest != json.loads(said)["predicate"]["verdictJson"]["sha256"]:
        raise Altered(f"{out / VERDICT}: not the file that the certificate names")


def _first_difference(said: Any, meant: Any, at: str = "") -> str:
    """The first place where two documents differ, for a person; empty if nowhere."""
    if isinstance(said, dict) and isinstance(meant, dict) and said.keys() == meant.keys():
        pairs = [(said[key], meant[key], f"{at}.{key}" if at else key) for key in meant]
    elif isinstance(said, list) and isinstance(meant, list) and len(said) == len(meant):
        pairs = [(a, b, f"{at}[{i}]") for i, (a, b) in enumerate(zip(said, meant, strict=True))]
    elif type(said) is type(meant) and said == meant:
        return ""
    elif isinstance(said, dict) and isinstance(meant, dict):
        keys = ", ".join(sorted(map(str, said.keys() ^ meant.keys())))
        return f"{at or 'the document'} has other keys than it was written with: {keys}"
    else:
        return f"{at or 'the document'} says {json.dumps(said)[:80]}, the evidence {json.dumps(meant)[:80]}"
    return next(filter(None, (_first_difference(*pair) for pair in pairs)), "")
