"""The bundles that a service is offered: the target's own, or a copy in which a version to be released is damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

from simulator.scenario.model import Scenario
from simulator.targets.model import Target


def folder_of(target: Target, target_path: Path) -> Path | None:
    """Where the target's own bundles lie, if it has any."""
    return None if target.bundles is None else Path(target.bundles.replace("$here", str(target_path.parent)))


def offered(scenario: Scenario, target: Target, target_path: Path, folder: Path) -> str:
    """The folder that ``$bundles`` stands for; empty if the target has none. A copy goes to ``folder/bundles``."""
    own = folder_of(target, target_path)
    if own is None:
        return ""
    damaged = [event.release.version for event in scenario.when if event.release and event.release.bundle == "damaged"]
    if not damaged:
        return str(own)
    copy = folder / "bundles"
    shutil.copytree(own, copy)
    for version in damaged:
        _damage(copy / version)
    return str(copy)


def _damage(version: Path) -> None:
    """Another digit in the middle of the largest file: what a disk or a careless hand does, and no parser sees."""
    file = max((path for path in version.rglob("*") if path.is_file()), key=lambda path: (path.stat().st_size, path))
    data = bytearray(file.read_bytes())
    at = len(data) // 2
    while at + 1 < len(data) and not ord("0") <= data[at] <= ord("9"):
        at += 1
    data[at] = ord("0") + (data[at] - ord("0") + 1) % 10
    file.write_bytes(bytes(data))
