//! Each rule of the outbox by itself. `simulation` has them all together.

mod jobs;
mod simulation;

use std::time::Duration;

use super::*;
use crate::config::{AssignmentRules, IfMissing};
use crate::event::{Seq, Value};
use crate::publish::{ByKey, Cell, Manner, Reference};
use crate::store::PipelineId;

const FIRST: PipelineId = PipelineId(1);
const SECOND: PipelineId = PipelineId(2);
const SECOND_OF_TIME: Duration = Duration::from_secs(1);

fn record(n: u32) -> RecordId {
    format!("001{n:012}").parse().unwrap()
}

/// The record of the target that belongs to one of the source.
fn counterpart(record: RecordId) -> RecordId {
    format!("a01{}", &record.as_str()[3..15]).parse().unwrap()
}

fn object() -> ObjectName {
    "Account".parse().unwrap()
}

fn source(n: u32) -> Source {
    Source { pipeline: FIRST, record: record(n) }
}

fn parent(n: u32) -> Parent {
    Parent { target_object: object(), record: record(n) }
}

fn by_value(n: u32) -> Key {
    Key::External { object: object(), field: "Key__c".parse().unwrap(), value: record(n).to_string() }
}

fn by_link(n: u32) -> Key {
    Key::Record { object: object(), id: counterpart(record(n)) }
}

fn cover(n: u32, from: u64, to: u64) -> Cover {
    Cover { source: source(n), from: Seq(from), to: Seq(to), clears_suspect: false }
}

fn cells(fields: &[(&str, &str)]) -> BTreeMap<FieldName, Cell> {
    fields.iter().map(|(name, value)| (name.parse().unwrap(), Cell::Value(Value::text(*value)))).collect()
}

fn write(n: u32, seq: u64, key: Key, body: Body) -> Write {
    let (lock_keys, waits_for, key_field) = (Vec::new(), Vec::new(), "Key__c".parse().unwrap());
    let manner = Manner::default();
    Write { key, key_field, body, if_created: false, manner, lock_keys, waits_for, covers: vec![cover(n, seq, seq)] }
}

fn all_fields(n: u32, seq: u64) -> Body {
    Body::Whole(cells(&[
        ("Key__c", record(n).as_str()),
        ("A", &format!("whole {seq}")),
        ("B", &format!("whole {seq}")),
    ]))
}

fn create(n: u32, seq: u64) -> Write {
    write(n, seq, by_value(n), all_fields(n, seq))
}

fn rewrite(n: u32, seq: u64) -> Write {
    write(n, seq, by_link(n), all_fields(n, seq))
}

fn update(n: u32, seq: u64) -> Write {
    write(n, seq, by_link(n), Body::Partial(cells(&[("A", &format!("update {seq}"))])))
}

/// An update of a record whose counterpart is on its way.
fn update_of_coming(n: u32, seq: u64) -> Write {
    Write { key: by_value(n), ..update(n, seq) }
}

fn delete(n: u32, seq: u64) -> Write {
    write(n, seq, by_link(n), Body::Delete)
}

/// The same, with a parent that the target can be told of by its key, or that is open.
fn child(mut write: Write, of: u32, named: bool) -> Write {
    let by_key =
        named.then(|| ByKey { relationship: "Parent__r".to_owned(), key: "Key__c".parse().unwrap(), typed: false });
    let reference = Reference { parent: parent(of), by_key, link: None, if_missing: IfMissing::Wait };
    let (Body::Whole(fields) | Body::Partial(fields)) = &mut write.body else { panic!("a delete has no parent") };
    fields.insert("Parent__c".parse().unwrap(), Cell::Parent(reference));
    write.lock_keys.push(parent(of));
    write.waits_for.push(parent(of));
    write
}

fn child_of(parent: u32, write: Write) -> Write {
    child(write, parent, true)
}

fn of_second_pipeline(mut write: Write) -> Write {
    write.covers[0].source.pipeline = SECOND;
    write
}

fn value<'a>(write: &'a Write, field: &str) -> Option<&'a str> {
    match write.fields()?.get(&field.parse::<FieldName>().unwrap())? {
        Cell::Value(value) => value.as_text(),
        Cell::Parent(_) | Cell::Unfilled { .. } => None,
    }
}

fn failed(code: &str) -> Refusal {
    let state = ParkedState::Failed;
    Refusal { state, code: code.to_owned(), fields: vec![], waits_for: None, evidence: String::new() }
}

fn saved(write: &Write) -> Verdict {
    match write.body {
        Body::Delete => Verdict::Deleted,
        Body::Whole(_) | Body::Partial(_) => {
            Verdict::Saved { id: counterpart(write.covers[0].source.record), created: None }
        }
    }
}

fn sources_of(batch: &Batch) -> Vec<Source> {
    batch.writes.iter().flat_map(sources).collect()
}

/// An outbox and a clock that stands still.
struct Bench {
    outbox: Outbox,
    now: Instant,
}

impl Bench {
    fn with(writes: impl IntoIterator<Item = Write>) -> Self {
        let mut bench = Self { outbox: Outbox::default(), now: Instant::now() };
        writes.into_iter().for_each(|write| bench.offer(write));
        bench
    }

    fn offer(&mut self, write: Write) {
        self.outbox.offer(write, self.now);
    }

    fn next(&mut self) -> Option<Batch> {
        self.outbox.next_batch(self.now)
    }

    /// The sources in the next batch; none if there is no batch.
    fn sends(&mut self) -> Vec<Source> {
        self.next().map(|batch| sources_of(&batch)).unwrap_or_default()
    }

    fn settle(&mut self, batch: &Batch, verdict: impl Fn(&Write) -> Verdict) -> Vec<Handed> {
        self.outbox.settle(batch.flight, batch.writes.iter().map(verdict).collect(), self.now);
        self.outbox.take_handed()
    }

    fn save(&mut self, batch: &Batch) -> Vec<Handed> {
        self.settle(batch, saved)
    }
}

// How writes merge.

