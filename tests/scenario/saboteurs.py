"""Saboteurs: the reference service with exactly one subtle defect each, as factories that a target file can name.

A defect is put into the process of its run alone, by replacing one function of the service. Everything else is the
service as it is shipped.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from dataclasses import replace

import msgspec
import numpy as np

from reference_service import assembly, retraining, thorough, validation, values
from reference_service import bundle as bundles
from reference_service.api import keyed
from reference_service.api.oip import Replies
from reference_service.api.ordinary import Ordinary
from reference_service.app import create_app
from reference_service.audit.decision_log import DecisionLog
from reference_service.clock import SECOND
from reference_service.core.cells import N_VALUE_CELLS, NULL_CELL
from reference_service.guards.breaker import Breaker
from reference_service.guards.dependency import Dependency, Unavailable
from reference_service.guards.idempotency import Answer, Idempotency
from reference_service.guards.limiter import Limiter
from reference_service.monitor import inputs
from reference_service.monitor.alerts import AlertBook, fingerprint
from reference_service.monitor.cohorts import Cohorts
from reference_service.monitor.drift import DriftDetector
from reference_service.monitor.group_errors import GroupErrors
from reference_service.monitor.labels import Ledger
from reference_service.monitor.received import Received
from reference_service.monitor.review import ReviewShare
from reference_service.pipeline import Pipeline
from reference_service.policy import MINUTE
from reference_service.release import golden
from reference_service.release.judge import CanaryJudge
from reference_service.release.rollback import Releases
from reference_service.release.routing import Split
from reference_service.service import Service
from reference_service.training import gate
from reference_service.validation import Problem, Validator

UNPROCESSABLE = 422
BRAZIL = 7  # ordinal of "BR" among the countries of the contract
_NUMERIC = frozenset({values.NUMBER, values.INTEGER})


def saboteur(sabotage):
    """The service's factory, with `sabotage` done before it makes the app."""

    def create(settings, *, clock, seams):
        sabotage()
        make = retraining.create_app if "retraining" in settings else create_app
        return make(settings, clock=clock, seams=seams)

    create.__doc__ = sabotage.__doc__
    create.sabotage = sabotage
    return create


# ---------------------------------------------------------------- validation


@saboteur
def rename_becomes_null():
    """1. A field that is not there is null to the model, and the reply says that the model answered."""
    police = Validator._police

    def trusting(row, slot, problem, field):
        if problem != "missing":
            police(row, slot, problem, field)

    Validator._police = staticmethod(trusting)


@saboteur
def claims_the_model():
    """2. A default is filled in as ever, and the reply says that the model answered."""
    police = Validator._police

    def boastful(row, slot, problem, field):
        police(row, slot, problem, field)
        row.source = "model"

    Validator._police = staticmethod(boastful)


@saboteur
def one_bad_row_rejects_the_batch():
    """3. A request is refused if any of its rows is."""
    judged = thorough.judged

    def strict(counters, unknown_keys, columns, rows):
        judged(counters, unknown_keys, columns, rows)
        if any(row.problems for row in rows):
            for row in rows:
                row.problems = row.problems or [Problem(row.index, "", "batch")]

    thorough.judged = strict


@saboteur
def not_available_is_zero():
    """4. A number that is spelled "" or "N/A" is read as 0."""
    read = validation.read

    def lenient(slot, value):
        return (0.0, "") if slot.kind in _NUMERIC and value in ("", "N/A") else read(slot, value)

    validation.read = lenient


@saboteur
def columns_by_position():
    """8. Columns of one type are told apart by their order, as the first request had it."""
    clean, match = Validator.clean, Validator.match
    learned = {}

    def ordered(tensors):
        names = {}
        for tensor in tensors:
            names.setdefault(type(tensor.data[0]), []).append(tensor.name)
        for kind, found in names.items():
            if sorted(learned.setdefault(kind, found)) != sorted(found):
                return tensors  # nulls are of no type: such a request is read by name
        turns = {kind: iter(learned[kind]) for kind in names}
        return [type(tensor)(next(turns[type(tensor.data[0])]), tensor.data) for tensor in tensors]

    Validator.clean = lambda self, tensors: clean(self, ordered(tensors))
    Validator.match = lambda self, tensors: match(self, ordered(tensors))


