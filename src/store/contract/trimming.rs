//! What may go of the journal, and what may not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::Backend;
use super::given::*;
use crate::config::Retain;
use crate::event::{Arrival, ChangeKind, Happening, RecordId, Seq, Timestamp};
use crate::store::{
    Applied, GapKind, JobEnd, JobEnded, Journaled, LinkChange, Mended, Parked, PipelineId, Settlement, Sought, Span,
    Store, SubscriptionId, Unfilled, Work,
};

const DAY: Duration = Duration::from_secs(24 * 3_600);
const TEN_DAYS: Retain = Retain { age: Some(Duration::from_secs(10 * 24 * 3_600)), size: None };

fn day(number: u32) -> Timestamp {
    NOW.plus(DAY * number)
}

/// Everything at once.
async fn trim(store: &impl Store, retain: Retain, now: Timestamp) -> u64 {
    trim_by(store, retain, now, 1_000).await
}

async fn trim_by(store: &impl Store, retain: Retain, now: Timestamp, limit: usize) -> u64 {
    let (mut after, mut entries) = (Seq::ZERO, 0);
    loop {
        let trimmed = store.trim_journal(retain, now, after, limit).await.unwrap();
        entries += trimmed.entries;
        after = trimmed.last;
        if trimmed.done {
            return entries;
        }
    }
}

async fn journal(store: &impl Store) -> Vec<Journaled> {
    store.journal_page(&Sought::default(), Span::ALL, 10_000).await.unwrap().entries
}

async fn numbers(store: &impl Store) -> Vec<u64> {
    journal(store).await.iter().map(|journaled| journaled.entry.seq.0).collect()
}

/// One event a day from the first day on, each of the account of its number; no pipeline wants more than is settled.
async fn days<B: Backend>(days: u32) -> (B::Store, SubscriptionId, PipelineId) {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let subscription = subscribed(&store).await;
    for number in 1..=days {
        let group = vec![event(number).records(&[account(number)]).arrives()];
        store.append(subscription, group, day(number)).await.unwrap();
    }
    settled(&store, pipeline, days.into()).await;
    (store, subscription, pipeline)
}

pub async fn what_is_old_and_settled_goes_and_the_figures_with_it<B: Backend>() {
    let (store, _, pipeline) = days::<B>(20).await;
    let before = store.journal_figures().await.unwrap();
    assert_eq!((before.entries, before.whole_since, before.trimmed_to), (20, Some(day(1)), Seq::ZERO));
    assert_eq!(trim(&store, Retain { age: None, size: None }, day(100)).await, 0);
    assert_eq!(trim(&store, TEN_DAYS, day(18)).await, 7);
    assert_eq!(numbers(&store).await, (8..=20).collect::<Vec<_>>());
    let after = store.journal_figures().await.unwrap();
    assert_eq!((after.entries, after.whole_since, after.trimmed_to), (13, Some(day(8)), Seq(7)));
    assert!(after.bytes > 0 && after.bytes < before.bytes);
    // What named the record is gone with it.
    let by_record = Sought { record: Some(account(3)), ..Sought::default() };
    assert!(store.journal_page(&by_record, Span::ALL, 9).await.unwrap().entries.is_empty());
    assert!(store.newest_parts(pipeline, vec![account(3)], Seq(20)).await.unwrap().is_empty());
    assert_eq!(trim(&store, TEN_DAYS, day(18)).await, 0);
    assert_eq!(trim_by(&store, TEN_DAYS, day(99), 3).await, 13);
    let empty = store.journal_figures().await.unwrap();
    assert_eq!((empty.entries, empty.bytes, empty.whole_since), (0, 0, None));
    assert_eq!(store.head().await.unwrap(), Seq(20), "numbers are not given again");
    store.append(subscribed(&store).await, arrivals([21]), day(99)).await.unwrap();
    assert_eq!(numbers(&store).await, [21]);
}

pub async fn what_a_pipeline_still_reads_stays<B: Backend>() {
    let (store, subscription, pipeline) = days::<B>(2).await;
    let others = contacts(&store).await.id;
    let group = vec![event(3).arrives(), event(4).object("Contact").arrives(), event(5).object("Lead").arrives()];
    store.append(subscription, group, day(2)).await.unwrap();
    settled(&store, pipeline, 2).await;
    assert_eq!(trim(&store, TEN_DAYS, day(30)).await, 3, "also what nobody reads");
    assert_eq!(numbers(&store).await, [3, 4]);
    settled(&store, others, 5).await;
    assert_eq!(trim(&store, TEN_DAYS, day(30)).await, 1);
    // A pipeline that is gone wants nothing.
    store.forget_pipeline(&identity().name).await.unwrap();
    assert_eq!(trim(&store, TEN_DAYS, day(30)).await, 1);
}