#[test]
fn two_writes_of_a_record_merge_into_one_that_does_what_both_would() {
    let merge = |older: Write, newer: Write| older.then(newer).unwrap();
    let whole_then_update = merge(create(1, 1), update_of_coming(1, 2));
    assert!(matches!(whole_then_update.body, Body::Whole(_)));
    assert_eq!((value(&whole_then_update, "A"), value(&whole_then_update, "B")), (Some("update 2"), Some("whole 1")));
    let update_then_whole = merge(update(1, 1), rewrite(1, 2));
    assert_eq!(update_then_whole.body, all_fields(1, 2));
    let updates = merge(update(1, 1), write(1, 2, by_link(1), Body::Partial(cells(&[("B", "b")]))));
    assert_eq!(updates.body, Body::Partial(cells(&[("A", "update 1"), ("B", "b")])));
    let newer_value = merge(update(1, 1), update(1, 2));
    assert_eq!(newer_value.body, Body::Partial(cells(&[("A", "update 2")])));
    for older in [create(1, 1), update(1, 1), delete(1, 1)] {
        assert_eq!(merge(older, delete(1, 2)).body, Body::Delete);
    }
    let delete_then_create = merge(delete(1, 1), create(1, 2));
    assert_eq!((delete_then_create.body, delete_then_create.key), (all_fields(1, 2), by_value(1)));
}

#[test]
fn an_update_after_a_delete_can_only_be_read() {
    assert_eq!(delete(1, 1).then(update(1, 2)), Err(vec![cover(1, 1, 2)]));
    let mut bench = Bench::with([delete(1, 1), update(1, 2)]);
    let read = Handed::Read { covers: vec![cover(1, 1, 2)], delete: None, sent: false };
    assert_eq!(bench.outbox.take_handed(), [read]);
    assert!(bench.outbox.is_empty());
}

#[test]
fn what_is_covered_is_united_for_each_source_record() {
    let mut other = of_second_pipeline(update(1, 3));
    other.covers[0].clears_suspect = true;
    let merged = update(1, 2).then(update(1, 5)).unwrap().then(other).unwrap();
    let second = Source { pipeline: SECOND, record: record(1) };
    let of_second = Cover { source: second, from: Seq(3), to: Seq(3), clears_suspect: true };
    assert_eq!(merged.covers, [cover(1, 2, 5), of_second]);
    assert_eq!(merged.age(), Seq(2));
}

#[test]
fn a_link_that_is_known_is_forgotten_only_by_a_whole_write_that_looks_for_its_record_anew() {
    let key = |older: Write, newer: Write| older.then(newer).unwrap().key;
    assert_eq!(key(update(1, 1), update_of_coming(1, 2)), by_link(1));
    assert_eq!(key(update(1, 1), Write { key: by_value(1), ..delete(1, 2) }), by_link(1));
    assert_eq!(key(create(1, 1), rewrite(1, 2)), by_link(1));
    assert_eq!(key(rewrite(1, 1), create(1, 2)), by_value(1));
}

#[test]
fn a_merged_write_waits_for_the_parents_that_it_still_names() {
    let second_parent = |write| {
        let mut write = child_of(8, write);
        if let Body::Partial(fields) = &mut write.body {
            let cell = fields.remove(&"Parent__c".parse::<FieldName>().unwrap()).unwrap();
            fields.insert("Other__c".parse().unwrap(), cell);
        }
        write
    };
    let both = child_of(7, update(1, 1)).then(second_parent(update(1, 2))).unwrap();
    assert_eq!((both.waits_for, both.lock_keys), (vec![parent(8), parent(7)], vec![parent(8), parent(7)]));
    let moved = child_of(7, update(1, 1)).then(child_of(8, update(1, 2))).unwrap();
    assert_eq!((moved.waits_for, moved.lock_keys), (vec![parent(8)], vec![parent(8)]));
    assert_eq!(child_of(7, update(1, 1)).then(delete(1, 2)).unwrap().waits_for, []);
}

// One in flight, one waiting.

#[test]
fn while_a_write_is_in_flight_what_comes_for_its_record_merges_into_one_that_waits() {
    let mut bench = Bench::with([update(1, 1)]);
    let first = bench.next().unwrap();
    (2..=9).for_each(|seq| bench.offer(update(1, seq)));
    assert_eq!((bench.outbox.waiting(), bench.outbox.in_flight()), (1, 1));
    assert!(bench.next().is_none());
    bench.save(&first);
    let second = bench.next().unwrap();
    assert_eq!(second.writes[0].covers, [cover(1, 2, 9)]);
    assert_eq!(value(&second.writes[0], "A"), Some("update 9"));
}

#[test]
fn two_sources_of_one_record_share_its_one_write() {
    let mut bench = Bench::with([update(1, 1)]);
    let first = bench.next().unwrap();
    bench.offer(of_second_pipeline(update(1, 2)));
    assert!(bench.next().is_none(), "two writes for one key");
    bench.offer(update(1, 3));
    assert_eq!(bench.outbox.waiting(), 1);
    bench.save(&first);
    assert_eq!(bench.sends().len(), 2);
}

#[test]
fn a_source_record_has_one_write_out_whatever_its_key() {
    let mut bench = Bench::with([update(1, 1)]);
    let first = bench.next().unwrap();
    bench.offer(create(1, 2));
    assert!(bench.next().is_none(), "two writes for one source record");
    bench.settle(&first, |_| Verdict::Gone);
    assert!(bench.outbox.is_empty());
}

#[test]
fn two_pipelines_never_write_one_record_at_once_even_if_only_one_knows_its_link() {
    let mut bench = Bench::with([update(1, 1)]);
    let first = bench.next().unwrap();
    bench.offer(of_second_pipeline(create(1, 2)));
    assert!(bench.next().is_none());
    bench.save(&first);
    assert_eq!(bench.sends().len(), 1);
}

#[test]
fn a_record_is_found_under_its_key_as_long_as_anything_waits_or_is_in_flight() {
    let mut bench = Bench::with([create(1, 1)]);
    assert_eq!(bench.outbox.key_of(source(1)), Some(&by_value(1)));
    let batch = bench.next().unwrap();
    assert_eq!(bench.outbox.key_of(source(1)), Some(&by_value(1)));
    bench.save(&batch);
    assert_eq!(bench.outbox.key_of(source(1)), None);
}

// Parents.

