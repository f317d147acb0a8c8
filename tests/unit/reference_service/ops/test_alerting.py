"""Who is told, in which format, by which rules; and what scrapers and tracers see of the same service."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest
from alert_schemas import SCHEMAS
from conftest import MINUTE, ROW, SECOND, START, encode, plain, run
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from reference_service.api.tracing import Traced
from reference_service.commands import ops
from reference_service.monitor.alerts import AlertBook, Condition, Notification
from reference_service.monitor.burn import BurnRates
from reference_service.monitor.cost import Cost
from reference_service.monitor.counters import Counters
from reference_service.monitor.formats import FORMATS
from reference_service.monitor.rules import Objective, Rules, RulesError, read
from reference_service.policy import HOUR, Policy

OPS = Path(__file__).parents[4] / "ops"
NULLS = lambda k: {**plain(k), "amount": None}  # noqa: E731 - a row like the others


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("route", sorted(FORMATS))
@pytest.mark.parametrize("firing", [True, False])
@pytest.mark.parametrize("field", ["amount", ""])
@pytest.mark.parametrize("severity", ["page", "ticket", "none"])
@pytest.mark.parametrize("owner", ["", "payments-risk"])
def test_each_payload_is_what_its_receiver_takes(route, firing, field, severity, owner):
    ends = 0 if firing else START + SECOND
    note = Notification("null_rate", field, severity, "0" * 16, firing=firing, summary="", starts_ns=START,
                        ends_ns=ends, owner=owner, runbook="https://runbooks/null" if owner else "")  # fmt: skip
    jsonschema.validate(json.loads(msgspec.json.encode(FORMATS[route](note, "svc", "key"))), SCHEMAS[route])


def test_the_schemas_refuse_what_the_receivers_would():
    note = Notification("x", "", "page", "0" * 16, firing=True, summary="", starts_ns=START, ends_ns=0)
    payload = FORMATS["pagerduty"](note, "svc", "")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(payload, SCHEMAS["pagerduty"])  # no routing key
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([{"labels": {"alertname": "x", "field": ""}}], SCHEMAS["alertmanager_v2"])  # empty label


def test_alertmanager_itself_is_told_again_while_an_alert_stands(harness):
    async def body():
        h = harness(alerts={"alertmanager_v2": "http://sink/v2"})
        await h.traffic(150, NULLS)
        firing = [b[0] for _, b in h.sent if b[0]["labels"]["alertname"] == "null_rate"]
        assert len(firing) >= 2
        assert len({alert["startsAt"] for alert in firing}) == 1
        assert not any("endsAt" in alert for alert in firing)
        await h.traffic(120, plain)
        last = [b[0] for _, b in h.sent if b[0]["labels"]["alertname"] == "null_rate"][-1]
        assert "endsAt" in last

    run(body())


# ---------------------------------------------------------------- rules


def rules_of(folder, text):
    path = folder / "rules.yaml"
    path.write_text(text)
    return read(path)


def test_the_shipped_rules_are_sound():
    found = read(OPS / "alert-rules.yaml")
    assert found.owner == "payments-risk"
    assert {each.of for each in found.objectives} == {"failures", "fallbacks", "rejections"}


def test_json_is_as_good(tmp_path):
    assert rules_of(tmp_path, '{"rules": 1, "owner": "ada"}').owner == "ada"


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("rules: 2\n", "1:1", "only format"),
        ("- 1\n", "1:1", "mapping"),
        ("rules: 1\nowners: x\n", "2:1", "no `owners`"),
        ("rules: 1\nalerts:\n  nul_rate: {}\n", "3:3", "no alert `nul_rate`"),
        ("rules: 1\nalerts:\n  null_rate: {severity: urgent}\n", "3:15", "a severity is one of"),
        ("rules: 1\nalerts:\n  null_rate: {routes: [pager]}\n", "3:15", "routes are a list"),
        ("rules: 1\nalerts:\n  null_rate: {own: x}\n", "3:15", "no `own`"),
        ("rules: 1\nobjectives:\n  - {name: a, of: failures, target: 120%}\n", "3:29", "below 100%"),
        ("rules: 1\nobjectives:\n  - {name: a, of: tears, target: 99%}\n", "3:15", "one of failures"),
        ("rules: 1\nobjectives:\n  - {name: a, of: failures}\n", "3:5", "needs `target`"),
        ("rules: 1\nrules: 1\n", "2:1", "duplicate"),
        ("rules: [1\n", "2:1", "expected"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, text, where, what):
    with pytest.raises(RulesError) as error:
        rules_of(tmp_path, text)
    assert f"rules.yaml:{where}: " in str(error.value)
    assert what in str(error.value)


def test_all_mistakes_are_told_at_once(tmp_path):
    with pytest.raises(RulesError) as error:
        rules_of(tmp_path, "rules: 2\nx: 1\nalerts:\n  y: {}\n")
    assert len(str(error.value).splitlines()) == 3


def test_rules_change_severity_owner_and_routes_and_switch_off(harness, tmp_path):
    async def body():
        path = tmp_path / "rules.yaml"
        path.write_text(
            "rules: 1\nowner: all\nalerts:\n"
            "  null_rate: {severity: ticket, owner: data, routes: [slack], runbook: 'https://r/1'}\n"
            "  schema_change: {severity: 'off'}\n"
        )
        h = harness(rules=str(path))
        await h.traffic(40, lambda k: {**NULLS(k), "more": 1})
        told = {route for route, b in h.sent if "null_rate" in json.dumps(b)}
        assert told == {"slack"}
        (text,) = {b["text"] for route, b in h.sent if route == "slack" and "null_rate" in json.dumps(b)}
        assert text.endswith("@data")
        assert not any("schema_change" in json.dumps(b) for _, b in h.sent)
        page = (await h.call("GET", "/metrics"))[1].decode()
        assert 'alert_firing{alertname="null_rate",field="amount",severity="ticket",owner="data"} 1' in page

    run(body())


# ---------------------------------------------------------------- burn rates


SLO = (Objective("availability", "failures", 0.999),)


def burning(minutes, per_minute=600):
    """Alerts that stand after each minute, for a list of failure shares by minute."""
    counters, rates, found = Counters(), BurnRates(SLO, START), []
    for minute, share in enumerate(minutes):
        bad = round(per_minute * share)
        counters.statuses[500] += bad
        counters.statuses[200] += per_minute - bad
        found.append({c.name for c in rates.tick(START + minute * MINUTE, counters) if c.firing})
    return found


def test_two_percent_of_failures_page_within_the_hour_and_stop_soon_after():
    found = burning([0.0] * 60 + [0.02] * 60 + [0.0] * 60)
    onset = next(k for k, alerts in enumerate(found) if "fast_burn" in alerts)
    assert 60 + 20 <= onset <= 60 + 46  # the longer window has seen little more than the hour, and speaks first
    ends = max(k for k, alerts in enumerate(found) if "fast_burn" in alerts)
    assert ends <= 120 + 30  # the short window of the slower page


def test_a_total_outage_pages_within_a_minute_of_enough_requests():
    found = burning([0.0] * 60 + [1.0] * 5)
    assert "fast_burn" in found[61]


def test_a_trickle_is_a_ticket_and_no_page_and_the_promise_kept_is_silence():
    assert set().union(*burning([0.002] * 60 * 8)) == {"slow_burn"}
    assert set().union(*burning([1 / 1200] * 60 * 8, per_minute=1200)) == set()


def test_three_failures_at_night_are_no_trend():
    assert set().union(*burning([0.0] * 30 + [0.5, 0.5, 0.5] + [0.0] * 30, per_minute=2)) == set()


def test_a_gap_in_time_is_no_traffic_and_three_days_are_all_that_is_remembered():
    counters, rates = Counters(), BurnRates(SLO, START)
    counters.statuses[500] += 600
    assert any(c.firing for c in rates.tick(START, counters))
    assert not any(c.firing for c in rates.tick(START + 100 * HOUR, counters))
    assert rates.rate(SLO[0], 72 * HOUR) == (0.0, 0)


def test_a_budget_survives_a_restart():
    counters, old = Counters(), BurnRates(SLO, START)
    for minute in range(60):
        counters.statuses[500] += 20
        counters.statuses[200] += 580
        old.tick(START + minute * MINUTE, counters)
    new, fresh = BurnRates(SLO, START + HOUR), Counters()
    new.recall(msgspec.json.decode(msgspec.json.encode(old.keep())))
    assert {c.name for c in new.tick(START + HOUR, fresh) if c.firing} == {"fast_burn", "slow_burn"}


# ---------------------------------------------------------------- cost


def test_a_thousand_predictions_cost_their_owner_what_the_cpu_took():
    spent = [0]
    cost = Cost(Policy(owner="ada", cpu_hour_price=0.36, cost_budget=0.0001), meter=lambda: spent[0])
    spent[0] = 500_000_000  # half a second for 2,000: 0.25 s a thousand, 0.000025
    (condition,) = cost.tick(2_000)
    assert not condition.firing
    assert cost.view()["cost_per_1000"] == pytest.approx(0.25 / 3600 * 0.36)
    spent[0] += 2_000_000_000
    (condition,) = cost.tick(3_000)
    assert (condition.firing, condition.field, condition.severity) == (True, "ada", "ticket")
    assert cost.recent == pytest.approx(2.0)


def test_the_owner_asks_what_it_cost(harness):
    async def body():
        h = harness(policy={"owner": "ada"})
        await h.traffic(20, plain)
        view = json.loads((await h.call("GET", "/v1/costs"))[1])
        assert (view["owner"], view["predictions"]) == ("ada", 200)
        assert view["cpu_seconds_per_1000"] > 0

    run(body())


# ---------------------------------------------------------------- metrics


def test_metrics_are_what_prometheus_own_parser_reads_and_named_as_the_field_names_them(harness):
    async def body():
        h = harness()
        await h.traffic(130, NULLS)
        await h.infer({**ROW, 'we"ird\n': 1})
        families = {f.name: f for f in text_string_to_metric_families((await h.call("GET", "/metrics"))[1].decode())}
        assert all(re.fullmatch(r"seatrial_service_[a-z_]+", name) for name in families)
        assert all(f.documentation for f in families.values())
        assert not any(f.type == "counter" and not s.name.endswith(("_total", "_created")) for f in families.values()
                       for s in f.samples)  # fmt: skip
        assert not any(re.search(r"_(ms|ns|kb|percent)(_|$)", name) for name in families)
        latency = families["seatrial_service_request_duration_seconds"]
        buckets = [s.value for s in latency.samples if s.name.endswith("_bucket")]
        assert buckets == sorted(buckets)
        assert buckets[-1] == next(s.value for s in latency.samples if s.name.endswith("_count"))
        labels = {name for f in families.values() for s in f.samples for name in s.labels}
        assert labels <= {"code", "source", "field", "alertname", "severity", "owner", "route", "dependency", "version",
                          "bundle", "le", "outcome", "result"}  # fmt: skip
        standing = families["seatrial_service_alert_firing"].samples
        assert {s.labels["alertname"] for s in standing} == {"null_rate"}

    run(body())


def test_series_do_not_grow_with_what_strangers_send(harness):
    async def body():
        h = harness()
        for k in range(300):
            await h.infer({**ROW, f"key{k}": 1})
        page = (await h.call("GET", "/metrics"))[1].decode()
        assert page.count("unknown_total{") <= h.service.policy.unknown_keys

    run(body())


# ---------------------------------------------------------------- rules and dashboard as code


def test_what_is_shipped_is_what_the_rules_file_gives(tmp_path, capsys):
    assert ops.main([str(OPS / "alert-rules.yaml"), "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    for name in ("prometheus.rules.yaml", "grafana.json"):
        assert (tmp_path / name).read_text() == (OPS / name).read_text(), "make it again: seatrial-service ops"


def test_a_rules_file_that_is_wrong_is_bad_input(tmp_path, capsys):
    (tmp_path / "r.yaml").write_text("rules: 3\n")
    assert ops.main([str(tmp_path / "r.yaml"), "--out", str(tmp_path)]) == 2
    assert "r.yaml:1:1:" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian package prometheus)")
def test_promtool_accepts_the_rules():
    command = [str(shutil.which("promtool")), "check", "rules", str(OPS / "prometheus.rules.yaml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_dashboard_ask_only_for_series_that_there_are(harness):
    async def body():
        h = harness()
        await h.traffic(130, NULLS)
        page = (await h.call("GET", "/metrics"))[1].decode()
        known = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
        known |= {f"{name}_bucket" for name in known}
        for name in ("prometheus.rules.yaml", "grafana.json"):
            asked = set(re.findall(r"seatrial_service_[a-z_0-9]+", (OPS / name).read_text()))
            groups = {f"seatrial_service_{each.name}" for each in read(OPS / "alert-rules.yaml").objectives}
            assert asked - groups - known == set(), name

    run(body())


# ---------------------------------------------------------------- traces


def spans_of(harness_, *requests, headers=()):
    """Spans of these bodies, sent through a traced edge."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = Traced(harness_.edge, harness_.clock, provider)

    async def send_one(body):
        sent = []

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            sent.append(message)

        path = "/v2/models/payments/infer"
        await app({"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": list(headers)},
                  receive, send)  # fmt: skip
        return sent

    async def every():
        return [await send_one(body) for body in requests]

    return every, exporter


