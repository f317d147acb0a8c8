"""What the commands that run a service have in common: they read its settings, and say why it does not start."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import msgspec

from reference_service import settings as configuration
from reference_service.app import App
from reference_service.audit.files import LogBroken
from reference_service.bundle import BundleError
from reference_service.commands import COMMANDS
from reference_service.monitor.rules import RulesError
from reference_service.policy import PolicyError
from reference_service.service import Service
from reference_service.settings import SettingsError, filled

_BAD_INPUT: Final = 2


def configured(path: Path, only: Collection[str] | None = None) -> dict[str, Any]:
    """The settings of a file, filled from the environment and checked.

    Args:
        path: of a JSON file.
        only: keys that are wanted, where the others are not needed.

    Raises:
        SystemExit: 2, having said what is wrong.
    """
    try:
        document = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        found: dict[str, Any] = filled({k: v for k, v in document.items() if only is None or k in only}, os.environ)
        configuration.read(found)
    except OSError as error:
        commands = "" if path.suffix else f"; or a command: {', '.join(COMMANDS)}"
        print(f"{path}: {error.strerror}: name a settings file{commands}", file=sys.stderr)
    except (msgspec.DecodeError, SettingsError) as error:
        print(f"{path}: {error}", file=sys.stderr)
    else:
        return found
    raise SystemExit(_BAD_INPUT)


async def started(app: App) -> Service:
    """The service of an app that has just been started.

    Raises:
        SystemExit: 1, having said why it cannot serve.
    """
    try:
        return await app.startup()
    except (BundleError, LogBroken, OSError, PolicyError, RulesError) as error:
        raise SystemExit(f"the service cannot start: {error}") from None