@saboteur
def refused_rows_last():
    """50. In the reply to a batch the refused rows come last, and their neighbours move up."""
    many = Replies.many
    Replies.many = lambda self, name, rows: many(self, name, sorted(rows, key=lambda row: row.source == "rejected"))


@saboteur
def first_row_only():
    """6. Of a batch only the first row is validated; nulls in the others go to the model as they come."""
    police = Validator._police

    def hasty(row, slot, problem, field):
        if not row.index:
            police(row, slot, problem, field)

    Validator._police = staticmethod(hasty)


@saboteur
def refusals_are_errors():
    """11. What is refused comes back as a 500."""
    refuse = thorough.refusal
    thorough.refusal = lambda status, *why: refuse(500 if status == UNPROCESSABLE else status, *why)


@saboteur
def refusals_are_fine():
    """11. What is refused comes back as a 200 with an error in its body."""
    refuse = thorough.refusal
    thorough.refusal = lambda status, *why: refuse(200 if status == UNPROCESSABLE else status, *why)


# ---------------------------------------------------------------- load


@saboteur
def deadline_without_queue():
    """16. Time in the queue counts for nothing: every request has its whole deadline when its turn comes."""
    quick = Pipeline.quick
    Pipeline.quick = lambda self, body, _arrived_ns, now_ns: quick(self, body, now_ns, now_ns)
    Limiter.admit = _let_everybody_in


@saboteur
def works_for_nobody():
    """20. Everybody is let in, and whoever has gone is worked for all the same, however late."""
    thorough = Pipeline.thorough
    Pipeline.thorough = lambda self, arrival, now_ns, **held: thorough(
        self, arrival._replace(arrived_ns=now_ns), now_ns, **held
    )
    Limiter.admit = _let_everybody_in


def _let_everybody_in(self, *_):
    self.in_flight += 1
    self._arrived += 1
    return self._arrived


@saboteur
def always_another_customers_score():
    """Of no list: one answer in fifty is the score of whoever came before, on good days as on bad ones."""
    quick, before = Pipeline._quick, []

    def mixed(self, request_id, values, *arrival):
        mine, asked = list(values), len(before)
        before.append(mine)
        return quick(self, request_id, before[asked - 1] if asked % 50 == 49 else values, *arrival)

    Pipeline._quick = mixed


@saboteur
def slow_to_help():
    """Of no list: whoever sends a row that needs help waits a second for it."""
    thorough = Pipeline.thorough

    async def leisurely(self, *request, **held):
        reply = await thorough(self, *request, **held)
        await self.clock.sleep(SECOND)
        return reply

    Pipeline.thorough = leisurely


# ---------------------------------------------------------------- releases


@saboteur
def canary_of_thirty_percent():
    """38. The canary gets three times the share that was asked for."""
    begin = Split.__init__
    Split.__init__ = lambda self, release, share: begin(self, release, 3 * share)


@saboteur
def one_breaker_for_all_versions():
    """15. The canary's failures count in the breaker of the champion's model."""
    make, shared = assembly.new_breaker, []

    def breaker(name, policy):
        if not name.startswith("model:"):
            return make(name, policy)
        if not shared:
            shared.append(make("model", policy))
        return shared[0]

    assembly.new_breaker = breaker


@saboteur
def back_to_the_previous_version():
    """34. A rollback leads to whatever served before."""
    take_back = Releases._take_back

    def previous(self, trial, reason, now_ns):
        self.certified = trial.previous
        take_back(self, trial, reason, now_ns)

    Releases._take_back = previous


@saboteur
def promoted_again_after_the_rollback():
    """35. What was taken back is on trial again five minutes later."""
    tick, take_back, taken = Releases.tick, Releases._take_back, []

    def remember(self, trial, reason, now_ns):
        take_back(self, trial, reason, now_ns)
        taken.append((trial.loaded, now_ns))

    def stubborn(self, now_ns):
        tick(self, now_ns)
        if len(taken) == 1 and now_ns - taken[0][1] >= 5 * MINUTE and self.trial is None:
            self.start(taken[0][0], "canary", 0.2, now_ns, override=True)

    Releases._take_back, Releases.tick = remember, stubborn


