"""Saboteurs at the seams between two safeguards: what each of the two does alone is in order."""

from __future__ import annotations

import itertools
import time

import msgspec
from saboteurs import saboteur

from reference_service.api import control, core, metrics, reviews
from reference_service.api.oip import Replies
from reference_service.app import create_app
from reference_service.audit import decision_log
from reference_service.audit.records import PERSON
from reference_service.guards import exploration
from reference_service.guards.breaker import Breaker
from reference_service.guards.kept_answers import KeptAnswers
from reference_service.monitor import burn, labels
from reference_service.monitor.alerts import AlertBook
from reference_service.monitor.cohorts import Cohorts
from reference_service.monitor.review import ReviewQueue
from reference_service.pipeline import Pipeline
from reference_service.policy import HOUR
from reference_service.release.rollback import Releases
from reference_service.thorough import Thorough
from reference_service.training import retrain

# ---------------------------------------------------------------- keys and clocks


def keys_die_by_the_time_of_day(settings, *, seams, post):
    """An answer under a key is as old as the time of day says: whoever asks again after a leap is decided anew."""
    claim, keep = KeptAnswers.claim, KeptAnswers.keep

    async def claimed(self, scope, payload, _now_ns):
        return await claim(self, scope, payload, time.time_ns())

    async def kept_since(self, scope, kept):
        await keep(self, scope, kept._replace(at_ns=time.time_ns()))

    KeptAnswers.claim, KeptAnswers.keep = claimed, kept_since
    return create_app(settings, seams=seams, post=post)


# ---------------------------------------------------------------- human review


@saboteur
def the_model_has_the_last_word():
    """What people say is taken and written down; the model's decision stands."""
    find = ReviewQueue.find

    def undecided(self, request_id, row):
        case = find(self, request_id, row)
        return case and msgspec.structs.replace(case, verdict=None)

    ReviewQueue.find = undecided


@saboteur
def one_case_in_fifty_is_lost():
    """The queue forgets a case now and then."""
    put, came = ReviewQueue._put, itertools.count(1)

    def lossy(self, made, why):
        if next(came) % 50:
            put(self, made, why)

    ReviewQueue._put = lossy


@saboteur
def nobody_learns_from_people():
    """What people say of a payment is no label of it."""
    reviews.labelled = lambda *_: "accepted"


@saboteur
def people_see_the_margin_alone():
    """What is unlike anything that was learned is nobody's business while its score is low."""
    offer = ReviewQueue.offer
    ReviewQueue.offer = lambda self, made: offer(self, [one for one in made if one.decision == "review"])


@saboteur
def people_see_everything():
    """Every payment waits for people; what is to be reviewed waits among them."""
    offer = ReviewQueue.offer

    def all_of_them(self, decisions):
        offer(self, decisions)
        for made in decisions:
            if made.source != PERSON and made.score is not None:
                self._put(made, "unusual")

    ReviewQueue.offer = all_of_them


@saboteur
def people_see_nothing():
    """Payments are held for review, and nobody is asked."""
    ReviewQueue._put = lambda *_: None


@saboteur
def verdicts_are_rows():
    """Once in the service itself: a verdict, which has no row, counts as the most unusual row of all."""
    decision_log.PERSON = "nobody"


# ---------------------------------------------------------------- workers


@saboteur
def each_of_many_breakers_sees_too_little():
    """Each worker has a breaker of its own, and there are so many workers that none sees enough calls to open."""
    begin = Breaker.__init__

    def one_of_many(self, name, *, calls, **rest):
        begin(self, name, calls=calls * 1000, **rest)

    Breaker.__init__ = one_of_many


# ---------------------------------------------------------------- labels


@saboteur
def late_labels_are_dropped():
    """A label that comes more than five hours after its decision is acknowledged and thrown away."""
    add = Cohorts.add

    def punctual(self, seen_ns, score, label, now_ns, **told):
        if now_ns - seen_ns <= 5 * HOUR:
            add(self, seen_ns, score, label, now_ns, **told)

    Cohorts.add = punctual


@saboteur
def what_falls_back_says_model():
    """The fallback's answers are said to be the model's."""
    one, many = Replies.one, Replies.many

    def said(self, request_id, score, decision, source):
        return one(self, request_id, score, decision, b"model" if source == b"fallback" else source)

    def all_said(self, request, rows):
        for row in rows:
            row.source = "model" if row.source == "fallback" else row.source
        return many(self, request, rows)

    Replies.one, Replies.many = said, all_said


@saboteur
def learns_from_what_it_allowed():
    """A model is retrained on whatever has a label, where what is refused never gets one."""
    retrain._identified = lambda _: None


# ---------------------------------------------------------------- refusals that are let through