#[test]
fn a_child_goes_out_once_its_parent_is_made() {
    let mut bench = Bench::with([child_of(1, create(2, 1)), create(1, 2)]);
    let parents = bench.next().unwrap();
    assert_eq!(sources_of(&parents), [source(1)]);
    assert!(bench.next().is_none());
    bench.save(&parents);
    assert_eq!(bench.sends(), [source(2)]);
}

#[test]
fn a_child_goes_out_once_its_parent_is_deleted() {
    let mut bench = Bench::with([delete(1, 1), child_of(1, update(2, 2))]);
    let parents = bench.next().unwrap();
    assert_eq!(sources_of(&parents), [source(1)]);
    assert!(bench.next().is_none());
    bench.save(&parents);
    assert_eq!(bench.sends(), [source(2)]);
}

#[test]
fn nobody_waits_for_a_parent_that_only_changes() {
    let mut bench = Bench::with([update(1, 1), child_of(1, update(2, 2))]);
    assert_eq!(bench.sends(), [source(1), source(2)]);
}

#[test]
fn records_that_are_each_others_parents_do_not_wait_for_ever() {
    let mut bench = Bench::with([child_of(3, create(1, 1)), child_of(1, create(2, 2)), child_of(2, create(3, 3))]);
    let mut sent = Vec::new();
    while let Some(batch) = bench.next() {
        sent.extend(sources_of(&batch));
        bench.save(&batch);
    }
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert!(bench.outbox.is_empty());
    let mut own = Bench::with([child_of(1, create(1, 1))]);
    assert_eq!(own.sends(), [source(1)]);
}

#[test]
fn children_are_released_however_the_answer_lets_their_maker_leave() {
    let at = Instant::now();
    let settled = [
        ("saved", Verdict::Saved { id: counterpart(record(1)), created: None }),
        ("refused", Verdict::Refused(failed("STRING_TOO_LONG"))),
        ("to be read", Verdict::Reread),
        ("gone", Verdict::Gone),
    ];
    for (how, verdict) in settled {
        let mut bench = Bench::with([create(1, 1), child_of(1, create(2, 2))]);
        let batch = bench.next().unwrap();
        bench.settle(&batch, |_| verdict.clone());
        assert_eq!(bench.sends(), [source(2)], "{how}");
    }
    for (how, verdict) in [("again", Verdict::Retry { at: at + SECOND_OF_TIME }), ("lost", Verdict::Unknown { at })] {
        let mut bench = Bench::with([create(1, 1), child_of(1, create(2, 2))]);
        let batch = bench.next().unwrap();
        bench.settle(&batch, |_| verdict.clone());
        assert!(!bench.sends().contains(&source(2)), "its parent is still on its way: {how}");
    }
}

#[test]
fn children_are_released_when_their_maker_leaves_without_having_gone_out() {
    // It is to be read, because an update follows its delete.
    let mut bench = Bench::with([delete(1, 1), child_of(1, update(2, 2)), update(1, 3)]);
    assert_eq!(bench.sends(), [source(2)]);
    // It is parked for a parent of its own.
    let mut bench = Bench::with([create(9, 1), child(create(1, 2), 9, false), child_of(1, create(2, 3))]);
    let batch = bench.next().unwrap();
    bench.settle(&batch, |_| Verdict::Refused(failed("STRING_TOO_LONG")));
    assert_eq!(bench.sends(), [source(2)]);
    // It turned out to have its record already.
    let mut bench = Bench::with([update(1, 1)]);
    let batch = bench.next().unwrap();
    bench.offer(create(1, 2));
    bench.offer(child_of(1, create(2, 3)));
    bench.save(&batch);
    let parent = bench.next().unwrap();
    assert_eq!(sources_of(&parent), [source(1)]);
    bench.save(&parent);
    assert_eq!(bench.sends(), [source(2)]);
}

#[test]
fn a_write_whose_parent_the_target_cannot_be_told_is_parked_for_it() {
    let mut bench = Bench::with([child(update(2, 1), 1, false)]);
    let handed = bench.outbox.take_handed();
    let [Handed::Parked { covers, refusal, sent: false, request: None }] = &handed[..] else { panic!("{handed:?}") };
    assert_eq!(covers[..], [cover(2, 1, 1)]);
    assert_eq!((refusal.state, &refusal.waits_for), (ParkedState::Waiting, &Some(parent(1))));
    assert!(bench.outbox.is_empty());
}

// Locks.

/// The same, with another word for what happens when the parent is missing.
fn missing_parent_is(mut write: Write, what: IfMissing) -> Write {
    let (Body::Whole(fields) | Body::Partial(fields)) = &mut write.body else { panic!("a delete has no parent") };
    for cell in fields.values_mut() {
        if let Cell::Parent(reference) = cell {
            reference.if_missing = what;
        }
    }
    write
}

fn lookup(write: &Write) -> Option<&Cell> {
    write.fields()?.get(&"Parent__c".parse::<FieldName>().unwrap())
}

const EMPTIED: fn(u32) -> Cell = |of| Cell::Unfilled { parent: Some(parent(of)), emptied: true };

#[test]
fn a_write_goes_without_a_parent_that_the_target_does_not_have() {
    for (what, left) in [(IfMissing::FillLater, Some(EMPTIED(9))), (IfMissing::Skip, None)] {
        // One that is refused, and one whose parent cannot be told at all.
        let mut bench = Bench::with([missing_parent_is(child(create(1, 1), 9, true), what)]);
        let batch = bench.next().unwrap();
        assert_eq!(
            bench.settle(&batch, |_| Verdict::Without(parent(9))),
            [Handed::Answered { sources: vec![source(1)] }]
        );
        let again = bench.next().unwrap();
        assert_eq!((lookup(&again.writes[0]), &again.writes[0].waits_for), (left.as_ref(), &Vec::new()));
        let mut open = Bench::with([missing_parent_is(child(create(1, 1), 9, false), what)]);
        let sent = open.next().unwrap();
        assert_eq!((lookup(&sent.writes[0]), value(&sent.writes[0], "A")), (left.as_ref(), Some("whole 1")));
        assert!(matches!(open.save(&sent).as_slice(), [Handed::Settled { .. }]));
    }
}

