//! Actions: what they were done for, and what they failed to be done for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Backend;
use super::given::*;
use crate::config::Retain;
use crate::event::{Arrival, Change, Channel, Happening, Seq, Timestamp, Value, Window, WindowCause};
use crate::store::{
    ActionDone, ActionIdentity, ActionSettlement, ActionState, EVENTS_GONE, Occasion, OccasionOf, PipelineId, Store,
    StoreError, WhichActions,
};

fn of_changes() -> ActionIdentity {
    ActionIdentity {
        name: name("tell"),
        source_org: source(),
        channel: channel(),
        object: name("Account"),
        of_events: false,
    }
}

fn shipped() -> Channel {
    name("/event/Order_Shipped__e")
}

fn of_events() -> ActionIdentity {
    ActionIdentity {
        name: name("ship"),
        channel: shipped(),
        object: name("Order_Shipped__e"),
        of_events: true,
        ..of_changes()
    }
}

fn platform_event(number: u32) -> Arrival {
    let fields = BTreeMap::from([("Number__c".to_owned(), Value::text(format!("A-{number}")))]);
    let happening = Happening::Event { uuid: Some(format!("uuid-{number}")), fields };
    Arrival::Change(Change { channel: shipped(), replay_id: replay_id(number), happening })
}

fn row(seq: u64, state: ActionState) -> ActionDone {
    ActionDone {
        occasion: Occasion { seq: Seq(seq), of: OccasionOf::Record(account(1)) },
        state,
        idempotency_key: format!("key-{seq}"),
        attempts: 2,
        first_at: NOW,
        tried_at: Timestamp(NOW.0 + 1),
        code: if state == ActionState::Failed { "WRONG".to_owned() } else { String::new() },
        evidence: "it says no".to_owned(),
        request: Some("{}".to_owned()),
        answer: (state == ActionState::Answered).then(|| r#"{"a":1}"#.to_owned()),
        redrive_at: None,
    }
}

async fn settle(store: &impl Store, id: PipelineId, rows: Vec<ActionDone>, watermark: Option<u64>) {
    let settlement = ActionSettlement { rows, watermark: watermark.map(Seq) };
    store.settle_actions(id, settlement).await.unwrap();
}

async fn failed(store: &impl Store) -> Vec<u64> {
    let all = store.failed_actions(&WhichActions::default(), None, 100).await.unwrap();
    all.iter().map(|failed| failed.row.occasion.seq.0).collect()
}

pub async fn an_action_reads_its_own_events_and_its_name_stands_for_nothing_else<B: Backend>() {
    let store = B::empty().open().await;
    store.append(subscribed(&store).await, arrivals(1..=2), NOW).await.unwrap();
    let events = store.subscription(&source(), &shipped()).await.unwrap().id;
    store.append(events, vec![platform_event(3), platform_event(4)], NOW).await.unwrap();
    let (changes, events) =
        (store.action(&of_changes(), Seq(1)).await.unwrap(), store.action(&of_events(), Seq::ZERO).await.unwrap());
    let numbers = |page: crate::store::Page| page.entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>();
    assert_eq!(numbers(store.page(changes.id, changes.watermark, 9).await.unwrap()), [2]);
    assert_eq!(numbers(store.page(events.id, events.watermark, 9).await.unwrap()), [3, 4]);
    assert_eq!(store.action(&of_events(), Seq(4)).await.unwrap(), events);
    assert_eq!(store.actions().await.unwrap().len(), 2);
    assert!(store.pipelines().await.unwrap().is_empty());
    let other = ActionIdentity { object: name("Lead"), ..of_changes() };
    assert!(matches!(
        store.action(&other, Seq::ZERO).await,
        Err(StoreError::OtherPipeline { what: "source object", .. })
    ));
    let pipeline = crate::store::PipelineIdentity { name: name("tell"), ..identity() };
    assert!(matches!(store.pipeline(&pipeline, Seq::ZERO).await, Err(StoreError::OtherPipeline { what: "kind", .. })));
    accounts(&store).await;
    let action = ActionIdentity { name: name("accounts"), ..of_changes() };
    assert!(matches!(store.action(&action, Seq::ZERO).await, Err(StoreError::OtherPipeline { what: "kind", .. })));
    assert_eq!(store.halt(&name("tell"), "by hand", NOW).await.unwrap(), Some(true));
    assert!(store.actions().await.unwrap()[0].halted.is_some());
    assert_eq!(store.resume(&name("tell")).await.unwrap(), Some(true));
    assert!(store.forget_pipeline(&name("tell")).await.unwrap());
    assert_eq!(store.actions().await.unwrap(), [events]);
}

pub async fn what_an_action_was_done_for_is_known_until_the_watermark_passes_it<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    store.append(subscribed(&store).await, arrivals(1..=9), NOW).await.unwrap();
    let id = store.action(&of_changes(), Seq::ZERO).await.unwrap().id;
    use ActionState::{Again, Answered, Done, Failed, Sent};
    let rows = [(2, Done), (3, Sent), (4, Again), (5, Answered), (6, Failed)].map(|(seq, state)| row(seq, state));
    settle(&store, id, rows.to_vec(), Some(1)).await;
    assert_eq!(store.known_actions(id).await.unwrap(), rows);
    settle(&store, id, vec![row(3, Done), row(4, Done)], Some(4)).await;
    drop(store);
    let store = backend.open().await;
    assert_eq!(store.known_actions(id).await.unwrap(), rows[3..]);
    settle(&store, id, vec![row(5, Done)], Some(9)).await;
    assert_eq!(store.known_actions(id).await.unwrap(), [], "one that failed is for a person");
    let known = store.actions().await.unwrap();
    assert_eq!((known[0].watermark, known[0].failed), (Seq(9), 1));
    settle(&store, id, vec![row(6, Sent)], None).await;
    assert_eq!(store.known_actions(id).await.unwrap(), [row(6, Sent)], "it is being done again");
    settle(&store, id, vec![row(6, Done)], None).await;
    assert_eq!((store.known_actions(id).await.unwrap(), failed(&store).await), (vec![], vec![]));
}

