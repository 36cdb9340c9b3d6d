//! Entries: their order, doubles, pages, and what is known of their records.

use std::collections::BTreeMap;

use super::Backend;
use super::given::*;
use crate::event::{Arrival, ChangeKind, Field, Seq, TextDiff, Timestamp, Value};
use crate::store::{Appended, Entry, GapKind, Store, StoreError};

pub async fn an_entry_is_found_as_it_was_appended<B: Backend>() {
    let backend = B::empty();
    let address = BTreeMap::from([
        ("City".to_owned(), Value::text("Köln \"am Rhein\"\n")),
        ("Latitude".to_owned(), Value::Number(name("50.93750000000000001"))),
        ("Street".to_owned(), Value::Null),
    ]);
    let change = event(1)
        .records(&[account(1), account(2)])
        .kind(ChangeKind::Create)
        .fields([
            ("BillingAddress", Field::New(Value::Compound(address))),
            ("Active__c", Field::Same(Value::Bool(true))),
            ("Amount__c", Field::New(Value::Number(name("12345678901234567.89")))),
            ("Description", Field::Diff),
            ("Essay__c", Field::Patch(TextDiff::new("--- \n+++ 00"))),
            ("Phone", Field::New(Value::Null)),
        ])
        .0;
    let pipeline = {
        let store = backend.open().await;
        let subscription = subscribed(&store).await;
        store.append(subscription, vec![crate::event::Arrival::Change(change.clone())], NOW).await.unwrap();
        accounts(&store).await.id
    };
    let page = backend.open().await.page(pipeline, Seq::ZERO, 10).await.unwrap();
    assert_eq!(page.entries, [Entry { seq: Seq(1), change, received: NOW }]);
}

pub async fn numbers_grow_by_arrival<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    let pipeline = accounts(&store).await.id;
    assert_eq!(store.head().await.unwrap(), Seq::ZERO);
    // Neither commit times nor replay ids order anything.
    let appended = store.append(subscription, arrivals([9, 3, 7]), NOW).await.unwrap();
    assert_eq!(appended, Appended { head: Seq(3), journaled: 3, doubles: 0 });
    store.append(subscription, arrivals([1]), NOW).await.unwrap();
    assert_eq!(store.head().await.unwrap(), Seq(4));
    let entries = store.page(pipeline, Seq::ZERO, 10).await.unwrap().entries;
    let found: Vec<_> = entries.into_iter().map(|entry| (entry.seq.0, entry.change)).collect();
    assert_eq!(found, [(1, event(9).0), (2, event(3).0), (3, event(7).0), (4, event(1).0)]);
}

pub async fn a_number_is_never_given_twice<B: Backend>() {
    let backend = B::empty();
    for (number, head) in [(1, 1), (2, 2), (3, 3)] {
        let store = backend.open().await;
        let subscription = subscribed(&store).await;
        assert_eq!(store.append(subscription, arrivals([number]), NOW).await.unwrap().head, Seq(head));
        // What is refused or known uses up none.
        store.append(subscription, arrivals([number, 1]), NOW).await.unwrap();
    }
}

pub async fn a_double_is_not_appended_again<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    let subscription = subscribed(&store).await;
    let appended = store.append(subscription, arrivals([1, 2, 1]), NOW).await.unwrap();
    assert_eq!(appended, Appended { head: Seq(2), journaled: 2, doubles: 1 });
    drop(store);
    let store = backend.open().await;
    // It may come under another replay id.
    let group = vec![event(2).replay(99).arrives(), event(3).arrives()];
    let appended = store.append(subscription, group, NOW).await.unwrap();
    assert_eq!(appended, Appended { head: Seq(3), journaled: 1, doubles: 1 });
}

pub async fn the_same_event_on_another_channel_is_no_double<B: Backend>() {
    let store = B::empty().open().await;
    let one = subscribed(&store).await;
    let other = store.subscription(&source(), &name("/data/AccountChangeEvent")).await.unwrap().id;
    store.append(one, arrivals([1]), NOW).await.unwrap();
    let appended = store.append(other, arrivals([1]), NOW).await.unwrap();
    assert_eq!(appended, Appended { head: Seq(2), journaled: 1, doubles: 0 });
}

pub async fn a_page_holds_one_object_of_one_channel<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let subscription = subscribed(&store).await;
    let elsewhere = store.subscription(&name("third"), &channel()).await.unwrap().id;
    store.append(subscription, vec![event(1).arrives(), event(2).object("Contact").arrives()], NOW).await.unwrap();
    store.append(elsewhere, arrivals([3]), NOW).await.unwrap();
    store.append(subscription, arrivals([4]), NOW).await.unwrap();
    let page = store.page(pipeline, Seq::ZERO, 10).await.unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), [1, 4]);
}

pub async fn a_full_page_ends_at_its_last_entry<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let subscription = subscribed(&store).await;
    store.append(subscription, arrivals(1..=5), NOW).await.unwrap();
    let mut after = Seq::ZERO;
    let mut pages = Vec::new();
    for _ in 0..3 {
        let page = store.page(pipeline, after, 2).await.unwrap();
        after = page.last_seq;
        pages.push((page.entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), after.0));
    }
    assert_eq!(pages, [(vec![1, 2], 2), (vec![3, 4], 4), (vec![5], 5)]);
}

pub async fn a_page_that_matches_nothing_ends_at_the_head<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = contacts(&store).await.id;
    let page = store.page(pipeline, Seq::ZERO, 10).await.unwrap();
    assert_eq!((page.entries.len(), page.last_seq), (0, Seq::ZERO), "no subscription yet");
    let subscription = subscribed(&store).await;
    store.append(subscription, arrivals(1..=3), NOW).await.unwrap();
    for (after, last) in [(0, 3), (2, 3), (3, 3), (7, 7)] {
        let page = store.page(pipeline, Seq(after), 10).await.unwrap();
        assert_eq!((page.entries.len(), page.last_seq), (0, Seq(last)), "after {after}");
    }
}

