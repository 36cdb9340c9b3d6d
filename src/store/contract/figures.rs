//! What a state tells of itself: deliveries, subscriptions, causes, ages; and what is left of it under another org.

use std::collections::HashMap;
use std::time::Duration;

use super::Backend;
use super::given::*;
use crate::event::{Arrival, ChangeKind, Seq, Timestamp, Transport};
use crate::store::{
    GapKind, Mended, ParkedCause, ParkedState, Position, Sent, Settlement, Store, StoreError, SubscriptionRow,
};

const HOUR: Duration = Duration::from_secs(3_600);
/// The beginning of an hour.
const FULL: Timestamp = Timestamp(1_700_002_800_000);

pub async fn what_was_delivered_is_counted_by_the_hour_as_the_org_does<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    let other = store.subscription(&source(), &name("/data/AccountChangeEvent")).await.unwrap().id;
    let group = vec![
        event(1).arrives(),
        event(1).arrives(),
        Arrival::Passed { replay_id: replay_id(2), events: 40 },
        Arrival::Undecodable(unreadable(3, None)),
        Arrival::Found { change: event(4).0, missed: true },
        Arrival::Live { until: NOW },
    ];
    store.append(subscription, group, FULL).await.unwrap();
    store.append(subscription, arrivals([5]), FULL.plus(HOUR)).await.unwrap();
    store.append(other, arrivals([6]), FULL.plus(HOUR)).await.unwrap();
    for (since, expected) in [
        (FULL, vec![(subscription, 44), (other, 1)]),
        (FULL.plus(HOUR / 2), vec![(subscription, 44), (other, 1)]),
        (FULL.plus(HOUR), vec![(subscription, 1), (other, 1)]),
        (FULL.plus(2 * HOUR), vec![]),
    ] {
        assert_eq!(store.deliveries(since).await.unwrap(), expected.into_iter().collect::<HashMap<_, _>>(), "{since}");
    }
}

pub async fn old_hours_are_trimmed<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    for (number, days) in [(1, 0), (2, 1), (3, 9)] {
        store.append(subscription, arrivals([number]), FULL.plus(days * 24 * HOUR)).await.unwrap();
    }
    assert_eq!(store.deliveries(Timestamp(0)).await.unwrap()[&subscription], 2);
}

pub async fn the_past_is_estimated_from_the_hours_that_are_known<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    let estimate = async |hours: u32| store.retained_estimate(subscription, FULL.plus(hours * HOUR)).await.unwrap();
    assert_eq!(estimate(0).await, 0, "nothing is known");
    let passed = |events| vec![Arrival::Passed { replay_id: replay_id(1), events }];
    // Two hours with 30 and 0 events: of 73 that are looked at, 71 are taken for average.
    store.append(subscription, passed(30), FULL).await.unwrap();
    store.append(subscription, passed(0), FULL.plus(HOUR)).await.unwrap();
    assert_eq!(estimate(1).await, 30 + 71 * 15);
    // When those are too old, all are.
    assert_eq!(estimate(100).await, 73 * 15);
    // What comes again is no sign that there is more.
    store.append(subscription, arrivals([1]), FULL.plus(HOUR)).await.unwrap();
    let with_one = estimate(1).await;
    store.append(subscription, [arrivals([1]), arrivals([1])].concat(), FULL.plus(HOUR)).await.unwrap();
    assert_eq!(estimate(1).await, with_one);
}

pub async fn subscriptions_tell_where_they_stand<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    let (one, two) = (subscribed(&store).await, store.subscription(&name("other"), &channel()).await.unwrap().id);
    store.start(one, Timestamp(5)).await.unwrap();
    store.received_by(one, Transport::Pubsub, NOW).await.unwrap();
    let group =
        vec![event(1).arrives(), event(1).arrives(), event(2).wildcard().arrives(), Arrival::Live { until: NOW }];
    store.append(one, group, FULL).await.unwrap();
    let found = Arrival::Found { change: event(3).0, missed: false };
    store.append(one, vec![found, Arrival::Live { until: FULL }], FULL.plus(HOUR)).await.unwrap();
    drop(store);
    let store = backend.open().await;
    let position = Position { replay_id: Some(replay_id(2)), started_at: Some(Timestamp(5)), live_until: Some(FULL) };
    let first = SubscriptionRow {
        id: one,
        org: source(),
        channel: channel(),
        transport: Transport::Pubsub,
        position,
        last_event: Some(FULL),
        journaled: 3,
        open_gaps: 1,
    };
    let second = SubscriptionRow {
        id: two,
        org: name("other"),
        channel: channel(),
        transport: Transport::Cometd,
        position: Position::default(),
        last_event: None,
        journaled: 0,
        open_gaps: 0,
    };
    assert_eq!(store.subscriptions().await.unwrap(), [first, second]);
}

