"""Any decision again by one command, from whatever its record has become: the open log, a full file, Parquet."""

import asyncio
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.fuzz import INFER, Sent, ask
from benchmarks.service import bodies
from reference_service import policy as policies
from reference_service.app import create_app
from reference_service.audit import archive
from reference_service.audit.files import segments
from reference_service.clock import SystemClock
from reference_service.commands import audit, reproduce
from reference_service.release.store import Store
from scenarios.prepare import BUNDLES as ALL

BUNDLES = ALL / "payments"
REQUESTS = bodies(160)
STRANGER = 999_999_999  # what the store would know of a customer gets its default


def configured(folder, log, **more):
    """The file of a service that logs there."""
    settings = {
        "bundles": str(BUNDLES),
        "feature_store": str(BUNDLES / "customers.npz"),
        "decision_log": str(log),
        "token": "$A_SECRET_THAT_AUDITORS_DO_NOT_HAVE",
        "policy": {"log_segment": 1 << 14, "explore_share": 0.5, "block_from": 0.3},
        **more,
    }
    path = folder / "settings.json"
    path.write_text(json.dumps(settings))
    return path


def sent(k, name="", **changed):
    """A request; with other values of some fields in a row behind it, if any are given."""
    request = json.loads(REQUESTS[k])
    request["id"] = name or f"r{k}"
    for field in request["inputs"] if changed else ():
        field["data"] *= 2
        field["shape"] = [2]
        field["data"][1] = changed.get(field["name"], field["data"][0])
    return json.dumps(request).encode()


def unreliable(store):
    """A feature store that does not know what some customers have done."""

    def look_up(entity, now_ns):
        if entity % 6 == 0:
            raise OSError
        return store(entity, now_ns)

    return look_up


