from __future__ import annotations

import pytest
from scenario_example import EXAMPLE

from simulator.scenario.explain import explain, happening, sentence, world
from simulator.scenario.load import load
from simulator.scenario.model import FAMILIES, Expectation
from simulator.scenario.verbs import VERBS, Event

GOLDEN = """\
Cents become euros; amount is distrusted before labels return
unit_change[factor=0.01]

Upstream switched `amount` from cents to euros. Scores stayed plausible, labels came weeks later,
nobody was paged.

Given
  payments: 10 requests per second for 1h30m, served by v1. Half of the labels arrive within 45m,
  95% within 3h; 2% never do. The first 20m are warm-up. Nothing is done to the service unless, in
  the second half of the warm-up, at most 0.1% of requests fail.

When
  unit_change  from 30m, for 30m: amount is multiplied by 0.01

Then
  paged       within 8m of the start of unit_change, an alert on amount fires
  early       when paged is met, at most 1% of the labels of unit_change have arrived
  contained   among requests that unit_change touches, from 10m on, at least 99% are rejected, given
              a declared default, answered by the fallback or repaired
  cleared     within 20m of the end of unit_change, the alert of paged is resolved, and stays so for
              5m
  quiet       outside unit_change and the 20m after it, no alert fires
  bystanders  outside unit_change and the 20m after it, among requests that no event touches, at
              most 0.1% are harmed
  up          at most 0.5% of requests fail

             0             15m           30m           45m           1h            1h15m          1h30m
warm-up     |~~~~~~~~~~~~~~~~~~~                                                                  |
unit_change |                            #############################                            |
paged       |                            ========                                                 |
early       |                            ========                                                 |
contained   |                                     ====================                            |
cleared     |                                                        ====================         |
quiet       |=============================                                              ==========|
bystanders  |=============================                                              ==========|
up          |=====================================================================================|
"""

EVENTS = {
    "nulls: {field: amount}": "amount goes missing, sent as null",
    "nulls: {field: amount, outcome: positive}": "amount goes missing, sent as null, of positives",
    "nulls: {field: amount, spelling: missing, share: 5%}": "amount goes missing, in 5% of rows",
    "rename: {field: amount, to: betrag}": "amount arrives as betrag",
    "drop: {field: amount}": "amount is no longer sent",
    "add: {field: extra, value: true}": "a new field extra is sent, true",
    "nulls: {field: amount, where: {amount: {above: 200, below: 300}}}": (
        "amount goes missing, sent as null, where amount is above 200 and below 300"
    ),
    "nest: {field: amount, under: payment}": "amount moves into the object payment",
    "garble: {how: truncated, share: 1%}": "bodies are cut off, in 1% of rows",
    "garble: {how: oversized, size: 1048576}": "bodies are 1,048,576 bytes long",
    "drift: {field: amount, shift: 1, shape: incremental}": "amount moves step by step by +1 standard deviations",
    "drift: {field: amount, shift: 1, shape: recurring, every: 2h}": (
        "amount moves and back, every 2h, by +1 standard deviations"
    ),
    "drift: {field: amount, shift: 1, shape: seasonal, every: 1d}": (
        "amount moves in waves of 1d by +1 standard deviations"
    ),
    "prior: {to: 5%}": "positives become 5% of the rows",
    "label_loss: {outcome: negative}": "labels of negatives never come",
    "label_noise: {share: 5%}": "labels say the opposite, in 5% of rows",
    "label_twice: {outcome: positive}": "labels of positives come a second time, 5m later",
    "load: {to: 2x, distinct: 3}": "traffic rises to 2 times the base rate, by a bot with 3 different rows",
    "retype: {field: amount, to: string}": "amount arrives as a string",
    "scale: {field: amount, by: 100, where: {method: card, night: true}}": (
        "amount is multiplied by 100, where method is 'card' and night is true"
    ),
    "respell: {field: method, category: card, to: CARD}": "method 'card' is spelled 'CARD'",
    "outlier: {field: amount, value: 1.0e9}": "amount is 1e+09, once",
    "reorder: {}": "the columns arrive in another order",
    "drift: {field: amount, shift: 2}": "amount moves by +2 standard deviations",
    "drift: {field: method, category: crypto, shape: gradual, over: 5m}": "method moves gradually over 5m to crypto",
    "concept: {flip: 30%}": "30% of the truths turn into their opposite",
    "label_delay: {by: 2h}": "labels come 2h later",
    "label_loss: {share: 50%}": "labels never come, in 50% of rows",
    "late: {by: 3m}": "requests are delivered 3m late",
    "duplicate: {}": "requests are delivered again after 2s",
    "duplicate: {key: true}": "requests are delivered again after 2s, under the same idempotency key",
    "duplicate: {key: true, payload: other}": (
        "requests are delivered again after 2s, under the same idempotency key with another payload"
    ),
    "release: {version: v2, bundle: damaged}": "v2 is released as a canary of 10%, its bundle damaged",
    "load: {to: 3x}": "traffic rises to 3 times the base rate",
    "load: {to: 1.5x capacity}": "traffic rises to 1.5 times what the target sustains",
    "load: {to: 500/s}": "traffic rises to 500 per second",
    "load: {to: 500/s, over: 10m}": "traffic rises to 500 per second, over 10m",
    "network: {fault: half_open}": "requests arrive, and their answers never do",
    "network: {fault: partition}": "requests find no way to the service",
    "dependency: {name: store, fault: slow, by: 300ms, share: 20%}": "store is slow by 300ms, in 20% of calls",
    "model: {fault: nan}": "the model answers NaN",
    "model: {fault: 'off'}": "the model is off by a thousandth",
    "network: {fault: latency, by: 300ms}": "requests arrive 300ms later",
    "network: {fault: reset, share: 10%}": "requests are cut off before the answer, in 10% of rows",
    "clock_step: {by: 1h, way: back}": "the service's clock is set 1h back",
    "retrain: {version: v9}": "the service is asked to retrain itself at once, as v9",
    "retrain: {version: v9, on: evidence}": (
        "the service is asked to retrain itself as soon as it has evidence for it, as v9"
    ),
    "restart: {how: kill}": "the service is killed, and starts again",
    "pause: {}": "the service stands still",
    "cpu: {cores: 0.2}": "the service gets 0.2 cores and no more",
    "memory: {headroom: 64MiB}": "each process of the service may take 67.1089MB more, and no more",
    "release: {version: v2, share: 5%}": "v2 is released as a canary of 5%",
    "release: {version: v2, by: swap, defect: {fault: slow, by: 1s}}": (
        "v2 is released to everyone at once, in which the model is slow by 1s"
    ),
    "release: {version: v2, by: ab, share: 50%}": "v2 is released to 50% in an A/B test",
    "release: {version: v2, by: shadow}": "v2 is released into the shadow",
    "operator: {does: promote}": "an operator promotes what is on trial",
    "operator: {does: rollback}": "an operator takes back what is on trial",
    "operator: {does: rollback, version: v1}": "an operator goes back to v1",
    "operator: {does: freeze, version: v2}": "an operator freezes v2",
}