#[test]
fn a_parent_that_is_on_its_way_by_then_is_waited_for() {
    let child = missing_parent_is(child_of(9, create(1, 2)), IfMissing::FillLater);
    let mut bench = Bench::with([child]);
    let batch = bench.next().unwrap();
    bench.offer(create(9, 3));
    bench.settle(&batch, |_| Verdict::Without(parent(9)));
    let made = bench.next().unwrap();
    assert_eq!((sources_of(&made), bench.sends()), (vec![source(9)], vec![]));
    bench.save(&made);
    assert!(matches!(lookup(&bench.next().unwrap().writes[0]), Some(Cell::Parent(_))));
}

#[test]
fn records_that_are_each_others_parents_are_made_without_each_other() {
    let later = |write| missing_parent_is(write, IfMissing::FillLater);
    let mut bench = Bench::with([later(child_of(2, create(1, 1))), later(child_of(1, create(2, 2)))]);
    let first = bench.next().unwrap();
    assert_eq!(sources_of(&first), [source(1)]);
    bench.settle(&first, |_| Verdict::Without(parent(2)));
    let again = bench.next().unwrap();
    assert_eq!((sources_of(&again), lookup(&again.writes[0])), (vec![source(1)], Some(&EMPTIED(2))));
    bench.save(&again);
    let second = bench.next().unwrap();
    assert!(matches!(lookup(&second.writes[0]), Some(Cell::Parent(_))), "{second:?}");
    bench.save(&second);
    assert!(bench.outbox.is_empty());
}

#[test]
fn an_update_of_which_nothing_is_left_needs_no_call() {
    let of_parent_alone = child(write(1, 1, by_link(1), Body::Partial(BTreeMap::new())), 9, false);
    let mut bench = Bench::with([missing_parent_is(of_parent_alone.clone(), IfMissing::Skip)]);
    assert_eq!(bench.sends(), []);
    let handed = bench.outbox.take_handed();
    assert!(
        matches!(handed.as_slice(), [Handed::Settled { id: Some(id), .. }] if *id == counterpart(record(1))),
        "{handed:?}"
    );
    let mut bench = Bench::with([missing_parent_is(of_parent_alone, IfMissing::FillLater)]);
    assert_eq!(bench.sends(), [source(1)], "the field is emptied");
}

#[test]
fn a_missing_parent_fails_its_child_where_that_is_wanted() {
    let mut bench = Bench::with([missing_parent_is(child(create(1, 1), 9, false), IfMissing::Fail)]);
    assert_eq!(bench.sends(), []);
    let handed = bench.outbox.take_handed();
    let [Handed::Parked { refusal, .. }] = handed.as_slice() else { panic!("{handed:?}") };
    assert_eq!(
        (refusal.state, refusal.code.as_str(), &refusal.waits_for),
        (ParkedState::Failed, "PARENT_MISSING", &None)
    );
}

#[test]
fn writes_that_lock_one_record_share_a_batch_and_are_never_in_two_at_once() {
    let mut bench = Bench::with([child_of(1, update(2, 1)), child_of(1, update(3, 2)), child_of(1, create(4, 3))]);
    let updates = bench.next().unwrap();
    assert_eq!(sources_of(&updates), [source(2), source(3)]);
    bench.offer(child_of(1, update(5, 4)));
    bench.offer(child_of(9, update(6, 5)));
    assert_eq!(bench.sends(), [source(6)]);
    assert!(bench.next().is_none());
    bench.save(&updates);
    assert_eq!(bench.sends(), [source(4)]);
    assert!(bench.next().is_none(), "the lock is taken again");
}

#[test]
fn a_parent_and_its_child_are_never_in_two_batches_at_once() {
    for parent_first in [true, false] {
        let mut bench = Bench::with([if parent_first { update(1, 1) } else { child_of(1, update(2, 1)) }]);
        let first = bench.next().unwrap();
        bench.offer(if parent_first { child_of(1, update(2, 2)) } else { update(1, 2) });
        bench.offer(update(3, 3));
        assert_eq!(bench.sends(), [source(3)]);
        bench.save(&first);
        assert_eq!(bench.sends().len(), 1);
    }
}

fn locked(at: Instant, id: RecordId) -> Verdict {
    Verdict::Locked { at, records: vec![id] }
}

#[test]
fn what_was_locked_comes_back_apart_and_its_lock_is_known_from_then_on() {
    let hot = counterpart(record(9));
    let is_hot = |write: &Write| write.covers[0].source.record <= record(3);
    let mut bench = Bench::with((1..=6).map(|n| update(n, u64::from(n))));
    let batch = bench.next().unwrap();
    let at = bench.now + SECOND_OF_TIME;
    bench.settle(&batch, |write| if is_hot(write) { locked(at, hot) } else { saved(write) });
    // Others go on meanwhile.
    bench.offer(update(7, 7));
    assert_eq!(bench.sends(), [source(7)]);
    bench.now = at;
    bench.offer(update(8, 8));
    let retried = bench.next().unwrap();
    assert_eq!(sources_of(&retried), [source(1), source(2), source(3)], "they come back together, and without others");
    // The record that is locked waits for them, and so do others that lock it, but nobody else does.
    bench.offer(update(9, 9));
    assert_eq!(bench.sends(), [source(8)]);
    bench.save(&retried);
    bench.offer(update(1, 10));
    bench.offer(update(2, 11));
    let again = bench.next().unwrap();
    assert_eq!(sources_of(&again), [source(9), source(1), source(2)], "in one batch they do not disturb each other");
    bench.offer(update(3, 12));
    assert_eq!(bench.sends(), []);
    bench.save(&again);
    assert_eq!(bench.sends(), [source(3)]);
}

#[test]
fn children_that_name_a_parent_which_was_locked_share_its_lock_from_then_on() {
    let linked = |n: u32, seq| {
        let mut write = child_of(9, update(n, seq));
        write.lock_keys.clear();
        if let Body::Partial(fields) = &mut write.body
            && let Some(Cell::Parent(reference)) = fields.get_mut(&"Parent__c".parse::<FieldName>().unwrap())
        {
            reference.link = Some(counterpart(record(9)));
        }
        write
    };
    let mut bench = Bench::with([linked(1, 1)]);
    let first = bench.next().unwrap();
    bench.offer(linked(2, 2));
    let second = bench.next().unwrap();
    let at = bench.now;
    bench.settle(&first, |_| locked(at, counterpart(record(9))));
    bench.save(&second);
    assert_eq!(bench.sends(), [source(1)]);
    bench.offer(linked(3, 3));
    assert_eq!(bench.sends(), [], "it was told that they lock it");
}

