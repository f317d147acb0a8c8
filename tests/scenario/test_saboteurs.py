"""Every saboteur is refused by the expectation that is there for its defect; the honest service passes that trial."""

from __future__ import annotations

import numpy as np
import pytest
import short

import seatrial
from simulator.history.schema import Source
from simulator.scenario.quantities import MINUTE
from simulator.trial import history

# (saboteur, scenario, what must fail)
SABOTEURS = [
    ("rename_becomes_null", "renamed_field", {"handled"}),
    ("claims_the_model", "nulls_in_every_spelling", {"null_handled", "na_handled"}),
    ("one_bad_row_rejects_the_batch", "bad_row_in_a_batch", {"neighbours"}),
    ("not_available_is_zero", "nulls_in_every_spelling", {"na_handled"}),
    ("cuts_follow_the_window", "unit_change", {"paged", "early"}),
    ("columns_by_position", "reordered_columns", {"same_scores"}),
    ("alerts_a_tick_late", "nulls_in_every_spelling", {"paged"}),
    ("reference_nulls_forgotten", "reordered_columns", {"quiet"}),
    ("new_episode_every_minute", "nulls_in_every_spelling", {"paged"}),
    ("never_resolves", "nulls_in_every_spelling", {"cleared"}),
    ("nulls_dropped", "nulls_in_every_spelling", {"paged", "cleared"}),
    ("pages_on_fifty_rows", "thin_night", {"quiet"}),
    ("canary_of_thirty_percent", "canary_share_honest", {"no_more"}),
    ("one_breaker_for_all_versions", "ab_arm_down", {"bystanders"}),
    ("back_to_the_previous_version", "rollback_to_certified", {"rolled_back"}),
    ("promoted_again_after_the_rollback", "rollback_is_final", {"rolled_back"}),
    ("swap_drops_what_is_in_flight", "swap_under_load", {"lossless"}),
    ("judge_without_timeouts", "rollback_is_final", {"rolled_back"}),
    ("replies_wait_for_the_shadow", "shadow_release", {"unnoticed"}),
    ("first_row_only", "bad_row_in_a_batch", {"refused"}),
    ("refusals_are_errors", "dropped_and_retyped", {"retype_handled"}),
    ("deadline_without_queue", "load_spike", {"in_time"}),
    ("works_for_nobody", "load_spike", {"recovered", "affordable"}),
    ("reviews_a_fifth", "more_risk_for_the_reviewers", {"not_buried"}),
    ("one_country_is_imputed", "more_risk_for_the_reviewers", {"fair"}),
    ("the_fallback_outlives_the_outage", "feature_store_outage", {"ends"}),
    ("a_label_counts_as_often_as_it_comes", "labels_twice", {"counted_once", "honest"}),
    ("retries_without_end", "feature_store_outage", {"calm"}),
    ("refusals_repeat_what_came", "dropped_and_retyped", {"discreet"}),
    ("ready_while_the_model_hangs", "model_hangs", {"admits_it"}),
    ("a_damaged_bundle_is_served", "damaged_bundle", {"refused"}),
    ("a_key_stands_for_any_payload", "retries_under_a_key", {"not_theirs"}),
    ("a_retry_is_answered_anew", "retries_under_a_key", {"same_answer"}),
    ("logs_after_replying", "decisions_on_record", {"on_record"}),
    ("the_cache_survives_a_swap", "asked_twice_across_a_swap", {"identity"}),
    ("hits_are_not_counted", "a_bot_asks_again", {"paged"}),
    ("refused_rows_last", "bad_row_in_a_batch", {"neighbours"}),
    ("retrained_models_skip_the_gate", "retrained_on_lies", {"stopped"}),
]
# Of no list, or a second way to a defect that is on it: too many for every commit.
MORE = [
    ("the_shadow_is_heard", "shadow_release", {"unnoticed"}),
    ("refusals_are_fine", "dropped_and_retyped", {"retype_handled"}),
    ("refusals_show_the_stack", "dropped_and_retyped", {"discreet"}),
    ("one_record_of_a_thousand_is_lost", "decisions_on_record", {"on_record"}),
    ("the_log_says_block", "decisions_on_record", {"on_record"}),
    ("tickets_instead_of_pages", "nulls_in_every_spelling", {"paged"}),
    ("told_to_be_over", "nulls_in_every_spelling", {"paged"}),
    ("the_old_model_under_the_new_name", "swap_under_load", {"identity"}),
    ("always_another_customers_score", "offline_parity", {"same_score"}),
    ("one_countrys_amounts_are_converted_twice", "suspected_for_where_they_live", {"suspected_alike"}),
    ("features_made_otherwise_are_served", "skewed_release", {"refused", "same_scores"}),
    ("slow_to_help", "nulls_in_every_spelling", {"in_time"}),
]


