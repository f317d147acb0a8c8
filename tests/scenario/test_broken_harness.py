"""A harness that is broken certifies nothing and refuses nobody: UNKNOWN, and altered evidence is no evidence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import short

from simulator import trial
from simulator.checks.evaluate import CHECKS
from simulator.checks.premises import LATE_P99_NS, PremiseError, on_schedule
from simulator.checks.windows import Window
from simulator.cli import invoke
from simulator.drivers.incidents import Incidents, Scene
from simulator.drivers.live import Sockets
from simulator.drivers.spec import RunSpec
from simulator.drivers.start import Service
from simulator.drivers.voyage import Voyage
from simulator.history import Altered, seal
from simulator.report import text
from simulator.report.json_ import from_json
from simulator.scenario.load import load
from simulator.scenario.quantities import SECOND
from simulator.scenario.verbs import Event, Release
from simulator.targets.load import load as load_target
from simulator.trial.manifest import asked
from simulator.verdict import EXIT_BAD_INPUT, EXIT_CERTIFIED, EXIT_HARNESS_FAULT, EXIT_UNKNOWN, Status

NEW = Event(event="new", at="1s", release=Release(version="v2", by="swap"))
ELSEWHERE, HOME = (
    Event.model_validate({"event": to, "at": "1s", "operator": {"does": "rollback", "version": to}})
    for to in ("v2", "v1")
)
SERVICE = Service("http://127.0.0.1:9", None, None)  # somebody else's
SOUND = "renamed_field"  # the trial whose evidence is tampered with

# (broken part, scenario, what must be unknown, and the premise that its reason names)
BROKEN = [
    ("faults_not_wired", "feature_store_outage", {"covers", "in_time", "paged"}, "receipt"),
    ("driver_says_it_is_late", "feature_store_outage", {"covers", "in_time", "paged", "up"}, "driver"),
    ("driver_is_late", "feature_store_outage", {"covers", "in_time", "paged", "up"}, "driver"),
    ("driver_sends_twice", "renamed_field", {"handled", "paged", "up"}, "driver: it sent"),
    pytest.param(
        "nothing_is_healed",
        "feature_store_outage",
        {"covers", "paged", "ends", "up"},
        "healing",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        "ways_are_never_bad",
        "lossy_network",
        {"all_answered", "same_answers", "up"},
        "receipt: `slow_way` is impotent",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        "what_is_disturbed_is_sent_as_it_was",
        "declared_alias",
        {"repaired", "quiet", "bystanders", "up"},
        "records: what `alias` is to have changed was sent as in the clean twin",
        marks=pytest.mark.slow,
    ),
    ("faults_end_early", "feature_store_outage", {"covers", "in_time", "paged"}, "receipt: `outage` reached 20 of"),
]


def reasons(verdict):
    """Expectation → why it is unknown."""
    return {j.id: j.finding.why for j in verdict.cells[0].judged if j.finding.status is Status.UNKNOWN}


@pytest.mark.parametrize(("part", "scenario", "unknown", "premise"), BROKEN)
def test_a_broken_part_makes_it_unknown(grounds, part, scenario, unknown, premise):
    assert grounds.trial(scenario).exit_code == EXIT_CERTIFIED
    verdict = grounds.trial(scenario, f"broken_harness:{part}")
    assert verdict.exit_code == EXIT_UNKNOWN, text.render(verdict)
    found = reasons(verdict)
    assert unknown <= found.keys()
    assert all(found[name].startswith(premise) for name in unknown), found


def test_a_receiver_that_keeps_a_time_of_its_own_is_a_fault_of_the_harness(grounds):
    verdict = grounds.trial("renamed_field", "broken_harness:receiver_has_its_own_time")
    assert verdict.exit_code == EXIT_HARNESS_FAULT
    assert "by another clock than the driver's" in verdict.cells[0].harness_fault


@pytest.mark.parametrize(
    "part", [pytest.param("receiver_dead", marks=pytest.mark.slow), "receiver_hears_heartbeats_alone"]
)
def test_a_receiver_that_loses_alerts_is_a_fault_of_the_harness(grounds, part):
    """Else silence would be certified, and who told everything refused."""
    verdict = grounds.trial("renamed_field", f"broken_harness:{part}")
    assert verdict.exit_code == EXIT_HARNESS_FAULT, text.render(verdict)
    assert re.search(r"the alert receiver kept \d+ of \d+ that came", verdict.cells[0].harness_fault)
    assert "paged" in reasons(verdict)


@pytest.mark.parametrize(
    ("part", "kept"),
    [
        ("a_reply_in_a_thousand_is_not_written", "replies"),
        pytest.param("half_of_the_labels_are_not_written", "labels", marks=pytest.mark.slow),
    ],
)
def test_a_history_that_forgets_what_it_was_given_is_a_fault_of_the_harness(grounds, part, kept):
    verdict = grounds.trial("renamed_field", f"broken_harness:{part}")
    assert verdict.exit_code == EXIT_HARNESS_FAULT
    assert re.search(rf"the history keeps \d+ of \d+ {kept}", verdict.cells[0].harness_fault)


def test_a_twin_of_another_seed_than_it_says_decides_nothing(grounds):
    verdict = grounds.trial("renamed_field", "broken_twin:another_seed")
    assert verdict.exit_code == EXIT_HARNESS_FAULT, text.render(verdict)
    assert "customers of the twin run are not those" in verdict.cells[0].harness_fault
    assert reasons(verdict).keys() == {judged.id for judged in verdict.cells[0].judged}


def test_runs_that_are_all_of_another_seed_decide_nothing(grounds):
    """Where nothing happens, all runs are clean: of one wrong seed alike, each agrees with the others."""
    document = {
        "seatrial": 1,
        "title": "A day on which nothing happens",
        "seed": 1,
        "given": {"population": "payments", "traffic": {"rate": "20/s", "for": "2m"}, "warmup": "30s"},
        "then": [
            {"id": "up", "error_rate": {"max": "1%"}},
            {"id": "same", "harmed": {"max": "1%"}, "of": "untouched"},
        ],
    }
    path = grounds.folder / "uneventful.scenario.yaml"
    path.write_text(json.dumps(document))
    for part, exit_code in ((grounds.honest, EXIT_CERTIFIED), ("broken_twin:another_seed", EXIT_HARNESS_FAULT)):
        out = grounds.folder / "uneventful" / part.partition(":")[2]
        verdict = trial.certify(load(path), out=out, target=short.target(part, grounds.folder))
        assert verdict.exit_code == exit_code, text.render(verdict)
    assert "customers of the main run are not those" in verdict.cells[0].harness_fault
    assert reasons(verdict).keys() == {"up", "same"}


@pytest.mark.slow  # the premise itself is in the default run (test_checks_premises)
@pytest.mark.parametrize("part", ["receipts_are_plans", "faults_are_never_put_on"])
def test_receipts_that_only_promise_blame_nobody_and_certify_nothing(grounds, part):
    """Nobody counted what the outage did: the honest service, which shows nothing of it, must not be refused."""
    verdict = grounds.trial("feature_store_outage", f"broken_harness:{part}")
    assert verdict.exit_code == EXIT_UNKNOWN, text.render(verdict)
    promised = {name for name, why in reasons(verdict).items() if why.startswith("receipt: `outage` is a promise")}
    assert {"covers", "in_time", "paged"} <= promised, text.render(verdict)


def test_a_judge_that_leaves_out_the_end_of_a_window_is_not_believed(grounds, monkeypatch):
    contains = Window.contains
    monkeypatch.setattr(Window, "contains", lambda self, at: contains(self, at) & (at < self.end - 60 * SECOND))
    grounds.trial(SOUND)
    given, now = trial.recheck(grounds.out(SOUND))
    assert (given.exit_code, now.exit_code) == (EXIT_CERTIFIED, EXIT_UNKNOWN), text.render(now)


def test_evidence_of_another_target_is_refused_also_where_the_verdict_goes_with_it(grounds, tmp_path, capsys):
    """A refused service gets the evidence, and the verdict, of one that was certified."""
    saboteur = "saboteurs:rename_becomes_null"
    grounds.trial(SOUND), grounds.trial(SOUND, saboteur)
    out = tmp_path / "out"
    shutil.copytree(grounds.out(SOUND, saboteur), out)
    shutil.copytree(grounds.out(SOUND) / SOUND / "main", out / SOUND / "main", dirs_exist_ok=True)
    assert invoke(["recheck", str(out)]) == EXIT_BAD_INPUT  # another digest than was judged
    ours, theirs = (json.loads((each / trial.VERDICT).read_bytes()) for each in (out, grounds.out(SOUND)))
    folders, others = (
        asked(each, from_json(json.dumps(said).encode()).cells[0])[1].folders
        for each, said in ((out, ours), (grounds.out(SOUND), theirs))
    )
    for role in theirs["cells"][0]["evidence"]:
        shutil.copytree(grounds.out(SOUND) / others[role], out / folders[role], dirs_exist_ok=True)
    theirs["cells"][0]["run_id"] = ours["cells"][0]["run_id"]
    (out / trial.VERDICT).write_text(json.dumps(theirs))
    (out / trial.CERTIFICATE).unlink(missing_ok=True)
    capsys.readouterr()
    assert invoke(["recheck", str(out)]) == EXIT_BAD_INPUT
    assert "not of the target that trial.json names" in capsys.readouterr().err


def test_a_check_that_raises_makes_it_unknown(grounds, monkeypatch):
    def broken(*_):
        message = "the signal broke"
        raise ZeroDivisionError(message)

    grounds.trial(SOUND)
    monkeypatch.setitem(CHECKS, "handled", broken)
    given, now = trial.recheck(grounds.out(SOUND))
    assert (given.exit_code, now.exit_code) == (EXIT_CERTIFIED, EXIT_UNKNOWN)
    assert reasons(now) == {"handled": "the check raised ZeroDivisionError: the signal broke"}


def test_a_fault_that_changes_nothing_makes_it_unknown(grounds):
    # Nine customers of ten have tried nothing in the last hour, and ten times nothing is nothing.
    document = {
        "seatrial": 1,
        "title": "A fault that hardly changes anything",
        "seed": 1,
        "given": {"population": "payments", "traffic": {"rate": "10/s", "for": "3m"}, "warmup": "30s"},
        "when": [{"event": "tenfold", "at": "1m", "for": "1m", "scale": {"field": "attempts_1h", "by": 10}}],
        "then": [
            {"id": "handled", "handled": {"by": ["repair"], "min": "50%"}, "of": "tenfold"},
            {"id": "up", "error_rate": {"max": "1%"}},
        ],
    }
    path = grounds.folder / "impotent.scenario.yaml"
    path.write_text(json.dumps(document))
    target = short.target(grounds.honest, grounds.folder)
    verdict = trial.certify(load(path), out=grounds.folder / "impotent", target=target)
    assert verdict.exit_code == EXIT_UNKNOWN, text.render(verdict)
    assert reasons(verdict)["handled"].startswith("receipt: `tenfold` is impotent")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "why"),
    [(None, ""), ("nobody_stands_still", "receipt: `frozen` is impotent"), ("replies_are_early", "records: ")],
)
def test_a_pause_has_to_be_seen_and_a_reply_to_come_after_its_request(grounds, part, why):
    """Nobody but the replies can tell: a service that was never paused recovers well."""
    document = {
        "seatrial": 1,
        "title": "The service stands still for five seconds",
        "seed": 1,
        "given": {"population": "payments", "traffic": {"rate": "20/s", "for": "3m"}, "warmup": "30s"},
        "when": [{"event": "frozen", "at": "1m", "for": "5s", "pause": {}}],
        "then": [{"id": "up", "error_rate": {"max": "5%"}, "after": "frozen.end", "within": "1m"}],
    }
    path = grounds.folder / "frozen.scenario.yaml"
    path.write_text(json.dumps(document))
    target = short.target(f"broken_harness:{part}" if part else grounds.honest, grounds.folder)
    verdict = trial.certify(load(path), out=grounds.folder / "frozen" / str(part), target=target)
    assert verdict.exit_code == (EXIT_UNKNOWN if part else EXIT_CERTIFIED), text.render(verdict)
    assert all(found.startswith(why) for found in reasons(verdict).values()), reasons(verdict)


def test_a_defect_that_never_reached_the_model_makes_it_unknown(grounds):
    # The release is accepted and serves; only its defect never happened. Not to roll back is then no fault.
    document = {
        "seatrial": 1,
        "title": "A release whose defect never happened",
        "seed": 1,
        "given": {"population": "payments", "traffic": {"rate": "20/s", "for": "5m"}, "warmup": "30s"},
        "when": [
            {
                "event": "bad",
                "at": "60100ms",  # between two ticks: at the next one golden rows are asked, and it is taken back
                "release": {"version": "v2", "share": "50%", "defect": {"fault": "nan", "share": "20%"}},
            }
        ],
        "then": [{"id": "back", "rollback": {"to": "v1"}, "after": "bad", "within": "2m", "hold": "1m"}],
    }
    path = grounds.folder / "undone.scenario.yaml"
    path.write_text(json.dumps(document))
    cells = load(path)
    for part, status in ((grounds.honest, Status.PASS), ("broken_harness:faults_not_wired", Status.UNKNOWN)):
        target = short.target(part, grounds.folder)
        verdict = trial.certify(cells, out=grounds.folder / "undone", target=target)
        (judged,) = verdict.cells[0].judged
        assert judged.finding.status is status, text.render(verdict)
    assert judged.finding.why.startswith("receipt: `bad` is impotent")


# ---------------------------------------------------------------- evidence altered after the run


def altered_reply(folder):
    path = folder / "replies.parquet"
    table = pq.read_table(path)
    status = table.column("status").to_numpy().copy()
    status[0] += 1
    at = table.schema.get_field_index("status")
    pq.write_table(table.set_column(at, table.schema.field(at), [status]), path)


def altered_alert(folder):
    path = folder / "history.json"
    document = json.loads(path.read_bytes())
    document["alerts"][0]["at_ns"] -= SECOND
    path.write_text(json.dumps(document))


def sealed_again(folder):
    altered_alert(folder)
    seal(folder)


def lost(folder):
    (folder / "labels.parquet").unlink()


@pytest.mark.parametrize("alter", [altered_reply, altered_alert, sealed_again, lost])
def test_an_altered_history_is_refused(grounds, tmp_path, alter, capsys):
    grounds.trial(SOUND)
    out = tmp_path / "out"
    shutil.copytree(grounds.out(SOUND), out)
    assert invoke(["recheck", str(out)]) == EXIT_CERTIFIED
    alter(out / SOUND / "main")
    with pytest.raises(Altered):
        trial.recheck(out)
    assert invoke(["recheck", str(out)]) == EXIT_BAD_INPUT
    assert str(out / SOUND / "main") in capsys.readouterr().err


def test_another_scenario_than_the_one_that_ran_is_refused(grounds, tmp_path):
    grounds.trial(SOUND)
    out = tmp_path / "out"
    shutil.copytree(grounds.out(SOUND), out)
    path = out / SOUND / "scenario.yaml"
    assert '"99%"' in path.read_text()
    path.write_text(path.read_text().replace('"99%"', '"9%"'))
    with pytest.raises(Altered, match="not the scenario that was run"):
        trial.recheck(out)


def test_an_altered_verdict_does_not_survive_recheck(grounds, tmp_path):
    grounds.trial(SOUND, "saboteurs:rename_becomes_null")
    out = tmp_path / "out"
    shutil.copytree(grounds.out(SOUND, "saboteurs:rename_becomes_null"), out)
    path = out / trial.VERDICT
    path.write_text(path.read_text().replace('"fail"', '"pass"'))
    assert invoke(["recheck", str(out)]) == EXIT_HARNESS_FAULT


# ---------------------------------------------------------------- the live driver measures its own lag


@pytest.fixture
def live(grounds, monkeypatch):
    """A live driver on a clock that is set by hand, which sends nothing."""
    target_path = short.target(grounds.honest, grounds.folder)
    (cell,) = grounds.cells(SOUND)
    target = load_target(target_path)
    start = target.start.model_copy(update={"command": None})
    target = target.model_copy(update={"start": start, "bundles": None})  # somebody else started it
    spec = RunSpec(
        cell.scenario, str(cell.path), {}, "main", target, target_path, "", grounds.folder / "live",
        lambda *_: (True, ""), driver="live",
    )  # fmt: skip

    async def silent(*_):
        pass

    driver = Voyage(spec, lambda _: None, "live")
    driver.clock = 0
    driver.dependencies = SimpleNamespace(whole=silent)
    monkeypatch.setattr(Voyage, "now", lambda self: self.clock)
    monkeypatch.setattr(Sockets, "_post", lambda *_: None)
    monkeypatch.setattr(Voyage, "_observe", silent)
    return driver


def befalling(live, call):
    """What befalls that driver's service, at once, with such a control plane."""

    async def at_once(_):
        pass

    return Incidents(
        Scene(live.spec, live.end, live.recorder, live.now, at_once, call, lambda: True, live.dependencies, SERVICE),
        live.receipts,
    )


