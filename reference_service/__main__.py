"""``seatrial-service SETTINGS`` serves; ``seatrial-service COMMAND …`` is one of the operators' `COMMANDS`."""

from __future__ import annotations

import importlib
import sys
from typing import Final

from reference_service.commands import COMMANDS

_BAD_INPUT: Final = 2
# Library → what has to be installed to have it.
_EXTRAS: Final = {
    **dict.fromkeys(("httptools", "lightgbm", "numba", "uvloop"), "seatrial[service]"),
    **dict.fromkeys(("google", "grpc"), "seatrial[grpc]"),
    "redis": "seatrial[events]",
    "opentelemetry": "seatrial[otel]",
    "mlflow": "mlflow",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the first argument names, or serve. Returns its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    named = bool(given) and given[0] in COMMANDS
    try:
        # Only what is run is imported: an audit needs no server, and a server no pyarrow.
        command = importlib.import_module(f"reference_service.commands.{given[0] if named else 'serve'}")
        code: int = command.main(given[1:] if named else given)
    except ModuleNotFoundError as missing:
        library = (missing.name or "").partition(".")[0]
        if library not in _EXTRAS:
            raise
        sys.stderr.write(f"{library} is not installed: pip install '{_EXTRAS[library]}'\n")
        return _BAD_INPUT
    return code


if __name__ == "__main__":
    sys.exit(main())