pub async fn what_a_parked_record_waits_with_stays<B: Backend>() {
    let (store, subscription, pipeline) = days::<B>(3).await;
    let group = (4..=9).map(|number| event(number).records(&[account(number % 2)]).arrives()).collect();
    store.append(subscription, group, day(4)).await.unwrap();
    settled(&store, pipeline, 9).await;
    let row = Parked { to: Seq(8), ..failed(pipeline, account(0), 5) };
    store.settle(Settlement { park: vec![row], ..Settlement::default() }).await.unwrap();
    trim(&store, TEN_DAYS, day(30)).await;
    assert_eq!(numbers(&store).await, [6, 8], "of its record, from its first to its last");
    let close = vec![(pipeline, account(0), Seq(8))];
    store.settle(Settlement { close, ..Settlement::default() }).await.unwrap();
    assert_eq!(trim(&store, TEN_DAYS, day(30)).await, 2);
}

pub async fn what_an_open_gap_names_or_waits_for_stays<B: Backend>() {
    let (store, subscription, pipeline) = days::<B>(2).await;
    let group = vec![
        event(3).kind(ChangeKind::GapOverflow).wildcard().records(&[]).arrives(),
        event(4).arrives(),
        Arrival::Live { until: day(4) },
    ];
    store.append(subscription, group, day(4)).await.unwrap();
    // The fourth event would prove that nothing is missing.
    store.append(subscription, vec![Arrival::Refused { at: day(5) }], day(5)).await.unwrap();
    settled(&store, pipeline, 4).await;
    let gaps = store.gaps().await.unwrap();
    assert_eq!(gaps.iter().map(|gap| gap.kind).collect::<Vec<_>>(), [GapKind::Overflow, GapKind::Position]);
    assert_eq!(gaps[1].proof, Some(event(4).0.event_key()));
    trim(&store, TEN_DAYS, day(30)).await;
    assert_eq!(numbers(&store).await, [3, 4]);
    for gap in gaps {
        store.close_gap(gap.id, Mended::Repair).await.unwrap();
    }
    assert_eq!(trim(&store, TEN_DAYS, day(30)).await, 2);
}

pub async fn while_a_job_is_open_nothing_of_its_object_goes<B: Backend>() {
    let (store, subscription, pipeline) = days::<B>(2).await;
    store.append(subscription, vec![event(3).object("Lead").arrives()], day(3)).await.unwrap();
    let job = store.add_job(pipeline, Work::Backfill { condition: None }, day(29)).await.unwrap().unwrap();
    trim(&store, TEN_DAYS, day(30)).await;
    assert_eq!(numbers(&store).await, [1, 2]);
    let ended = JobEnded { at: day(30), how: JobEnd::Done, why: String::new() };
    store.job_ended(job, ended).await.unwrap();
    assert_eq!(trim(&store, TEN_DAYS, day(30)).await, 2);
}

pub async fn it_is_told_up_to_where_all_that_is_left_is_needed<B: Backend>() {
    let (store, subscription, _) = days::<B>(2).await;
    for number in 3..=6 {
        store.append(subscription, vec![event(number).arrives()], day(number)).await.unwrap();
    }
    let trimmed = store.trim_journal(TEN_DAYS, day(15), Seq::ZERO, 9).await.unwrap();
    assert_eq!((trimmed.entries, trimmed.last, trimmed.pinned_to), (2, Seq(6), Seq(4)), "the fifth is too young");
    let trimmed = store.trim_journal(TEN_DAYS, day(30), Seq(4), 9).await.unwrap();
    assert_eq!((trimmed.last, trimmed.pinned_to), (Seq(6), Seq(6)));
    let each = store.journal_figures().await.unwrap().bytes / 4;
    let two = Retain { age: None, size: Some(each * 2 + each / 2) };
    settled(&store, accounts(&store).await.id, 6).await;
    let trimmed = store.trim_journal(two, day(30), Seq::ZERO, 9).await.unwrap();
    assert_eq!((trimmed.entries, trimmed.pinned_to), (2, Seq(4)), "the others may have to go next");
}

