"""Saboteurs that stand on no list: the reference service with one defect, or a crew of them, as in `saboteurs.py`."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import msgspec
import numpy as np
from saboteurs import saboteur

from reference_service import thorough, validation, values
from reference_service.api import core, keyed
from reference_service.api.oip import Replies
from reference_service.audit.decision_log import DecisionLog
from reference_service.guards.breaker import Breaker
from reference_service.guards.fallback import Heuristic
from reference_service.guards.kept_answers import KeptAnswers
from reference_service.guards.limiter import Limiter
from reference_service.monitor import inputs
from reference_service.monitor.drift import DriftDetector
from reference_service.monitor.groups import GroupMonitor
from reference_service.monitor.inputs import InputMonitors
from reference_service.monitor.keeping import Keeper
from reference_service.monitor.labels import Ledger
from reference_service.monitor.routes import Routes
from reference_service.pipeline import Pipeline
from reference_service.policy import MINUTE
from reference_service.release import golden
from reference_service.release.rollback import Releases
from reference_service.release.shadow import Shadow
from reference_service.service import Service
from reference_service.validation import Validator

NUMBERS = (values.NUMBER, values.INTEGER)

# ---------------------------------------------------------------- validation


def reading(change):
    """Values are changed before they are read: `change` takes a slot and a value."""
    read = validation.read
    validation.read = lambda slot, value: read(slot, change(slot, value))


@saboteur
def the_last_hour_is_out_of_range():
    """A bound counts as beyond itself: what happens in the last hour of a day is refused, on every day."""
    make = validation.compiled

    def narrower(index, field, typical):
        slot = make(index, field, typical)
        return slot._replace(high=slot.high - 1) if field.name == "hour" else slot

    validation.compiled = narrower


@saboteur
def clamps_to_the_range():
    """What is out of range is brought to its border, and nobody is told."""
    read = validation.read

    def clamped(slot, value):
        number, problem = read(slot, value)
        return (min(max(number, slot.low), slot.high), "") if problem == "out_of_range" else (number, problem)

    validation.read = clamped


@saboteur
def true_is_one():
    """A boolean is a number."""
    reading(lambda slot, value: float(value) if slot.kind in NUMBERS and isinstance(value, bool) else value)


@saboteur
def the_first_of_a_list():
    """Of a list its first item is taken."""
    reading(lambda _, value: value[0] if isinstance(value, list) and value else value)


@saboteur
def case_does_not_matter():
    """A category is read whatever its case."""
    reading(lambda slot, value: value.lower() if isinstance(value, str) and value.lower() in slot.codes else value)


@saboteur
def looks_into_objects():
    """A field that is not where it ought to be is looked for in objects."""
    match = Validator.match

    def found(tensor):
        return type(tensor)("country", [value["country"] for value in tensor.data])

    Validator.match = lambda self, tensors: match(self, [found(t) if t.name == "address" else t for t in tensors])


@saboteur
def half_a_request_will_do():
    """Who sends what is no request gets the answer to the first one that was."""
    quick, first = Pipeline.quick, []

    def forgiving(self, body, *arrival):
        first.append(body) if not first else None
        try:
            return quick(self, body, *arrival)
        except thorough.Malformed:
            return quick(self, first[0], *arrival)

    Pipeline.quick = forgiving


@saboteur
def takes_whatever_comes():
    """All of these at once; each has an expectation of its own."""
    crew = (clamps_to_the_range, true_is_one, the_first_of_a_list, case_does_not_matter, looks_into_objects,
            half_a_request_will_do)  # fmt: skip
    for one in crew:
        one.sabotage()


@saboteur
def refusals_say_nothing():
    """A refusal is a status, and an empty object."""
    thorough.refusal = lambda status, *_: thorough.Reply(status, b"{}")


@saboteur
def neighbours_are_told_of_a_default():
    """Where one row of a batch is refused, the others are said to be defaults; their scores are the model's."""
    received = thorough.received

    def spread(inputs, stored, rows, event_ms):
        received(inputs, stored, rows, event_ms)
        if any(row.problems for row in rows):
            for row in rows:
                row.source = row.source if row.problems else "default"

    thorough.received = spread


# ---------------------------------------------------------------- fallback, load, readiness


@saboteur
def the_first_fallback_is_everybodys():
    """What the fallback said once it says to all."""
    ask, first = Heuristic.__call__, []

    def stale(self, values):
        first.append(ask(self, values)) if not first else None
        return first[0]

    Heuristic.__call__ = stale


