"""Saboteurs at the seams between two safeguards: what each of the two does alone is in order."""

from __future__ import annotations

import time

from saboteurs import saboteur

from reference_service.app import create_app
from reference_service.guards.kept_answers import KeptAnswers
from reference_service.monitor.alerts import AlertBook

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


# ---------------------------------------------------------------- alerts


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