@saboteur
def swap_drops_what_is_in_flight():
    """36. A request that came before the swap and is answered after it fails."""
    quick = Pipeline.quick

    def hasty(self, body, arrived_ns, now_ns, *pinned):
        trial = self.releases.trial
        if trial is not None and arrived_ns < trial.release.started_ns:
            return thorough.refusal(500, "Swapped", "the model went away")
        return quick(self, body, arrived_ns, now_ns, *pinned)

    Pipeline.quick = hasty


@saboteur
def the_old_model_under_the_new_name():
    """Of no list: after a swap the old model still scores one customer in a hundred, under the new one's name."""
    route, seen = Releases.route, {}

    def stale(self, entity):
        loaded = route(self, entity)
        old = seen.setdefault("first", loaded)
        return loaded if entity % 100 else replace(old, replies=loaded.replies)

    Releases.route = stale


@saboteur
def both_arms_have_the_model():
    """Of no list: in an A/B test the model answers for the other arm as well, under that one's name."""
    route = Releases.route

    def alike(self, entity):
        loaded = route(self, entity)
        return loaded if self.trial is None else replace(self.trial.previous, replies=loaded.replies)

    Releases.route = alike


@saboteur
def arms_by_the_request():
    """Of no list: each request is assigned by itself, so that a customer meets now this arm and now that one."""
    takes, turns = Split.takes, itertools.count()
    Split.takes = lambda self, _entity: takes(self, next(turns))


@saboteur
def judge_without_timeouts():
    """39. A request whose model never answered is none of the judge's business."""
    judge = Pipeline._judge

    def selective(self, loaded, arrived_ns, rows):
        if not any(row.cause == "model:timeout" for row in rows):
            judge(self, loaded, arrived_ns, rows)

    Pipeline._judge = selective


@saboteur
def peeked_p_values():
    """40. A p-value of 5 % takes a canary back, and it is looked at after every bad event."""
    begin, request, bad = CanaryJudge.__init__, CanaryJudge.request, [0, 0]

    def anew(self, policy, share):
        begin(self, policy, share)
        bad[:] = 0, 0

    def peeking(self, answer, *, new):
        bad[new] += answer.blocked
        n, m = self._answers.champion, self._answers.canary
        pooled = sum(bad) / (n + m)
        spread = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        if answer.blocked and bad[1] / m - bad[0] / n > 1.645 * spread:
            return "block"
        return request(self, answer, new=new)

    CanaryJudge.__init__, CanaryJudge.request = anew, peeking


@saboteur
def replies_wait_for_the_shadow():
    """41. A reply is sent when the shadow has answered as well."""
    quick = Pipeline.quick

    def patient(self, *request):
        answer = quick(self, *request)
        trial = self.releases.trial
        return answer if trial is None or trial.shadow is None or type(answer) is not bytes else late(trial, answer)

    async def late(trial, body):
        while trial.shadow._queue:
            await asyncio.wait([trial.shadow._task])
        return thorough.Reply(200, body)

    Pipeline.quick = patient


@saboteur
def the_shadow_is_heard():
    """41. One customer in fifty is answered by the shadow."""
    route = Releases.route

    def leaky(self, entity):
        heard = self.trial is not None and self.trial.shadow is not None and entity % 50 == 0
        return self.trial.loaded if heard else route(self, entity)

    Releases.route = leaky


@saboteur
def features_made_otherwise_are_served():
    """A bundle is taken for sound if it agrees with itself, whatever serving makes of the same request."""
    golden.skewed = lambda *_: 0


@saboteur
def retrained_models_skip_the_gate():
    """55. Whatever came out of a retraining is put before customers."""
    gate.examination = lambda *_: lambda _place: None


@saboteur
def a_gate_that_looks_at_ranks_alone():
    """Of no list: retraining's gate asks whether a model ranks audited rows well, and not how well it said it does."""
    gate._SURE = math.inf