async def unasked(*_):
    raise AssertionError("nobody is to be asked")


@pytest.mark.parametrize(
    ("befell", "action", "statuses", "healed"),
    [
        ((), None, (), True),
        ((NEW,), None, (), False),
        ((NEW,), "POST /back", (202,), True),
        ((NEW,), "POST /back", (409, 202), True),  # settled: it would serve from now on
        ((NEW,), "POST /back", (409, 409), True),  # rolled back by itself, and not to be asked for a version
        ((NEW,), "POST /back", (409, 503), False),
        ((NEW,), "POST /back", (409, 0), False),
        ((NEW,), "POST /back", (500,), False),
        ((NEW,), "POST /back", (0,), False),  # no answer
        ((ELSEWHERE,), "POST /back", (202, 202), True),
        ((ELSEWHERE,), "POST /back", (202, 409), False),
        ((ELSEWHERE,), "POST /back", (404,), True),  # it never went there
        ((HOME,), "POST /back", (202,), True),
        ((NEW, ELSEWHERE), "POST /back", (202, 202, 202), True),
    ],
)
def test_a_live_run_puts_back_who_served_before(live, befell, action, statuses, healed):
    called, left = [], list(statuses)

    async def call(method, path, body):
        if method == "POST" and path == "/back":
            called.append(body)
            return left.pop(0), b""
        return 202, b""

    admin = live.spec.target.admin.model_copy(update={"rollback": action})
    live.spec = replace(live.spec, target=live.spec.target.model_copy(update={"admin": admin}))

    async def whole():
        incidents = befalling(live, call)
        for event in befell:
            await incidents.begin(0, event)
        await incidents.heal()

    asyncio.run(whole())
    (note,) = (n for n in live.recorder.notes if n.kind == "heal")
    assert note.data["healed"] is healed, note
    assert not left
    assert len(statuses) < 2 or called[-1] == b'{"to":"v1"}'


