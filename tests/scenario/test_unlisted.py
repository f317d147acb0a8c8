"""Saboteurs that stand on no list are refused by a shipped scenario; the honest service passes that trial."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow  # two minutes of one core; the saboteurs of the list are in the default run

# (saboteur, scenario, what must fail)
UNLISTED = [
    ("the_last_hour_is_out_of_range", "offline_parity", {"same_score"}),
    ("reviewers_get_anybody", "offline_parity", {"same_score"}),
    ("takes_whatever_comes", "strange_requests", {
        "no_such_hour", "no_such_amount", "nothing_negative", "truth_is_no_number", "a_list_is_no_number",
        "names_are_exact", "no_object_known", "half_is_nothing", "no_json",
    }),
    ("refusals_say_nothing", "dropped_and_retyped", {"discreet"}),
    ("neighbours_are_told_of_a_default", "bad_row_in_a_batch", {"neighbours"}),
    ("the_first_fallback_is_everybodys", "feature_store_outage", {"right"}),
    ("age_does_not_matter", "stale_features", {"covers", "paged"}),
    ("sheds_one_country", "load_spike", {"even_handed"}),
    ("unready_when_busy", "load_spike", {"stays_ready"}),
    ("only_the_chat_is_told", "nulls_in_every_spelling", {"on_the_pager"}),
    ("half_of_the_labels_are_thrown_away", "labels_twice", {"honest"}),
    ("the_canary_takes_every_tenth_request", "canary_share_honest", {"always_the_same"}),
    ("frozen_is_a_word", "frozen_versions", {"not_that", "not_again"}),
    ("a_key_stands_for_most_of_a_payload", "retries_under_a_key", {"not_theirs"}),
    ("taken_back_in_name_only", "rollback_to_certified", {"identity"}),
    ("the_log_knows_one_version_and_no_fallback", "decisions_on_record", {"by_another_version", "by_the_fallback"}),
]  # fmt: skip
LONGER = [
    ("the_fallback_asks_the_model", "feature_store_outage", {"right"}),
    ("three_windows_of_three", "unit_change", {"paged"}),
    ("nobody_asks_whose_customers_suffer", "one_country_suffers", {"told_whose"}),
    ("half_open_is_open", "gently_back", {"gently"}),
    ("the_reference_moves", "slowly_another_world", {"told"}),
    ("nobody_looks_at_scores", "alarms_that_rarely_ring", {"scores"}),
    ("nobody_looks_at_tails", "alarms_that_rarely_ring", {"tail"}),
    ("promoted_by_the_clock", "too_few_to_promote", {"still_a_canary"}),
    ("nobody_is_held_back", "better_release_promoted", {"held_back"}),
    ("known_rows_are_not_asked", "another_quantisation", {"rolled_back", "told"}),
    ("a_key_lives_five_minutes", "asked_again_next_day", {"same_answer"}),
    ("the_shadow_writes_as_well", "shadow_leaves_no_trace", {"one_decision"}),
    ("forgets_when_it_is_stopped", "stopped_and_back", {"cleared"}),
]


@pytest.mark.parametrize("scenario", sorted({scenario for _, scenario, _ in UNLISTED}))
def test_the_honest_service_passes(grounds, scenario):
    grounds.certified(scenario)


@pytest.mark.parametrize(("saboteur", "scenario", "caught_by"), UNLISTED, ids=[name for name, *_ in UNLISTED])
def test_an_unlisted_saboteur_is_refused(grounds, saboteur, scenario, caught_by):
    grounds.refused(f"unlisted:{saboteur}", scenario, caught_by)


@pytest.mark.parametrize(("saboteur", "scenario", "caught_by"), LONGER, ids=[name for name, *_ in LONGER])
def test_a_saboteur_of_long_trials_is_refused(grounds, saboteur, scenario, caught_by):
    grounds.certified(scenario)
    grounds.refused(f"unlisted:{saboteur}", scenario, caught_by)
