//! Results in any order, rows that were not tried, rows of which nothing is told.

use std::sync::Arc;

use super::*;
use crate::config::SaveOptions;
use crate::event::{RecordId, Seq};
use crate::org::ResultSet;
use crate::org::{OrgText, RecordError, Refusal};
use crate::publish::outbox::{Call, FlightId, Lane};
use crate::publish::write::{Body, Cover, Key, Manner, Source, Write};
use crate::store::PipelineId;

fn id(number: usize) -> RecordId {
    format!("003{number:012}").parse().unwrap()
}

fn batch(count: usize) -> Batch {
    let write = |number| Write {
        key: Key::Record { object: "Contact".parse().unwrap(), id: id(number) },
        key_field: "Key__c".parse().unwrap(),
        body: Body::Partial(
            [("Title".parse().unwrap(), crate::publish::Cell::Value(crate::event::Value::Null))].into(),
        ),
        if_created: false,
        manner: Manner::default(),
        lock_keys: Vec::new(),
        waits_for: Vec::new(),
        covers: vec![Cover {
            source: Source { pipeline: PipelineId(1), record: id(100 + number) },
            from: Seq(1),
            to: Seq(1),
            clears_suspect: false,
        }],
    };
    let call = Call::Update { object: "Contact".parse().unwrap(), options: SaveOptions::default() };
    let writes = Arc::new((0..count).map(write).collect());
    Batch { flight: FlightId(1), call, lane: Lane::Bulk, writes, tries: vec![0; count] }
}

fn job(state: JobState, processed: u64, failed: u64, error: &str) -> RunningJob {
    let error = (!error.is_empty()).then(|| OrgText::new(error));
    RunningJob { id: "7505e00000AbCdEAAV".parse().unwrap(), state, processed, failed, error }
}

fn row(number: usize, result: Option<SaveResult>) -> ResultRow {
    ResultRow { key: id(number).to_string(), result }
}

fn refused(code: &str) -> SaveResult {
    SaveResult::Refused(Refusal::new(RecordError::new(code, "no", Vec::new()), Vec::new()))
}

fn saved(number: usize) -> SaveResult {
    SaveResult::Saved { id: id(number), created: Some(false) }
}

fn verdicts(batch: &Batch, told: &Told) -> (Vec<Verdict>, Option<String>, Instant) {
    let now = Instant::now();
    let delays = Delays { record: |_: u32| Duration::from_secs(1), target: Duration::ZERO };
    let judgement = judge(batch, told, now, delays);
    assert_eq!(judgement.pause, None);
    (judgement.verdicts, judgement.remedy, now)
}

#[test]
fn each_write_gets_its_own_result_whatever_the_order() {
    let batch = batch(5);
    let sheet = Sheet::new(&batch.call, &batch.writes).unwrap();
    let results = vec![
        row(3, None),
        row(2, Some(refused("UNABLE_TO_LOCK_ROW"))),
        row(0, Some(saved(0))),
        row(1, Some(refused("FIELD_CUSTOM_VALIDATION_EXCEPTION"))),
        // Nobody asked for it.
        row(77, Some(saved(77))),
    ];
    let told = Told::new(&sheet, 5, &job(JobState::Failed, 3, 2, "TooManyLockFailure : x"), results);
    assert_eq!(told.trouble, Some(JobTrouble::TooMuch));
    let (verdicts, _, now) = verdicts(&batch, &told);
    assert_eq!(verdicts[0], Verdict::Saved { id: id(0), created: None });
    assert!(matches!(&verdicts[1], Verdict::Refused(refusal) if refusal.code == "FIELD_CUSTOM_VALIDATION_EXCEPTION"));
    assert!(matches!(verdicts[2], Verdict::Locked { .. }));
    assert_eq!(verdicts[3..], [Verdict::Held { at: now }, Verdict::Unknown { at: now }]);
}

