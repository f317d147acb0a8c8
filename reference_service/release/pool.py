"""What is known of a release on trial, kept so that neither a restart nor several processes divide it.

    trials/<when it began>-<the release's number>/<n>.json    what one process knows, in one life of it

Each process writes a file of its own, and reads those of all others, also of those that are no more: a restart is just
one more process. What the judge of a split has seen multiplies; what labels say, breaches, scores, and what a shadow
scored are added up. Nothing counts twice, for only who answered a request has seen it, and only who made a decision
joins its label to it. That memory ends with the process. So labels that had not matured are not kept: of those
decisions no further label would be counted, and those that come early are of the obvious ones.
"""

from __future__ import annotations

import logging
import shutil
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace

from reference_service.release.gain import Evidence
from reference_service.release.judge import Seen
from reference_service.release.scores import Counts
from reference_service.release.shadow import Tally
from reference_service.release.store import write
from reference_service.release.trial import Release, Trial

_log: Final = logging.getLogger("reference_service")


class _Kept(msgspec.Struct, frozen=True):
    """What one process knows, as JSON; empty where a trial of its kind has nothing."""

    refused: tuple[bool, bool] = (False, False)
    sums: list[list[list[float]]] = []  # of `Evidence`; empty: no label has matured
    seen: Seen = Seen()
    scores: Counts = ([], [])
    shadow: Tally = Tally()


class Known(NamedTuple):
    """What one process knows."""

    labels: Evidence
    seen: Seen
    scores: Counts
    shadow: Tally


# (which file it was, what it said: None of one that says nothing)
_Read = tuple[tuple[int, int], Known | None]
_decode: Final = msgspec.json.Decoder(_Kept)
_NOTHING: Final = _Kept()


class Pool:
    """What all processes that share a registry know of the release that is on trial.

    Args:
        folder: of the files; made when there is something to keep.
    """

    __slots__ = ("_file", "_folder", "_read", "_said", "_whose")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._whose: object = None  # knowledge is in the file: a trial's that is taken up again is another one
        self._file: Path | None = None  # of our own
        self._said = b""  # what of it is written
        self._read: dict[Path, _Read] = {}

    def share(self, trial: Trial) -> None:
        """Let the others, and who comes after us, know what is known here, and hear what they know.

        Args:
            trial: that is running.

        Raises:
            OSError: It cannot be written.
        """
        if _mark(trial) is not self._whose:
            self._whose, self._file, self._said = _mark(trial), None, b""
        known = _known(trial)
        said = msgspec.json.encode(known)
        if said != self._said and known != _NOTHING:
            if self._file is None:
                self._file = self._claim(trial.release)
            write(self._file, said, durable=False)
            self._said = said
        self.hear(trial)

    def hear(self, trial: Trial) -> None:
        """Tell whoever judges or counts what others have seen until now."""
        others = self._others(trial)
        if trial.judge is not None:
            trial.judge.hear([known.seen for known in others])
        if trial.scores is not None:
            trial.scores.hear([known.scores for known in others])
        if trial.shadow is not None:
            trial.shadow.hear([known.shadow for known in others])

    def labels(self, trial: Trial) -> list[Evidence]:
        """What other processes know by labels."""
        return [known.labels for known in self._others(trial)]

    def _others(self, trial: Trial) -> list[Known]:
        """What other processes have written down of this trial. What cannot be read is left out, and told once."""
        own = self._file if _mark(trial) is self._whose else None
        files = sorted(path for path in self._of(trial.release).glob("[0-9]*.json") if path != own)
        self._read = {path: self._evidence(path) for path in files}
        return [known for _, known in self._read.values() if known is not None]

    def _evidence(self, path: Path) -> _Read:
        try:
            found = path.stat()
            stamp = (found.st_ino, found.st_mtime_ns)
            if path in self._read and self._read[path][0] == stamp:
                return self._read[path]
            data = path.read_bytes()
        except OSError as error:
            return self._left_out(path, (0, 0), error)
        if not data:
            return (0, 0), None  # claimed, and not written yet
        try:
            kept = _decode.decode(data)
            sums = np.array(kept.sums or np.zeros((2, 256, 4))).reshape(2, 256, 4)
        except ValueError as error:
            return self._left_out(path, stamp, error)
        return stamp, Known(Evidence(sums, kept.refused), kept.seen, kept.scores, kept.shadow)

    def _left_out(self, path: Path, stamp: tuple[int, int], error: Exception) -> _Read:
        if path not in self._read or self._read[path][0] != stamp:
            _log.warning("what %s says of a trial is left out: %s", path, error)
        return stamp, None

    def _claim(self, release: Release) -> Path:
        """A file that is nobody else's. Those of earlier trials, which nobody asks for any more, are removed."""
        folder = self._of(release)
        folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            began = path.name.partition("-")[0]
            if began.isdigit() and int(began) < release.started_ns:
                shutil.rmtree(path, ignore_errors=True)
        for n in count():
            path = folder / f"{n}.json"
            try:
                path.open("x").close()
            except FileExistsError:
                continue
            return path
        raise AssertionError

    def _of(self, release: Release) -> Path:
        return self._folder / f"{release.started_ns}-{release.id}"


def _mark(trial: Trial) -> object:
    """What is made anew with each trial."""
    return trial.judge or trial.shadow


def _known(trial: Trial) -> _Kept:
    found = _NOTHING
    if trial.gain is not None:
        labels = trial.gain.evidence()
        found = replace(found, refused=labels.refused, sums=labels.sums.tolist() if labels.sums.any() else [])
    if trial.judge is not None:
        found = replace(found, seen=trial.judge.told())
    if trial.scores is not None:
        found = replace(found, scores=trial.scores.told())
    if trial.shadow is not None:
        found = replace(found, shadow=trial.shadow.told())
    return found
