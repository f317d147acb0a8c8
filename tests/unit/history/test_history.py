"""A history comes back as it was written, and refuses to be altered."""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.history import (
    ITEM_COLUMNS,
    AlertRecord,
    Altered,
    EventRecord,
    Header,
    Note,
    Outcome,
    Writer,
    column_digests,
    digest,
    first_divergence,
    read,
    seal,
    verify,
)
from simulator.history.append import PLAN_COLUMNS


def planned(n, first=0):
    columns = {}
    for name in PLAN_COLUMNS:
        kind = ITEM_COLUMNS[name].to_pandas_dtype()
        columns[name] = (
            np.full(n, "main", dtype=object)
            if name in {"stream", "segment"}
            else np.arange(first, first + n).astype(kind)
        )
    columns["touched"] = np.zeros(n, dtype=np.uint64)
    return columns


def reply(item, score=0.5, version="v1", also_touched=0):
    return (item, 10, 11, 12, 1, 200, int(Outcome.OK), score, "approve", 1, version, "", also_touched, 2**64 - 1, 0)


HEADER = Header("title", "x.yaml", {"factor": 100}, "main", "virtual", 7, "plan", "payments", "target", 100, 0)


def written(folder, *, scores=(0.1, 0.2, 0.3), order=(2, 0, 1)):
    writer = Writer(folder)
    writer.planned(planned(2))
    writer.planned(planned(2, first=2))
    for item in order:
        writer.replied([reply(item, scores[item], also_touched=4 if item == 1 else 0)])
    writer.labelled([0], 99)
    writer.close(
        HEADER,
        alerts=(AlertRecord(5, "slack", "f", "drift", "amount", "page", True),),
        events=(EventRecord("unit", 0, 1, 2, 3, 4, 4, 4),),
        notes=(Note(1, "heartbeat", {"route": "slack"}),),
    )
    return seal(folder)


def test_what_was_written_is_read(tmp_path):
    history = written(tmp_path)
    items = history.items
    assert list(items) == list(ITEM_COLUMNS)
    assert items["score"][:3].tolist() == [0.1, 0.2, 0.3]
    assert items["outcome"].tolist() == [0, 0, 0, int(Outcome.MISSING)]
    assert items["version"].tolist() == ["v1", "v1", "v1", ""]
    assert items["touched"].tolist() == [0, 4, 0, 0]
    assert items["label_ns"].tolist() == [99, -1, -1, -1]
    assert np.isnan(items["score"][3])
    assert items["sent_digest"][0] == 2**64 - 1
    again = read(tmp_path)
    assert again.header == history.header
    assert (again.alerts, again.events, again.notes) == (history.alerts, history.events, history.notes)
    assert history.event("unit").delivered == 4


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["answered", "lost", "withheld"]), min_size=1, max_size=30), st.integers(1, 7))
def test_what_nobody_sent_never_happened_however_it_is_cut_into_batches(fates, rows):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[read.__module__], "_ROWS", rows)
        writer = Writer(Path(folder))
        for first in range(0, len(fates), 4):
            writer.planned(planned(min(4, len(fates) - first), first))
        for item in reversed(range(len(fates))):
            if fates[item] == "answered":
                writer.replied([reply(item, item / 100, also_touched=1 << item)])
            elif fates[item] == "withheld":
                writer.withheld([item])
        answered = [item for item, fate in enumerate(fates) if fate == "answered"]
        writer.labelled(answered[::2], 99)
        writer.close(HEADER, alerts=(), events=(), notes=())
        items = read(Path(folder)).items
    happened = [item for item, fate in enumerate(fates) if fate != "withheld"]
    assert items["index"].tolist() == happened
    assert items["segment"].tolist() == ["main"] * len(happened)
    assert items["outcome"].tolist() == [int(Outcome.OK if k in answered else Outcome.MISSING) for k in happened]
    assert items["decision"].tolist() == ["approve" if k in answered else "" for k in happened]
    assert items["touched"].tolist() == [1 << k if k in answered else 0 for k in happened]
    assert items["label_ns"].tolist() == [99 if k in answered[::2] else -1 for k in happened]
    assert np.nan_to_num(items["score"], nan=-1.0).tolist() == [k / 100 if k in answered else -1.0 for k in happened]


def test_the_digest_is_over_what_happened_not_over_the_order_of_writing(tmp_path):
    a = written(tmp_path / "a")
    b = written(tmp_path / "b", order=(0, 1, 2))
    assert a.header.digest == b.header.digest
    assert first_divergence(a, b) == ""


def test_scores_count_at_six_decimals(tmp_path):
    a = written(tmp_path / "a", scores=(0.1, 0.2, 0.3))
    b = written(tmp_path / "b", scores=(0.1 + 1e-9, 0.2, 0.3))
    c = written(tmp_path / "c", scores=(0.1 + 1e-6, 0.2, 0.3))
    assert digest(a) == digest(b) != digest(c)


def test_the_first_divergence_is_named(tmp_path):
    a = written(tmp_path / "a")
    b = written(tmp_path / "b", scores=(0.1, 0.9, 0.3))
    assert first_divergence(a, b) == "item 1 (main/1), column score: np.float64(0.2) against np.float64(0.9)"
    differing = [k for k, v in column_digests(a).items() if v != column_digests(b)[k]]
    assert differing == ["score"]


def test_a_header_that_differs_is_named(tmp_path):
    a = written(tmp_path / "a")
    b = replace(a, header=replace(a.header, target_digest="another"))
    assert first_divergence(a, b) == "header, target_digest: 'target' against 'another'"
    assert first_divergence(a, replace(a, header=replace(a.header, role="twin"))) == ""  # not part of the digest


@pytest.mark.parametrize("file", ["plan.parquet", "replies.parquet", "labels.parquet", "history.json"])
def test_an_altered_file_is_refused(tmp_path, file):
    written(tmp_path)
    assert verify(tmp_path).header.digest
    path = tmp_path / file
    if file == "history.json":
        document = msgspec.json.decode(path.read_bytes())
        document["alerts"] = []
        path.write_bytes(msgspec.json.encode(document))
    else:
        table = pq.read_table(path)
        column = {"plan.parquet": "truth", "replies.parquet": "status", "labels.parquet": "label_ns"}[file]
        at = table.column_names.index(column)
        values = [v + 1 for v in table.column(column).to_pylist()]
        pq.write_table(
            table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type)), path
        )
    with pytest.raises(Altered, match="altered after the run"):
        verify(tmp_path)


def test_a_truncated_file_is_refused(tmp_path):
    written(tmp_path)
    path = tmp_path / "replies.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Altered, match="cannot read"):
        read(tmp_path)


def test_an_unfinished_run_is_no_history(tmp_path):
    written(tmp_path)
    Writer(tmp_path)  # a second run begins, and dies
    with pytest.raises(Altered, match="did not finish"):
        read(tmp_path)
