//! What position covers what was journaled, and the gap that a refused one leaves.

use std::time::Duration;

use super::Backend;
use super::given::*;
use crate::event::Arrival;
use crate::event::{ReplayId, Seq, Timestamp};
use crate::store::{Gap, GapKind, Position, Store, StoreError, SubscriptionId};

async fn position(store: &impl Store) -> Position {
    store.subscription(&source(), &channel()).await.unwrap().position
}

/// After each of these groups, the saved id.
async fn saved_after<B: Backend>(groups: Vec<Vec<Arrival>>) -> Vec<Option<ReplayId>> {
    let mut saved = Vec::new();
    for upto in 1..=groups.len() {
        // A new state each time, for to ask for the position is to begin anew.
        let store = B::empty().open().await;
        let subscription = subscribed(&store).await;
        for group in &groups[..upto] {
            store.append(subscription, group.clone(), NOW).await.unwrap();
        }
        saved.push(position(&store).await.replay_id);
    }
    saved
}

pub async fn an_id_is_saved_once_another_follows<B: Backend>() {
    let groups = vec![
        vec![event(1).replay(7).arrives()],
        vec![event(2).replay(7).arrives(), event(3).replay(7).arrives()],
        vec![event(4).replay(8).arrives()],
        vec![event(5).replay(9).arrives(), event(6).replay(5).arrives(), event(7).replay(5).arrives()],
    ];
    let saved = saved_after::<B>(groups).await;
    assert_eq!(saved, [None, None, Some(replay_id(7)), Some(replay_id(9))]);
}

pub async fn an_id_is_saved_once_the_subscription_is_live<B: Backend>() {
    let live = Arrival::Live { until: NOW };
    let groups = vec![
        vec![event(1).replay(7).arrives(), event(2).replay(8).arrives()],
        vec![live.clone()],
        vec![event(3).replay(9).arrives(), live],
    ];
    let saved = saved_after::<B>(groups).await;
    assert_eq!(saved, [Some(replay_id(7)), Some(replay_id(8)), Some(replay_id(9))]);
}

pub async fn what_nobody_wants_moves_the_position<B: Backend>() {
    let passed = |number| Arrival::Passed { replay_id: replay_id(number), events: 3 };
    let store = B::empty().open().await;
    let channel = name("/data/AccountChangeEvent");
    let subscription = store.subscription(&source(), &channel).await.unwrap().id;
    for (group, saved) in [(vec![passed(3)], 3), (vec![event(1).replay(7).arrives(), passed(8)], 8)] {
        store.append(subscription, group, NOW).await.unwrap();
        let position = store.subscription(&source(), &channel).await.unwrap().position;
        // Nothing was known to be live.
        assert_eq!((position.replay_id, position.live_until), (Some(replay_id(saved)), None));
    }
}

pub async fn what_nobody_wants_completes_no_id_that_others_may_share<B: Backend>() {
    let passed = |number| Arrival::Passed { replay_id: replay_id(number), events: 1 };
    let groups = vec![
        vec![event(1).replay(7).arrives(), passed(7)],
        vec![event(2).replay(7).arrives()],
        vec![passed(8)],
        vec![Arrival::Live { until: NOW }],
    ];
    assert_eq!(saved_after::<B>(groups).await, [None, None, Some(replay_id(7)), Some(replay_id(8))]);
}

pub async fn a_keepalive_saves_its_position<B: Backend>() {
    let keepalive = |number| Arrival::Passed { replay_id: replay_id(number), events: 0 };
    let groups = vec![vec![keepalive(3)], vec![event(1).replay(7).arrives(), keepalive(9)]];
    assert_eq!(saved_after::<B>(groups).await, [Some(replay_id(3)), Some(replay_id(9))]);
}

pub async fn doubles_move_the_position<B: Backend>() {
    let again = |number, id| event(number).replay(id).arrives();
    let groups = vec![arrivals([1, 2, 3]), vec![again(1, 21), again(2, 22)], vec![again(3, 23)]];
    assert_eq!(saved_after::<B>(groups).await, [Some(replay_id(2)), Some(replay_id(21)), Some(replay_id(22))]);
}

pub async fn what_is_pending_counts_for_nothing_when_asked_again<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    // The first of the events with id 5, then a crash. No id is known, so all comes again from the earliest.
    let group = vec![event(1).replay(5).arrives()];
    store.append(subscribed(&store).await, group, NOW).await.unwrap();
    drop(store);
    let store = backend.open().await;
    let group = vec![event(2).replay(3).arrives()];
    store.append(subscribed(&store).await, group, NOW).await.unwrap();
    assert_eq!(position(&store).await.replay_id, None, "to go on after 5 would lose the others of that id");
}

pub async fn the_start_is_committed_once<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    let subscription = subscribed(&store).await;
    assert_eq!(position(&store).await, Position::default());
    store.start(subscription, NOW).await.unwrap();
    drop(store);
    let store = backend.open().await;
    store.start(subscription, Timestamp(NOW.0 + 1)).await.unwrap();
    assert_eq!(position(&store).await, Position { started_at: Some(NOW), ..Position::default() });
}

