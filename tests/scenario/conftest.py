"""One folder of evidence for all trials of a session, so that equal worlds are rehearsed once."""

from __future__ import annotations

import pytest
import short

import seatrial
from simulator.report import text
from simulator.trial import certify
from simulator.verdict import EXIT_REFUSED, Status

SHORT = {
    "renamed_field": {
        "warmup": "1m",
        "lasts": "10m",
        "events": {"renamed": ("2m", "3m")},
        "without": ("cleared", "quiet"),  # both look ten minutes past the event
    },
    "nulls_in_every_spelling": {
        "warmup": "1m",
        "lasts": "11m30s",
        "events": {"as_null": ("2m", "4m"), "as_na": ("8m", "2m")},
    },
    "nulls_come_back": {
        "source": "nulls_in_every_spelling",
        "warmup": "1m",
        "lasts": "16m",
        "events": {"as_null": ("2m", "2m"), "as_nothing": ("13m", "3m")},  # five minutes after what was told is over
    },
    "bad_row_in_a_batch": {
        "warmup": "30s",
        "lasts": "6m",
        "events": {"holes": ("42s", "5m")},
    },
    "offline_parity": {"warmup": "10s", "lasts": "4m", "events": {}, "matrix": {"batch": [1]}},
    "reordered_columns": {"warmup": "1m", "lasts": "10m", "events": {"shuffled": ("2m", "4m")}},
    "dropped_and_retyped": {
        "warmup": "1m",
        "lasts": "5m",
        "events": {"retyped": ("2m", "2m")},
        "without": ("cleared", "bystanders"),  # the one looks ten minutes ahead, the other needs more rows
    },
    "load_spike": {
        "warmup": "1m",
        "lasts": "8m",
        "events": {"spike": ("90s", "1m")},
        "without": ("bystanders",),  # needs more rows
    },
    "unit_change": {
        "warmup": "2m",
        "lasts": "12m30s",
        "events": {"unit_change": ("4m", "8m")},
        "matrix": {"factor": [0.01]},
        "without": ("contained", "cleared", "quiet", "bystanders"),  # these look up to half an hour past the event
    },
    "shadow_release": {"warmup": "30s", "lasts": "4m", "events": {"trial": ("1m", "3m")}, "rate": "40/s"},
    "swap_under_load": {
        "warmup": "10s",
        "lasts": "75s",
        "events": {"noon": ("12s", "62s")},
        "rate": "150/s",
        "without": ("bystanders",),  # needs more rows
    },
    "rollback_to_certified": {
        "warmup": "30s",
        "lasts": "8m",
        "events": {"first": ("40s", "1m"), "second": ("100s", "1m")},
    },
    "rollback_is_final": {"warmup": "30s", "lasts": "11m", "events": {"trial": ("40s", "5m")}},
    "ab_arm_down": {"warmup": "30s", "lasts": "9m", "events": {"trial": ("1m", "5m")}, "rate": "3/s"},
    "canary_share_honest": {"warmup": "30s", "lasts": "8m", "events": {"trial": ("40s", "7m")}, "rate": "20/s"},
    "model_hangs": {
        "warmup": "30s",
        "lasts": "4m",
        "events": {"hang": ("40s", "1m")},
        "without": ("ends", "ready_again", "bystanders"),  # these look up to six minutes past the event
        "rate": "20/s",
    },
    "strange_requests": {
        "warmup": "20s",
        "lasts": "345s",
        "events": {
            "hour_25": ("30s", "25s"),
            "billions": ("60s", "25s"),
            "negative": ("90s", "25s"),
            "truth": ("120s", "25s"),
            "listed": ("150s", "25s"),
            "shouted": ("180s", "55s"),
            "nested": ("240s", "25s"),
            "halved": ("270s", "25s"),
            "prose": ("300s", "25s"),
            "huge": ("330s", "8s"),
        },
        "without": ("bystanders",),  # needs more rows
        "rate": "25/s",
    },
    "damaged_bundle": {"warmup": "30s", "lasts": "9m", "events": {"damaged": ("40s", "1m")}},
    "skewed_release": {
        "warmup": "2m",
        "lasts": "9m",
        "events": {"skewed": ("3m", "5m")},
        "matrix": {"version": ["v5"]},
    },
    "retries_under_a_key": {
        "warmup": "30s",
        "lasts": "6m",
        "events": {"again": ("40s", "2m"), "swapped": ("100s", "1m"), "reused": ("200s", "2m")},
        "without": ("identity",),  # looks five minutes past the swap
        "rate": "25/s",
    },
    "decisions_on_record": {
        "warmup": "20s",
        "lasts": "230s",
        "events": {
            "stalled": ("30s", "20s"),
            "killed": ("95s", "5s"),
            "again": ("105s", "80s"),
            "outage": ("195s", "12s"),
            "swapped": ("215s", None),
        },
        "without": ("back",),  # looks five minutes past the event
        "rate": "30/s",
    },
    "decisions_on_record_and_no_kill": {
        "source": "decisions_on_record",
        "warmup": "20s",
        "lasts": "200s",
        "events": {"stalled": ("30s", "20s"), "again": ("105s", "80s")},
        "rate": "30/s",
    },
    "feature_store_outage": {
        "warmup": "1m",
        "lasts": "9m30s",
        "events": {"outage": ("2m", "1m")},
        "without": ("cleared", "bystanders"),  # these look up to ten minutes past the event
    },
}


# Which factory is honest, where a target is not the service as such.
HONEST = dict.fromkeys(("payments_learning", "payments_censored"), "reference_service.retraining:create_app")


class Range:
    """Where trials are held: shortened shipped scenarios, against the honest service or a saboteur."""

    def __init__(self, folder):
        self.folder = folder
        self.honest = "reference_service.app:create_app"
        self._verdicts = {}

    def cells(self, name):
        """The cells of a shipped scenario in its short form, or of a day of this folder."""
        folder = self.folder / "scenarios"
        folder.mkdir(exist_ok=True)
        if name in SHORT:
            return short.shortened(name, folder, **SHORT[name])
        places = (short.SCENARIOS, short.SCENARIOS / "campaign", short.SCENARIOS / "campaign/benign", short.DAYS)
        return short.load(next(path for each in places if (path := each / f"{name}.scenario.yaml").exists()))

    def out(self, name, factory=None):
        """Where that trial's evidence lies."""
        return self.folder / "evidence" / (factory or self.honest).partition(":")[2] / name

    def trial(self, name, factory=None):
        """The verdict on a service in a scenario; each is asked once."""
        out = self.out(name, factory)
        if out not in self._verdicts:
            cells = self.cells(name)
            scenario = cells[0].scenario
            named = scenario.target or scenario.given.population
            target = short.target(factory or HONEST.get(named, self.honest), self.folder, named)
            self._verdicts[out] = certify(cells, out=out, target=target)
        return self._verdicts[out]

    def certified(self, name):
        """The honest service passes that trial; without this no saboteur's refusal would say anything."""
        seatrial.assert_certified(self.trial(name))

    def refused(self, factory, name, caught_by):
        """A saboteur, `module:name`, is refused in a scenario by the expectations that are there for its defect."""
        verdict = self.trial(name, factory)
        assert verdict.exit_code == EXIT_REFUSED, text.render(verdict)
        failed = {judged.id for cell in verdict.cells for judged in cell.judged if judged.finding.status is Status.FAIL}
        assert caught_by <= failed, text.render(verdict)


@pytest.fixture(scope="session")
def grounds(tmp_path_factory):
    return Range(tmp_path_factory.mktemp("trials"))