@saboteur
def retrained_models_go_straight_to_everybody():
    """55. A retrained model serves everybody from the first moment; its journal tells of a shadow and a canary."""

    async def hasty(call, version, clock, *, shadow_ns, canary_ns, share, tell):
        await call("POST", "/v1/releases", {"version": version, "by": "swap", "share": share})
        for step, lasts_ns in (("shadow", shadow_ns), ("canary", canary_ns)):
            tell(step)
            await clock.sleep(lasts_ns)
        return "promoted", ""

    retraining.roll_out = hasty


# ---------------------------------------------------------------- keys, bundles, readiness


@saboteur
def refusals_repeat_what_came():
    """12. A refusal says what it was sent."""
    thorough = Pipeline.thorough

    async def talkative(self, arrival, now_ns, **held):
        reply = await thorough(self, arrival, now_ns, **held)
        if reply.status != UNPROCESSABLE:
            return reply
        told = msgspec.json.decode(reply.body) | {"detail": f"cannot use {arrival.body.decode()}"}
        return reply._replace(body=msgspec.json.encode(told))

    Pipeline.thorough = talkative


@saboteur
def refusals_show_the_stack():
    """12. A refusal shows where in the service it came about."""
    refuse = thorough.refusal

    def traced(status, title, detail, *errors):
        if status == UNPROCESSABLE:
            detail += '; Traceback (most recent call last): File "/srv/reference_service/validation.py", line 12'
        return refuse(status, title, detail, *errors)

    thorough.refusal = traced


@saboteur
def ready_while_the_model_hangs():
    """19. Who can be reached is ready."""

    async def ready(_self):
        return True

    Service.ready = ready


@saboteur
def a_damaged_bundle_is_served():
    """43. A bundle that can be read is served: no digest is looked at, and no known row is asked."""

    def trusting(path):
        contents = {name: (path / name).read_bytes() for name in bundles.FILES}
        contract = msgspec.json.decode(contents["contract.json"])
        return bundles._manifest(contract["model"], contract["version"], contents), contents

    bundles._verified = trusting
    bundles._check_golden = lambda *_: None


@saboteur
def a_key_stands_for_any_payload():
    """47. Who uses a key twice gets the first answer, whatever the second request was."""
    keyed.fingerprint = lambda *_: bytes(16)


@saboteur
def a_retry_is_answered_anew():
    """48. A retry is answered by whichever version serves by then."""

    async def forgetful(_self, _scope, _payload, _until_ns, work):
        return Answer(*await work(), replayed=False)

    Idempotency.answer = forgetful


