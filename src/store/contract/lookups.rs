//! Lookups that lead to nothing yet: who is told when they can be filled, and what is tried again after a time.

use std::time::Duration;

use super::Backend;
use super::given::*;
use crate::event::{RecordId, Seq};
use crate::store::{LOOKUP_MISSING, LinkChange, Overdue, Parent, Parked, PipelineId, Settlement, Store, Unfilled};

const MINUTE: Duration = Duration::from_secs(60);

fn contact(number: u32) -> RecordId {
    name(&format!("003{number:012}"))
}

fn unfilled(pipeline: PipelineId, record: RecordId, field: &str, parent: Option<Parent>) -> Unfilled {
    Unfilled { pipeline, record, field: name(field), parent, tried_at: NOW }
}

async fn settle(store: &impl Store, settlement: Settlement) -> Vec<(PipelineId, RecordId)> {
    store.settle(settlement).await.unwrap().fillable
}

async fn note(store: &impl Store, unfilled: Vec<Unfilled>) -> Vec<(PipelineId, RecordId)> {
    settle(store, Settlement { unfilled, ..Settlement::default() }).await
}

async fn set(store: &impl Store, parents: PipelineId, number: u32) -> Vec<(PipelineId, RecordId)> {
    let links = vec![link(parents, account(number), target(number))];
    settle(store, Settlement { links, ..Settlement::default() }).await
}

async fn count(store: &impl Store, pipeline: PipelineId) -> u64 {
    let rows = store.pipelines().await.unwrap();
    rows.iter().find(|row| row.id == pipeline).unwrap().unfilled
}

pub async fn a_lookup_can_be_filled_once_its_parent_has_a_link<B: Backend>() {
    let store = B::empty().open().await;
    let (parents, children) = (accounts(&store).await.id, contacts(&store).await.id);
    let rows = [(1, 1), (2, 1), (3, 2)];
    let rows = rows.map(|(n, of)| unfilled(children, contact(n), "AccountId", Some(parent(of))));
    assert_eq!(note(&store, rows.to_vec()).await, []);
    assert_eq!(set(&store, parents, 1).await, [(children, contact(1)), (children, contact(2))]);
    let late = unfilled(children, contact(4), "AccountId", Some(parent(1)));
    assert_eq!(note(&store, vec![late]).await, [(children, contact(4))], "its parent landed just before");
    let drop = LinkChange::Drop { pipeline: parents, source: account(1), target: target(1) };
    assert_eq!(settle(&store, Settlement { links: vec![drop], ..Settlement::default() }).await, []);
    assert_eq!(count(&store, children).await, 4, "they stay until they are written");
}

pub async fn what_was_left_out_ends_with_a_whole_write_or_where_an_update_brings_it<B: Backend>() {
    let store = B::empty().open().await;
    let children = contacts(&store).await.id;
    let of = |n, field| unfilled(children, contact(n), field, None);
    note(&store, vec![of(1, "A__c"), of(1, "B__c"), of(2, "A__c"), of(2, "B__c"), of(3, "A__c")]).await;
    assert_eq!(count(&store, children).await, 3, "records, not fields");
    let settlement = Settlement {
        close: vec![(children, contact(1), Seq(5)), (children, contact(3), Seq(5))],
        filled: vec![(children, contact(2), name("A__c"))],
        unfilled: vec![of(1, "B__c")],
        ..Settlement::default()
    };
    settle(&store, settlement).await;
    assert_eq!(count(&store, children).await, 2);
    let filled = vec![(children, contact(1), name("B__c")), (children, contact(2), name("B__c"))];
    settle(&store, Settlement { filled, ..Settlement::default() }).await;
    assert_eq!(count(&store, children).await, 0);
}

pub async fn what_nothing_tells_of_is_tried_again_each_time_later<B: Backend>() {
    let store = B::empty().open().await;
    let (parents, children) = (accounts(&store).await.id, contacts(&store).await.id);
    let none = Overdue::default();
    let overdue = async |after: u32| store.overdue(children, NOW.plus(MINUTE * after), MINUTE, 9).await.unwrap();
    note(&store, vec![unfilled(children, contact(1), "A__c", None)]).await;
    let waits = Parked {
        code: LOOKUP_MISSING.to_owned(),
        waits_for: None,
        tried_at: NOW,
        ..waiting(children, contact(2), 3, parent(9))
    };
    let park = vec![waits.clone(), failed(children, contact(3), 4)];
    settle(&store, Settlement { park, ..Settlement::default() }).await;
    assert_eq!(overdue(0).await, none);
    let both = Overdue { woken: vec![contact(2)], fillable: vec![contact(1)] };
    assert_eq!(overdue(1).await, both);
    // Tried once more, in vain.
    let settlement = Settlement {
        close: vec![(children, contact(1), Seq(5))],
        unfilled: vec![unfilled(children, contact(1), "A__c", None)],
        park: vec![waits],
        ..Settlement::default()
    };
    settle(&store, settlement).await;
    assert_eq!((overdue(1).await, overdue(2).await), (none.clone(), both));
    // One that has a parent waits for its link alone, and is found after a crash.
    let child = unfilled(children, contact(4), "AccountId", Some(parent(1)));
    let settlement = Settlement {
        filled: vec![(children, contact(1), name("A__c"))],
        close: vec![(children, contact(2), Seq(9))],
        unfilled: vec![child],
        ..Settlement::default()
    };
    settle(&store, settlement).await;
    assert_eq!(overdue(60).await, none);
    set(&store, parents, 1).await;
    assert_eq!(overdue(1).await, Overdue { fillable: vec![contact(4)], ..none.clone() });
    let halts = vec![(children, "why".to_owned(), NOW)];
    settle(&store, Settlement { halts, ..Settlement::default() }).await;
    assert_eq!(overdue(60).await, none, "nothing of a halted pipeline is tried");
}