@saboteur
def each_that_was_let_through_counts_once():
    """A refusal that was let through stands for itself, and not for those that were not."""
    propensity = labels.propensity
    labels.propensity = lambda reasons: 1.0 if propensity(reasons) == 1.0 else 0.999_999


@saboteur
def nobody_is_let_through():
    """Only the allowed have labels, and a number is told of all."""
    exploration.chosen = lambda *_: False
    Cohorts._hidden = lambda _: False


@saboteur
def the_least_suspect_are_let_through():
    """One refusal in five is let through, as the reply says: the one that looks best."""
    decide = Thorough._decide

    def decided(self, loaded, row, request_id):
        looks_good = row.score is not None and row.score < loaded.bands.block_from + 0.1
        exploration.chosen = lambda *_: looks_good
        decide(self, loaded, row, request_id)

    Thorough._decide = decided


@saboteur
def twice_as_many_are_let_through_as_it_says():
    """The reply says one in five, and it is two."""
    chosen = exploration.chosen
    exploration.chosen = lambda request_id, row, share: chosen(request_id, row, 2 * share)


# ---------------------------------------------------------------- a restart


def resumed(share_of):
    """What was released goes on after a restart with another share: `share_of` takes the release and its share."""
    resume = Releases.resume

    def other(self, release, loaded, previous, *, share):
        fresh = self.trial is None and release.promoted_ns
        resume(self, release, loaded, previous, share=share_of(release, share) if fresh else share)

    Releases.resume = other


@saboteur
def a_restart_holds_nobody_back():
    """Who was held back for comparison gets the new version as soon as the service has been started again."""
    resumed(lambda _release, _share: 1.0)


@saboteur
def a_restart_forgets_the_promotion():
    """What was promoted is a canary again when the service has been started again."""
    resumed(lambda release, _share: release.share)


# ---------------------------------------------------------------- what is told of the service


@saboteur
def refusals_count_for_nothing():
    """What is refused is in no counter of requests."""
    render = metrics._answers

    def flattering(service):
        for name, kind, help_, samples in render(service):
            kept = [(on, n) for on, n in samples if not on.get("code", "").startswith("4")]
            yield name, kind, help_, kept if name == "requests_total" else samples

    metrics._answers = flattering


@saboteur
def a_request_in_a_hundred_is_counted_twice():
    """What is counted is more than what was asked."""
    render = metrics._answers

    def eager(service):
        for name, kind, help_, samples in render(service):
            more = [(on, n + n // 100) for on, n in samples] if name == "requests_total" else samples
            yield name, kind, help_, more

    metrics._answers = eager


@saboteur
def a_series_for_everybody():
    """Labels without bounds: every customer who was told no has a series."""
    render = metrics._answers

    def chatty(service):
        yield from render(service)
        yield "customers_total", "counter", "Whoever asked.", [({"customer": str(k)}, 1) for k in range(2000)]

    metrics._answers = chatty


@saboteur
def the_gauge_remembers_the_first_release():
    """The metrics name the version that was released first, whoever serves since it was taken back."""
    render = metrics._operations

    def former(service):
        history = service.releases.history
        for name, kind, help_, samples in render(service):
            old = [({"version": history[0].version, "bundle": ""}, 1)] if history else samples
            yield name, kind, help_, old if name == "build_info" else samples

    metrics._operations = former


@saboteur
def the_endpoint_remembers_the_last_release():
    """Whoever asks which version is live is told the one that was taken back."""
    routes = control.routes

    async def former(service, _body, _query):
        history = service.releases.history
        live = history[-1].version if history else service.releases.champion.version
        return control._ok({"serving": live})

    core.routes = lambda model: {**routes(model), ("GET", "/v1/version"): former}


# ---------------------------------------------------------------- alerts


@saboteur
def timeouts_burn_no_budget():
    """Whoever gets the fallback's answer because the model took too long counts as one who got the model's."""
    judge, measured, late = Pipeline._judge, burn.measured, []

    def noting(self, loaded, arrived_ns, rows):
        late.extend(row for row in rows if row.cause == "model:timeout")
        judge(self, loaded, arrived_ns, rows)

    def flattering(counters):
        found = measured(counters)
        found[1, 0] -= len(late)
        return found

    Pipeline._judge, burn.measured = noting, flattering


@saboteur
def a_second_episode_is_an_old_story():
    """What was told once is not told again, although it was over in between."""
    update, known = AlertBook.update, set()

    def once(self, now_ns, conditions):
        told = []
        for note in update(self, now_ns, conditions):
            if not note.firing or note.fingerprint not in known:
                told.append(note)
            if note.firing:
                known.add(note.fingerprint)
        return told

    AlertBook.update = once
