"""Gates: whoever lets a packed bundle through, or refuses it. There is no retraining without one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from reference_service import bundle as bundles
from reference_service.bundle import Bundle
from reference_service.training.pull import Refused, pull
from reference_service.training.validate import auc

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
    good on its own later rows and bad here. The area under the ROC curve may be so much below the champion's.

    Args:
        audited: a Parquet file, as `pull` reads it.
        champion: whom the candidate is to replace.
        most: by how much it may rank these rows worse.
    """

    def judge(place: Path) -> None:
        bundle = bundles.load(place)
        data = pull(audited, bundle.contract)
        known = data.labels >= 0
        rows, labels = data.values[known], data.labels[known]
        new, old = (auc(labels, each.margin(each.codes(rows))) for each in (bundle, champion))
        if not new >= old - most:
            raise Refused(f"gate: AUC {new:.3f} on {len(labels)} audited rows, the champion's is {old:.3f}")

    return judge
