"""``seatrial-service``: serve, or one of the operators' commands.

seatrial-service settings.json                    serve
seatrial-service audit FOLDER                     verify the decision log
seatrial-service consume settings.json --from URL answer a stream of requests
seatrial-service features TABLE --to URL         fill the shared feature store
seatrial-service mock CONTRACT                    a stand-in for callers' tests, made of the contract
seatrial-service registry FOLDER …               list, add, export to and import from MLflow
seatrial-service ops RULES                        rules of Prometheus and a dashboard of Grafana
seatrial-service reproduce settings.json ID       compute a decision again
seatrial-service retrain …                         from data to a version that serves, through the gate
seatrial-service warm                             compile the kernels, for quick starts later
"""

from __future__ import annotations

import importlib
import sys
from typing import Final

_COMMANDS: Final = frozenset(
    {"audit", "consume", "features", "mock", "ops", "registry", "reproduce", "retrain", "warm"}
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the first argument names, or serve. Returns its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    named = bool(given) and given[0] in _COMMANDS
    # Only what is run is imported: an audit needs no server, and a server no pyarrow.
    command = importlib.import_module(f"reference_service.commands.{given[0] if named else 'serve'}")
    code: int = command.main(given[1:] if named else given)
    return code


if __name__ == "__main__":
    sys.exit(main())