pub async fn parked_records_are_counted_by_cause<B: Backend>() {
    let store = B::empty().open().await;
    let (one, other) = (accounts(&store).await.id, contacts(&store).await.id);
    let park = vec![
        waiting(one, account(1), 1, parent(9)),
        failed(one, account(2), 2),
        failed(one, account(3), 3),
        failed(other, account(4), 4),
    ];
    store.settle(Settlement { park, ..Settlement::default() }).await.unwrap();
    let cause = |pipeline, state, code: &str, records| ParkedCause { pipeline, state, code: code.to_owned(), records };
    let expected = [
        cause(one, ParkedState::Failed, "STRING_TOO_LONG", 2),
        cause(one, ParkedState::Waiting, "PARENT", 1),
        cause(other, ParkedState::Failed, "STRING_TOO_LONG", 1),
    ];
    assert_eq!(store.parked_causes().await.unwrap(), expected);
}

pub async fn the_oldest_unsettled_change_of_each_pipeline_is_told<B: Backend>() {
    let store = B::empty().open().await;
    let (subscription, one, other) = (subscribed(&store).await, accounts(&store).await.id, contacts(&store).await.id);
    let group = vec![event(10).arrives(), event(20).object("Contact").arrives(), event(30).arrives()];
    store.append(subscription, group, NOW).await.unwrap();
    let at = |number| Timestamp(NOW.0 + number);
    assert_eq!(store.oldest_unsettled().await.unwrap(), [(one, at(10)), (other, at(20))].into());
    settled(&store, one, 2).await;
    settled(&store, other, 2).await;
    assert_eq!(store.oldest_unsettled().await.unwrap(), [(one, at(30))].into());
}

const OLD: &str = "00D000000000001AAA";
const NEW: &str = "00D000000000009AAA";

pub async fn an_org_that_is_accepted_begins_anew<B: Backend>() {
    let store = B::empty().open().await;
    store.pin_org(&source(), OLD).await.unwrap();
    let (old, pipeline) = (subscribed(&store).await, accounts(&store).await.id);
    store.start(old, NOW).await.unwrap();
    let group = vec![
        event(1).kind(ChangeKind::Delete).arrives(),
        event(2).wildcard().arrives(),
        Arrival::Live { until: NOW },
        Arrival::Probed { object: name("Account"), until: NOW },
    ];
    store.append(old, group, NOW).await.unwrap();
    let settlement = Settlement {
        applied: vec![(pipeline, account(1), applied(1))],
        links: vec![link(pipeline, account(1), target(1))],
        park: vec![failed(pipeline, account(2), 2)],
        ..Settlement::default()
    };
    store.settle(settlement).await.unwrap();
    store.sending(vec![(pipeline, account(3))]).await.unwrap();
    store.keep_schema(&source(), "schema-1", "{}".to_owned()).await.unwrap();

    assert!(!store.accept_org(&source(), OLD).await.unwrap(), "it is that one already");
    assert!(store.accept_org(&source(), NEW).await.unwrap());
    assert_eq!(store.pinned_org(&source()).await.unwrap().as_deref(), Some(NEW));
    store.pin_org(&source(), NEW).await.unwrap();

    let fresh = store.subscription(&source(), &channel()).await.unwrap();
    assert_ne!(fresh.id, old);
    assert_eq!(fresh.position, Position::default());
    assert_eq!(store.probed(fresh.id, &name("Account")).await.unwrap(), None);
    assert_eq!(store.schema(&source(), "schema-1").await.unwrap(), None);
    assert_eq!(store.deliveries(Timestamp(0)).await.unwrap(), [].into());
    let rows = store.subscriptions().await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.id, row.journaled)).collect::<Vec<_>>(), [(fresh.id, 0)]);
    // What still holds the old number reaches nothing.
    assert!(matches!(store.append(old, arrivals([9]), NOW).await, Err(StoreError::Database(_))));

    let row = accounts(&store).await;
    assert_eq!((row.id, row.watermark, row.parked + row.failed), (pipeline, Seq(2), 0));
    assert_eq!(store.sent().await.unwrap(), []);
    let answer = known(&store, pipeline, &[account(1)]).await;
    assert_eq!((answer.applied.len(), answer.links.len()), (0, 0));
    let gaps = store.gaps().await.unwrap();
    let [gap] = gaps.as_slice() else { panic!("{gaps:?}") };
    assert_eq!((gap.kind, gap.subscription, &gap.object), (GapKind::OtherOrg, fresh.id, &Some(name("Account"))));
    assert_eq!((gap.from, gap.seq, gap.to.is_some()), (None, Seq(2), true));
    assert!(gap.why.contains(OLD) && gap.why.contains(NEW) && gap.why.contains("accounts"), "{}", gap.why);
    let closed = store.mended_gaps(9).await.unwrap();
    assert_eq!(
        closed.iter().map(|gap| (gap.kind, gap.closed.unwrap().by)).collect::<Vec<_>>(),
        [(GapKind::Wildcard, Mended::OtherOrg)]
    );

    // The same record id, event key and replay id are another's now.
    assert_eq!(store.newest_parts(pipeline, vec![account(1)], Seq(9)).await.unwrap(), [].into());
    assert_eq!(store.unjournaled(fresh.id, vec![(account(1), Timestamp(0))]).await.unwrap(), [account(1)]);
    let appended = store.append(fresh.id, arrivals([1]), NOW).await.unwrap();
    assert_eq!((appended.journaled, appended.head), (1, Seq(3)));
    assert_eq!(store.page(pipeline, row.watermark, 9).await.unwrap().entries.len(), 1);

    // And back again, and on: no name is in the way.
    for id in [OLD, NEW] {
        assert!(store.accept_org(&source(), id).await.unwrap());
        subscribed(&store).await;
    }
    assert_eq!(store.subscriptions().await.unwrap().len(), 1);
}