/// A lookup that leads to nothing yet.
fn lacks(pipeline: PipelineId, record: RecordId) -> Unfilled {
    Unfilled { pipeline, record, field: name("Customer__c"), parent: None, tried_at: NOW }
}

pub async fn the_deletion_of_a_record_that_may_yet_be_read_stays<B: Backend>() {
    let (store, subscription, pipeline) = days::<B>(1).await;
    let group = (1..=3).map(|number| event(number + 1).kind(ChangeKind::Delete).records(&[account(number)]).arrives());
    store.append(subscription, group.collect(), day(2)).await.unwrap();
    settled(&store, pipeline, 4).await;
    store.sending(vec![(pipeline, account(1))]).await.unwrap();
    let unfilled = vec![lacks(pipeline, account(2))];
    store.settle(Settlement { unfilled, ..Settlement::default() }).await.unwrap();
    trim(&store, TEN_DAYS, day(30)).await;
    assert_eq!(numbers(&store).await, [2, 3]);
}

pub async fn the_deletion_of_a_record_whose_counterpart_is_kept_stays<B: Backend>() {
    let (store, subscription, pipeline) = days::<B>(1).await;
    let events = [ChangeKind::Delete, ChangeKind::GapDelete, ChangeKind::Update, ChangeKind::Delete];
    let group =
        (1..).zip(events).map(|(number, kind)| event(number + 1).kind(kind).records(&[account(number)]).arrives());
    store.append(subscription, group.collect(), day(2)).await.unwrap();
    settled(&store, pipeline, 5).await;
    let links = (1..=3).map(|number| link(pipeline, account(number), target(number))).collect();
    store.settle(Settlement { links, ..Settlement::default() }).await.unwrap();
    trim(&store, TEN_DAYS, day(30)).await;
    assert_eq!(numbers(&store).await, [2, 3]);
    let drop = |number| LinkChange::Drop { pipeline, source: account(number), target: target(number) };
    store.settle(Settlement { links: vec![drop(1)], ..Settlement::default() }).await.unwrap();
    assert_eq!(trim(&store, TEN_DAYS, day(30)).await, 1, "it went in the target, too");
    store.forget_pipeline(&identity().name).await.unwrap();
    assert_eq!(trim(&store, TEN_DAYS, day(30)).await, 1, "who is gone reads nothing");
}

pub async fn where_there_is_too_much_the_oldest_goes_but_nothing_that_may_come_again<B: Backend>() {
    let (store, subscription, _) = days::<B>(20).await;
    let each = store.journal_figures().await.unwrap().bytes / 20;
    let within = |entries: u64| Retain { age: None, size: Some(each * entries + each / 2) };
    assert_eq!(trim_by(&store, within(15), day(20), 2).await, 5);
    assert_eq!(numbers(&store).await, (6..=20).collect::<Vec<_>>());
    trim(&store, within(0), day(20)).await;
    assert_eq!(numbers(&store).await, [16, 17, 18, 19, 20], "the org may deliver them again");
    let again = |number: u32| vec![event(number).records(&[account(number)]).arrives()];
    for (number, doubles) in [(16, 1), (20, 1)] {
        assert_eq!(store.append(subscription, again(number), day(20)).await.unwrap().doubles, doubles, "{number}");
    }
    let youngest = Retain { age: Some(Duration::ZERO), size: None };
    assert_eq!(trim(&store, youngest, day(20)).await, 0, "whatever was configured");
    assert_eq!(trim(&store, within(0), day(21)).await, 1);
}

