from __future__ import annotations

import json
import math
import shutil

import lightgbm
import msgspec
import numpy as np
import pytest

from reference_service.bundle import FILES, UNSEEN, BundleError, Golden, load, pack
from reference_service.contract import Contract, Field
from reference_service.core.binning import TooManyCuts
from reference_service.core.compiled import from_bytes, to_bytes
from reference_service.training import features
from reference_service.training.package import Window, golden_values, package
from reference_service.training.train import Recipe, train
from reference_service.training.validate import validate

CONTRACT = Contract(
    model="loans",
    version="v7",
    entity="who",
    fields=(
        Field(name="income", kind="number", on_null="model", on_alert="default"),
        Field(name="region", kind="category", categories=("north", "south", "west")),
        Field(name="returning", kind="boolean", on_null="default"),
    ),
)


@pytest.fixture(scope="module")
def window():
    rng = np.random.default_rng(11)
    n = 2000
    columns = {
        "income": np.where(rng.random(n) < 0.1, np.nan, rng.exponential(size=n) * 1000),
        "region": rng.choice(np.array(["north", "south", "west", None], dtype=object), n, p=[0.2, 0.5, 0.2, 0.1]),
        "returning": rng.integers(0, 2, n).astype(float),
    }
    values = features.encode(CONTRACT, columns)
    labels = (rng.random(n) < 0.1 + 0.3 * (values[:, 1] == 2) + 0.2 * (values[:, 0] > 1000)).astype(np.int64)
    labels[:10] = -1
    return Window(values=values, event_ns=np.arange(n, dtype=np.int64) * 60_000_000_000, labels=labels)


@pytest.fixture(scope="module")
def booster(window):
    known = window.labels >= 0
    recipe = Recipe(seed=5, trees=10, leaves=7, min_rows_in_leaf=20)
    names = [field.name for field in CONTRACT.fields]
    return train(recipe, names, features.for_model(CONTRACT, window.values[known]), window.labels[known])


@pytest.fixture(scope="module")
def arguments(window, booster):
    known = window.labels >= 0
    probabilities = np.asarray(booster.predict(window.values[known], num_threads=1))
    report = validate(window.labels[known], probabilities, window.event_ns[known])
    return {"policy": {"review_from": 0.3}, "booster": booster, "window": window, "report": report}


@pytest.fixture(scope="module")
def home(tmp_path_factory, arguments):
    path = tmp_path_factory.mktemp("bundles") / "v7"
    package(path, contract=CONTRACT, fallback_field="region", **arguments)
    return path


@pytest.fixture
def copy(home, tmp_path):
    shutil.copytree(home, tmp_path / "v7")
    return tmp_path / "v7"


def test_what_was_packed_is_loaded(home, window, booster):
    bundle = load(home)
    assert bundle.version == "v7"
    assert bundle.contract == CONTRACT
    assert bundle.policy == {"review_from": 0.3}
    expected = booster.predict(features.for_model(CONTRACT, window.values), raw_score=True, num_threads=1)
    assert np.array_equal(bundle.margin(bundle.codes(window.values)).view(np.int64), expected.view(np.int64))


def test_the_same_inputs_give_the_same_bundle(home, tmp_path, arguments):
    again = package(tmp_path / "v7", contract=CONTRACT, fallback_field="region", **arguments)
    assert again.digest == load(home).digest


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("place", [0.0, 0.31, 0.5, 0.77, 1.0])
def test_one_flipped_bit_in_any_file_is_refused(copy, name, place):
    data = bytearray((copy / name).read_bytes())
    data[round(place * (len(data) - 1))] ^= 1
    (copy / name).write_bytes(bytes(data))
    with pytest.raises(BundleError) as caught:
        load(copy)
    assert caught.value.reason == "corrupt"
    if name != "manifest.json":  # a damaged list cannot say whether it or the file is wrong
        assert name in str(caught.value)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"missing: .*{name}"):
        load(copy)


def test_a_folder_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(BundleError, match="missing"):
        load(tmp_path / "v9")


def test_a_bundle_of_another_digest_is_refused(home):
    digest = load(home).digest
    assert load(home, digest=digest).digest == digest
    with pytest.raises(BundleError, match="is bundle"):
        load(home, digest="0" * 64)