#[test]
fn because_of_an_unknown_column_what_was_not_done_is_given_back_for_collections_to_tell() {
    let batch = batch(3);
    let sheet = Sheet::new(&batch.call, &batch.writes).unwrap();
    let failed = job(JobState::Failed, 1, 0, "InvalidBatch : Field name not found : Foo__c");
    let told = Told::new(&sheet, 3, &failed, vec![row(0, Some(saved(0))), row(1, None)]);
    let (verdicts, remedy, now) = verdicts(&batch, &told);
    assert!(matches!(verdicts[0], Verdict::Saved { .. }));
    assert_eq!(verdicts[1], Verdict::Held { at: now });
    assert_eq!(verdicts[2], Verdict::Unknown { at: now });
    assert_eq!((told.trouble, remedy), (Some(JobTrouble::UnknownField), None));
}

#[test]
fn what_is_refused_for_none_s_fault_is_held_where_no_other_was_saved_and_what_was_not_tried_says_nothing() {
    let batch = batch(12);
    let sheet = Sheet::new(&batch.call, &batch.writes).unwrap();
    let halting = "INVALID_FIELD_FOR_INSERT_UPDATE";
    let failed = job(JobState::Failed, 2, 2, "TooManyLockFailure : x");
    for others in [vec![row(1, None), row(2, None)], Vec::new(), vec![row(1, Some(refused(halting)))]] {
        let results = std::iter::once(row(0, Some(refused(halting)))).chain(others).collect();
        let (verdicts, remedy, now) = verdicts(&batch, &Told::new(&sheet, 12, &failed, results));
        assert_eq!(verdicts[0], Verdict::Held { at: now + Duration::from_secs(60) });
        assert!(remedy.is_some());
    }
    let results = vec![row(0, Some(refused(halting))), row(1, Some(saved(1)))];
    let (verdicts, ..) = verdicts(&batch, &Told::new(&sheet, 12, &failed, results));
    assert!(matches!(verdicts[0], Verdict::Retry { .. }), "another was saved: it is about this one");
}

#[test]
fn a_job_that_was_not_begun_is_no_reason_to_hold_the_calls_that_do_its_work() {
    let batch = batch(12);
    let delays = Delays { record: |_: u32| Duration::from_secs(1), target: Duration::ZERO };
    let judgement = judge(&batch, &Told::not_tried(12, JobTrouble::NotOffered), Instant::now(), delays);
    assert_eq!((judgement.hold, judgement.pause, judgement.remedy), (None, None, None));
}

#[test]
fn a_row_that_was_done_is_not_tried_again_because_it_is_also_among_the_others() {
    let batch = batch(1);
    let sheet = Sheet::new(&batch.call, &batch.writes).unwrap();
    for results in [vec![row(0, None), row(0, Some(saved(0)))], vec![row(0, Some(saved(0))), row(0, None)]] {
        let told = Told::new(&sheet, 1, &job(JobState::Aborted, 1, 0, ""), results);
        assert!(matches!(told.rows[0], Row::Told(SaveResult::Saved { .. })));
    }
}

#[test]
fn what_a_job_tells_of_its_counts_spares_calls_but_only_where_all_is_done() {
    let sets = |job: &RunningJob| {
        let kinds = [ResultSet::Successful, ResultSet::Failed, ResultSet::Unprocessed];
        kinds.into_iter().zip(has_rows(job, 10)).filter(|(_, has)| *has).map(|(set, _)| set).collect::<Vec<_>>()
    };
    assert_eq!(sets(&job(JobState::JobComplete, 10, 0, "")), [ResultSet::Successful]);
    assert_eq!(sets(&job(JobState::JobComplete, 10, 10, "")), [ResultSet::Failed]);
    assert_eq!(sets(&job(JobState::JobComplete, 10, 3, "")), [ResultSet::Successful, ResultSet::Failed]);
    assert_eq!(sets(&job(JobState::JobComplete, 9, 0, "")).len(), 3);
    assert_eq!(sets(&job(JobState::Failed, 10, 0, "")).len(), 3);
}