pub async fn of_a_target_that_is_accepted_only_what_was_written_there_is_forgotten<B: Backend>() {
    let store = B::empty().open().await;
    store.pin_org(&name("target"), OLD).await.unwrap();
    let (subscription, pipeline) = (subscribed(&store).await, accounts(&store).await.id);
    let elsewhere = crate::store::PipelineIdentity { name: name("third"), target_org: name("third"), ..identity() };
    let elsewhere = store.pipeline(&elsewhere, Seq::ZERO).await.unwrap().id;
    store.append(subscription, [arrivals([1, 2]), vec![Arrival::Live { until: NOW }]].concat(), NOW).await.unwrap();
    let settlement = Settlement {
        applied: [pipeline, elsewhere].map(|pipeline| (pipeline, account(1), applied(2))).to_vec(),
        links: [pipeline, elsewhere].map(|pipeline| link(pipeline, account(1), target(1))).to_vec(),
        park: vec![failed(pipeline, account(2), 1)],
        watermarks: vec![(pipeline, Seq(1)), (elsewhere, Seq(1))],
        ..Settlement::default()
    };
    store.settle(settlement).await.unwrap();
    store.sending(vec![(pipeline, account(3)), (elsewhere, account(3))]).await.unwrap();
    assert!(store.accept_org(&name("target"), NEW).await.unwrap());

    let row = accounts(&store).await;
    assert_eq!((row.watermark, row.failed), (Seq(1), 1), "what waits is still owed to it");
    let answer = known(&store, pipeline, &[account(1)]).await;
    assert_eq!((answer.applied.len(), answer.links.len()), (0, 0));
    let answer = known(&store, elsewhere, &[account(1)]).await;
    assert_eq!((answer.applied.len(), answer.links.len()), (1, 1));
    let sent = Sent { pipeline: elsewhere, record: account(3), suspect_until: None };
    assert_eq!(store.sent().await.unwrap(), [sent]);
    let gaps = store.gaps().await.unwrap();
    assert_eq!(
        gaps.iter().map(|gap| (gap.kind, gap.subscription)).collect::<Vec<_>>(),
        [(GapKind::OtherOrg, subscription)]
    );
    assert_eq!(store.subscription(&source(), &channel()).await.unwrap().position.replay_id, Some(replay_id(2)));
}

pub async fn a_name_that_was_tied_to_no_org_has_nothing_to_give_up<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    assert!(!store.accept_org(&source(), NEW).await.unwrap());
    assert_eq!(store.pinned_org(&source()).await.unwrap().as_deref(), Some(NEW));
    assert_eq!((subscribed(&store).await, store.gaps().await.unwrap()), (subscription, vec![]));
}
