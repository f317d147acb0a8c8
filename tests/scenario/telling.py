"""The service as it is; when it is asked for its quality, it also writes down what it says of its releases."""

from __future__ import annotations

from pathlib import Path

import msgspec

from reference_service.api import control
from reference_service.app import App
from reference_service.app import create_app as create


def create_app(settings, *, clock, seams, post):
    """`told` in the settings is where to."""
    settings = dict(settings)
    told, quality = Path(settings.pop("told")), control.quality

    async def both(service, body, query):
        if service.releases.history:  # not the clean twin
            told.write_bytes((await control.releases(service, body, query)).body)  # noqa: ASYNC240 - in virtual time, once
        return await quality(service, body, query)

    control.quality = both
    app: App = create(settings, clock=clock, seams=seams, post=post)
    return app


def read(path):
    """What it said of the last release."""
    return msgspec.json.decode(path.read_bytes())["releases"][-1]
