from __future__ import annotations

import numpy as np
import pytest

from scenarios import build
from scenarios.populations import flights, payments
from scenarios.prepare import prepare
from simulator.world import populations
from simulator.world.populations import payments as cards

FLIGHTS = flights.contract(("ATL", "BOS"))


@pytest.mark.parametrize(
    ("contract", "population", "stored"),
    [(payments.CONTRACT, "payments", set(cards.customers())), (FLIGHTS, "flights", set())],
)
def test_the_contract_asks_for_what_the_population_has(contract, population, stored):
    sent = {field.name: field for field in populations.get(population).fields}
    assert contract.entity in sent
    assert {f.name for f in contract.fields if f.origin == "request"} == set(sent) - {contract.entity}
    assert {f.name for f in contract.fields if f.origin == "store"} == stored
    for field in contract.fields:
        if field.name in sent and field.name != "dest":
            assert field.kind == sent[field.name].kind
            assert field.categories == sent[field.name].categories


@pytest.mark.parametrize(("contract", "population"), [(payments.CONTRACT, "payments"), (FLIGHTS, "flights")])
def test_no_training_row_breaks_the_contract(contract, population):
    rows, _ = populations.training(population)
    columns = rows.sent | rows.latent
    for field in contract.fields:
        column = columns[field.name]
        if field.kind in ("number", "integer"):
            known = column[~np.isnan(column)]
            assert field.minimum is None or known.min() >= field.minimum, field.name
            assert field.maximum is None or known.max() <= field.maximum, field.name
            assert field.on_null != "reject" or len(known) == len(column), field.name


def test_names_of_a_contract_are_used_once():
    for contract in (payments.CONTRACT, FLIGHTS):
        names = [name for field in contract.fields for name in (field.name, *field.aliases)]
        assert len(set(names)) == len(names)


@pytest.fixture
def trained(monkeypatch):
    """Training, replaced by a note of what was trained: the real one takes seconds."""
    calls = []
    for population in ("payments", "flights"):

        def fake(folder, population=population):
            calls.append(population)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "model.txt").write_text(population)

        monkeypatch.setattr(build, population, fake)
    return calls


def test_nothing_is_trained_twice(tmp_path, trained):
    assert prepare(tmp_path)
    assert not prepare(tmp_path)
    assert trained == ["payments", "flights"]


@pytest.mark.parametrize("damage", ["changed", "removed", "added"])
def test_a_folder_that_is_not_as_it_was_written_is_made_again(tmp_path, trained, damage):
    prepare(tmp_path)
    file = tmp_path / "flights" / "model.txt"
    {"changed": lambda: file.write_text("x"), "removed": file.unlink, "added": (tmp_path / "v9").touch}[damage]()
    assert prepare(tmp_path)
    assert len(trained) == 4


def test_force_trains_again(tmp_path, trained):
    prepare(tmp_path)
    assert prepare(tmp_path, force=True)
    assert len(trained) == 4