#[test]
fn more_than_two_hundred_children_of_one_parent_go_out_in_batches_one_after_the_other() {
    let mut bench = Bench::with((0..450).map(|n| child_of(999, update(n, u64::from(n)))));
    for expected in [200, 200, 50] {
        let batch = bench.next().unwrap();
        assert_eq!(batch.writes.len(), expected);
        assert!(bench.next().is_none());
        bench.save(&batch);
    }
}

// Manners.

fn with_rules(mut write: Write) -> Write {
    write.manner.options.assignment_rules = AssignmentRules::Active;
    write
}

fn each_step(mut write: Write) -> Write {
    write.manner.coalesce = false;
    write
}

#[test]
fn writes_with_different_options_share_no_batch() {
    let mut bench = Bench::with([update(1, 1), with_rules(update(2, 2)), update(3, 3)]);
    assert_eq!(bench.sends(), [source(1), source(3)]);
    let batch = bench.next().unwrap();
    let options = SaveOptions { assignment_rules: AssignmentRules::Active, ..SaveOptions::default() };
    assert_eq!(batch.call, Call::Update { object: object(), options });
    assert_eq!(batch.writes[0].covers[0].source, source(2));
}

#[test]
fn two_pipelines_with_different_options_write_one_record_one_after_the_other() {
    for second in [with_rules, each_step] {
        let mut bench = Bench::with([create(1, 1), of_second_pipeline(second(create(1, 2)))]);
        assert_eq!(bench.outbox.waiting(), 2, "they do not merge");
        let first = bench.next().unwrap();
        assert_eq!(first.writes[0].covers, [cover(1, 1, 1)]);
        assert!(bench.next().is_none(), "a record has one write in flight");
        bench.settle(&first, saved);
        let batch = bench.next().unwrap();
        assert_eq!(batch.writes.len(), 1);
        assert_eq!(batch.writes[0].covers[0].source.pipeline, SECOND);
    }
    let mut bench = Bench::with([create(1, 1), of_second_pipeline(create(1, 2))]);
    assert_eq!(bench.next().unwrap().writes[0].covers.len(), 2, "with the same options they merge");
}

#[test]
fn a_delete_takes_in_whatever_waits_for_its_record() {
    let bench = Bench::with([update(1, 1), with_rules(of_second_pipeline(delete(1, 2)))]);
    assert_eq!(bench.outbox.waiting(), 1);
}

// Batches.

#[test]
fn a_batch_holds_at_most_two_hundred_writes_of_one_call_the_oldest_first() {
    let mut bench = Bench::with((1..=450).rev().map(|n| update(n, u64::from(n))));
    bench.offer(create(500, 0));
    assert_eq!(bench.sends(), [source(500)]);
    assert_eq!(bench.sends(), (1..=200).map(source).collect::<Vec<_>>());
    assert_eq!(bench.sends(), (201..=400).map(source).collect::<Vec<_>>());
    assert_eq!(bench.sends(), (401..=450).map(source).collect::<Vec<_>>());
}

#[test]
fn each_kind_of_write_has_its_call() {
    let call = |write| Bench::with([write]).next().map(|batch| batch.call);
    let (object, key_field, options) = (object(), "Key__c".parse().unwrap(), SaveOptions::default());
    assert_eq!(call(create(1, 1)), Some(Call::Upsert { object: object.clone(), key_field, options }));
    assert_eq!(call(rewrite(1, 1)), Some(Call::Update { object: object.clone(), options }));
    assert_eq!(call(update(1, 1)), Some(Call::Update { object: object.clone(), options }));
    assert_eq!(call(delete(1, 1)), Some(Call::Delete { object }));
    assert_eq!(call(update_of_coming(1, 1)), None);
}

#[test]
fn a_delete_whose_record_is_not_known_is_handed_out_with_its_key() {
    let mut bench = Bench::with([Write { key: by_value(1), ..delete(1, 1) }]);
    let read = Handed::Read { covers: vec![cover(1, 1, 1)], delete: Some(by_value(1)), sent: false };
    assert_eq!(bench.outbox.take_handed(), [read]);
    let mut bench = Bench::with([update_of_coming(1, 1)]);
    let read = Handed::Read { covers: vec![cover(1, 1, 1)], delete: None, sent: false };
    assert_eq!(bench.outbox.take_handed(), [read]);
}

#[test]
fn only_as_many_batches_are_in_flight_as_the_window_allows() {
    let mut bench = Bench::with((0..3_000).map(|n| update(n, u64::from(n))));
    let flights: Vec<Batch> = std::iter::from_fn(|| bench.next()).collect();
    assert_eq!(flights.len(), 4);
    bench.settle(&flights[0], |_| Verdict::Unknown { at: Instant::now() });
    assert!(bench.next().is_none(), "three are as many as fit after a lost answer, and more");
    bench.save(&flights[1]);
    bench.save(&flights[2]);
    assert!(bench.next().is_some());
}

