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
    docker = pytest.importorskip("docker", reason="the dependency group `staging` is not installed")
    try:
        engine = docker.from_env()
        engine.ping()
    except docker.errors.DockerException as error:
        return f"no Docker engine answers ({type(error).__name__})"
    for base in BASES:
        try:
            engine.images.get(base)
        except docker.errors.ImageNotFound:
            try:
                engine.images.pull(base)
            except docker.errors.APIError:
                return f"the base image {base} is not here and cannot be pulled: name one that is in BASE_IMAGE"
    return "" if shutil.which("docker-compose") or shutil.which("docker") else "there is no docker-compose"


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
