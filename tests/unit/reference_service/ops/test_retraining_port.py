"""Retraining asked for over the control plane: when it begins, what it learns of, and what its journal tells."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import MINUTE, SECOND, START, HandClock, run

from reference_service import retraining
from reference_service.audit.decision_log import DecisionLog
from reference_service.audit.files import FileSink
from reference_service.audit.records import Decision, Payload, packed
from reference_service.contract import Contract, Field
from reference_service.reproduce import recorded
from reference_service.retraining import PATH, Retrainer, Retraining, create_app
from reference_service.settings import SettingsError, read
from reference_service.training import pull

CONTRACT = Contract(model="m", version="v1", entity="who", fields=(Field(name="size", kind="number"),
                                                                    Field(name="age", kind="number")))  # fmt: skip
OPTIONS = Retraining(audited="", staging="")


def test_it_learns_of_what_was_written_down_as_it_was_received_and_of_the_labels_that_came(tmp_path):
    async def body():
        log = DecisionLog(HandClock(), rows=2, wait_ns=0, ring=9, sink=FileSink(tmp_path))
        for k in range(5):
            score = None if k == 3 else 0.5  # refused: nobody will ever know
            received = [float(k), float("nan")]
            decision = Decision(k, START + k, f"r{k}", 0, 1, "v1", score, "approve", "model", "explored:0.2" * (k == 2))
            log.append(decision, Payload(k, packed(received), packed([k, 7.0]), k, "{}"), None)
        # r1 came again, without a key: two decisions of one row, which has one label.
        again = Decision(5, START + 8, "r1", 0, 1, "v1", 0.5, "approve", "model", "")
        log.append(again, Payload(5, packed([1.0, float("nan")]), packed([1.0, 7.0]), 5, "{}"), None)
        # A reviewer's verdict on r0 is a record of its own, of which nothing was received.
        verdict = Decision(6, START + 9, "r0", 0, 1, "v1", 0.5, "block", "person", "review:ann")
        log.append(verdict, Payload(6, packed([float("nan")] * 2)), None)
        assert await log.committed()
        await log.close()

    run(body())
    labels = {("r0", 0): 1, ("r1", 0): 0}
    found = pull.logged(tmp_path, CONTRACT, lambda *row: labels.get(row))
    np.testing.assert_array_equal(found.values, [[k, np.nan] for k in (0, 1, 2, 4)])
    np.testing.assert_array_equal(found.sent["size"], [0, 1, 2, 4])  # what golden requests are made of
    assert found.labels.tolist() == [1, 0, -1, -1]
    assert (found.refused.tolist(), found.propensity.tolist()) == ([False, False, True, False], [1, 1, 0.2, 1])
    assert found.event_ns.tolist() == [START, START + 1, START + 2, START + 4]
    assert [d.source for d, _ in recorded(read({"bundles": "", "decision_log": str(tmp_path)}), "r0")] == ["model"]
    FileSink(tmp_path / "new").close()
    with pytest.raises(pull.Refused, match="no decision is written down"):
        pull.logged(tmp_path / "new", CONTRACT, lambda *_: None)


def asked(h, body):
    return h.call("POST", PATH, json.dumps(body).encode())


async def steps(h):
    _, reply = await h.call("GET", PATH)
    return [(step["step"], step.get("why", "")) for step in json.loads(reply)["steps"]]


def test_it_waits_for_evidence_and_a_refusal_ends_it(harness, monkeypatch):
    reasons = [""]
    monkeypatch.setattr(retraining.retrain, "due", lambda *_: reasons[-1])

    async def body():
        h = harness()
        port = Retrainer(OPTIONS, h.clock)
        h.edge.core.offer(port.routes(h.edge))
        assert (await asked(h, {"version": 9}))[0] == 400
        assert (await asked(h, {"version": "v9", "on": "evidence"}))[0] == 202
        await h.clock.advance(MINUTE)
        assert await steps(h) == [("waiting", "")]
        assert (await asked(h, {"version": "v9"}))[0] == 409
        reasons.append("concept_drift")

        async def refused(_self, _version):
            raise pull.Refused("gate: no")

        monkeypatch.setattr(Retrainer, "_packed", refused)
        await h.clock.advance(10 * SECOND)
        assert await steps(h) == [("waiting", ""), ("begun", "concept_drift"), ("refused", "gate: no")]
        monkeypatch.setattr(Retrainer, "_packed", lambda *_: 1 / 0)
        assert (await asked(h, {"version": "v10"}))[0] == 202  # it has ended, and may begin anew
        await h.clock.advance(SECOND)
        assert await steps(h) == [("begun", "request"), ("broken", "ZeroDivisionError")]
        port.stop()

    run(body())


def test_it_wants_the_control_planes_token(harness):
    async def body():
        h = harness()
        h.edge.core.offer(Retrainer(OPTIONS, h.clock).routes(h.edge))
        assert (await h.call("POST", PATH, b"{}", token=""))[0] == 401

    run(body())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"retraining": {"audited": "a", "staging": "s"}}, "needs a registry"),
        ({"retraining": {"audited": "a"}}, "retraining: .*staging"),
        ({"retraining": {"audited": "a", "staging": "s", "gates": 1}}, "retraining: .*gates"),
    ],
)
def test_what_it_cannot_do_without_is_named(settings, said):
    with pytest.raises(SettingsError, match=said):
        create_app(settings)