pub async fn what_a_page_passed_over_never_appears_below_it<B: Backend>() {
    const EACH: u32 = 60;
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let mut writers = tokio::task::JoinSet::new();
    for (number, channel) in [channel(), name("/data/AccountChangeEvent"), name("/data/Other__chn")].iter().enumerate()
    {
        let subscription = store.subscription(&source(), channel).await.unwrap().id;
        let store = store.clone();
        writers.spawn(async move {
            for event in 0..EACH / 2 {
                let first = u32::try_from(number).unwrap() * 1000 + event * 2;
                store.append(subscription, arrivals([first, first + 1]), NOW).await.unwrap();
            }
        });
    }
    let (mut after, mut found) = (Seq::ZERO, 0);
    while after < Seq(u64::from(EACH) * 3) {
        let page = store.page(pipeline, after, 7).await.unwrap();
        assert!(page.entries.iter().all(|entry| entry.seq > after && entry.seq <= page.last_seq));
        found += page.entries.len();
        after = page.last_seq;
        tokio::task::yield_now().await;
    }
    assert_eq!(found, EACH as usize);
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
}

pub async fn the_newest_part_of_a_record_is_told_up_to_a_number<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let subscription = subscribed(&store).await;
    let elsewhere = store.subscription(&name("sandbox"), &channel()).await.unwrap().id;
    let group = vec![
        event(1).kind(ChangeKind::Create).records(&[account(1), account(2)]).arrives(),
        event(2).records(&[account(2)]).arrives(),
        event(3).kind(ChangeKind::Delete).records(&[account(1), account(1)]).arrives(),
    ];
    store.append(subscription, group, NOW).await.unwrap();
    // A sandbox has the same record ids.
    store.append(elsewhere, vec![event(4).kind(ChangeKind::Undelete).arrives()], NOW).await.unwrap();
    let newest = async |up_to| {
        let asked = vec![account(1), account(2), account(3)];
        let parts = store.newest_parts(pipeline, asked, Seq(up_to)).await.unwrap();
        parts.into_iter().collect::<BTreeMap<_, _>>()
    };
    assert_eq!(newest(0).await, [].into());
    assert_eq!(newest(1).await, [(account(1), ChangeKind::Create), (account(2), ChangeKind::Create)].into());
    assert_eq!(newest(2).await, [(account(1), ChangeKind::Create), (account(2), ChangeKind::Update)].into());
    assert_eq!(newest(9).await, [(account(1), ChangeKind::Delete), (account(2), ChangeKind::Update)].into());
}

pub async fn events_that_name_not_all_their_records_are_entries_and_gaps<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let subscription = subscribed(&store).await;
    let group = || {
        vec![
            event(1).arrives(),
            event(2).wildcard().records(&[]).arrives(),
            event(3).kind(ChangeKind::GapOverflow).object("Contact").wildcard().records(&[]).arrives(),
        ]
    };
    // The second time they are doubles, also as gaps.
    store.append(subscription, group(), NOW).await.unwrap();
    store.append(subscription, group(), NOW).await.unwrap();
    let gaps = store.gaps().await.unwrap();
    let found: Vec<_> = gaps.iter().map(|gap| (gap.kind, gap.object.clone(), gap.seq.0, gap.from, gap.to)).collect();
    let at = |number| Some(Timestamp(NOW.0 + number));
    assert_eq!(
        found,
        [
            (GapKind::Wildcard, Some(name("Account")), 2, at(2), at(2)),
            (GapKind::Overflow, Some(name("Contact")), 3, at(3), at(3)),
        ]
    );
    assert!(gaps.iter().all(|gap| gap.subscription == subscription));
    assert_eq!(store.page(pipeline, Seq::ZERO, 10).await.unwrap().entries.len(), 2);
    assert_eq!(store.newest_parts(pipeline, vec![account(1)], Seq(9)).await.unwrap().len(), 1);
}

pub async fn an_event_that_cannot_be_read_is_a_gap_and_moves_the_position<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    let unread = Arrival::Undecodable(unreadable(7, None));
    let group = vec![event(1).arrives(), unread, event(9).arrives()];
    let appended = store.append(subscription, group, NOW).await.unwrap();
    assert_eq!((appended.head, appended.journaled), (Seq(2), 2));
    let gaps = store.gaps().await.unwrap();
    assert_eq!(gaps.iter().map(|gap| (gap.kind, gap.seq)).collect::<Vec<_>>(), [(GapKind::Undecodable, Seq(1))]);
    assert_eq!(store.subscription(&source(), &channel()).await.unwrap().position.replay_id, Some(replay_id(7)));
}

pub async fn an_org_is_pinned_to_its_id<B: Backend>() {
    let backend = B::empty();
    {
        let store = backend.open().await;
        store.pin_org(&source(), "00D000000000001AAA").await.unwrap();
        store.pin_org(&name("target"), "00D000000000002AAA").await.unwrap();
    }
    let store = backend.open().await;
    assert_eq!(store.pinned_org(&source()).await.unwrap().as_deref(), Some("00D000000000001AAA"));
    assert_eq!(store.pinned_org(&name("other")).await.unwrap(), None);
    store.pin_org(&source(), "00D000000000001AAA").await.unwrap();
    let refused = store.pin_org(&source(), "00D000000000002AAA").await.unwrap_err();
    assert!(matches!(refused, StoreError::OtherOrg { pinned, found, .. }
        if pinned == "00D000000000001AAA" && found == "00D000000000002AAA"));
    store.pin_org(&source(), "00D000000000001AAA").await.unwrap();
}