@saboteur
def the_fallback_asks_the_model():
    """What is said to be the fallback's is the model's, with typical values where there are none."""

    def scored(self, values):
        bundle = self._bundle
        pairs = zip(values, bundle.profile.typical, strict=True)
        row = np.array([[typical if value != value else value for value, typical in pairs]])  # noqa: PLR0124 - NaN
        return float(bundle.probability(float(bundle.margin(bundle.codes(row))[0])))

    Heuristic.__call__ = scored


@saboteur
def half_open_is_open():
    """A breaker that wants to know whether all is well again asks with everybody who comes meanwhile."""
    allow = Breaker.allow

    def wide(self, now_ns):
        allowed = allow(self, now_ns)
        return allowed or self.state == "half_open"

    Breaker.allow = wide


@saboteur
def age_does_not_matter():
    """What the feature store says is used, however old it is."""
    start = Service.__init__

    def trusting(self, *parts, **named):
        start(self, *parts, **named)
        self.pipeline.store.check = lambda *_: ""

    Service.__init__ = trusting


@saboteur
def sheds_one_country():
    """When there is a queue, payments from Brazil are the ones that are refused."""
    quick = Pipeline.quick

    async def later():
        return thorough.refusal(429, "Overloaded", "more requests than can be answered in time")

    def choosy(self, body, arrived_ns, now_ns, *pinned):
        waited = now_ns - arrived_ns > 20_000_000
        return later() if waited and b'"BR"' in body else quick(self, body, arrived_ns, now_ns, *pinned)

    Pipeline.quick = choosy


@saboteur
def unready_when_busy():
    """Who has more than two requests waiting says that it is not ready, so that the others get its load as well."""
    ready = Service.ready

    async def shy(self):
        return self.limiter.waiting < 3 and await ready(self)

    Service.ready = shy


# ---------------------------------------------------------------- monitors, labels


@saboteur
def only_the_chat_is_told():
    """Alerts go to Slack alone; every receiver gets its heartbeats."""
    tell = Routes.tell

    def some(self, notes):
        every = self.routes
        tell(self, [note for note in notes if note.severity == "none"])
        self.routes = {"slack": every["slack"]}
        tell(self, [note for note in notes if note.severity != "none"])
        self.routes = every

    Routes.tell = some


@saboteur
def three_windows_of_three():
    """Drift pages after the third hot window, where the second is enough."""
    begin = DriftDetector.__init__
    DriftDetector.__init__ = lambda self, policy: begin(self, msgspec.structs.replace(policy, drift_hot=3))


@saboteur
def nobody_asks_whose_customers_suffer():
    """The alarm of groups that are served worse is dead."""
    tick = GroupMonitor.tick
    GroupMonitor.tick = lambda self, *now: [one._replace(firing=False) for one in tick(self, *now)]


@saboteur
def the_reference_moves():
    """Each window is compared with those before it, so that what changes slowly never changes."""
    look, known = inputs.look_at_all, {}

    def moving(detectors, shares, n_reference, counts):
        reference = known.get(id(detectors), shares)
        look(detectors, reference, n_reference, counts)
        if counts[0].sum():
            known[id(detectors)] = (reference + counts / counts.sum(axis=1, keepdims=True)) / 2

    inputs.look_at_all = moving


def dead(name):
    """An alarm that never rings."""
    told = InputMonitors._told
    InputMonitors._told = lambda self: [one._replace(firing=one.firing and one.name != name) for one in told(self)]


@saboteur
def nobody_looks_at_scores():
    """The alarm on the distribution of the model's scores is dead."""
    dead("score_drift")


@saboteur
def nobody_looks_at_tails():
    """The alarm on the far ends of numbers is dead."""
    dead("tail_rate")


@saboteur
def half_of_the_labels_are_thrown_away():
    """Every second label is acknowledged and forgotten, whatever it says."""
    label, seen = Ledger.label, []

    def lossy(self, *told):
        seen.append(None)
        found = label(self, *told)
        return ("duplicate", None) if len(seen) % 2 else found

    Ledger.label = lossy


# ---------------------------------------------------------------- releases


@saboteur
def the_canary_takes_every_tenth_request():
    """A canary's share is drawn by the request: whoever asks often meets both versions."""
    seen = []

    def route(self, _entity):
        if self.split is None or self.trial is None:
            return self.champion
        seen.append(None)
        return self.trial.loaded if self.split.takes(len(seen)) else self.trial.previous

    Releases.route = route