pub async fn of_a_deletion_that_is_gone_its_tombstone_tells<B: Backend>() {
    let (store, subscription, pipeline) = days::<B>(1).await;
    let deletions = vec![
        event(2).kind(ChangeKind::Delete).arrives(),
        event(3).kind(ChangeKind::GapDelete).records(&[account(2)]).arrives(),
    ];
    store.append(subscription, deletions, day(2)).await.unwrap();
    let tombstone = |record, seq| (pipeline, record, Applied { seq: Seq(seq), tombstone: true });
    let applied = vec![tombstone(account(1), 2), tombstone(account(2), 3), (pipeline, account(3), applied(1))];
    store.settle(Settlement { applied, watermarks: vec![(pipeline, Seq(3))], ..Settlement::default() }).await.unwrap();
    assert_eq!(trim(&store, TEN_DAYS, day(30)).await, 3);
    let asked = vec![account(1), account(2), account(3), account(4)];
    let newest = async |up_to| {
        let parts = store.newest_parts(pipeline, asked.clone(), Seq(up_to)).await.unwrap();
        parts.into_iter().collect::<BTreeMap<_, _>>()
    };
    let deleted = |record| (record, ChangeKind::Delete);
    assert_eq!(newest(9).await, [deleted(account(1)), deleted(account(2))].into());
    assert_eq!(newest(2).await, [deleted(account(1))].into());
    // It is back, and that came later.
    store.append(subscription, vec![event(4).kind(ChangeKind::Undelete).arrives()], day(30)).await.unwrap();
    assert_eq!(newest(9).await, [(account(1), ChangeKind::Undelete), deleted(account(2))].into());
}

pub async fn what_is_forgotten_of_an_entry_makes_the_journal_smaller<B: Backend>() {
    let (store, _, _) = days::<B>(2).await;
    let before = store.journal_figures().await.unwrap();
    store.forget_record(&source(), account(1)).await.unwrap();
    let after = store.journal_figures().await.unwrap();
    assert!(after.entries == before.entries && after.bytes < before.bytes, "{before:?} {after:?}");
    assert_eq!(trim(&store, TEN_DAYS, day(30)).await, 2);
    assert_eq!(store.journal_figures().await.unwrap().bytes, 0);
}

/// One event of the random journal.
#[derive(Debug, Clone)]
struct Given {
    /// Hours behind the one before it; less than an outage.
    hours: u32,
    object: &'static str,
    records: Vec<u32>,
    kind: ChangeKind,
}

fn given() -> impl Strategy<Value = Given> {
    let kind = prop_oneof![
        4 => Just(ChangeKind::Update),
        2 => Just(ChangeKind::Delete),
        1 => Just(ChangeKind::GapUpdate),
        1 => Just(ChangeKind::GapDelete),
        1 => Just(ChangeKind::GapOverflow),
    ];
    let object = prop_oneof![3 => Just("Account"), 2 => Just("Contact"), 1 => Just("Lead")];
    (0..40_u32, object, prop::collection::vec(0..5_u32, 1..3), kind).prop_map(|(hours, object, records, kind)| Given {
        hours,
        object,
        records,
        kind,
    })
}

/// What is unsettled: numbers are of events, records, and which of the two pipelines.
#[derive(Debug, Clone)]
struct Unsettled {
    watermarks: [u64; 2],
    parked: Vec<(usize, u32, u64, u64)>,
    sent: Vec<(usize, u32)>,
    unfilled: Vec<(usize, u32)>,
    job: Option<usize>,
    /// The org refused the position.
    refused: bool,
}

fn unsettled() -> impl Strategy<Value = Unsettled> {
    let high = || prop_oneof![1 => 0..40_u64, 3 => Just(40_u64)];
    (
        [high(), high()],
        prop::collection::vec((0..2_usize, 0..5_u32, 1..40_u64, 0..9_u64), 0..3),
        prop::collection::vec((0..2_usize, 0..5_u32), 0..2),
        prop::collection::vec((0..2_usize, 0..5_u32), 0..2),
        prop_oneof![5 => Just(None), 1 => (0..2_usize).prop_map(Some)],
        any::<bool>(),
    )
        .prop_map(|(watermarks, parked, sent, unfilled, job, refused)| Unsettled {
            watermarks,
            parked,
            sent,
            unfilled,
            job,
            refused,
        })
}