@pytest.mark.parametrize("heard", ["never", "too late"])
def test_what_was_released_unheard_is_taken_back_as_well(live, heard):
    called = []

    async def call(_method, path, _body):
        called.append(path)
        if path != "/back" and heard == "too late":
            raise asyncio.CancelledError  # the run is interrupted while the service does it
        return 202 if path == "/back" else 0, b""

    admin = live.spec.target.admin.model_copy(update={"rollback": "POST /back"})
    live.spec = replace(live.spec, target=live.spec.target.model_copy(update={"admin": admin}))

    async def whole():
        incidents = befalling(live, call)
        with contextlib.suppress(asyncio.CancelledError):
            await incidents.begin(0, NEW)
        await incidents.heal()

    asyncio.run(whole())
    assert called[-1] == "/back"


def test_a_dependency_that_cannot_be_healed_fails_the_run(live):
    async def broken():
        return "still broken: feature_store"

    live.dependencies = SimpleNamespace(whole=broken)
    asyncio.run(befalling(live, unasked).heal())
    (note,) = (n for n in live.recorder.notes if n.kind == "heal")
    assert note.data == {"healed": False, "why": "still broken: feature_store"}


@pytest.mark.parametrize(("bundle", "asked"), [("sound", True), ("damaged", False)])
def test_a_live_target_is_not_blamed_for_a_bundle_that_nobody_damaged(live, bundle, asked):
    called = []

    async def call(*_):
        called.append(_)
        return 202, b""

    event = Event(event="new", at="1s", release=Release(version="v2", by="swap", bundle=bundle))
    asyncio.run(befalling(live, call).begin(0, event))
    receipt = live.receipts["new"]
    assert (receipt.supported, bool(called)) == (asked, asked)


@pytest.mark.parametrize(("status", "left"), [(202, 1), (409, 0)])
def test_what_a_new_version_answers_before_we_hear_of_it_is_touched(live, status, left):
    seen = []

    async def call(*_):
        seen.append(live.recorder._released["v2"])
        return status, b""

    asyncio.run(befalling(live, call).begin(0, NEW))
    assert (seen, live.recorder._released["v2"]) == ([1], left)


@pytest.mark.parametrize("held_up_ns", [0, 2 * SECOND])
def test_a_live_driver_that_was_held_up_knows(live, monkeypatch, held_up_ns):
    half = live.end // 2

    async def until(self, when_ns):
        self.clock = max(self.clock, when_ns)
        if when_ns >= half and not self.held_up:
            self.held_up = True
            self.clock += held_up_ns

    live.held_up = False
    monkeypatch.setattr(Voyage, "until", until)
    asyncio.run(Sockets().send(live))
    history = live._close()
    assert np.all(history.items["sent_ns"] < 0)
    if held_up_ns:
        with pytest.raises(PremiseError, match="driver: behind its schedule"):
            on_schedule(history, LATE_P99_NS)
    else:
        on_schedule(history, LATE_P99_NS)