# The days of this folder are collected as they are, and pass as every scenario file does.
DAYS = {path.name.partition(".")[0] for path in short.DAYS.glob("*.scenario.yaml")}
TRIED = {scenario for _, scenario, _ in SABOTEURS} - DAYS
ALONE = sorted({scenario for _, scenario, _ in MORE} - TRIED)


@pytest.mark.parametrize("scenario", [*sorted(TRIED), *(pytest.param(it, marks=pytest.mark.slow) for it in ALONE)])
def test_the_honest_service_passes(grounds, scenario):
    grounds.certified(scenario)


@pytest.mark.parametrize(
    ("saboteur", "scenario", "caught_by"),
    [pytest.param(*it, id=it[0]) for it in SABOTEURS]
    + [pytest.param(*it, id=it[0], marks=pytest.mark.slow) for it in MORE],
)
def test_a_saboteur_is_refused(grounds, saboteur, scenario, caught_by):
    grounds.refused(f"saboteurs:{saboteur}", scenario, caught_by)


@pytest.mark.slow
def test_a_service_that_does_not_wait_for_late_labels_is_refused(grounds):
    grounds.certified("labels_over_a_weekend")
    grounds.refused("saboteurs:what_has_come_by_the_horizon_is_all", "labels_over_a_weekend", {"quiet"})


@pytest.mark.slow
def test_arms_that_are_wired_wrongly_are_refused(grounds):
    grounds.certified("rules_beside_the_model")
    grounds.refused("saboteurs:both_arms_have_the_model", "rules_beside_the_model", {"rules_are_the_rules"})
    grounds.refused("saboteurs:arms_by_the_request", "rules_beside_the_model", {"always_the_same"})


@pytest.mark.slow
def test_a_limit_of_fairness_that_was_typed_in_is_refused(grounds):
    grounds.certified("one_country_is_suspected")
    grounds.refused("saboteurs:a_gap_set_by_hand", "one_country_is_suspected", {"told"})


@pytest.mark.slow
@pytest.mark.parametrize("saboteur", ["retrained_models_skip_the_gate", "a_gate_that_looks_at_ranks_alone"])
def test_a_gate_that_does_not_look_for_leaks_is_refused(grounds, saboteur):
    grounds.certified("a_field_knew_the_labels")
    grounds.refused(f"saboteurs:{saboteur}", "a_field_knew_the_labels", {"stopped"})


def test_a_cache_hides_nothing_from_the_monitors(grounds):
    """What saboteur 27 is refused for is its defect, not its cache."""
    factory = "saboteurs:a_cache_in_front"
    verdict = grounds.trial("a_bot_asks_again", factory)
    seatrial.assert_certified(verdict)
    run = history(grounds.out("a_bot_asks_again", factory), verdict.cells[0])
    begun, at = run.event("bot").start_ns, run.items["scheduled_ns"]
    unpaged = (at >= begun) & (at < begun + 2 * MINUTE)  # after the page its default answers, and no cache
    assert np.mean(run.items["source"][unpaged] == Source.CACHE) > 0.7  # the bot sends three rows of four


@pytest.mark.slow
def test_what_is_written_after_the_reply_is_lost_by_the_kill_alone(grounds):
    """Saboteur 44 writes every record in the end, unless it is killed."""
    factory = "saboteurs:logs_after_replying"
    seatrial.assert_certified(grounds.trial("decisions_on_record_and_no_kill", factory))
    verdict = grounds.trial("decisions_on_record", factory)
    run = history(grounds.out("decisions_on_record", factory), verdict.cells[0])
    (lost,) = (judged.finding.witnesses for judged in verdict.cells[0].judged if judged.id == "on_record")
    numbers = [int(witness.split()[0].removeprefix("main/")) for witness in lost]
    killed = run.event("killed").start_ns
    before = killed - run.items["scheduled_ns"][np.isin(run.items["index"], numbers)]
    assert np.all((before > 0) & (before < 210_000_000))  # the two hundred milliseconds, and the time to answer


@pytest.mark.slow
def test_a_journal_that_tells_of_a_shadow_and_a_canary_is_refused_by_the_replies(grounds):
    """Half an hour of a service that learns: too long for the default run."""
    grounds.certified("retrained_on_evidence")
    saboteur = "retrained_models_go_straight_to_everybody"
    grounds.refused(f"saboteurs:{saboteur}", "retrained_on_evidence", {"earned"})


@pytest.mark.slow
def test_early_labels_are_refused_by_the_truth(grounds):
    """A recorded week, too long for the default run: the first labels say .18 where the truth is .26."""
    grounds.refused("saboteurs:early_labels_are_believed", "clean_week", {"honest_rate"})
