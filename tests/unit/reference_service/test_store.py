"""The registry of files with real bundles: what goes in, what is refused, and to MLflow and back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from reference_service.bundle import BundleError, load
from reference_service.commands import registry as command
from reference_service.release import exchange
from reference_service.release.registry import Registry
from reference_service.release.store import Store

V1 = Path(__file__).parents[3] / "scenarios/bundles/payments/v1"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "registry")


def test_a_bundle_lies_under_the_digest_of_its_content(store):
    digest = store.add(V1)
    assert store.add(V1) == digest  # twice is once
    assert store.place("v1").name == digest
    assert load(store.place("v1"), digest=digest).version == "v1"
    assert store.versions() == {"v1": digest}


def test_a_damaged_bundle_is_refused_and_leaves_nothing_behind(store, tmp_path):
    shutil.copytree(V1, tmp_path / "v1")
    with (tmp_path / "v1/model.txt").open("a") as file:
        file.write(" ")
    with pytest.raises(BundleError):
        store.add(tmp_path / "v1")
    assert store.versions() == {}
    assert list((store.folder / "bundles").iterdir()) == []


def damage(folder):
    """One digit of the model is another."""
    text = (folder / "model.txt").read_bytes()
    (folder / "model.txt").write_bytes(text[:-200].replace(b"7", b"8", 1) + text[-200:])


def test_a_registry_that_is_damaged_while_it_serves_serves_on_and_refuses_what_is_damaged(store, tmp_path):
    store.add(V1)
    registry = Registry(tmp_path / "nothing", lambda bundle: bundle, store)
    serving = registry.get("v1")
    damage(store.place("v1"))
    assert registry.get("v1") is serving  # what is in memory was verified, and is read no more
    again = Registry(tmp_path / "nothing", lambda bundle: bundle, store)
    with pytest.raises(BundleError, match=r"corrupt: .*model\.txt is not the file that the manifest lists"):
        again.get("v1")  # after a restart, with nothing to repair it from
    assert not again.knows("v1")


def test_a_damaged_copy_is_repaired_from_what_it_was_made_of_and_from_nothing_else(store, tmp_path):
    digest = store.add(V1)
    damage(store.place("v1"))
    assert Registry(V1.parent, lambda bundle: bundle, store).get("v1").digest == digest
    assert load(store.place("v1"), digest=digest).version == "v1"
    damage(store.place("v1"))
    shutil.copytree(V1.parent / "v2", tmp_path / "v1")  # another bundle under that name
    with pytest.raises(BundleError, match="corrupt"):
        Registry(tmp_path, lambda bundle: bundle, store).get("v1")
    assert store.add(V1) == digest
    assert load(store.place("v1")).digest == digest


def test_a_version_is_given_once(store):
    store.add(V1)
    (store.folder / "versions/v1").write_text("0" * 64)
    with pytest.raises(BundleError, match="already"):
        store.add(V1)


def test_a_version_is_a_name_and_no_path(store):
    assert store.place("../versions/v1") is None


def test_the_command_lists_and_adds_and_refuses(store, capsys, tmp_path):
    folder = str(store.folder)
    assert command.main([folder, "add", str(V1)]) == 0
    store.point("champion", "v1")
    assert command.main([folder]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["v1", store.digest("v1")[:12], "champion"]
    assert command.main([folder, "add", str(tmp_path)]) == 1
    assert command.main([folder, "export", "v9", "--to", "sqlite://"]) == 1
    assert "refused: missing" in capsys.readouterr().err


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    """The URI of an MLflow of this test's own."""
    pytest.importorskip("mlflow", reason="MLflow is not installed; `make test` installs it")
    monkeypatch.chdir(tmp_path)  # where it puts artifacts
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.filterwarnings("ignore")  # MLflow's own deprecations
def test_a_bundle_goes_to_mlflow_and_comes_back_equal(store, mlflow, tmp_path):
    digest = store.add(V1)
    number = exchange.export(store, "v1", mlflow, alias="champion")
    other = Store(tmp_path / "other")
    for which in ("champion", number):
        assert exchange.fetch(other, "payments", which, mlflow) == "v1"
    assert other.digest("v1") == digest
    assert command.main([str(tmp_path / "third"), "import", "payments", "champion", "--from", mlflow]) == 0
    artifact = next(path for path in tmp_path.rglob("manifest.json") if "artifacts" in path.parts)
    artifact.write_bytes(artifact.read_bytes().replace(b'"v1"', b'"v2"'))
    with pytest.raises(BundleError, match="as its tag says"):
        exchange.fetch(Store(tmp_path / "fourth"), "payments", "champion", mlflow)
