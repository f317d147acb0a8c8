"""What only virtual time can do: bad ways to the service, and a service that goes and comes back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import short

from simulator.checks.steady import steadiness
from simulator.drivers.pool import carry_out
from simulator.drivers.spec import RunSpec
from simulator.history.read import verify
from simulator.history.schema import NEVER, Outcome
from simulator.scenario.load import load
from simulator.scenario.quantities import MINUTE, NS, SECOND
from simulator.targets.load import load as load_target

KEPT = short.SCENARIOS / "targets/payments_kept.target.yaml"
SCENARIO = {
    "seatrial": 1, "title": "t", "seed": 5,
    "given": {
        "population": "payments",
        "traffic": {"rate": "20/s", "for": "5m", "timeout": "2s"},
        "labels": {"delay": {"median": "20s", "p95": "40s"}, "every": "10s"},
    },
    "when": [
        {"event": "far", "at": "5s", "for": "20s", "network": {"fault": "latency", "by": "300ms", "share": 0.5}},
        {"event": "lost", "at": "30s", "for": "20s", "network": {"fault": "loss", "share": 0.5}},
        {"event": "cut", "at": "55s", "for": "20s", "network": {"fault": "reset", "share": 0.5}},
        {"event": "slow", "at": "80s", "for": "20s", "network": {"fault": "upload", "by": "700ms", "share": 0.5}},
        {"event": "deaf", "at": "105s", "for": "30s", "dependency": {"name": "alert_sink", "fault": "down"}},
        {"event": "stopped", "at": "140s", "for": "5s", "restart": {"how": "stop"}},
        {"event": "killed", "at": "170s", "for": "5s", "restart": {"how": "kill"}},
        {"event": "full", "at": "200s", "for": "20s", "dependency": {"name": "decision_log", "fault": "full"}},
        {"event": "half", "at": "225s", "for": "20s", "network": {"fault": "half_open", "share": 0.5}},
        {"event": "parted", "at": "250s", "for": "20s", "network": {"fault": "partition", "share": 0.5}},
    ],
    "then": [{"id": "up", "error_rate": {"max": "50%"}}],
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ways")
    path = folder / "ways.scenario.yaml"
    path.write_text(json.dumps(SCENARIO))
    cell = load(path)[0]
    spec = RunSpec(cell.scenario, str(path), {}, "main", load_target(KEPT), KEPT, "", folder / "run", steadiness)
    heard = []
    carry_out([spec], workers=1, preload=["reference_service.app"], listen=lambda *told: heard.append(told))
    assert heard[-1][1] == "finished", heard[-1]
    return verify(folder / "run")


def of(run, event):
    return (run.items["touched"] >> np.uint64(run.event(event).index)) & np.uint64(1) == 1


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        ("far", Outcome.OK),
        ("lost", Outcome.TIMEOUT),
        ("cut", Outcome.RESET),
        ("slow", Outcome.OK),
        ("half", Outcome.TIMEOUT),
        ("parted", Outcome.RESET),
    ],
)
def test_each_bad_way_ends_as_it_must_and_leaves_the_others_alone(run, event, outcome):
    touched = of(run, event)
    assert 150 < touched.sum() < 250
    assert set(run.items["outcome"][touched].tolist()) == {int(outcome)}
    record = run.event(event)
    beside = ~touched & (run.items["scheduled_ns"] >= record.start_ns) & (run.items["scheduled_ns"] < record.end_ns)
    assert set(run.items["outcome"][beside].tolist()) == {int(Outcome.OK)}
    assert (record.delivered, record.potent) == (record.planned, record.planned)


def test_latency_and_slow_uploads_take_their_time(run):
    took = run.items["replied_ns"] - run.items["scheduled_ns"]
    assert took[of(run, "far")].min() >= 300 * NS["ms"]
    assert took[of(run, "slow")].min() >= 700 * NS["ms"]
    assert (run.items["seen_ns"] - run.items["sent_ns"])[of(run, "far")].min() >= 300 * NS["ms"]
    assert np.median(took[run.items["touched"] == 0]) < 50 * NS["ms"]


def test_half_open_reaches_the_service_a_partition_does_not_and_is_known_at_once(run):
    """Seen by the service is what the decision log would show: the work was done, for nobody."""
    half, parted = of(run, "half"), of(run, "parted")
    assert (run.items["seen_ns"][half] >= run.items["sent_ns"][half]).all()
    assert set(run.items["seen_ns"][of(run, "lost") | parted].tolist()) == {NEVER}
    assert set((run.items["replied_ns"][half | parted]).tolist()) == {NEVER}


@pytest.mark.parametrize("event", ["stopped", "killed"])
def test_nobody_is_answered_while_the_service_is_gone_and_everybody_afterwards(run, event):
    record = run.event(event)
    assert (record.delivered, record.potent) == (1, 1)
    at = run.items["scheduled_ns"]
    gone = of(run, event)
    np.testing.assert_array_equal(gone, (at >= record.start_ns) & (at < record.start_ns + 5 * SECOND))
    assert set(run.items["outcome"][gone].tolist()) == {int(Outcome.RESET)}
    after = (at >= record.start_ns + 5 * SECOND) & (at < record.start_ns + 20 * SECOND)
    assert set(run.items["outcome"][after].tolist()) == {int(Outcome.OK)}


def test_labels_that_nobody_took_come_later(run):
    # Of items whose label was due while the service was gone.
    due = run.items["label_due_ns"]
    killed = run.event("killed").start_ns
    waiting = (due > killed - 10 * SECOND) & (due < killed + 5 * SECOND) & (run.items["decision"] == "approve")
    assert waiting.sum() > 20
    assert (run.items["label_ns"][waiting] >= killed - 10 * SECOND).all()


def test_the_alert_sink_hears_nothing_while_it_is_down(run):
    record = run.event("deaf")
    assert record.potent == record.delivered > 0
    beats = [note.at_ns for note in run.notes if note.kind == "heartbeat"]
    assert not any(record.start_ns <= at < record.end_ns for at in beats)
    assert any(record.end_ns <= at < record.end_ns + MINUTE for at in beats)


def test_a_full_disk_reaches_the_log_and_not_the_customers(run):
    record = run.event("full")
    assert record.potent == record.delivered > 0
    assert set(run.items["outcome"][of(run, "full")].tolist()) == {int(Outcome.OK)}