#[test]
fn what_is_refused_together_is_tried_in_halves_until_the_bad_one_is_alone() {
    let bad = source(137);
    let mut bench = Bench::with((0..200).map(|n| update(n, u64::from(n))));
    let (mut calls, mut settled, mut parked) = (0, Vec::new(), Vec::new());
    while let Some(batch) = bench.next() {
        calls += 1;
        let refused = sources_of(&batch).contains(&bad);
        let alone = batch.writes.len() == 1;
        let handed = bench.settle(&batch, |write| match (refused, alone) {
            (false, _) => saved(write),
            (true, false) => Verdict::Split,
            (true, true) => Verdict::Refused(failed("UNKNOWN_EXCEPTION")),
        });
        for handed in handed {
            match handed {
                Handed::Settled { write, .. } => settled.extend(sources(&write)),
                Handed::Parked { covers, .. } => parked.extend(covers.iter().map(|cover| cover.source)),
                Handed::Answered { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(parked, [bad]);
    assert_eq!(settled.len(), 199);
    // 200, 100, 50, 25, 13, 7, 4, 2, 1: each but the first with its other half.
    assert!(calls <= 17, "{calls} calls");
    assert!(bench.outbox.is_empty());
}

#[test]
fn the_halves_of_a_batch_cost_at_most_32_more_calls_and_what_is_left_waits_for_its_next_round() {
    for bad in [1, 3, 40, 200] {
        let mut bench = Bench::with((0..200).map(|n| update(n, u64::from(n))));
        let is_bad = |write: &Write| sources(write)[0].record < record(bad);
        let (mut calls, mut settled, mut parked, mut rounds) = (0, 0, HashSet::new(), 0);
        while !bench.outbox.is_empty() {
            let Some(batch) = bench.next() else {
                // Each batch of this round had its own calls.
                assert!(calls <= 33 * (1 << (5 * rounds)), "{bad}: {calls} calls in round {rounds}");
                (calls, rounds) = (0, rounds + 1);
                bench.now = bench.outbox.wakeup().unwrap();
                continue;
            };
            calls += 1;
            let (spoilt, alone) = (batch.writes.iter().any(is_bad), batch.writes.len() == 1);
            for handed in bench.settle(&batch, |write| match (spoilt, alone) {
                (false, _) => saved(write),
                (true, false) => Verdict::Split,
                (true, true) => Verdict::Refused(failed("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY")),
            }) {
                match handed {
                    Handed::Settled { .. } => settled += 1,
                    Handed::Parked { covers, .. } => parked.extend(covers.iter().map(|cover| cover.source.record)),
                    Handed::Answered { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!((settled, parked.len()), (200 - bad, bad as usize), "only those fail that failed alone");
        assert!(rounds <= 5, "{bad}: {rounds}");
    }
}

#[test]
fn a_batch_that_was_too_much_is_halved_and_so_are_those_to_come() {
    let mut bench = Bench::with((0..300).map(|n| update(n, u64::from(n))));
    let batch = bench.next().unwrap();
    let handed = bench.settle(&batch, |_| Verdict::TooMuch);
    let resized = handed.iter().filter(|handed| matches!(handed, Handed::Resized { size: 100, .. })).count();
    assert_eq!(resized, 1);
    let sizes: Vec<usize> = std::iter::from_fn(|| bench.next()).map(|batch| batch.writes.len()).collect();
    assert_eq!(sizes, [100, 100, 100]);
    let mut bench = Bench::with([]);
    bench.outbox.set_batch_size(&object(), 200, Some(7));
    (0..9).for_each(|n| bench.offer(update(n, u64::from(n))));
    assert_eq!((bench.sends().len(), bench.sends().len()), (7, 2));
}

#[test]
fn calls_that_are_refused_whoever_is_in_them_rest_and_then_one_batch_finds_out() {
    let mut bench = Bench::with((0..450).map(|n| update(n, u64::from(n))));
    let batches: Vec<Batch> = std::iter::from_fn(|| bench.next()).collect();
    let until = bench.now + SECOND_OF_TIME;
    let now = bench.now;
    for batch in &batches {
        assert!(!bench.outbox.hold(&batch.call, until), "nobody was to find out");
        bench.settle(batch, |_| Verdict::Held { at: now });
    }
    bench.offer(create(900, 900));
    assert_eq!(bench.sends(), [source(900)], "another kind of call");
    assert_eq!((bench.sends(), bench.outbox.wakeup()), (vec![], Some(until)));
    bench.now = until;
    let probe = bench.next().unwrap();
    assert_eq!((probe.writes.len(), bench.sends()), (200, vec![]), "one batch alone");
    assert_eq!(bench.outbox.wakeup(), None, "its answer is waited for");
    assert!(bench.outbox.hold(&probe.call, until + SECOND_OF_TIME));
    bench.settle(&probe, |_| Verdict::Held { at: until });
    assert_eq!((bench.sends(), bench.outbox.wakeup()), (vec![], Some(until + SECOND_OF_TIME)));
    bench.now = until + SECOND_OF_TIME;
    let probe = bench.next().unwrap();
    bench.save(&probe);
    assert_eq!((bench.sends().len(), bench.sends().len()), (200, 50));
}

#[test]
fn what_waits_of_a_pipeline_is_withdrawn_and_others_go_on() {
    let both = of_second_pipeline(update(2, 3));
    let mut bench = Bench::with([update(1, 1), update(2, 2), both, of_second_pipeline(update(3, 4))]);
    let now = bench.now;
    bench.outbox.withdraw(FIRST, &failed("HALTED"), now);
    let handed = bench.outbox.take_handed();
    let [Handed::Parked { covers: one, .. }, Handed::Parked { covers: two, .. }, Handed::Read { covers: other, .. }] =
        &handed[..]
    else {
        panic!("{handed:?}")
    };
    assert_eq!((one.len(), two.len(), other[0].source.pipeline), (1, 1, SECOND));
    assert_eq!(bench.sends(), [Source { pipeline: SECOND, record: record(3) }]);
    assert!(bench.outbox.waiting.is_empty());
}

#[test]
fn halves_do_not_mix_with_what_comes_meanwhile() {
    let mut bench = Bench::with((0..4).map(|n| update(n, u64::from(n))));
    let batch = bench.next().unwrap();
    bench.offer(update(9, 9));
    bench.settle(&batch, |_| Verdict::Split);
    assert_eq!(bench.sends(), [source(0), source(1)]);
    assert_eq!(bench.sends(), [source(2), source(3)]);
    assert_eq!(bench.sends(), [source(9)]);
}

// Time.

#[test]
fn nothing_goes_out_while_the_target_is_left_alone() {
    let mut bench = Bench::with([update(1, 1)]);
    let until = bench.now + SECOND_OF_TIME;
    bench.outbox.pause(until);
    bench.outbox.pause(bench.now);
    assert!(bench.next().is_none());
    assert_eq!(bench.outbox.wakeup(), Some(until), "an earlier end does not shorten a pause");
    bench.now = until;
    assert_eq!(bench.sends(), [source(1)]);
    assert_eq!(bench.outbox.wakeup(), None);
}

#[test]
fn a_write_that_is_to_be_repeated_goes_out_again_when_its_time_has_come() {
    let mut bench = Bench::with([update(1, 1)]);
    let batch = bench.next().unwrap();
    assert_eq!(batch.tries, [0]);
    let at = bench.now + SECOND_OF_TIME;
    assert_eq!(bench.settle(&batch, |_| Verdict::Retry { at }), [Handed::Answered { sources: vec![source(1)] }]);
    assert!(bench.next().is_none());
    assert_eq!(bench.outbox.wakeup(), Some(at));
    bench.outbox.pause(at + SECOND_OF_TIME);
    assert_eq!(bench.outbox.wakeup(), Some(at + SECOND_OF_TIME));
    bench.now = at + SECOND_OF_TIME;
    assert_eq!(bench.next().unwrap().tries, [1]);
}

#[test]
fn a_newer_change_does_not_hurry_a_write_that_is_to_be_repeated_later() {
    let mut bench = Bench::with([update(1, 1)]);
    let batch = bench.next().unwrap();
    let at = bench.now + SECOND_OF_TIME;
    bench.settle(&batch, |_| Verdict::Retry { at });
    bench.offer(update(1, 2));
    assert!(bench.next().is_none());
    bench.now = at;
    let again = bench.next().unwrap();
    assert_eq!((again.writes[0].covers[0], again.tries[0]), (cover(1, 1, 2), 1));
}

// Answers.

#[test]
fn what_waits_becomes_an_update_when_the_link_lands() {
    let mut bench = Bench::with([create(1, 1)]);
    let batch = bench.next().unwrap();
    bench.offer(update_of_coming(1, 2));
    let handed = bench.save(&batch);
    assert!(matches!(&handed[..], [Handed::Settled { id: Some(id), .. }] if *id == counterpart(record(1))));
    let batch = bench.next().unwrap();
    assert_eq!(
        (&batch.writes[0].key, &batch.call),
        (&by_link(1), &Call::Update { object: object(), options: SaveOptions::default() })
    );
}

#[test]
fn a_delete_that_waits_for_the_link_deletes_the_record_that_was_made() {
    let mut bench = Bench::with([create(1, 1)]);
    let batch = bench.next().unwrap();
    bench.offer(Write { key: by_value(1), ..delete(1, 2) });
    bench.save(&batch);
    assert_eq!(bench.next().unwrap().writes[0].key, by_link(1));
}

fn delete_if_created(n: u32, seq: u64, key: Key) -> Write {
    Write { key, if_created: true, ..delete(n, seq) }
}

#[test]
fn a_delete_of_what_the_bridge_must_have_created_goes_out_only_where_it_did_just_now() {
    for created in [Some(true), Some(false), None] {
        let mut bench = Bench::with([create(1, 1)]);
        let batch = bench.next().unwrap();
        bench.offer(delete_if_created(1, 2, by_value(1)));
        let handed = bench.settle(&batch, |_| Verdict::Saved { id: counterpart(record(1)), created });
        if created == Some(true) {
            assert_eq!(bench.next().unwrap().writes[0].key, by_link(1));
        } else {
            let read = Handed::Read { covers: vec![cover(1, 2, 2)], delete: Some(by_link(1)), sent: false };
            assert_eq!(handed[0], read, "{created:?}");
            assert!(bench.outbox.is_empty());
        }
    }
}

#[test]
fn a_delete_that_is_not_decided_never_becomes_one_that_is_by_merging_with_what_is_no_delete() {
    let undecided = || delete_if_created(1, 2, by_value(1));
    let after = |older: Write| older.then(undecided()).unwrap();
    for older in [create(1, 1), rewrite(1, 1), update(1, 1), delete_if_created(1, 1, by_link(1))] {
        assert!(after(older.clone()).if_created, "{older:?}");
    }
    assert!(!after(delete(1, 1)).if_created, "its record may go in any case");
    assert!(!undecided().then(create(1, 3)).unwrap().if_created);
    assert!(!undecided().then(delete(1, 3)).unwrap().if_created);
}

#[test]
fn what_waits_for_a_record_that_was_deleted_is_read_because_it_lacks_what_only_a_create_writes() {
    for behind in [rewrite(1, 2), update(1, 2)] {
        let mut bench = Bench::with([delete(1, 1)]);
        let batch = bench.next().unwrap();
        bench.offer(behind);
        let handed = bench.save(&batch);
        let read = Handed::Read { covers: vec![cover(1, 2, 2)], delete: None, sent: false };
        assert!(matches!(&handed[..], [first, Handed::Settled { id: None, .. }] if *first == read), "{handed:?}");
        assert!(bench.outbox.is_empty());
    }
    // What was made to find its record by the key goes on.
    let mut bench = Bench::with([delete(1, 1)]);
    let batch = bench.next().unwrap();
    bench.offer(create(1, 2));
    bench.save(&batch);
    assert_eq!(bench.next().unwrap().writes[0].key, by_value(1));
}

#[test]
fn a_lost_answer_is_told_and_the_write_waits_again_under_what_came_meanwhile() {
    let mut bench = Bench::with([rewrite(1, 1)]);
    let batch = bench.next().unwrap();
    let mut reading = update(1, 2);
    reading.covers[0].clears_suspect = true;
    bench.offer(reading);
    let at = bench.now;
    assert_eq!(bench.settle(&batch, |_| Verdict::Unknown { at }), [Handed::Lost { sources: vec![source(1)] }]);
    let again = bench.next().unwrap();
    assert_eq!(again.writes[0].covers, [cover(1, 1, 2)], "what was on its way does not end this suspicion");
    assert_eq!((value(&again.writes[0], "A"), value(&again.writes[0], "B")), (Some("update 2"), Some("whole 1")));
}

#[test]
fn a_write_without_a_verdict_counts_as_lost() {
    let mut bench = Bench::with([update(1, 1), update(2, 2)]);
    let batch = bench.next().unwrap();
    bench.outbox.settle(batch.flight, vec![saved(&batch.writes[0])], bench.now);
    let handed = bench.outbox.take_handed();
    assert!(matches!(&handed[..], [Handed::Settled { .. }, Handed::Lost { sources }] if *sources == [source(2)]));
    assert_eq!(bench.sends(), [source(2)]);
}

#[test]
fn an_answer_that_comes_twice_is_used_once() {
    let mut bench = Bench::with([update(1, 1)]);
    let batch = bench.next().unwrap();
    assert_eq!(bench.save(&batch).len(), 1);
    assert_eq!(bench.save(&batch), []);
}

#[test]
fn a_refused_write_is_tried_again_with_what_came_meanwhile() {
    let mut bench = Bench::with([update(1, 1)]);
    let batch = bench.next().unwrap();
    bench.offer(write(1, 2, by_link(1), Body::Partial(cells(&[("B", "mended")]))));
    let refuse = |_: &Write| Verdict::Refused(failed("FIELD_CUSTOM_VALIDATION_EXCEPTION"));
    assert_eq!(bench.settle(&batch, refuse), [Handed::Answered { sources: vec![source(1)] }]);
    let again = bench.next().unwrap();
    assert_eq!(again.writes[0].body, Body::Partial(cells(&[("A", "update 1"), ("B", "mended")])));
    let handed = bench.settle(&again, refuse);
    let [Handed::Parked { covers, sent: true, .. }] = &handed[..] else { panic!("{handed:?}") };
    assert_eq!(covers[..], [cover(1, 1, 2)]);
    assert!(bench.outbox.is_empty());
}

#[test]
fn what_waits_behind_a_record_that_is_gone_leaves_with_it_and_another_source_goes_on_by_itself() {
    let mut bench = Bench::with([update(1, 1)]);
    let batch = bench.next().unwrap();
    bench.offer(update(1, 2));
    bench.offer(of_second_pipeline(update(1, 3)));
    let handed = bench.settle(&batch, |_| Verdict::Gone);
    let other = Cover { source: Source { pipeline: SECOND, record: record(1) }, ..cover(1, 3, 3) };
    let target = Some(counterpart(record(1)));
    let gone = Handed::Gone { covers: vec![cover(1, 1, 2)], target, revives: false, alone: None };
    assert_eq!(handed, [gone, Handed::Read { covers: vec![other], delete: None, sent: false }]);
    assert!(bench.outbox.is_empty());
}

#[test]
fn what_waits_behind_a_record_that_must_be_read_is_read_with_it() {
    let mut bench = Bench::with([update(1, 1)]);
    let batch = bench.next().unwrap();
    bench.offer(update(1, 2));
    let read = Handed::Read { covers: vec![cover(1, 1, 2)], delete: None, sent: true };
    assert_eq!(bench.settle(&batch, |_| Verdict::Reread), [read]);
    assert!(bench.outbox.is_empty());
}

// How long the first waits for company.

#[test]
fn the_first_write_waits_for_company_until_its_call_is_full_or_it_has_waited_long_enough() {
    let mut bench = Bench::with([]);
    bench.outbox.set_linger(5 * SECOND_OF_TIME);
    let start = bench.now;
    bench.offer(update(1, 1));
    assert!(bench.next().is_none());
    assert_eq!(bench.outbox.wakeup(), Some(start + 5 * SECOND_OF_TIME));
    bench.now += 4 * SECOND_OF_TIME;
    bench.offer(update(2, 2));
    assert!(bench.next().is_none(), "who comes later does not wait for less, nor makes the first one wait for more");
    bench.now += SECOND_OF_TIME;
    assert_eq!(bench.sends(), [source(1), source(2)]);
    assert_eq!(bench.outbox.wakeup(), None);
    // A full call does not wait; what is left of it does.
    (10..211).for_each(|n| bench.offer(update(n, u64::from(n))));
    assert_eq!(bench.sends().len(), 200);
    assert!(bench.next().is_none());
    bench.now += 5 * SECOND_OF_TIME;
    assert_eq!(bench.sends(), [source(210)]);
}

#[test]
fn a_record_that_changes_all_the_time_waits_no_longer_than_others() {
    let mut bench = Bench::with([]);
    bench.outbox.set_linger(5 * SECOND_OF_TIME);
    for n in 0..5 {
        bench.offer(update(1, n));
        assert!(bench.next().is_none());
        bench.now += SECOND_OF_TIME;
    }
    bench.offer(update(1, 5));
    assert_eq!(bench.sends(), [source(1)]);
}

#[test]
fn what_was_refused_before_does_not_wait_for_company_and_nothing_does_without_a_linger() {
    let mut bench = Bench::with([update(1, 1), update(2, 2)]);
    assert_eq!(bench.outbox.wakeup(), None);
    let batch = bench.next().unwrap();
    bench.outbox.set_linger(5 * SECOND_OF_TIME);
    bench.settle(&batch, |_| Verdict::Split);
    let halves = [bench.sends(), bench.sends()];
    assert_eq!(halves, [[source(1)], [source(2)]]);
}

#[test]
fn while_every_request_is_out_nothing_is_due_for_want_of_company() {
    let mut bench = Bench::with([]);
    (0..4).for_each(|n| {
        bench.offer(update(n, u64::from(n)));
        bench.next().unwrap();
    });
    bench.outbox.set_linger(SECOND_OF_TIME);
    bench.offer(update(9, 9));
    bench.now += 2 * SECOND_OF_TIME;
    assert!(bench.next().is_none());
    assert_eq!(bench.outbox.wakeup(), None, "an answer comes first");
}

// How full it is.

#[test]
fn each_record_is_counted_where_it_is() {
    let mut bench = Bench::with([update(1, 1), update(2, 2)]);
    bench.next().unwrap();
    bench.offer(update(1, 3));
    let (mut waiting, mut flying) = (Vec::new(), Vec::new());
    bench.outbox.count(|source, in_flight| if in_flight { &mut flying } else { &mut waiting }.push(source));
    assert_eq!((waiting, flying), (vec![source(1)], vec![source(1), source(2)]));
}

#[test]
fn there_is_room_until_too_many_writes_or_bytes_wait() {
    let mut bench = Bench::with((0..9_999).map(|n| update(n, u64::from(n))));
    assert!(bench.outbox.has_room());
    bench.offer(update(0, 10_000));
    assert!(bench.outbox.has_room(), "joining a write that waits takes no room");
    bench.offer(update(9_999, 10_001));
    assert!(!bench.outbox.has_room());
    bench.next().unwrap();
    assert!(bench.outbox.has_room());
    let long = "x".repeat(70 << 20);
    let mut bench = Bench::with([write(1, 1, by_link(1), Body::Partial(cells(&[("A", &long)])))]);
    assert!(!bench.outbox.has_room());
    bench.next().unwrap();
    assert!(bench.outbox.has_room());
}