@saboteur
def promoted_by_the_clock():
    """An hour without a finding is enough, however few have met the canary."""
    Releases._proved = lambda self, trial, now_ns: now_ns - trial.release.started_ns >= self.policy.promote_after_ns


@saboteur
def nobody_is_held_back():
    """A version that is promoted serves everybody at once, and is compared with nothing any more."""
    promote = Releases.promote

    def whole(self, now_ns, who="operator"):
        release = promote(self, now_ns, who)
        self.split = self.split.widened(1.0)
        return release

    Releases.promote = whole


@saboteur
def frozen_is_a_word():
    """Versions are frozen, by operators and by the judge, and released all the same."""
    start = Releases.start

    def anyway(self, loaded, by, share, now_ns, *, override=False):  # noqa: ARG001 - that nobody asked is the defect
        return start(self, loaded, by, share, now_ns, override=True)

    Releases.start = anyway


@saboteur
def taken_back_in_name_only():
    """After a rollback the version that served before it goes on scoring, under the name of the certified one."""
    take_back, route, stays = Releases._take_back, Releases.route, []

    def renamed(self, trial, reason, now_ns):
        take_back(self, trial, reason, now_ns)
        stays[:] = [replace(trial.previous, replies=self.champion.replies)]

    Releases._take_back = renamed
    Releases.route = lambda self, entity: stays[0] if stays else route(self, entity)


@saboteur
def the_shadow_writes_as_well():
    """What the shadow is asked is written down as a decision of its own."""
    offer, append, last = Shadow.offer, DecisionLog.append, []

    def remembering(self, *entry):
        last[:] = self, entry
        append(self, *entry)

    def written(self, values, score):
        offer(self, values, score)
        if last:
            log, (decision, *rest) = last
            append(log, msgspec.structs.replace(decision, seq=log.seq, version="v2"), *rest)

    DecisionLog.append, Shadow.offer = remembering, written


@saboteur
def known_rows_are_not_asked():
    """No golden row is ever scored again."""
    golden.wrong = lambda *_: False


# ---------------------------------------------------------------- keys, log, people


@saboteur
def a_key_lives_five_minutes():
    """An answer stands for five minutes, and not for a day."""
    begin = KeptAnswers.__init__
    KeptAnswers.__init__ = lambda self, _keep_ns, size: begin(self, 5 * MINUTE, size)


@saboteur
def a_key_stands_for_most_of_a_payload():
    """The fingerprint of what a key stands for leaves out the amount, as one that is made of chosen columns does."""
    make = keyed.fingerprint
    amount = re.compile(rb'"name":"amount","shape":\[1\],"datatype":"\w+","data":\[[^]]*\]')
    keyed.fingerprint = lambda asked: make(amount.sub(b"", asked))


@saboteur
def the_log_knows_one_version_and_no_fallback():
    """Records name the first version, whichever answered; what the fallback decides is not written down."""
    append = DecisionLog.append

    def forgetful(self, decision, *payload):
        decision.version = "v1"
        if decision.source != "fallback":
            append(self, decision, *payload)

    DecisionLog.append = forgetful


@saboteur
def forgets_when_it_is_stopped():
    """Nothing that the monitors know survives a restart."""
    Keeper.save = lambda *_: None


@saboteur
def reviewers_get_anybody():
    """People see every twentieth payment, whatever its score is."""
    one = Replies.one

    def drawn(self, request_id, score, _decision, source):
        chosen = hashlib.sha256(request_id.encode()).digest()[0] % 20 == 0
        return one(self, request_id, score, b"review" if chosen else b"approve", source)

    Replies.one = drawn


# ---------------------------------------------------------------- what callers are told, and who may do what


@saboteur
def any_token_will_do():
    """Whoever shows a token, whichever, is at the control plane."""
    core.authorised = lambda headers, _token: any(name.lower() == b"authorization" for name, _ in headers)


@saboteur
def a_key_is_anybodys():
    """Under a key everybody is the same caller."""
    scope = keyed.scope
    keyed.scope = lambda headers, client: scope([one for one in headers if one[0] != b"authorization"], client)


@saboteur
def come_back_at_once():
    """Who is refused for load is told to come back after no time at all."""
    Limiter.retry_after_s = lambda *_: 0


@saboteur
def names_only_the_first():
    """A refusal names the first of several mistakes."""
    refuse = thorough.refusal
    thorough.refusal = lambda status, title, detail, errors=(): refuse(status, title, detail, errors[:1])
