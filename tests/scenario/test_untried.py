"""Saboteurs at the seams between two safeguards are refused by a shipped scenario; the honest service passes it."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow  # minutes of one core; those of the list are in the default run

# (saboteur, scenario, what must fail)
UNTRIED = [
    ("keys_die_by_the_time_of_day", "the_clock_is_set", {"on_record"}),
    ("the_model_has_the_last_word", "human_review", {"last_word"}),
    ("one_case_in_fifty_is_lost", "human_review", {"last_word"}),
    ("nobody_learns_from_people", "human_review", {"learned_from"}),
    ("people_see_the_margin_alone", "human_review", {"unusual"}),
    ("people_see_everything", "human_review", {"not_buried"}),
    ("people_see_nothing", "human_review", {"last_word", "not_idle", "unusual"}),
    ("verdicts_are_rows", "human_review", {"unusual"}),
    ("a_restart_holds_nobody_back", "promoted_and_restarted", {"held_back"}),
    ("a_restart_forgets_the_promotion", "promoted_and_restarted", {"still_live"}),
    ("timeouts_burn_no_budget", "budget_burns", {"told"}),
    ("late_labels_are_dropped", "labels_twice", {"counted_once", "honest"}),
    ("what_falls_back_says_model", "feature_store_outage", {"covers"}),
    ("refusals_count_for_nothing", "dropped_and_retyped", {"counted"}),
    ("a_request_in_a_hundred_is_counted_twice", "dropped_and_retyped", {"counted"}),
    ("a_series_for_everybody", "dropped_and_retyped", {"counted"}),
    ("the_gauge_remembers_the_first_release", "rollback_to_certified", {"counted"}),
    ("the_endpoint_remembers_the_last_release", "rollback_to_certified", {"counted"}),
    ("a_second_episode_is_an_old_story", "nulls_come_back", {"told_again"}),
    ("learns_from_what_it_allowed", "retrained_without_refusals", {"stopped", "nobody"}),
    ("each_that_was_let_through_counts_once", "some_refusals_are_let_through", {"knows_how_much"}),
    ("nobody_is_let_through", "some_refusals_are_let_through", {"knows_how_much"}),
    ("the_least_suspect_are_let_through", "some_refusals_are_let_through", {"knows_how_much"}),
    ("twice_as_many_are_let_through_as_it_says", "some_refusals_are_let_through", {"knows_how_much"}),
    ("each_of_many_breakers_sees_too_little", "gently_back", {"gently"}),
    ("each_of_many_breakers_sees_too_little", "feature_store_slow", {"spared"}),
]


@pytest.mark.parametrize("scenario", sorted({scenario for _, scenario, _ in UNTRIED}))
def test_the_honest_service_passes(grounds, scenario):
    grounds.certified(scenario)


@pytest.mark.parametrize(("saboteur", "scenario", "caught_by"), UNTRIED, ids=["-".join(it[:2]) for it in UNTRIED])
def test_an_untried_saboteur_is_refused(grounds, saboteur, scenario, caught_by):
    grounds.refused(f"untried:{saboteur}", scenario, caught_by)