pub async fn failed_actions_are_found_done_again_and_given_up<B: Backend>() {
    let store = B::empty().open().await;
    store.append(subscribed(&store).await, arrivals(1..=9), NOW).await.unwrap();
    let id = store.action(&of_changes(), Seq::ZERO).await.unwrap().id;
    let lost = ActionDone { code: "ANSWER_LOST".to_owned(), ..row(3, ActionState::Failed) };
    let gap = Occasion { seq: Seq(9), of: OccasionOf::Gap(7) };
    let gap = ActionDone { occasion: gap, ..row(9, ActionState::Failed) };
    settle(&store, id, vec![row(2, ActionState::Failed), lost.clone(), row(5, ActionState::Failed), gap], Some(9))
        .await;
    assert_eq!(failed(&store).await, [2, 3, 5, 9]);
    let first = store.failed_actions(&WhichActions::default(), None, 2).await.unwrap();
    let after = first.last().map(|last| (last.id, last.row.occasion));
    let rest = store.failed_actions(&WhichActions::default(), after, 9).await.unwrap();
    assert_eq!(rest.iter().map(|failed| failed.row.occasion.seq.0).collect::<Vec<_>>(), [5, 9]);
    let by_code = WhichActions { code: Some("answer_lost".to_owned()), ..WhichActions::default() };
    assert_eq!(store.failed_actions(&by_code, None, 9).await.unwrap()[0].row, lost);
    let by_number = WhichActions { seq: Some(Seq(5)), action: Some(name("tell")), ..WhichActions::default() };
    assert_eq!(store.redrive_actions(&by_number, NOW).await.unwrap(), 1);
    let marked = ActionDone { redrive_at: Some(NOW), ..row(5, ActionState::Failed) };
    assert_eq!(store.redriven_actions(id, 9).await.unwrap(), [marked]);
    assert_eq!(store.discard_actions(&by_number).await.unwrap(), 0, "somebody may be doing it");
    let of_gap = WhichActions { seq: Some(Seq(9)), ..WhichActions::default() };
    assert_eq!(store.redrive_actions(&of_gap, NOW).await.unwrap(), 0, "nobody knows for what");
    assert_eq!(store.discard_actions(&of_gap).await.unwrap(), 1);
    settle(&store, id, vec![row(5, ActionState::Failed)], None).await;
    assert_eq!(store.redriven_actions(id, 9).await.unwrap(), [], "it failed again");
    assert_eq!(store.discard_actions(&WhichActions::default()).await.unwrap(), 3);
    let entries = store.entries_at(vec![Seq(5), Seq(2), Seq(99)]).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), [2, 5]);
    assert_eq!(entries[0].change, event(2).0);
}