/// A journal with what is unsettled of it, and when it ends.
async fn journal_of(store: &impl Store, events: &[Given], unsettled: &Unsettled) -> ([PipelineId; 2], Timestamp) {
    let pipelines = [accounts(store).await.id, contacts(store).await.id];
    let subscription = subscribed(store).await;
    let mut at = NOW;
    for (number, given) in (1..).zip(events) {
        at = at.plus(Duration::from_secs(3_600) * given.hours);
        let records: Vec<_> = given.records.iter().map(|number| account(*number)).collect();
        let change = event(number).object(given.object).records(&records).kind(given.kind).committed(at);
        store.append(subscription, vec![change.arrives()], at).await.unwrap();
    }
    if unsettled.refused {
        let refused = vec![Arrival::Live { until: at }, Arrival::Refused { at }];
        store.append(subscription, refused, at).await.unwrap();
    }
    let of = |(line, record): &(usize, u32)| (pipelines[*line], account(*record));
    let park = unsettled.parked.iter().map(|(line, record, from, more)| Parked {
        to: Seq(from + more),
        ..failed(pipelines[*line], account(*record), *from)
    });
    let unfilled = unsettled.unfilled.iter().map(of).map(|(pipeline, record)| lacks(pipeline, record));
    let watermarks = pipelines.into_iter().zip(unsettled.watermarks.map(Seq)).collect();
    let settlement =
        Settlement { park: park.collect(), unfilled: unfilled.collect(), watermarks, ..Settlement::default() };
    store.settle(settlement).await.unwrap();
    store.sending(unsettled.sent.iter().map(of).collect()).await.unwrap();
    if let Some(line) = unsettled.job {
        store.add_job(pipelines[line], Work::Backfill { condition: None }, at).await.unwrap();
    }
    (pipelines, at)
}

/// The numbers of the entries that somebody needs, by the words of the contract.
async fn needed(store: &impl Store, unsettled: &Unsettled) -> BTreeSet<u64> {
    let gaps = store.gaps().await.unwrap();
    let parked = store.parked(100).await.unwrap();
    let is_needed = |journaled: &&Journaled| {
        let (seq, change) = (journaled.entry.seq, &journaled.entry.change);
        let Happening::Record(record) = &change.happening else { return false };
        let line = ["Account", "Contact"].iter().position(|object| record.header.entity_name.as_str() == *object);
        let names = |number: &u32| record.header.record_ids.contains(&account(*number));
        line.is_some_and(|line| unsettled.watermarks[line] < seq.0 || unsettled.job == Some(line))
            || gaps.iter().any(|gap| gap.seq == seq || gap.proof == Some(change.event_key()))
            || parked
                .iter()
                .any(|row| row.from <= seq && seq <= row.to && record.header.record_ids.contains(&row.record))
            || record.header.change_type.is_delete()
                && unsettled.sent.iter().chain(&unsettled.unfilled).any(|(_, number)| names(number))
    };
    let journal = journal(store).await;
    journal.iter().filter(is_needed).map(|journaled| journaled.entry.seq.0).collect()
}

/// Whatever waits, in stretches of whatever length, for its age or for want of space.
pub fn nothing_that_is_needed_goes_and_everything_else_that_is_old_does<B: Backend>() {
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    let retain = prop_oneof![
        2 => (4..12_u32).prop_map(|days| Retain { age: Some(DAY * days), size: None }),
        1 => (0..9_000_u64).prop_map(|size| Retain { age: None, size: Some(size) }),
    ];
    let inputs = (prop::collection::vec(given(), 0..30), unsettled(), retain, 1..12_usize);
    proptest!(config, |((events, unsettled, retain, limit) in inputs)| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = B::empty().open().await;
            let (_, now) = journal_of(&store, &events, &unsettled).await;
            let needed = needed(&store, &unsettled).await;
            let before = journal(&store).await;
            trim_by(&store, retain, now, limit).await;
            let left: BTreeSet<u64> = numbers(&store).await.into_iter().collect();
            let figures = store.journal_figures().await.unwrap();
            prop_assert_eq!(figures.entries, left.len() as u64);
            let fits = retain.size.is_some_and(|size| figures.bytes <= size);
            for journaled in before {
                let (seq, received) = (journaled.entry.seq.0, journaled.entry.received);
                let is_old = |age: Duration| received < now.minus(age);
                let is_there = left.contains(&seq);
                if needed.contains(&seq) || !is_old(Retain::AT_LEAST) {
                    prop_assert!(is_there, "{} went", seq);
                }
                match retain.age {
                    Some(age) if is_old(age) && !needed.contains(&seq) => prop_assert!(!is_there, "{} stayed", seq),
                    Some(age) if !is_old(age) => prop_assert!(is_there, "{} went too early", seq),
                    Some(_) => {}
                    None if is_old(Retain::AT_LEAST) && !needed.contains(&seq) && !fits => {
                        prop_assert!(!is_there, "{} stayed, and the journal is too large", seq);
                    }
                    None => {}
                }
            }
            Ok(())
        })?;
    });
}