async def lived(path, requests, *, border=None, seams=None):
    """A service that was asked all that, each row after the other."""
    settings = json.loads(path.read_text()) | {"token": "t"}
    app = create_app(settings, clock=SystemClock(), seams=seams)
    service = await app.startup()
    if border is not None:
        service.releases.champion.bands.move(border)
    for first in range(0, len(requests), 8):
        group = requests[first : first + 8]
        replies = await asyncio.gather(*(ask(app.edge, Sent("POST", INFER, b"", [], body)) for body in group))
        assert {reply.status for reply in replies} <= {200, 400, 422}
    await app.shutdown()


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder whose log has seen defaults, an unreliable store, a border that moved, and a refused row."""
    folder = tmp_path_factory.mktemp("kept")
    path = configured(folder, folder / "log")
    ordinary = [sent(k) for k in range(100)]
    odd = [sent(3, "defaults", customer_id=STRANGER), sent(1, "refused", amount="much"), sent(2), sent(2)]
    asyncio.run(lived(path, ordinary + odd, seams={"feature_store": unreliable}))
    asyncio.run(lived(path, [sent(k) for k in range(100, 140)], border=0.123456))
    assert archive.seal(folder / "log")
    return folder


def only(kept, folder, what):
    """Settings of a log of which nothing but that is left: `sealed`, or the files."""
    log = folder / "log"
    shutil.copytree(kept / "log", log)
    for path in [*log.glob("*.jsonl")] if what == "sealed" else [log / "sealed"]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return configured(folder, log)


def decided(lines):
    """The records of a file of lines."""
    return [found for line in lines if "id" in (found := json.loads(line))]


def test_every_kind_of_decision_is_reproduced_from_parquet_alone(kept, tmp_path, capsys):
    settings = only(kept, tmp_path, "sealed")
    made = pd.read_parquet(tmp_path / "log/sealed")
    assert {"model", "fallback"} <= set(made["source"])
    explored = made["reasons"].str.contains("explored")
    examples = [made[made["source"] == source].iloc[0] for source in ("model", "fallback")]
    for example in [*examples, made[explored].iloc[0]]:
        assert reproduce.main([str(settings), example["id"], "--row", str(example["row"])]) == 0
        assert f"{float(example['score'])!r} {example['decision']}" in capsys.readouterr().out


def test_what_is_not_archived_yet_is_reproduced_from_the_open_log_and_the_full_file(kept, tmp_path, capsys):
    settings = only(kept, tmp_path, "files")
    log = tmp_path / "log"
    for path in (log / "decisions.jsonl", segments(log)[-1]):
        made = next(each for each in decided(path.read_bytes().splitlines()) if each["score"] is not None)
        assert reproduce.main([str(settings), made["id"]]) == 0
        assert capsys.readouterr().out.rstrip().endswith("equal")


def test_a_border_that_review_had_moved_is_found_by_its_tag(kept, tmp_path):
    settings = only(kept, tmp_path, "files")
    made = [each for each in decided((tmp_path / "log/decisions.jsonl").read_bytes().splitlines()) if each["score"]]
    shipped = policies.read(
        json.loads((BUNDLES / "v1/policy.json").read_bytes()), json.loads(settings.read_bytes())["policy"]
    )
    assert made[-1]["policy"] != policies.tag(shipped)
    moved = policies.moved(shipped, made[-1]["policy"])
    assert (moved.review_from, policies.tag(moved)) == (0.123456, made[-1]["policy"])
    between = next(each for each in made if 0.123456 <= each["score"] < shipped.review_from)
    assert between["decision"] == "review"  # which the shipped border would not have said
    assert reproduce.main([str(settings), between["id"]]) == 0


def test_a_row_that_was_asked_twice_is_reproduced_twice(kept, tmp_path, capsys):
    assert reproduce.main([str(configured(tmp_path, kept / "log")), "r2"]) == 0
    assert capsys.readouterr().out.count("equal") == 3


def test_a_default_is_reproduced_from_what_was_used(kept, tmp_path, capsys):
    assert reproduce.main([str(configured(tmp_path, kept / "log")), "defaults", "--row", "1"]) == 0
    assert "by default" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("request_id", "more", "why"),
    [
        ("nobody", {}, "no decision"),
        ("refused", {}, "was refused"),
        ("r1", {"policy": {"block_from": 0.21}}, "made by policy"),
        ("r1", {"bundles": "elsewhere"}, "cannot be loaded"),
        ("r1", {"decision_log": None}, "no decision_log"),
    ],
)
def test_what_cannot_be_reproduced_says_why(kept, tmp_path, capsys, request_id, more, why):
    settings = configured(tmp_path, kept / "log", **more)
    assert reproduce.main([str(settings), request_id, "--row", "1" if request_id == "refused" else "0"]) == 2
    shown = capsys.readouterr()
    assert why in shown.out + shown.err


def rewritten(folder, change):
    """The oldest archive with another first row."""
    path = archive.archived(folder)[0].path
    rows = pq.read_table(path).to_pylist()
    change(rows[0])
    pq.write_table(pa.Table.from_pylist(rows, schema=archive.SCHEMA), path)
    return rows[0]["id"]


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("received", [1.0] * 19, "not what its payload says"),
        ("written", b'{"seq":0,"received":"AAAAAAAA8D8="}', "another than was written"),
        ("body", "{}", "not what its payload says"),
        ("entity", "somebody else", "not what its payload says"),
        ("score", 0.5, "not what its line says"),
        ("decision", "block", "not what its line says"),
    ],
)
def test_a_parquet_file_that_was_changed_is_no_evidence(kept, tmp_path, capsys, column, value, why):
    settings = only(kept, tmp_path, "sealed")
    found = rewritten(tmp_path / "log", lambda row: row.update({column: value}))
    assert reproduce.main([str(settings), found]) == 1
    assert why in capsys.readouterr().out
    assert audit.main([str(tmp_path / "log")]) == 1
    assert why in capsys.readouterr().out


def test_an_erased_payload_cannot_be_reproduced_and_the_log_is_whole(kept, tmp_path, capsys):
    settings = only(kept, tmp_path, "sealed")
    assert archive.erase(tmp_path / "log", "r0", 0) >= 1
    assert reproduce.main([str(settings), "r0"]) == 2
    assert "erased" in capsys.readouterr().out
    assert audit.main([str(tmp_path / "log")]) == 0


def test_a_worker_and_a_registry_are_found(kept, tmp_path, capsys):
    shutil.copytree(kept / "log", tmp_path / "log/worker-1")
    registry = Store(tmp_path / "registry")
    registry.add(BUNDLES / "v1")
    settings = configured(tmp_path, tmp_path / "log", bundles=str(tmp_path), registry=str(tmp_path / "registry"))
    assert reproduce.main([str(settings), "r3"]) == 0
    assert "equal" in capsys.readouterr().out


def test_a_model_of_another_library_is_asked_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent / "ops"), *sys.path]))
    (tmp_path / "slope").write_bytes(b"1e-6")
    model = {
        "factory": "foreign_models:linear",
        "artifact": str(tmp_path / "slope"),
        "sha256": hashlib.sha256(b"1e-6").hexdigest(),
    }
    settings = configured(tmp_path, tmp_path / "log", foreign={"v1": model})
    asyncio.run(lived(settings, [sent(0)]))
    assert reproduce.main([str(settings), "r0"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("equal")


def test_settings_that_want_what_the_environment_lacks_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        reproduce.main([str(configured(tmp_path, "$NOWHERE")), "r1"])
    assert "$NOWHERE" in capsys.readouterr().err