def test_a_trace_names_the_cause_of_a_degraded_reply(harness):
    async def body():
        def down(_call):
            def call(*_):
                raise ConnectionError

            return call

        h = harness({"feature_store": down})
        every, exporter = spans_of(h, encode([ROW]), b"{")
        await every()
        degraded, malformed = exporter.get_finished_spans()
        assert degraded.attributes["seatrial.reasons"] == ("dependency:feature_store",)
        assert degraded.attributes["seatrial.sources"] == ("fallback",)
        assert degraded.attributes["seatrial.version"] == "v1"
        assert [event.name for event in degraded.events] == ["degraded"]
        assert malformed.attributes["http.response.status_code"] == 400
        assert malformed.status.is_ok  # a client's mistake is no error of the server
        assert degraded.start_time == START

    run(body())


def test_a_trace_goes_on_from_the_callers(harness):
    async def body():
        trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
        every, exporter = spans_of(
            harness(), encode([ROW]), headers=[(b"traceparent", f"00-{trace}-{parent}-01".encode())]
        )
        (sent,) = await every()
        (span,) = exporter.get_finished_spans()
        assert f"{span.context.trace_id:032x}" == trace
        assert f"{span.parent.span_id:016x}" == parent
        assert span.attributes["seatrial.sources"] == ("model",)
        assert not span.events
        assert sent[0]["status"] == 200

    run(body())


def test_an_error_is_an_error_and_a_reply_is_not_changed(harness):
    async def body():
        h = harness({"model": lambda _: lambda *_: math.nan}, safeguards={"fallback": False})
        every, exporter = spans_of(h, encode([ROW], "same"))
        (sent,) = await every()
        (span,) = exporter.get_finished_spans()
        assert not span.status.is_ok
        assert span.attributes["http.response.status_code"] == 503
        untraced = await h.call("POST", "/v2/models/payments/infer", encode([ROW], "same"))
        assert (sent[0]["status"], sent[1]["body"]) == untraced

    run(body())


def test_off_means_that_nothing_stands_around_the_edge():
    code = "import sys; import reference_service.app; sys.exit(any(m.startswith('opentelemetry') for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0


def test_one_book_tells_an_episode_with_the_rules_of_its_beginning():
    book, rules = AlertBook("s", 0), Rules(owner="ada")
    condition = Condition("null_rate", "amount", "page", firing=True)
    (opened,) = book.update(0, rules.apply([condition]))
    (closed,) = book.update(1, rules.apply([condition._replace(firing=False)]))
    assert opened.owner == closed.owner == "ada"
