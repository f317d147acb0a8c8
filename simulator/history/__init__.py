"""What happened: schema, append, read, digest. Imports nothing of ours."""

from simulator.history.append import Writer
from simulator.history.read import Altered, column_digests, digest, first_divergence, read, read_header, seal, verify
from simulator.history.schema import (
    ITEM_COLUMNS,
    NEVER,
    AlertRecord,
    EventRecord,
    Header,
    History,
    Note,
    Outcome,
    Source,
)

__all__ = [
    "ITEM_COLUMNS",
    "NEVER",
    "AlertRecord",
    "Altered",
    "EventRecord",
    "Header",
    "History",
    "Note",
    "Outcome",
    "Source",
    "Writer",
    "column_digests",
    "digest",
    "first_divergence",
    "read",
    "read_header",
    "seal",
    "verify",
]
