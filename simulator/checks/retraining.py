"""The family about what a service learned by itself, and how far that got: retrain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from simulator.checks import evaluators, selection, words
from simulator.checks.evaluators import FOREVER
from simulator.checks.evidence import Evidence
from simulator.checks.premises import PremiseError
from simulator.checks.statistics import TIE, clopper_pearson
from simulator.history.schema import NEVER, History, Outcome
from simulator.scenario.families import Retrained
from simulator.scenario.model import Expectation, Scenario
from simulator.scenario.quantities import SECOND
from simulator.verdict import Finding, Status

_FEWEST: Final = 30  # answers after a promotion, without which nobody can say who gives them
_MOST: Final = 0.5  # of the answers since, less is not everybody: some may be held back for comparison
_WAY: Final = ("shadow", "canary", "live")


def retrain(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """eventually: the journal says that it got there; neither the journal nor a reply says that the way was wrong.

    What the service says of itself is held against the replies, and the shadow against what the harness saw at the
    model's seam: see `_Way`.
    """
    window = selection.ground(expectation, scenario, evidence)
    wanted = expectation.retrain or Retrained(version="", goes="live")
    main = evidence.main
    selection.says_version(main, np.asarray(main.items["scheduled_ns"] >= window.start, bool))
    way = _Way(main, wanted, _journal(main, wanted.version))
    limit = f"{wanted.version} {'goes live' if wanted.goes == 'live' else 'is refused'} {window.text}"
    wrong = words.few(way.astray() if wanted.goes == "live" else way.loose())
    if wrong:
        return Finding(Status.FAIL, limit, "not as it must", wrong[0], witnesses=wrong)
    last = "live" if wanted.goes == "live" else "refused"
    if wanted.goes == "live" and last in way.steps:
        way.enough()
        way.seen()
    return evaluators.eventually(
        [(way.steps[last], f"{wanted.version} {way.whys[last] or last}")] if last in way.steps else [],
        limit=limit,
        start=window.start,
        deadline=window.end,
        complete=window.complete,
    )


def _journal(history: History, version: str) -> list[Mapping[str, object]]:
    """The steps on record, in order.

    Raises:
        PremiseError: There are none; or one was entered at another moment than it gives for itself.
    """
    found = [(note.at_ns, note.data) for note in history.notes if note.kind == "retraining"]
    found = [(at, data) for at, data in found if data["version"] == version]
    if not found:
        raise PremiseError(f"journal: nothing is on record of {version}", "see `retraining` in the target file")
    for at, data in found:
        if not data["last_ns"] - SECOND <= data["said_ns"] <= at + SECOND:
            raise PremiseError(
                f"journal: at {words.moment(data['last_ns'])} it had no {data['step']}, and at {words.moment(at)} "
                f"one of {words.moment(data['said_ns'])}",
                "let the service write down each step when it takes it",
            )
    return [data for _, data in found]


@dataclass(frozen=True, slots=True)
class _Way:
    """Which way a version went: `steps` by the journal, the first of each kind, and its answers by the replies."""

    main: History
    wanted: Retrained
    journal: list[Mapping[str, object]]

    @property
    def steps(self) -> dict[str, int]:
        """Step → moment."""
        return {str(data["step"]): int(str(data["said_ns"])) for data in reversed(self.journal)}

    @property
    def whys(self) -> dict[str, str]:
        """Step → what the journal says of it."""
        return {str(data["step"]): str(data["why"]) for data in reversed(self.journal)}

    def _answers(self, since: int, until: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the rows answered in ``[since, until)``, and whether this version answered them."""
        items = self.main.items
        at = items["replied_ns"]
        rows = np.flatnonzero((items["outcome"] == Outcome.OK) & (at != NEVER) & (at >= since) & (at < until))
        return rows, np.asarray(items["version"][rows] == self.wanted.version, bool)

    def loose(self) -> Iterator[str]:
        """What must not be of a version that is to be refused."""
        rows, ours = self._answers(0, FOREVER)
        version = self.wanted.version
        yield from (f"{words.item(self.main, int(row))}: answered by {version}" for row in rows[ours])
        for step in ("canary", "live"):
            if step in self.steps:
                yield f"{version} was {step} at {words.moment(self.steps[step])}"

    def astray(self) -> Iterator[str]:
        """What must not be of a version on its way to everybody."""
        steps, wanted = self.steps, self.wanted
        canary = steps.get("canary", FOREVER)
        rows, ours = self._answers(0, canary - SECOND)
        yield from (
            f"{words.item(self.main, int(row))}: answered by {wanted.version} before it was a canary"
            for row in rows[ours]
        )
        for before, step in pairwise(_WAY):
            if step not in steps:
                continue
            asked = wanted.shadow if before == "shadow" else wanted.canary
            if before not in steps or steps[step] - steps[before] < asked:
                lasted = words.moment(steps[step] - steps[before]) if before in steps else "not at all"
                yield f"it was {step} after {before} had lasted {lasted}, not {words.moment(asked)}"
        if any(data["step"] == "canary" and data["asked"] == 0 for data in self.journal):
            yield "its shadow was never asked: no call of its model came through the seam before it was a canary"
        yield from self._crowded()
        yield from self._unheard()

    def _crowded(self) -> Iterator[str]:
        """More answers by the canary than it was to give."""
        steps = self.steps
        if "canary" not in steps:
            return
        _, ours = self._answers(steps["canary"], steps.get("live", FOREVER))
        if "live" in steps and len(ours) >= _FEWEST and not ours.any():
            yield f"as a canary it gave none of {len(ours)} answers"
        if len(ours) and clopper_pearson(int(ours.sum()), len(ours))[0] > self.wanted.share + TIE:
            share = words.share(float(ours.mean()))
            yield f"as a canary it gave {share} of {len(ours)} answers, over {words.share(self.wanted.share)}"

    def _unheard(self) -> Iterator[str]:
        """Few get its answers, although it is said to be live."""
        if "live" not in self.steps:
            return
        rows, ours = self._answers(self.steps["live"], FOREVER)
        if len(rows) >= _FEWEST and clopper_pearson(int(ours.sum()), len(rows))[1] < _MOST:
            yield f"it is live by its own word, and gave {int(ours.sum())} of {len(rows)} answers since"

    def enough(self) -> None:
        """There are answers by which to tell who gives them since it is live.

        Raises:
            PremiseError: Too few.
        """
        rows, _ = self._answers(self.steps["live"], FOREVER)
        if len(rows) < _FEWEST:
            raise PremiseError(
                f"enough data: {len(rows)} answers since it is live are under the {_FEWEST} that it takes",
                "let the run last longer",
            )

    def seen(self) -> None:
        """Somebody stood before the model and saw its shadow asked.

        Raises:
            PremiseError: Nobody did, so that there is only the service's own word for it.
        """
        if self.wanted.shadow and any(
            data["step"] == "canary" and int(str(data["asked"])) < 0 for data in self.journal
        ):
            raise PremiseError(
                "observers: nobody stood before the model, so nobody saw its shadow asked",
                "virtual time: name the seam `model` in the target file; real time: ask for no shadow (`shadow: 0s`)",
            )
