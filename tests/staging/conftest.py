"""The engine that these tests need, and the images of docker-compose.yml, built once (layers are reused)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


# The base images of docker-compose.yml.
BASES = (
    [os.environ["BASE_IMAGE"]] if "BASE_IMAGE" in os.environ else ["python:3.11-slim-bookworm", "debian:bookworm-slim"]
)


def why_not() -> str:
    """Why the staging tests cannot run here; empty if they can."""
    pytest.importorskip("docker", reason="the dependency group `staging` is not installed")
    if shutil.which("docker") is None:
        return "there is no Docker on this machine"
    if not _docker("info"):
        return "no Docker engine answers"
    for base in BASES:
        if not _docker("image", "inspect", base) and not _docker("pull", base):
            return f"the base image {base} is not here and cannot be pulled: name one that is in BASE_IMAGE"
    if shutil.which("docker-compose") is None and not _docker("compose", "version"):
        return "there is no docker-compose"
    return ""


def _docker(*arguments: str) -> bool:
    return subprocess.run(["docker", *arguments], capture_output=True, check=False).returncode == 0  # noqa: S607 - whichever is on the path


@pytest.fixture(scope="session")
def compose():
    """Runs docker-compose with our file."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    command = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]

    def run(*arguments, project="seatrial-tests", **environment):
        known = os.environ | {"SEATRIAL_TOKEN": "of-the-tests"} | environment
        done = subprocess.run(
            [*command, "-p", project, *arguments], cwd=ROOT, env=known, capture_output=True, text=True, timeout=600,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    return run


@pytest.fixture(scope="session")
def images(compose):
    """The stack's images exist."""
    compose("build", "redis", "prometheus", "alertmanager", "proxy", "replica-1")
