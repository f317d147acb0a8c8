"""The naive judge: a second implementation of the semantics, slow and obvious, to hold against the first.

It shares no code with the checks: plain loops over plain rows, one paragraph of the law after the other. It is the
oracle of the tests, and it gives the sizes of the edits by which controls see an expectation red (S10).
"""

from simulator.controls.naive.alerts import Siren, paged, sirens
from simulator.controls.naive.arms import gained, scored
from simulator.controls.naive.court import ERRORS, Court, Opinion, read
from simulator.controls.naive.groups import apart, wronged
from simulator.controls.naive.lasting import next_release
from simulator.controls.naive.opinion import FAMILIES, opinion
from simulator.controls.naive.premises import event, needed
from simulator.controls.naive.releasing import concerned
from simulator.controls.naive.shares import split
from simulator.controls.naive.tails import sizes
from simulator.controls.naive.values import acknowledged, estimates, truth
from simulator.controls.naive.windows import rows_of, when

__all__ = [
    "ERRORS",
    "FAMILIES",
    "Court",
    "Opinion",
    "Siren",
    "acknowledged",
    "apart",
    "concerned",
    "estimates",
    "event",
    "gained",
    "needed",
    "next_release",
    "opinion",
    "paged",
    "read",
    "rows_of",
    "scored",
    "sirens",
    "sizes",
    "split",
    "truth",
    "when",
    "wronged",
]