def parts(home):
    """What `pack` was given."""
    bundle = load(home)
    return {
        "contract": bundle.contract,
        "policy": bundle.policy,
        "profile": bundle.profile,
        "model_text": (home / "model.txt").read_text(),
        "compiled": from_bytes((home / "compiled.npz").read_bytes(), 3),
        "golden": bundle.golden,
    }


def test_fields_in_another_order_are_a_contract_mismatch(home, tmp_path):
    contract = msgspec.structs.replace(CONTRACT, fields=CONTRACT.fields[::-1])
    with pytest.raises(BundleError, match=r"contract: .*promises \('returning', 'region', 'income'\)"):
        pack(tmp_path / "v7", **(parts(home) | {"contract": contract}))
    assert list(tmp_path.iterdir()) == []


def test_a_golden_row_that_is_off_by_one_bit_is_refused(home, tmp_path):
    given = parts(home)
    margins = list(given["golden"].margins)
    margins[200] = math.nextafter(margins[200], math.inf)
    given["golden"] = Golden(values=given["golden"].values, margins=margins)
    with pytest.raises(BundleError, match=r"golden: .*1 of 256 golden rows differ, the first is 200"):
        pack(tmp_path / "v7", **given)


def test_libraries_that_differ_are_named_only_where_scores_differ_with_them(home, tmp_path):
    given = parts(home)
    golden = given["golden"]
    assert set(golden.made_with) == {"lightgbm", "numba", "numpy"}
    elsewhere = golden.made_with | {"numpy": "1.0.0"}
    given["golden"] = Golden(values=golden.values, margins=golden.margins, made_with=elsewhere)
    assert pack(tmp_path / "v7", **given).golden.made_with == elsewhere  # served: the known rows agree
    off = [math.nextafter(golden.margins[0], math.inf), *golden.margins[1:]]
    for made_with, named in ((elsewhere, True), (golden.made_with, False)):
        given["golden"] = Golden(values=golden.values, margins=off, made_with=made_with)
        with pytest.raises(BundleError, match=r"golden: .*the first is 0") as caught:
            pack(tmp_path / "v8", **given)
        assert (f"made with numpy 1.0.0 (here {golden.made_with['numpy']})" in str(caught.value)) == named


def test_a_model_that_needs_more_cuts_than_a_byte_has_is_not_packaged(tmp_path, arguments, window):
    settings = {"objective": "regression", "num_leaves": 400, "max_bin": 1000, "min_data_in_bin": 1, "verbose": -1}
    settings |= {"min_data_in_leaf": 1, "num_threads": 1}
    names = [field.name for field in CONTRACT.fields]
    data = lightgbm.Dataset(window.values, np.nan_to_num(window.values[:, 0]), feature_name=names, params=settings)
    given = arguments | {"booster": lightgbm.train(settings, data, 1)}
    with pytest.raises(TooManyCuts, match=r"'income' needs \d+ cuts .*room for 253.*max_bin"):
        package(tmp_path / "v8", contract=CONTRACT, fallback_field="region", **given)
    assert list(tmp_path.iterdir()) == []


def test_too_few_golden_rows_are_refused(home, tmp_path):
    given = parts(home)
    given["golden"] = Golden(values=given["golden"].values[:255], margins=given["golden"].margins[:255])
    with pytest.raises(BundleError, match="256 golden rows"):
        pack(tmp_path / "v7", **given)


def test_a_golden_request_without_its_margin_is_refused(home, tmp_path):
    given = parts(home)
    given["golden"] = msgspec.structs.replace(given["golden"], requests=[{}], expected=[])
    with pytest.raises(BundleError, match="each golden request has one margin"):
        pack(tmp_path / "v7", **given)


def test_packing_replaces_and_leaves_nothing_beside(copy, home):
    (copy / "leftover").write_text("old")
    pack(copy, **parts(home))
    assert sorted(path.name for path in copy.iterdir()) == sorted([*FILES, "manifest.json"])
    assert [path.name for path in copy.parent.iterdir()] == ["v7"]


