"""TensorFlow Serving's protocol against a small server written from its public description, not from our codec."""

import asyncio
import math
import sys
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.conformance.rows import columns
from simulator.conformance.wire import Wire
from simulator.history.schema import Outcome
from simulator.survey.draft import draft
from simulator.targets import load
from simulator.targets.documents import by_column, by_row, follow
from simulator.targets.model import Target

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tests/servers"))

from model import rows, score  # noqa: E402 - beside the servers that share it
from tf_serving import app  # noqa: E402

ROWS = rows(4)
FORMS = {
    "rows": {"path": "/v1/models/fraud/versions/1:predict", "read": {"score": "$.predictions"}},
    "columns": {"path": "/v1/models/fraud/versions/1:predict", "read": {"score": "$.outputs"}},
    "named rows": {"read": {"score": "$.predictions[*].score", "decision": "$.predictions[*].decision"}},
    "named columns": {"read": {"score": "$.outputs.score", "decision": "$.outputs.decision"}},
    "a label": {"path": "/v1/models/fraud/labels/stable:predict", "read": {"score": "$.predictions"}},
}


def wire(form):
    document = {"target": 1, "start": {"url": "http://t"}, "protocol": "tf-serving", "model": "fraud"} | FORMS[form]
    return Wire(Target.model_validate(document), columns(ROWS))


def ask(wire, body, path=None):
    async def post():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as http:
            return await http.post(path or wire.path, content=body)

    reply = asyncio.run(post())
    return wire.read(reply.status_code, reply.content, len(ROWS))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_understood_and_read_back(form):
    spoken = wire(form)
    reply = ask(spoken, spoken.body(ROWS))
    assert reply.outcome is Outcome.OK
    assert reply.scores == pytest.approx([score(row) for row in ROWS], abs=1e-12)
    if form.startswith("named"):
        assert reply.decisions == tuple("block" if s > 0.5 else "allow" for s in reply.scores)


@pytest.mark.parametrize("form", ["rows", "columns"])
def test_what_no_careful_client_sends_is_refused_and_seen_as_such(form):
    spoken = wire(form)
    wrong = [spoken.short(ROWS, "amount"), *(bad.body for bad in spoken.misshapen(ROWS[0]))]
    wrong += [spoken.body([{**row, "amount": None} for row in ROWS]), spoken.body([{**ROWS[0], "more": 1}])]
    assert [ask(spoken, body).outcome for body in wrong] == [Outcome.REJECT] * len(wrong)
    assert ask(spoken, spoken.body(ROWS), "/v1/models/nobody:predict").outcome is Outcome.ERROR  # 404: a wrong target


def test_a_token_that_is_no_json_is_no_answer():
    spoken = wire("rows")
    assert ask(spoken, spoken.body([{**row, "amount": math.nan} for row in ROWS])).outcome is Outcome.UNPARSEABLE


def test_an_absent_key_is_absent_by_row_and_null_by_column():
    two = [{"a": 1, "b": "x"}, {"a": 2}]
    assert by_row(two) == {"instances": two}
    assert by_column(two) == {"inputs": {"a": [1, 2], "b": ["x", None]}}


def test_a_path_goes_through_every_item():
    document = {"p": [{"s": [0.5]}, {"s": [0.25]}]}
    assert follow("$.p[*].s[0]", document) == [0.5, 0.25]
    assert follow("$.p[1].s", document) == [0.25]
    with pytest.raises(KeyError):
        follow("$.p[*].t", document)


@given(st.binary(max_size=60), st.sampled_from([200, 400, 404]), st.sampled_from(sorted(FORMS)))
def test_no_reply_makes_it_raise(body, status, form):
    assert wire(form).read(status, body, 1).outcome in set(Outcome)


def test_the_shipped_target_files_are_ten_lines():
    for path in sorted((ROOT / "tests/live/targets").glob("tf_serving*.target.yaml")):
        assert load.load(path).protocol == "tf-serving"
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 10


def test_a_draft_is_made_from_a_server_of_models(tmp_path):
    def get(path):
        if path == "/v1/models/model":  # the name that TensorFlow Serving gives where nobody gives one
            return httpx.Response(404, json={"error": "Could not find any versions of model model"})
        return httpx.Response(404, json={"error": f"Malformed request: GET {path}"})

    path = tmp_path / "x.target.yaml"
    path.write_text(draft("http://127.0.0.1:8501", get), encoding="utf-8")
    assert load.load(path).protocol == "tf-serving"
    assert load.load(path).read.score == "$.predictions"