pub async fn a_window_in_front_of_an_action_is_one_failed_action<B: Backend>() {
    let store = B::empty().open().await;
    let id = subscribed(&store).await;
    let window = |minute: i64| {
        let from = Timestamp(NOW.0 + minute * 60_000);
        Arrival::Window(Window {
            cause: WindowCause::Access,
            object: Some(name("Account")),
            from: Some(from),
            to: Some(from.plus(Duration::from_secs(1))),
            why: String::new(),
        })
    };
    store.append(id, vec![window(0)], NOW).await.unwrap();
    let action = store.action(&of_changes(), Seq::ZERO).await.unwrap().id;
    assert_eq!(store.events_gone(action, NOW).await.unwrap(), 0, "that was before its time");
    store.append(id, vec![event(1).arrives(), window(5), event(2).wildcard().arrives()], NOW).await.unwrap();
    let noted = store.events_gone(action, NOW).await.unwrap();
    assert!(noted >= 1);
    assert_eq!(store.events_gone(action, NOW).await.unwrap(), 0);
    let failed = store.failed_actions(&WhichActions::default(), None, 9).await.unwrap();
    assert_eq!(failed.len() as u64, noted);
    assert!(failed.iter().all(|failed| failed.row.code == EVENTS_GONE), "{failed:?}");
    assert!(failed.iter().all(|failed| matches!(failed.row.occasion.of, OccasionOf::Gap(_))));
    // Another object of the channel is none of its business.
    let lead = Arrival::Window(Window {
        cause: WindowCause::Access,
        object: Some(name("Lead")),
        from: None,
        to: None,
        why: String::new(),
    });
    store.append(id, vec![lead], NOW).await.unwrap();
    assert_eq!(store.events_gone(action, NOW).await.unwrap(), 0);
}

pub async fn the_event_of_a_failed_action_stays_in_the_journal<B: Backend>() {
    let store = B::empty().open().await;
    let events = store.subscription(&source(), &shipped()).await.unwrap().id;
    store.append(events, (1..=4).map(platform_event).collect(), NOW).await.unwrap();
    let id = store.action(&of_events(), Seq::ZERO).await.unwrap().id;
    let of = |seq| Occasion { seq: Seq(seq), of: OccasionOf::Event };
    let failed = ActionDone { occasion: of(2), ..row(2, ActionState::Failed) };
    settle(&store, id, vec![failed], Some(3)).await;
    let retain = Retain { age: Some(Duration::ZERO), size: None };
    let later = NOW.plus(Duration::from_secs(30 * 24 * 3_600));
    store.trim_journal(retain, later, Seq::ZERO, 99).await.unwrap();
    let left = store.entries_at((1..=4).map(Seq).collect()).await.unwrap();
    assert_eq!(left.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), [2, 4], "2 has failed, 4 is to come");
}
