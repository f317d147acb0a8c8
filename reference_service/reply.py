"""What is answered: a status and a body, and how a refusal reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from reference_service.api.oip import problem
from reference_service.validation import Problem


class Reply(NamedTuple):
    """Status and body."""

    status: int
    body: bytes


def refusal(status: int, title: str, detail: str, errors: Sequence[Problem] = ()) -> Reply:
    """A problem+json reply."""
    return Reply(status, problem(status, title, detail, errors))