def test_arrays_that_do_not_fit_never_reach_the_kernel(home):
    compiled = from_bytes((home / "compiled.npz").read_bytes(), 3)
    with pytest.raises(ValueError, match="expected"):
        from_bytes(to_bytes(compiled), 4)
    compiled.cells[0, 0] = 14
    with pytest.raises(ValueError, match="does not have"):
        from_bytes(to_bytes(compiled), 3)


def test_golden_rows_hold_the_hard_cases(window, booster):
    from reference_service.core.trees import parse

    model = parse(booster.model_to_string())
    rows = golden_values(CONTRACT, model, window.values)
    assert rows.shape == (256, 3)
    assert np.isnan(rows[0]).all()
    assert np.isnan(rows[1:]).any(axis=0).all()
    assert (rows[:, 1] == UNSEEN).any()
    thresholds = {n.threshold for t in model.trees for n in t.nodes if n.feature == 0}
    assert thresholds & set(rows[:, 0].tolist())
    assert {math.nextafter(t, math.inf) for t in thresholds} & set(rows[:, 0].tolist())


def test_one_row_is_scored_as_many_are(home, window):
    bundle = load(home)
    margins = bundle.margin(bundle.codes(window.values))
    assert [bundle.score(row) for row in window.values] == margins.tolist() == bundle.scores(window.values)


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 255, 256, 257, 515])
def test_any_number_of_rows_is_scored_alike(home, window, n):
    bundle = load(home)
    codes = bundle.codes(window.values)
    assert np.array_equal(bundle.codes(window.values[:n]), codes[:n])
    assert np.array_equal(bundle.margin(codes[:n]), bundle.margin(codes)[:n])


def test_every_row_is_counted_once_for_every_field(home, window):
    bundle = load(home)
    counts = bundle.new_counts()
    bundle.count(window.values, counts)
    assert (counts.sum(axis=1) == len(window.values)).all()


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (np.zeros(4), ValueError),
        (np.zeros(3, np.float32), TypeError),
        (np.zeros(6)[::2], TypeError),
    ],
)
def test_arrays_of_another_shape_or_type_are_refused(home, values, error):
    with pytest.raises(error):
        load(home).score(values)


@pytest.mark.parametrize(
    ("name", "value"), [("features", 3), ("features", -1), ("first", 10_000), ("starts", 1), ("pick", 255)]
)
def test_an_index_that_leads_outside_is_refused(home, name, value):
    compiled = from_bytes((home / "compiled.npz").read_bytes(), 3)
    getattr(compiled.forest, name).flat[0] = value
    with pytest.raises(ValueError, match="does not have"):
        from_bytes(to_bytes(compiled), 3)


def test_probability_is_lightgbm_s(home, window, booster):
    bundle = load(home)
    ours = [bundle.probability(margin) for margin in bundle.margin(bundle.codes(window.values[:100]))]
    theirs = booster.predict(features.for_model(CONTRACT, window.values[:100]), num_threads=1)
    assert np.allclose(ours, theirs, rtol=1e-15, atol=0)


def test_probability_of_the_extremes_is_a_number(home):
    assert [load(home).probability(margin) for margin in (-1e6, 0.0, 1e6)] == [0.0, 0.5, 1.0]


def test_the_profile_is_the_window(home, window):
    profile = load(home).profile
    assert profile.n_reference == 2000
    assert np.allclose(profile.cell_shares.sum(axis=1), 1.0)
    assert profile.null_shares[0] == np.isnan(window.values[:, 0]).mean()
    assert profile.hourly_n.sum() == 2000
    weighted = (profile.hourly_shares * profile.hourly_n[:, None, None]).sum(axis=0) / 2000
    assert np.allclose(weighted, profile.cell_shares)
    assert profile.typical[1] == 1.0  # south
    assert profile.typical[0] in window.values[:, 0]


def test_the_fallback_is_the_rate_of_the_category(home, window):
    bundle = load(home)
    known = window.labels >= 0
    assert bundle.fallback("west") > 1.5 * bundle.fallback("north")
    assert bundle.fallback(None) == bundle.fallback("nowhere") == window.labels[known].mean()


def test_the_oracle_is_not_needed_to_serve(home):
    names = json.loads((home / "manifest.json").read_text())["files"]
    assert sorted(names) == sorted(FILES)
    assert lightgbm.Booster(model_file=str(home / "model.txt")).num_trees() == 10