EXPECTATIONS = {
    "{id: x, alert: {name: drift, severity: page}, after: e, within: 5m, once: true}": (
        "within 5m of the start of e, a page named drift fires, once"
    ),
    "{id: x, alert: {name: drift}, after: e, within: 5m, stands: true}": (
        "within 5m of the start of e, an alert named drift fires, until e has ended"
    ),
    "{id: x, resolved: x, after: e.end, within: 5m, hold: 1m}": (
        "within 5m of the end of e, the alert of x is resolved, and stays so for 1m"
    ),
    "{id: x, no_alert: {field: amount}, during: e, settle: 1m}": ("during e, from 1m on, not an alert on amount fires"),
    "{id: x, handled: {by: [reject], min: 99%}, of: e}": "among requests that e touches, at least 99% are rejected",
    "{id: x, harmed: {max: 1%}, of: untouched}": "among requests that no event touches, at most 1% are harmed",
    "{id: x, error_rate: {max: 1%}, after: e}": "after the start of e, at most 1% of requests fail",
    "{id: x, latency: {p95: 250ms}, during: e}": "during e, 95% of answers take at most 250ms",
    "{id: x, labels_seen: {max: 1%}, of: e, at: p}": "when p is met, at most 1% of the labels of e have arrived",
    "{id: x, fallback: {min: 99%}, during: e, settle: 10s}": (
        "during e, from 10s on, at least 99% of answers come from the fallback"
    ),
    "{id: x, shed: {max: 1%}}": "at most 1% of requests are shed",
    "{id: x, answered: {min: 99%}, outside: e}": "outside e, at least 99% of requests are answered",
    "{id: x, recovers: {to: model}, after: e.end, within: 1m}": (
        "within 1m of the end of e, every answer is the model's again, for at least 5m"
    ),
    "{id: x, recovers: {to: healthy}, after: e.end, within: 1m}": (
        "within 1m of the end of e, nothing fails or is shed any more, for at least 5m"
    ),
    "{id: x, rollback: {to: v1}, after: e, within: 1m}": (
        "within 1m of the start of e, v1 serves every reply again, for at least 5m"
    ),
    "{id: x, review: {max: 8%}}": "at most 8% of answers go to people",
    "{id: x, review: {min: 2%}}": "at least 2% of answers go to people",
    "{id: x, fairness: {max: 5%}}": "in no segment are more than 5% of rows worse off than the model's answer",
    "{id: x, exposure: {version: v2, max: 12%}}": "v2 serves at most 12% of answers",
    "{id: x, exposure: {version: v2, min: 8%}, during: e}": "during e, v2 serves at least 8% of answers",
    "{id: x, promoted: {to: v2}, after: e, within: 1h}": (
        "within 1h of the start of e, v2 is promoted, and gives at least 90% of answers in the 5m after"
    ),
    "{id: x, shadow: {version: v2}, during: e}": (
        "during e, v2 answers nobody, and replies come as soon and as they would without it, in at least 100 pairs"
    ),
    "{id: x, lossless: {}, after: e, within: 30s}": (
        "within 30s of the start of e, whatever is in flight or sent is answered, by one known version"
    ),
    "{id: x, parity: {min_pairs: 200}}": "scores equal those of the clean twin, in at least 200 pairs",
    "{id: x, parity: {serving: v2, target: offline}}": (
        "scores equal those of a run that v2 serves from the start at offline, in at least 100 pairs"
    ),
    "{id: x, parity: {serving: v2}}": (
        "scores equal those of a run that v2 serves from the start, in at least 100 pairs"
    ),
    "{id: x, clean_reject: {min: 99%}, of: e}": (
        "among requests that e touches, at least 99% of refusals and errors show neither values nor internals, "
        "and refusals say why"
    ),
    "{id: x, group_errors: {of: false_positive, gap: 5%}, during: e}": (
        "during e, about no group are there over 5% more false positives than about the others"
    ),
    "{id: x, better: {version: v1, than: rules, by: 0.002}, during: e}": (
        "during e, scores of v1 are nearer to the truth than those of rules, by 0.002 or more"
    ),
    "{id: x, cost: {cpu: 6s}, during: e}": "during e, a thousand predictions take at most 6s of CPU time",
    "{id: x, retrain: {version: v9, goes: nowhere}, after: e, within: 1h}": (
        "within 1h of the start of e, the retrained v9 is refused, and answers nobody"
    ),
    "{id: x, retrain: {version: v9, goes: live}, after: e, within: 1h}": (
        "within 1h of the start of e, the retrained v9 goes live: 1m or more in the shadow, 1m or more as a canary of "
        "at most 20%, then promoted"
    ),
    "{id: x, logged: {min_pairs: 50}, during: e}": (
        "during e, each answer has its record in the decision log, once, unaltered and in order, in at least 50 pairs"
    ),
    "{id: x, idempotent: {min_pairs: 50}, of: e}": (
        "among requests that e touches, a key is answered once and for all, in at least 50 pairs"
    ),
    "{id: x, metered: {series: 300}}": (
        "when all is over, the metrics count what was answered and name the version that answers, in at most 300 series"
    ),
    "{id: x, shown: {max: 9%}, of: untouched}": (
        "among requests that no event touches, at most 9% of answers are shown to people"
    ),
    "{id: x, reviewed: {min_pairs: 30}}": (
        "whatever is answered `review` is shown to people, and what they say of a case stands in the end, in at least "
        "30 cases"
    ),
    "{id: x, readiness: {to: unready}, after: e, within: 10s}": (
        "within 10s of the start of e, the service says that it is unready"
    ),
    "{id: x, amplification: {to: store, times: 1.2}, during: e}": (
        "during e, calls of store are at most 1.2 times those of the clean twin"
    ),
    "{id: x, refuses: {version: v2}, after: e, within: 1m}": (
        "within 1m of the start of e, the release of v2 is refused, and it answers nobody"
    ),
    "{id: x, quality: {of: positive_rate, within: 0.01}}": (
        "the service's own positive rate is within 0.01 of the truth"
    ),
}


