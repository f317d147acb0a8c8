"""Gates: whoever lets a packed bundle through, or refuses it. There is no retraining without one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from math import hypot
from pathlib import Path
from typing import Final

import numpy as np

from reference_service import bundle as bundles
from reference_service.bounds import least_apart, most_apart
from reference_service.bundle import Bundle
from reference_service.training import features
from reference_service.training.pull import Refused, pull
from reference_service.training.validate import UNKNOWN, auc, errors_by_group
from reference_service.training.weights import at, representative

_NOBODY: Final = ((0, 0), (0, 0))
_DOUBT: Final = 0.01  # that a fair model is refused, or the champion's gap was larger than it seemed, by bad luck
_SURE: Final = 4.3  # standard errors: Student's t at 99.9 %, with one less than the tenths of the time
_EXCESS: Final = 0.01  # a point more is tolerated, as the monitor does

Gate = Callable[[Path], None]
"""Called with the bundle's folder; raises Refused."""


def command(words: Sequence[str]) -> Gate:
    """A command that ends with 0 lets the bundle through, and nothing else does.

    It finds the staging folder in SEATRIAL_BUNDLES and the version in SEATRIAL_VERSION. No words: nothing gets through.
    """

    def judge(place: Path) -> None:
        if not words:
            raise Refused("gate: no command is configured, and nothing is released that no gate has seen")
        environment = {**os.environ, "SEATRIAL_BUNDLES": str(place.parent), "SEATRIAL_VERSION": place.name}
        done = subprocess.run(words, env=environment, check=False, capture_output=True, text=True)  # noqa: S603 - the operator's own
        if done.returncode:
            raise Refused(
                f"gate: {words[0]} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}".rstrip()
            )

    return judge


def examination(audited: Path, champion: Bundle, most: float = 0.05) -> Gate:
    """An examination on rows whose labels somebody has looked into, which no feed of labels can turn round.

    A model that has learned what is not so, from labels that say the opposite or from a field that knew them, is
    good on its own later rows and bad here. Refused is who ranks these rows so much worse than the champion; who is
    wrong about a group more often, beside the others, than the champion's training allows (what a model has learned to
    do to a group would be usual to its own monitors); and who is so much worse here than on its own later rows as no
    model is by chance, by how its quality moved over time in training: it has learned of a field that knew the label.
    Where nobody knows how it moved, of neither model, nothing gets through.

    Args:
        audited: a Parquet file, as `pull` reads it.
        champion: whom the candidate is to replace.
        most: by how much it may rank these rows worse.
    """

    def judge(place: Path) -> None:
        bundle = bundles.load(place)
        data = pull(audited, bundle.contract)
        labels, weights = representative(data.labels, data.refused, data.propensity)
        known = labels >= 0
        rows, labels, weights = data.values[known], labels[known], at(weights, known)
        if len(set(labels.tolist())) < 2:  # noqa: PLR2004 - both outcomes
            raise Refused(
                f"gate: of {len(labels)} audited labels all are alike, or there are none; nothing is examined"
            )
        new, old = (auc(labels, each.margin(each.codes(rows)), weights) for each in (bundle, champion))
        if not new >= old - most:
            raise Refused(f"gate: AUC {new:.3f} on {len(labels)} audited rows, the champion's is {old:.3f}")
        harmed = _harmed(bundle, champion, rows, labels, weights)
        if harmed:
            raise Refused(f"gate: about {harmed} it is wrong more often, beside the others, than the champion was")
        claimed, moved = (
            bundle.profile.auc,
            [each.profile.auc_error for each in (bundle, champion) if each.profile.auc_error < UNKNOWN],
        )
        if not moved:
            raise Refused(
                "gate: both outcomes stand in too few tenths of the later rows to say how AUC moves by itself, so "
                "nobody can tell whether a field knew the label: hold out more rows"
            )
        if claimed - new > _SURE * hypot(min(moved), max(moved)):
            raise Refused(
                f"gate: AUC {claimed:.3f} on its own later rows and {new:.3f} on audited ones: "
                "too good to be true, so look for a field that knows the label"
            )

    return judge


def _harmed(bundle: Bundle, champion: Bundle, rows: np.ndarray, labels: np.ndarray, weights: np.ndarray | None) -> str:
    """The group that is worst off, if it surely is by more than the champion's held-out rows do not exclude; or ""."""
    learned = champion.profile.group_errors
    if not learned:
        return ""
    field = champion.policy["group_field"]
    approved = np.array([bundle.probability(margin) < bundle.policy["review_from"] for margin in bundle.scores(rows)])
    groups = ["" if name is None else name for name in features.decode(bundle.contract, rows)[field].tolist()]
    found = errors_by_group(groups, labels, approved, weights)
    new, old = (np.array([each.get(name, _NOBODY) for name in learned]) for each in (found, learned))
    least = least_apart(new[:, :, 0], new[:, :, 1], _DOUBT / old[:, :, 0].size)
    most = most_apart(old[:, :, 0], old[:, :, 1], _DOUBT / old[:, :, 0].size)
    beyond = (least - most).max(axis=1)
    return list(learned)[int(beyond.argmax())] if beyond.max() > _EXCESS else ""
