"""Synthetic traffic must not reach what it could hurt: production, and hosts that nobody named."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from simulator.targets.model import Target

PRODUCTION: Final = frozenset({"production", "prod", "live"})


def objections(target: Target, allowed: Collection[str] = ()) -> list[str]:
    """Why this target must not be sent anything; empty if it may.

    `allowed` are the names that the user gave on the command line, of environments and of hosts.
    """
    found = []
    if target.environment.lower() in PRODUCTION and target.environment not in allowed:
        found.append(
            f"its environment is {target.environment}: rehearse on staging, or say --allow {target.environment}"
        )
    for url in (target.start.url, target.toxiproxy):
        host = urlsplit(url or "").hostname or ""
        if host and not _here(host) and host not in {*target.hosts, *allowed}:
            found.append(f"{host} is not this machine: name it under `hosts` in the target file, or say --allow {host}")
    return found


def _here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
