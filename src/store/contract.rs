//! What any backend must do: each sentence of the contract is a rule here, and [`contract!`] makes its tests.

pub(crate) mod actions;
pub(crate) mod entries;
pub(crate) mod failed;
pub(crate) mod feedback;
pub(crate) mod figures;
pub(crate) mod gaps;
pub(crate) mod given;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod jobs;
pub(crate) mod journal;
pub(crate) mod lookups;
pub(crate) mod pipelines;
pub(crate) mod positions;
pub(crate) mod privacy;
pub(crate) mod properties;
pub(crate) mod settling;
pub(crate) mod trimming;

use crate::store::Store;

/// Where a backend keeps a state: empty at first, and opened again and again.
pub trait Backend {
    type Store: Store;

    fn empty() -> Self;

    /// Only after the last store is gone.
    async fn open(&self) -> Self::Store;
}

/// All rules as tests of one backend. A rule that is missing here is dead code, and so a warning.
macro_rules! contract {
    ($backend:ty) => {
        $crate::store::contract::rules! { async $backend:
            journal {
                an_entry_is_found_as_it_was_appended,
                numbers_grow_by_arrival,
                a_number_is_never_given_twice,
                a_double_is_not_appended_again,
                the_same_event_on_another_channel_is_no_double,
                a_page_holds_one_object_of_one_channel,
                a_full_page_ends_at_its_last_entry,
                a_page_that_matches_nothing_ends_at_the_head,
                what_a_page_passed_over_never_appears_below_it,
                the_newest_part_of_a_record_is_told_up_to_a_number,
                events_that_name_not_all_their_records_are_entries_and_gaps,
                an_event_that_cannot_be_read_is_a_gap_and_moves_the_position,
                an_org_is_pinned_to_its_id,
            }
            positions {
                an_id_is_saved_once_another_follows,
                an_id_is_saved_once_the_subscription_is_live,
                what_nobody_wants_moves_the_position,
                what_nobody_wants_completes_no_id_that_others_may_share,
                a_keepalive_saves_its_position,
                doubles_move_the_position,
                what_is_pending_counts_for_nothing_when_asked_again,
                the_start_is_committed_once,
                being_live_never_goes_backwards,
                a_refused_position_is_cleared_and_opens_a_gap,
                the_first_new_event_ends_the_window_of_a_refused_position,
                the_word_that_nothing_comes_ends_the_window_of_a_refused_position,
                the_newest_event_that_comes_again_closes_the_gap,
                after_the_retention_nothing_closes_the_gap,
                a_position_that_is_refused_again_is_the_same_gap,
                an_append_to_no_subscription_is_refused,
            }
            gaps {
                a_gap_that_names_records_is_closed_once_they_are_settled,
                a_gap_waits_for_the_last_pipeline_that_reads_its_records,
                a_gap_whose_records_nobody_reads_is_closed_at_once,
                an_event_that_names_nothing_is_a_gap_whatever_it_says,
                what_is_left_of_an_event_that_cannot_be_read_is_kept,
                an_event_that_cannot_be_read_but_names_its_records_is_an_entry_that_is_read,
                what_the_bridge_finds_is_an_entry_and_a_gap_if_the_bus_should_have_told,
                what_was_skipped_is_a_window_from_the_last_proof,
                a_refusal_that_is_skipped_is_one_gap,
                a_window_that_is_found_again_is_widened,
                a_silence_longer_than_the_retention_is_an_outage,
                a_start_at_the_earliest_long_after_the_last_proof_is_an_outage,
                quiet_but_live_is_no_outage,
                a_refusal_after_a_long_silence_is_one_outage,
                the_retention_is_that_of_the_channel,
                a_probe_closes_the_windows_that_it_covered,
                a_probe_closes_no_window_that_it_did_not_see_whole,
                on_a_channel_of_several_objects_the_probe_must_have_seen_each_that_is_read,
            }
            jobs {
                a_job_is_found_as_far_as_it_was_until_it_is_over,
                a_list_is_read_in_its_order_and_lasts_as_long_as_its_job,
                of_a_pipeline_one_backfill_is_under_way_and_one_repair_of_each_gap,
                a_first_backfill_is_wanted_once,
                a_pipeline_that_is_forgotten_and_an_org_that_is_another_take_their_jobs_along,
                what_is_journaled_of_a_record_behind_a_number_is_told,
                a_window_that_goes_on_is_given_its_end_once,
            }
            actions {
                an_action_reads_its_own_events_and_its_name_stands_for_nothing_else,
                what_an_action_was_done_for_is_known_until_the_watermark_passes_it,
                failed_actions_are_found_done_again_and_given_up,
                a_window_in_front_of_an_action_is_one_failed_action,
                the_event_of_a_failed_action_stays_in_the_journal,
            }
            entries {
                entries_come_by_number_a_page_at_a_time_with_their_org,
                entries_are_found_by_all_that_is_said_of_them,
                what_takes_long_to_find_comes_in_pages_that_may_be_empty,
                a_span_holds_all_that_was_committed_in_a_time,
            }
            trimming {
                what_is_old_and_settled_goes_and_the_figures_with_it,
                what_a_pipeline_still_reads_stays,
                what_a_parked_record_waits_with_stays,
                what_an_open_gap_names_or_waits_for_stays,
                while_a_job_is_open_nothing_of_its_object_goes,
                it_is_told_up_to_where_all_that_is_left_is_needed,
                the_deletion_of_a_record_that_may_yet_be_read_stays,
                the_deletion_of_a_record_whose_counterpart_is_kept_stays,
                where_there_is_too_much_the_oldest_goes_but_nothing_that_may_come_again,
                of_a_deletion_that_is_gone_its_tombstone_tells,
                what_is_forgotten_of_an_entry_makes_the_journal_smaller,
            }
            import {
                pairs_are_linked_together_with_the_job_that_gives_them_the_key,
                a_pair_that_does_not_fit_what_is_known_is_noted_and_not_linked,
            }
            figures {
                what_was_delivered_is_counted_by_the_hour_as_the_org_does,
                old_hours_are_trimmed,
                the_past_is_estimated_from_the_hours_that_are_known,
                subscriptions_tell_where_they_stand,
                parked_records_are_counted_by_cause,
                the_oldest_unsettled_change_of_each_pipeline_is_told,
                an_org_that_is_accepted_begins_anew,
                of_a_target_that_is_accepted_only_what_was_written_there_is_forgotten,
                a_name_that_was_tied_to_no_org_has_nothing_to_give_up,
            }
            privacy {
                a_rule_that_is_new_tells_what_was_stored_before_it,
                a_rule_that_was_there_from_the_start_has_nothing_to_scrub,
                scrubbing_treats_what_was_stored_before_the_rule_and_each_entry_once,
                a_scrub_that_was_broken_off_goes_on_where_it_was,
                a_rule_that_is_gone_is_noted_as_dropped,
                a_rule_that_is_back_treats_what_came_without_it_and_nothing_twice,
                scrubbing_reaches_messages_without_an_object_and_evidence,
                a_forgotten_record_keeps_its_events_without_their_values,
                a_record_of_another_org_is_not_forgotten,
            }
            pipelines {
                a_pipeline_is_made_once,
                a_pipeline_that_differs_is_refused_by_what_differs,
                a_forgotten_pipeline_loses_its_progress_and_keeps_its_links,
                a_pipeline_that_is_added_again_is_new_and_has_a_gap,
                parked_rows_are_counted_by_state,
                a_halted_pipeline_stays_halted_until_it_is_resumed_and_gives_its_reason,
                how_many_records_of_an_object_go_out_together_is_remembered_for_all_its_pipelines,
                what_waits_for_a_halted_pipeline_is_found_page_by_page_when_it_goes_on,
                links_are_shared_between_the_same_two_orgs,
                a_parent_is_known_by_its_link_between_the_same_two_orgs,
                of_what_is_not_known_there_is_no_answer,
            }
            failed {
                failed_records_are_found_by_what_is_said_of_them,
                failed_records_come_page_by_page,
                causes_tell_how_many_since_when_and_three_examples,
                what_was_sent_and_when_it_failed_first_stay_with_a_row_that_is_parked_again,
                the_events_of_a_row_are_those_that_name_its_record,
                a_failed_record_that_is_none_any_more_is_remembered_with_how,
                a_record_that_is_to_be_tried_again_is_taken_once_and_found_by_the_next_bridge,
                a_try_that_began_before_it_was_asked_for_is_not_the_one_that_was_asked_for,
                records_of_a_halted_pipeline_are_tried_again_when_it_goes_on,
                what_is_discarded_is_done_with_and_its_children_fail_by_name,
                a_record_that_waits_is_discarded_only_where_that_is_said,
                that_a_record_had_failed_is_remembered_also_where_it_waits_by_the_time_it_ends,
                that_a_record_had_failed_is_remembered_for_thirty_days,
                an_org_is_paused_until_it_is_resumed_known_or_not,
                time_for_which_an_org_was_paused_is_no_time_in_which_a_parent_did_not_come,
            }
            feedback {
                what_happened_is_told_once_for_each_record_and_in_order,
                how_far_people_were_told_is_remembered_for_each_pipeline,
                nothing_is_missed_behind_the_history_of_a_pipeline_that_was_forgotten,
                only_failed_records_have_a_failure,
                the_last_digest_is_remembered,
            }
            history {
                what_happened_to_a_record_is_told_in_order_and_in_full,
                what_only_repeats_stands_in_one_row_with_when_it_began,
                a_counterpart_leads_back_to_its_record_also_where_no_link_names_it_any_more,
                the_entries_of_a_record_are_told_whichever_subscription_brought_them,
                what_happened_long_ago_goes_a_part_at_a_time,
                the_last_thing_that_happened_and_the_last_write_stay_however_old_they_are,
                what_the_store_itself_ends_or_fails_or_marks_is_remembered,
                who_forgets_a_pipeline_or_gives_an_org_up_forgets_what_happened_too,
            }
            lookups {
                a_lookup_can_be_filled_once_its_parent_has_a_link,
                what_was_left_out_ends_with_a_whole_write_or_where_an_update_brings_it,
                what_nothing_tells_of_is_tried_again_each_time_later,
            }
            settling {
                applied_numbers_never_go_backwards,
                a_tombstone_lasts_until_the_record_is_back,
                watermarks_never_go_backwards,
                a_link_is_replaced_and_dropped_only_where_it_leads,
                that_the_bridge_created_a_record_is_known_as_long_as_the_link_leads_there,
                a_row_that_is_parked_again_is_widened_and_tells_the_newer_story,
                a_row_is_closed_only_if_it_reaches_no_further,
                only_rows_that_exist_are_widened,
                the_order_of_a_settlement_is_that_of_its_fields,
                a_row_parked_before_the_link_is_woken_by_it,
                a_row_parked_after_the_link_is_woken_at_once,
                a_row_parked_together_with_the_link_is_woken,
                rows_that_should_be_tried_again_are_found_at_the_start,
                only_rows_that_wait_for_this_very_parent_are_woken,
                who_waits_for_a_record_that_will_not_come_is_a_failed_record_and_hears_of_it_all_the_same,
                who_waits_too_long_for_a_parent_is_a_failed_record_and_hears_of_it_all_the_same,
                rows_that_wait_for_each_other_are_told_by_the_one_that_closes_the_circle,
                a_parent_in_another_pair_of_orgs_wakes_nobody,
                what_was_sent_is_noted_until_it_is_answered,
                a_bulk_job_is_known_until_it_has_ended,
                a_suspect_row_stays_until_it_is_cleared,
                a_settlement_is_all_or_nothing,
                parked_rows_come_oldest_first,
                everything_is_found_again,
            }
        }
        $crate::store::contract::rules! { sync $backend:
            properties {
                groups_make_no_difference,
                a_crash_at_any_event_loses_none,
                every_event_is_an_entry_or_in_a_gap,
                nothing_that_is_needed_goes_and_everything_else_that_is_old_does,
            }
        }
    };
}

macro_rules! rules {
    (async $backend:ty: $($part:ident { $($rule:ident,)* })*) => {$(
        mod $part {
            use super::*;

            $(
                #[tokio::test]
                async fn $rule() {
                    $crate::store::contract::$part::$rule::<$backend>().await;
                }
            )*
        }
    )*};
    (sync $backend:ty: $($part:ident { $($rule:ident,)* })*) => {$(
        mod $part {
            use super::*;

            $(
                #[test]
                fn $rule() {
                    $crate::store::contract::$part::$rule::<$backend>();
                }
            )*
        }
    )*};
}

pub(crate) use {contract, rules};
