"""Bundles to and from a model registry of MLflow's: the whole bundle as artifacts, its digest as a tag.

What comes from there is verified like anything else: by the digest that the tag promises, then as a bundle.
MLflow is imported only here, and only when it is asked for.
"""

from __future__ import annotations

import hashlib
import importlib
import tempfile
from pathlib import Path
from typing import Any, Final

from reference_service import bundle as bundles
from reference_service.bundle import BundleError
from reference_service.release.store import Store

_DIGEST: Final = "seatrial.bundle"  # tag on a model version: the SHA-256 of its manifest
_VERSION: Final = "seatrial.version"
_EXPERIMENT: Final = "seatrial-bundles"


def export(store: Store, version: str, uri: str, *, alias: str | None = None) -> str:
    """Register a version of the store with MLflow at `uri`; the number that it got there.

    Raises:
        BundleError: The store has no such version, or it is damaged.
    """
    place = store.place(version)
    if place is None:
        raise BundleError("missing", f"the registry has no version {version}")
    bundle = bundles.load(place, digest=store.digest(version))
    client = _client(uri)
    name = bundle.contract.model
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        client.create_registered_model(name)
    experiment = client.get_experiment_by_name(_EXPERIMENT)
    number = experiment.experiment_id if experiment is not None else client.create_experiment(_EXPERIMENT)
    run = client.create_run(number, run_name=f"{name} {version}")
    client.log_artifacts(run.info.run_id, str(place), "bundle")
    client.set_terminated(run.info.run_id)
    tags = {_DIGEST: bundle.digest, _VERSION: version}
    source = f"{run.info.artifact_uri}/bundle"
    made = client.create_model_version(name, source=source, run_id=run.info.run_id, tags=tags)
    if alias is not None:
        client.set_registered_model_alias(name, alias, made.version)
    return str(made.version)


def fetch(store: Store, model: str, which: str, uri: str) -> str:
    """Take a model version, by its alias or number, from MLflow at `uri` into the store; the version's own name.

    Raises:
        BundleError: It was not exported from a registry of files, is not what its tag promises, or must not be served.
    """
    client = _client(uri)
    find = client.get_model_version if which.isdecimal() else client.get_model_version_by_alias
    found = find(model, which)
    promised = found.tags.get(_DIGEST)
    if promised is None:
        raise BundleError("missing", f"{model} {which} has no tag {_DIGEST}: it is no bundle")
    with tempfile.TemporaryDirectory(prefix="seatrial-") as folder:
        download: Any = importlib.import_module("mlflow.artifacts").download_artifacts
        local = Path(download(artifact_uri=found.source, dst_path=folder, tracking_uri=uri))
        digest = hashlib.sha256((local / "manifest.json").read_bytes()).hexdigest()
        if digest != promised:
            raise BundleError(
                "corrupt", f"{model} {which} is bundle {digest[:12]}, not {promised[:12]} as its tag says"
            )
        store.add(local)
    return str(found.tags[_VERSION])


def _client(uri: str) -> Any:
    return importlib.import_module("mlflow").MlflowClient(tracking_uri=uri, registry_uri=uri)