def parsed(text):
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(text)


def test_the_example_in_english(example):
    first, _ = example.cells()
    assert explain(first) == GOLDEN


@pytest.mark.parametrize("text", EVENTS)
def test_every_verb_is_told(text):
    event = Event.model_validate({"event": "e", "at": "10m", "for": "5m", **parsed(text)})
    assert happening(event) == f"from 10m, for 5m: {EVENTS[text]}"


@pytest.mark.parametrize("text", EXPECTATIONS)
def test_every_family_is_told(text):
    assert sentence(Expectation.model_validate(parsed(text))) == EXPECTATIONS[text]


def test_no_verb_and_no_family_is_forgotten():
    assert {next(iter(parsed(text))) for text in EVENTS} == set(VERBS)
    assert {list(parsed(text))[1] for text in EXPECTATIONS} == set(FAMILIES)


def test_an_event_without_an_end():
    event = Event.model_validate({"event": "e", "at": "10m", "reorder": {}})
    assert happening(event).startswith("from 10m, to the end: ")


def test_recorded_traffic(example):
    (cell, _) = example.cells(
        ("rate: 10/s, for: 90m", "replay: {from: 2013-01-01, to: 2013-01-03}"),
        ("labels: {delay: {median: 45m, p95: 3h}, missing: 2%}", "labels: {}"),
    )
    assert world(cell.scenario).startswith(
        "payments as recorded from 2013-01-01 until 2013-01-03, served by v1. Labels arrive in their own time. "
    )
    assert "8h " in explain(cell)


def test_a_scenario_in_which_nothing_happens(example):
    text = EXAMPLE.read_text(encoding="utf-8")
    body = text[: text.index("matrix:")]
    example.path.write_text(body + "then: [{id: quiet, no_alert: any, severity: warn}]\n", encoding="utf-8")
    (cell,) = load(example.path)
    told = explain(cell)
    assert "When\n  nothing\n" in told
    assert "no alert fires (warns only)" in told
