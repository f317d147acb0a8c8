"""``seatrial-service reproduce``: a decision again, from the log."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import msgspec

from reference_service import settings as configuration
from reference_service.reproduce import NotReproducible, reproduce

_BAD_INPUT: Final = 2


def main(arguments: list[str]) -> int:
    """The exit code: 0 equal, 1 another decision, 2 it cannot be reproduced."""
    parser = argparse.ArgumentParser(prog="seatrial-service reproduce", description="Compute a decision again.")
    parser.add_argument("settings", type=Path, help="of the service that made it")
    parser.add_argument("id", help="of the request")
    parser.add_argument("--row", type=int, default=0, help="of the request")
    options = parser.parse_args(arguments)
    settings = configuration.read(msgspec.json.decode(options.settings.read_bytes()))
    try:
        again = reproduce(settings, options.id, options.row)
    except NotReproducible as reason:
        print(f"cannot be reproduced: {reason}")
        return _BAD_INPUT
    was = again.recorded
    print(f"recorded    {was.score!r} {was.decision} by {was.source}, bundle {was.bundle}, policy {was.policy}")
    print(f"reproduced  {again.score!r} {again.decision}: {'equal' if again.equal else 'ANOTHER'}")
    return 0 if again.equal else 1