pub async fn being_live_never_goes_backwards<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    for (until, expected) in [(5, 5), (9, 9), (7, 9)] {
        store.append(subscription, vec![Arrival::Live { until: Timestamp(until) }], NOW).await.unwrap();
        assert_eq!(position(&store).await.live_until, Some(Timestamp(expected)));
    }
}

const LIVE: Timestamp = NOW;

/// Two events, live, and then refused so much later.
async fn refused(store: &impl Store, later: Duration) -> SubscriptionId {
    let subscription = subscribed(store).await;
    store.start(subscription, Timestamp(1)).await.unwrap();
    let mut group = arrivals([1, 2]);
    group.push(Arrival::Live { until: LIVE });
    store.append(subscription, group, NOW).await.unwrap();
    store.append(subscription, vec![Arrival::Refused { at: LIVE.plus(later) }], NOW).await.unwrap();
    subscription
}

async fn only_gap(store: &impl Store) -> Gap {
    let mut gaps = store.gaps().await.unwrap();
    assert_eq!(gaps.len(), 1);
    gaps.remove(0)
}

pub async fn a_refused_position_is_cleared_and_opens_a_gap<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = refused(&store, channel().retention()).await;
    let expected = Position { replay_id: None, started_at: Some(Timestamp(1)), live_until: Some(LIVE) };
    assert_eq!(position(&store).await, expected);
    let gap = only_gap(&store).await;
    let expected = Gap {
        id: gap.id,
        subscription,
        kind: GapKind::Position,
        object: None,
        from: Some(LIVE),
        to: None,
        seq: Seq(2),
        records: 0,
        opened: NOW,
        why: String::new(),
        proof: Some(event(2).0.event_key()),
        evidence: None,
        closed: None,
    };
    assert_eq!(gap, expected);
    store.append(subscription, arrivals([1, 2]), NOW).await.unwrap();
    assert_eq!(position(&store).await.replay_id, Some(replay_id(1)));
}

pub async fn the_first_new_event_ends_the_window_of_a_refused_position<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = refused(&store, channel().retention()).await;
    store.append(subscription, arrivals([1]), NOW).await.unwrap();
    assert_eq!(only_gap(&store).await.to, None, "a double tells nothing");
    store.append(subscription, arrivals([30, 40]), NOW).await.unwrap();
    store.append(subscription, vec![Arrival::Live { until: Timestamp(NOW.0 + 99) }], NOW).await.unwrap();
    assert_eq!(only_gap(&store).await.to, Some(Timestamp(NOW.0 + 30)));
}

pub async fn the_word_that_nothing_comes_ends_the_window_of_a_refused_position<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = refused(&store, channel().retention()).await;
    store.append(subscription, vec![Arrival::Live { until: Timestamp(NOW.0 + 9) }], NOW).await.unwrap();
    store.append(subscription, arrivals([30]), NOW).await.unwrap();
    assert_eq!(only_gap(&store).await.to, Some(Timestamp(NOW.0 + 9)));
}

pub async fn the_newest_event_that_comes_again_closes_the_gap<B: Backend>() {
    for together in [true, false] {
        let store = B::empty().open().await;
        let subscription = refused(&store, channel().retention()).await;
        if together {
            store.append(subscription, arrivals([1, 2, 3]), NOW).await.unwrap();
        } else {
            store.append(subscription, arrivals([1]), NOW).await.unwrap();
            assert_eq!(store.gaps().await.unwrap().len(), 1);
            store.append(subscription, arrivals([2]), NOW).await.unwrap();
        }
        assert_eq!(store.gaps().await.unwrap(), []);
    }
}

pub async fn after_the_retention_nothing_closes_the_gap<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = refused(&store, channel().retention() + Duration::from_millis(1)).await;
    store.append(subscription, arrivals([1, 2, 3]), NOW).await.unwrap();
    let gap = only_gap(&store).await;
    assert_eq!((gap.from, gap.to, gap.proof), (Some(LIVE), Some(Timestamp(NOW.0 + 3)), None));
    assert_eq!(gap.kind, GapKind::Outage);
    // Nor one before which the subscription was never seen live.
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    let mut group = arrivals([1]);
    group.extend([Arrival::Refused { at: NOW }, event(1).arrives()]);
    store.append(subscription, group, NOW).await.unwrap();
    let gap = only_gap(&store).await;
    assert_eq!((gap.from, gap.to, gap.proof), (None, None, None));
}

pub async fn a_position_that_is_refused_again_is_the_same_gap<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = refused(&store, Duration::ZERO).await;
    let again = || vec![Arrival::Refused { at: NOW }];
    store.append(subscription, again(), NOW).await.unwrap();
    only_gap(&store).await;
    store.append(subscription, arrivals([3]), NOW).await.unwrap();
    store.append(subscription, again(), NOW).await.unwrap();
    let proofs: Vec<_> = store.gaps().await.unwrap().into_iter().map(|gap| gap.proof).collect();
    assert_eq!(proofs, [2, 3].map(|number| Some(event(number).0.event_key())), "what came between makes it another");
}

pub async fn an_append_to_no_subscription_is_refused<B: Backend>() {
    let store = B::empty().open().await;
    let refused = store.append(SubscriptionId(77), arrivals([1]), NOW).await;
    assert!(matches!(refused, Err(StoreError::Database(_))));
    assert_eq!(store.head().await.unwrap(), Seq::ZERO);
}
