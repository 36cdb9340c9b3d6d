//! Entries as people ask for them.

use super::Backend;
use super::given::*;
use crate::event::{Arrival, ChangeKind, Happening, Seq, Timestamp};
use crate::store::{JournalPage, Sought, Span, Store};

fn numbers(page: &JournalPage) -> Vec<u64> {
    page.entries.iter().map(|journaled| journaled.entry.seq.0).collect()
}

/// All that is sought, page by page.
async fn all(store: &impl Store, sought: &Sought, limit: usize) -> Vec<u64> {
    let mut span = store.journal_span(sought.since, sought.until).await.unwrap();
    let mut found = Vec::new();
    loop {
        let page = store.journal_page(sought, span, limit).await.unwrap();
        assert!(page.entries.len() <= limit);
        found.extend(numbers(&page));
        match page.next {
            Some(next) => span.above = next,
            None => return found,
        }
    }
}

pub async fn entries_come_by_number_a_page_at_a_time_with_their_org<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    store.append(subscription, arrivals(1..=5), NOW).await.unwrap();
    let found = Arrival::Found { change: event(6).kind(ChangeKind::GapUpdate).0, missed: false };
    store.append(subscription, vec![found], NOW).await.unwrap();
    let span = Span { above: Seq(2), to: Seq(5) };
    let page = store.journal_page(&Sought::default(), span, 2).await.unwrap();
    assert_eq!((numbers(&page), page.next), (vec![3, 4], Some(Seq(4))));
    let first = &page.entries[0];
    assert_eq!((first.org.as_str(), first.own), ("source", false));
    assert_eq!((&first.entry.change, first.entry.received), (&event(3).0, NOW));
    let page = store.journal_page(&Sought::default(), Span { above: Seq(5), ..Span::ALL }, 9).await.unwrap();
    assert_eq!((numbers(&page), page.next, page.entries[0].own), (vec![6], None, true));
    assert_eq!(all(&store, &Sought::default(), 4).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(store.journal_page(&Sought::default(), Span::NONE, 9).await.unwrap(), JournalPage::default());
}

pub async fn entries_are_found_by_all_that_is_said_of_them<B: Backend>() {
    let store = B::empty().open().await;
    let here = subscribed(&store).await;
    let elsewhere = store.subscription(&name("sandbox"), &name("/data/AccountChangeEvent")).await.unwrap().id;
    let message = |number: u32| {
        let happening = Happening::Event { uuid: Some(format!("uuid-{number}")), fields: [].into() };
        Arrival::Change(crate::event::Change { channel: channel(), replay_id: replay_id(number), happening })
    };
    let group = vec![
        event(1).records(&[account(1), account(2)]).arrives(),
        event(2).records(&[account(2)]).arrives(),
        event(10).records(&[account(1)]).arrives(),
        message(11),
    ];
    store.append(here, group, Timestamp(NOW.0 + 100)).await.unwrap();
    store.append(elsewhere, vec![event(1).arrives(), event(3).arrives()], NOW).await.unwrap();
    let at = |number: i64| Some(Timestamp(NOW.0 + number));
    let any = Sought::default;
    for (sought, expected) in [
        (Sought { org: Some(name("source")), ..any() }, vec![1, 2, 3, 4]),
        (Sought { channel: Some(name("/data/AccountChangeEvent")), ..any() }, vec![5, 6]),
        (Sought { record: Some(account(1)), ..any() }, vec![1, 3, 5, 6]),
        (Sought { record: Some(account(1)), org: Some(name("sandbox")), ..any() }, vec![5, 6]),
        (Sought { record: Some(account(9)), ..any() }, vec![]),
        // Of transaction-10 it is not one.
        (Sought { transaction: Some("transaction-1".to_owned()), ..any() }, vec![1, 5]),
        (Sought { transaction: Some("transaction-1".to_owned()), record: Some(account(2)), ..any() }, vec![1]),
        (Sought { transaction: Some("transaction-".to_owned()), ..any() }, vec![]),
        // The message does not say when it was committed.
        (Sought { since: at(10), ..any() }, vec![3, 4]),
        (Sought { until: at(3), ..any() }, vec![1, 2, 5]),
        (Sought { since: at(2), until: at(10), ..any() }, vec![2, 6]),
        (Sought { since: at(2), until: at(10), record: Some(account(1)), ..any() }, vec![6]),
        (Sought { since: at(200), ..any() }, vec![]),
    ] {
        for limit in [1, 2, 9] {
            assert_eq!(all(&store, &sought, limit).await, expected, "{sought:?} by {limit}");
        }
    }
}

pub async fn what_takes_long_to_find_comes_in_pages_that_may_be_empty<B: Backend>() {
    let store = B::empty().open().await;
    let here = subscribed(&store).await;
    let elsewhere = store.subscription(&name("sandbox"), &channel()).await.unwrap().id;
    for from in (0..12_000).step_by(3_000) {
        store.append(here, arrivals(from..from + 3_000), NOW).await.unwrap();
    }
    store.append(elsewhere, arrivals(1..=1), NOW).await.unwrap();
    let sought = Sought { org: Some(name("sandbox")), ..Sought::default() };
    let page = store.journal_page(&sought, Span::ALL, 10).await.unwrap();
    assert!(page.entries.is_empty() && page.next.is_some(), "{:?}", page.next);
    assert_eq!(all(&store, &sought, 10).await, [12_001]);
}

pub async fn a_span_holds_all_that_was_committed_in_a_time<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    // Two came late.
    store.append(subscription, arrivals([10, 30, 20, 40, 5]), NOW).await.unwrap();
    let at = |number: i64| Some(Timestamp(NOW.0 + number));
    let span = async |since, until| {
        let Span { above, to } = store.journal_span(since, until).await.unwrap();
        (above.0, to.0)
    };
    assert_eq!(span(at(20), at(40)).await, (1, 3));
    assert_eq!(span(at(20), None).await, (1, 4));
    assert_eq!(span(None, at(11)).await, (0, 5));
    assert_eq!(span(at(50), None).await, (0, 0));
    assert_eq!(store.journal_span(None, None).await.unwrap(), Span::ALL);
}
