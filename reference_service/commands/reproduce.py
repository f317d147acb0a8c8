"""``seatrial-service reproduce``: a decision again, from the log."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from reference_service import settings as configuration
from reference_service.audit.files import LogBroken
from reference_service.commands.starting import configured
from reference_service.reproduce import NotReproducible, recorded, reproduce

_NOT_EQUAL: Final = 1
_BAD_INPUT: Final = 2
# All that a decision depends on: who checks one needs none of the service's secrets.
_NEEDED: Final = ("decision_log", "bundles", "registry", "policy", "foreign")


def main(arguments: list[str]) -> int:
    """The exit code: 0 equal, 1 another decision or a broken log, 2 it cannot be reproduced."""
    parser = argparse.ArgumentParser(prog="seatrial-service reproduce", description="Compute a decision again.")
    parser.add_argument("settings", type=Path, help="of the service that made it")
    parser.add_argument("id", help="of the request")
    parser.add_argument("--row", type=int, default=0, help="of the request")
    options = parser.parse_args(arguments)
    settings = configuration.read(configured(options.settings, only=_NEEDED))
    equal = known = True
    try:
        for decision, payload in recorded(settings, options.id, options.row):
            try:
                again = reproduce(settings, decision, payload)
            except NotReproducible as reason:  # which must not hide what becomes of the others
                print(f"cannot be reproduced: {reason}")
                known = False
                continue
            equal &= again.equal
            made = f"by {decision.source}, bundle {decision.bundle}, policy {decision.policy}"
            print(f"recorded    {decision.score!r} {decision.decision} {made}")
            print(f"reproduced  {again.score!r} {again.decision}: {'equal' if again.equal else 'ANOTHER'}")
    except NotReproducible as reason:
        print(f"cannot be reproduced: {reason}")
        return _BAD_INPUT
    except LogBroken as broken:
        print(f"BROKEN: {broken}")
        return _NOT_EQUAL
    return _NOT_EQUAL if not equal else 0 if known else _BAD_INPUT