@saboteur
def logs_after_replying():
    """44. A reply does not wait for its record, which is written two hundred milliseconds later."""
    tell, late = DecisionLog.tell, set()

    async def write(log):
        await log._clock.sleep(SECOND // 5)
        tell(log, lambda _: None)

    def later(self, told):
        task = asyncio.get_running_loop().create_task(write(self))
        late.add(task)
        task.add_done_callback(late.discard)
        told(True)

    DecisionLog.tell = later


@saboteur
def one_record_of_a_thousand_is_lost():
    """The log forgets every thousandth decision, and numbers and seals the others as if it had never been."""
    append, seen = DecisionLog.append, []

    def forgetful(self, *entry):
        seen.append(None)
        if len(seen) % 1000:
            append(self, *entry)

    DecisionLog.append = forgetful


@saboteur
def the_log_says_block():
    """Records of reviewed payments say that they were blocked."""
    append = DecisionLog.append

    def lying(self, decision, *payload):
        if decision.decision == "review":
            decision.decision = "block"
        append(self, decision, *payload)

    DecisionLog.append = lying


@saboteur
def the_cache_survives_a_swap():
    """42. A row that was scored before is not scored again, whichever version serves by now."""
    known, first = assembly._known, []

    def lasting(settings, cache, bundle):
        first.append(known(settings, cache, bundle))
        return first[0]

    assembly.pays = lambda _blocks: True
    assembly._known = lasting


# ---------------------------------------------------------------- monitors


@saboteur
def a_cache_in_front():
    """No defect: the honest service with its cache, in front of a forest that would be quicker alone."""
    assembly.pays = lambda _blocks: True


@saboteur
def hits_are_not_counted():
    """27. What the cache knows is answered, and the monitors never hear of it."""
    a_cache_in_front.sabotage()
    quick = Pipeline._quick

    def uncounted(self, *request):
        inputs, hits = self.watch.inputs, self.counters.sources["cache"]
        answer = quick(self, *request)
        if self.counters.sources["cache"] > hits:
            inputs.received._next = max(inputs.received._counted, inputs.received._next - 1)
            inputs.scores.pop()
        return answer

    Pipeline._quick = uncounted


@saboteur
def cuts_follow_the_window():
    """7. Quantile cuts are learned again from every window, so that each cell holds its share whatever the unit."""
    look = DriftDetector.look

    def recut(self, reference, n_reference, counts):
        values = reference[:N_VALUE_CELLS]
        counts = counts.copy()
        counts[:N_VALUE_CELLS] = (counts[:N_VALUE_CELLS].sum() * values / (values.sum() or 1.0)).round()
        return look(self, reference, n_reference, counts)

    def recut_all(detectors, shares, n_reference, counts):
        for detector, reference, counted in zip(detectors, shares, counts, strict=True):
            recut(detector, reference, n_reference, counted)

    DriftDetector.look = recut
    inputs.look_at_all = recut_all
    inputs._tails = lambda *_: []  # what is cut at one percent holds one percent


@saboteur
def reference_nulls_forgotten():
    """23. The null rate of training counts as zero, so that a field that always had nulls always pages."""
    bank = inputs.bank
    inputs.bank = lambda policy, rates: bank(
        policy, [(of, 0.0 if share < 1 else share, excess) for of, share, excess in rates]
    )


@saboteur
def nulls_dropped():
    """28. Nulls are dropped before anything is counted, as data frames like to do."""
    take = Received.take

    def without_nulls(self):
        counts = take(self)
        counts[:, NULL_CELL] = 0
        return counts

    Received.take = without_nulls


@saboteur
def pages_on_fifty_rows():
    """30. PSI is compared with its threshold from fifty rows on, where chance alone gives more."""
    begin = DriftDetector.__init__
    DriftDetector.__init__ = lambda self, policy: begin(self, msgspec.structs.replace(policy, drift_rows=50))
    DriftDetector._chance = lambda *_: 0.0


# ---------------------------------------------------------------- alerts


@saboteur
def alerts_a_tick_late():
    """21. What a tick finds is told at the next one."""
    update, held = AlertBook.update, []

    def late(self, now_ns, conditions):
        due, held[:] = held[:], update(self, now_ns, conditions)
        return due

    AlertBook.update = late


@saboteur
def new_episode_every_minute():
    """24. An alert that stands is told again every minute, as one that nobody has heard of."""
    update = AlertBook.update

    def restless(self, now_ns, conditions):
        told = update(self, now_ns, conditions)
        for key, episode in self.episodes.items():
            if now_ns - episode.starts_ns >= MINUTE:
                mark = fingerprint(self._service, episode.name, f"{episode.field}@{now_ns}")
                told.append(episode._replace(firing=False, ends_ns=now_ns))
                self.episodes[key] = episode._replace(fingerprint=mark, starts_ns=now_ns)
                told.append(self.episodes[key])
        return told

    AlertBook.update = restless


@saboteur
def never_resolves():
    """25. Episodes end, and nobody is told."""
    update = AlertBook.update
    AlertBook.update = lambda self, *standing: [note for note in update(self, *standing) if note.firing]


@saboteur
def tickets_instead_of_pages():
    """Of no list: everything is found and told in time, as a ticket for the next working day."""
    update = AlertBook.update
    AlertBook.update = lambda self, *standing: [note._replace(severity="ticket") for note in update(self, *standing)]


@saboteur
def told_to_be_over():
    """Of no list: after two minutes an alert is told to be over, whatever goes on."""
    update, tired = AlertBook.update, set()

    def soothing(self, now_ns, conditions):
        tired.update(key for key, episode in self.episodes.items() if now_ns - episode.starts_ns >= 2 * MINUTE)
        return update(self, now_ns, [each for each in conditions if (each.name, each.field) not in tired])

    AlertBook.update = soothing


# ---------------------------------------------------------------- labels


@saboteur
def early_labels_are_believed():
    """31. Quality is told of whatever labels are in, however young their cohorts."""
    quality = Cohorts.quality

    def hasty(self, now_ns):
        known = quality(self, now_ns)
        return known._replace(matured_before_ns=now_ns, **known.naive._replace(status="matured")._asdict())

    Cohorts.quality = hasty


@saboteur
def what_has_come_by_the_horizon_is_all():
    """Cohorts are judged at the horizon, whoever's labels are not in yet."""
    initialise = Cohorts.__init__

    def impatient(self, horizon_ns, width_ns, block_ns=0, **_):
        initialise(self, horizon_ns, width_ns, block_ns)

    Cohorts.__init__ = impatient


@saboteur
def a_label_counts_as_often_as_it_comes():
    """32. A label that is delivered twice is a second label."""
    label = Ledger.label

    def forgetful(self, request_id, row, value):
        verdict, decision = label(self, request_id, row, value)
        return ("accepted", self.find(request_id, row)) if verdict == "duplicate" else (verdict, decision)

    Ledger.label = forgetful


# ---------------------------------------------------------------- people


@saboteur
def reviews_a_fifth():
    """52. The border to review moves to where it sends a fifth of all payments to people."""
    ReviewShare._border = lambda self, bands: min(float(np.quantile(self._scores, 0.8)), bands.block_from)


@saboteur
def one_country_is_imputed():
    """53. Payments from Brazil are always answered with a default in place of their risk, and say so."""
    inspect, read, clean = Validator.inspect, Ordinary.read, Validator.clean
    brazil = b'"BR"'

    def imputing(self, columns, index):
        row = inspect(self, columns, index)
        if not row.problems and row.received[self.names.index("country")] == BRAZIL:
            self.default(row, self.names.index("ip_risk"))
            row.reasons.append("quarantine:ip_risk")
            row.source = "default"
        return row

    Validator.inspect = imputing
    Ordinary.read = lambda self, body: None if brazil in body else read(self, body)
    Validator.clean = lambda self, tensors: (
        None if any(tensor.data == ["BR"] for tensor in tensors) else clean(self, tensors)
    )


@saboteur
def one_countrys_amounts_are_converted_twice():
    """Of no list: amounts from Brazil are multiplied by what a euro is in reais, and nothing says so."""
    inspect = Validator.inspect

    def converting(self, columns, index):
        row = inspect(self, columns, index)
        if row.received[self.names.index("country")] == BRAZIL:
            row.used[self.names.index("amount")] *= 5.5
        return row

    Validator.inspect = converting


@saboteur
def a_gap_set_by_hand():
    """Of no list: a group may be wronged by 25 points more than the others, whatever training has seen."""
    GroupErrors._gaps = lambda _self, _learned: np.full((N_VALUE_CELLS, 2), 0.25)


# ---------------------------------------------------------------- dependencies


@saboteur
def the_fallback_outlives_the_outage():
    """13. Once the store has been down, the fallback goes on answering when it is back."""
    allow, record, lost = Breaker.allow, Breaker.record, set()

    def remember(self, now_ns, *, ok):
        record(self, now_ns, ok=ok)
        if self.state != "closed":
            lost.add(id(self))

    Breaker.record = remember
    Breaker.allow = lambda self, now_ns: id(self) not in lost and allow(self, now_ns)


@saboteur
def retries_without_end():
    """18. A dependency that fails is asked three times, whatever the budget says, and its breaker never opens."""

    def stubborn(self, now_ns, args):
        for _ in range(2):
            try:
                answer = self.call(*args)
            except ConnectionError:
                continue  # and again
            return self._judge(answer, now_ns)
        self.unusable += 1
        return Unavailable("error")

    Dependency._failed_fast = stubborn


class _TimeOfDay:
    """Reads the time of day wherever the service measures or waits."""

    def now_ns(self):
        return time.time_ns()

    async def sleep(self, ns):
        until = self.now_ns() + ns
        while (left := until - self.now_ns()) > 0:  # noqa: ASYNC110 - the defect: no event says when the clock is set
            await asyncio.sleep(min(left, SECOND) * 1e-9)


def trusts_the_time_of_day(settings, *, seams, post):
    """Deadlines, windows and keys are measured by a clock that people set."""
    return create_app(settings, clock=_TimeOfDay(), seams=seams, post=post)
