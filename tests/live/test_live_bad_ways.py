"""A bad network over real sockets: each fault shows in what became of the requests, and a proxy that leads nowhere else
shows as well."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import numpy as np
import pytest
from foreign_toxiproxy import toxiproxy_elsewhere
from main_run import carried_out

from simulator.drivers import voyage
from simulator.drivers.bad_ways import lay, unseen
from simulator.drivers.locust.launch import PROCESSES
from simulator.history.schema import Outcome
from simulator.scenario.load import load
from simulator.scenario.verbs import Event
from simulator.trial.prepare import prepare

SCENARIO = Path(__file__).parent / "bad_ways.scenario.yaml"


def main_run(tmp_path, driver="live"):
    (trial,) = prepare(load(SCENARIO), tmp_path, None, None, driver)
    return carried_out(trial.runs["main"])


def of(run, name):
    """bool[n]: the items that this event touched."""
    return (run.items["touched"] >> np.uint64(run.event(name).index)) & np.uint64(1) == 1


@pytest.mark.parametrize("driver", ["live", pytest.param("locust", marks=pytest.mark.slow)])
def test_every_fault_is_potent_and_touches_nobody_else(tmp_path, monkeypatch, driver):
    monkeypatch.setenv(PROCESSES, "2")
    run = main_run(tmp_path, driver)
    took = run.items["replied_ns"] - run.items["sent_ns"]
    assert {event.name: event.potent for event in run.events} == {event.name: event.planned for event in run.events}
    assert min(event.planned for event in run.events) > 30
    assert np.mean(run.items["outcome"] == Outcome.OK) > 0.95  # a second attempt goes straight
    assert np.median(took[of(run, "slow_way")]) >= 0.2e9
    assert np.median(took[of(run, "trickle")]) >= 0.299e9
    ends = of(run, "tunnel") | of(run, "cut") | of(run, "half") | of(run, "parted")
    assert (run.items["attempts"][ends] > 1).all()
    untouched = run.items["touched"] == 0
    assert np.mean(run.items["attempts"][untouched] == 1) > 0.99
    assert np.median(took[untouched]) < 0.1e9


@pytest.mark.slow
def test_a_toxiproxy_in_another_place_does_the_same(tmp_path, monkeypatch):
    scenario = (
        SCENARIO.read_text().split("when:")[0].replace("for: 17s", "for: 9s").replace("target: plain", "target: away")
    )
    events = """
when:
  - {event: half, at: 2s, for: 3s, network: {fault: half_open, share: 40%}}
  - {event: parted, at: 5s, for: 3s, network: {fault: partition, share: 40%}}
then:
  - {id: up, error_rate: {max: 2%}}
"""
    path = tmp_path / "away.scenario.yaml"
    path.write_text(scenario + events)
    with toxiproxy_elsewhere(monkeypatch) as url:
        plain = (SCENARIO.parent / "targets/plain.target.yaml").read_text()
        (tmp_path / "targets").mkdir()
        away = plain.replace("$here/../", f"{SCENARIO.parent}/") + f"toxiproxy: {url}\n"
        (tmp_path / "targets/away.target.yaml").write_text(away)
        (trial,) = prepare(load(path), tmp_path, None, None, "live")
        run = carried_out(trial.runs["main"])
        assert httpx.get(f"{url}/proxies", trust_env=False).json() == {}
    assert {event.name: event.potent for event in run.events} == {event.name: event.planned for event in run.events}
    assert min(event.planned for event in run.events) > 20


@pytest.mark.slow
def test_a_proxy_that_is_not_wired_leaves_no_receipt(tmp_path, monkeypatch):
    """56. What was to go through the proxy goes straight."""

    async def unwired(proxies, events, url, body):
        await lay(proxies, events, url, body)
        host, _, port = url.removeprefix("http://").rpartition(":")
        return {id(event.network): (host, int(port)) for event in events}, {}

    monkeypatch.setattr(voyage, "lay", unwired)
    run = main_run(tmp_path)
    *others, parted = run.events
    assert [(event.delivered, event.potent) for event in others] == [(0, 0)] * 5
    assert all("no byte" in event.detail for event in others)
    assert (parted.name, parted.potent) == ("parted", 0)  # nobody was kept out


@pytest.mark.parametrize("fault", ["latency", "upload"])
def test_a_delay_that_a_proxy_cannot_make_never_happened(fault):
    event = Event.model_validate({"event": "e", "at": "1s", "network": {"fault": fault, "by": "900us"}})
    assert asyncio.run(unseen(None, event)) == "a proxy delays by whole milliseconds"


def test_a_proxy_that_will_not_do_it_says_why():
    """What it refused is the reason that the verdict gives, and not that nobody counted."""

    class Unwilling:
        async def stand_before(self, *_):
            return "127.0.0.1:9"

        async def poison(self, *_):
            return "the proxy refused: no such toxic"

    event = Event.model_validate({"event": "e", "at": "1s", "network": {"fault": "latency", "by": "100ms"}})
    ways, refused = asyncio.run(lay(Unwilling(), [event], "http://127.0.0.1:1", 100))
    assert (list(ways.values()), refused) == ([("127.0.0.1", 9)], {"e": "the proxy refused: no such toxic"})
