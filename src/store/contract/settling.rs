//! Settlements: what they write, in which order, and whom they wake.

use std::time::Duration;

use super::Backend;
use super::given::*;
use crate::event::{RecordId, Seq, Timestamp};
use crate::store::{
    Applied, BulkJob, LinkChange, NotComing, Parent, Parked, ParkedState, PipelineId, PipelineIdentity, Sent,
    Settlement, Store,
};

const MINUTE: Duration = Duration::from_secs(60);

async fn settle(store: &impl Store, settlement: Settlement) -> Vec<(PipelineId, RecordId)> {
    store.settle(settlement).await.unwrap().woken
}

async fn apply(store: &impl Store, pipeline: PipelineId, applied: Applied) -> Option<Applied> {
    settle(store, Settlement { applied: vec![(pipeline, account(1), applied)], ..Settlement::default() }).await;
    known(store, pipeline, &[account(1)]).await.applied.get(&account(1)).copied()
}

pub async fn applied_numbers_never_go_backwards<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    assert_eq!(apply(&store, pipeline, applied(5)).await, Some(applied(5)));
    assert_eq!(apply(&store, pipeline, applied(3)).await, Some(applied(5)));
    assert_eq!(apply(&store, pipeline, applied(8)).await, Some(applied(8)));
}

pub async fn a_tombstone_lasts_until_the_record_is_back<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let tombstone = |seq| Applied { seq: Seq(seq), tombstone: true };
    assert_eq!(apply(&store, pipeline, applied(5)).await, Some(applied(5)));
    assert_eq!(apply(&store, pipeline, tombstone(5)).await, Some(tombstone(5)), "the newer word for the same number");
    assert_eq!(apply(&store, pipeline, applied(4)).await, Some(tombstone(5)));
    assert_eq!(apply(&store, pipeline, applied(6)).await, Some(applied(6)));
}

pub async fn watermarks_never_go_backwards<B: Backend>() {
    let store = B::empty().open().await;
    let (one, other) = (accounts(&store).await.id, contacts(&store).await.id);
    for (seq, expected) in [(5, 5), (3, 5), (9, 9)] {
        let watermarks = vec![(one, Seq(seq))];
        settle(&store, Settlement { watermarks, ..Settlement::default() }).await;
        let found: Vec<_> = store.pipelines().await.unwrap().iter().map(|row| (row.id, row.watermark)).collect();
        assert_eq!(found, [(one, Seq(expected)), (other, Seq::ZERO)]);
    }
}

pub async fn a_link_is_replaced_and_dropped_only_where_it_leads<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let drop = |to| LinkChange::Drop { pipeline, source: account(1), target: target(to) };
    let steps = [
        (link(pipeline, account(1), target(1)), Some(target(1))),
        (link(pipeline, account(1), target(2)), Some(target(2))),
        (drop(1), Some(target(2))),
        (LinkChange::Drop { pipeline, source: account(2), target: target(2) }, Some(target(2))),
        (drop(2), None),
        (drop(2), None),
    ];
    for (step, expected) in steps {
        settle(&store, Settlement { links: vec![step.clone()], ..Settlement::default() }).await;
        let answer = known(&store, pipeline, &[account(1)]).await;
        assert_eq!(answer.links.get(&account(1)).copied(), expected, "{step:?}");
    }
}

pub async fn that_the_bridge_created_a_record_is_known_as_long_as_the_link_leads_there<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let set = |to, created| LinkChange::Set { pipeline, source: account(1), target: target(to), created };
    let steps = [
        (set(1, None), false),
        // Not new this time says nothing of who created it before.
        (set(1, Some(false)), false),
        (set(1, Some(true)), true),
        (set(1, Some(false)), true),
        (set(1, None), true),
        (set(2, Some(false)), false),
        (set(2, None), false),
        (set(3, Some(true)), true),
        (set(4, None), false),
        (LinkChange::Drop { pipeline, source: account(1), target: target(4) }, false),
        (set(4, Some(true)), true),
    ];
    for (step, expected) in steps {
        settle(&store, Settlement { links: vec![step.clone()], ..Settlement::default() }).await;
        let answer = known(&store, pipeline, &[account(1), account(2)]).await;
        assert_eq!(answer.created.contains(&account(1)), expected, "{step:?}");
        assert!(!answer.created.contains(&account(2)));
    }
}

async fn park(store: &impl Store, row: Parked) -> Vec<(PipelineId, RecordId)> {
    settle(store, Settlement { park: vec![row], ..Settlement::default() }).await
}

pub async fn a_row_that_is_parked_again_is_widened_and_tells_the_newer_story<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let first = Parked { from: Seq(5), to: Seq(7), attempts: 2, ..waiting(pipeline, account(1), 0, parent(9)) };
    park(&store, first.clone()).await;
    assert_eq!(store.parked(9).await.unwrap(), [first]);
    let tried_at = Timestamp(NOW.0 + 1);
    let second = Parked { from: Seq(3), to: Seq(4), attempts: 1, tried_at, ..failed(pipeline, account(1), 0) };
    park(&store, second.clone()).await;
    let merged = Parked { to: Seq(7), attempts: 3, ..second };
    assert_eq!(store.parked(9).await.unwrap(), std::slice::from_ref(&merged));
    park(&store, Parked { from: Seq(6), to: Seq(9), attempts: 0, ..merged.clone() }).await;
    let wider = Parked { to: Seq(9), ..merged };
    assert_eq!(store.parked(9).await.unwrap(), std::slice::from_ref(&wider));
    assert_eq!(known(&store, pipeline, &[account(1)]).await.parked[&account(1)], wider);
}

pub async fn a_row_is_closed_only_if_it_reaches_no_further<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let row = Parked { from: Seq(3), to: Seq(7), ..failed(pipeline, account(1), 0) };
    let close = async |seq| {
        let close = vec![(pipeline, account(1), Seq(seq))];
        settle(&store, Settlement { close, ..Settlement::default() }).await;
        store.parked(9).await.unwrap().len()
    };
    park(&store, row.clone()).await;
    assert_eq!(close(6).await, 1);
    assert_eq!(close(7).await, 0);
    park(&store, row).await;
    assert_eq!(close(8).await, 0);
}

pub async fn only_rows_that_exist_are_widened<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let row = failed(pipeline, account(1), 3);
    park(&store, row.clone()).await;
    for (seq, to) in [(6, 6), (4, 6)] {
        let widen = vec![(pipeline, account(1), Seq(seq)), (pipeline, account(2), Seq(seq))];
        settle(&store, Settlement { widen, ..Settlement::default() }).await;
        assert_eq!(store.parked(9).await.unwrap(), [Parked { to: Seq(to), ..row.clone() }]);
    }
}

pub async fn the_order_of_a_settlement_is_that_of_its_fields<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    park(&store, Parked { attempts: 5, ..failed(pipeline, account(1), 1) }).await;
    store.sending(vec![(pipeline, account(1)), (pipeline, account(2))]).await.unwrap();
    // Closed, then parked: a new row. Parked, then widened. Answered, then suspect: it was sent again and got lost.
    let settlement = Settlement {
        close: vec![(pipeline, account(1), Seq(9))],
        park: vec![failed(pipeline, account(1), 4)],
        widen: vec![(pipeline, account(1), Seq(6))],
        answered: vec![(pipeline, account(1)), (pipeline, account(2))],
        suspect: vec![(pipeline, account(2), NOW)],
        ..Settlement::default()
    };
    settle(&store, settlement).await;
    assert_eq!(store.parked(9).await.unwrap(), [Parked { to: Seq(6), ..failed(pipeline, account(1), 4) }]);
    assert_eq!(store.sent().await.unwrap(), [Sent { pipeline, record: account(2), suspect_until: Some(NOW) }]);
}

/// The record that waits in the tests of waking.
fn child() -> RecordId {
    name("003000000000001")
}

pub async fn a_row_parked_before_the_link_is_woken_by_it<B: Backend>() {
    let store = B::empty().open().await;
    let (parents, children) = (accounts(&store).await.id, contacts(&store).await.id);
    assert_eq!(park(&store, waiting(children, child(), 1, parent(1))).await, []);
    let links = vec![link(parents, account(1), target(1))];
    let woken = settle(&store, Settlement { links: links.clone(), ..Settlement::default() }).await;
    assert_eq!(woken, [(children, child())]);
    assert_eq!(store.parked(9).await.unwrap().len(), 1, "it stays until a whole write closes it");
    let woken = settle(&store, Settlement { links, ..Settlement::default() }).await;
    assert_eq!(woken, [(children, child())], "and is named again by whatever sets the link again");
    assert_eq!(settle(&store, Settlement::default()).await, []);
}

pub async fn a_row_parked_after_the_link_is_woken_at_once<B: Backend>() {
    let store = B::empty().open().await;
    let (parents, children) = (accounts(&store).await.id, contacts(&store).await.id);
    let links = vec![link(parents, account(1), target(1))];
    settle(&store, Settlement { links, ..Settlement::default() }).await;
    assert_eq!(park(&store, waiting(children, child(), 1, parent(1))).await, [(children, child())]);
}

pub async fn a_row_parked_together_with_the_link_is_woken<B: Backend>() {
    let store = B::empty().open().await;
    let (parents, children) = (accounts(&store).await.id, contacts(&store).await.id);
    let other: RecordId = name("003000000000002");
    park(&store, waiting(children, other, 9, parent(1))).await;
    let settlement = Settlement {
        links: vec![link(parents, account(1), target(1))],
        park: vec![waiting(children, child(), 10, parent(1))],
        ..Settlement::default()
    };
    assert_eq!(settle(&store, settlement).await, [(children, other), (children, child())], "each once, oldest first");
}

pub async fn rows_that_should_be_tried_again_are_found_at_the_start<B: Backend>() {
    let store = B::empty().open().await;
    let (parents, children) = (accounts(&store).await.id, contacts(&store).await.id);
    let contact = |number: u32| -> RecordId { name(&format!("003{number:012}")) };
    let rows = vec![
        waiting(children, contact(1), 1, parent(1)),
        waiting(children, contact(2), 2, parent(2)),
        failed(children, contact(3), 3),
        failed(children, contact(4), 4),
    ];
    settle(&store, Settlement { park: rows, ..Settlement::default() }).await;
    assert_eq!(store.restless().await.unwrap(), []);
    let settlement = Settlement {
        links: vec![link(parents, account(1), target(1))],
        widen: vec![(children, contact(3), Seq(9))],
        ..Settlement::default()
    };
    settle(&store, settlement).await;
    assert_eq!(store.restless().await.unwrap(), [(children, contact(1)), (children, contact(3))]);
    park(&store, failed(children, contact(3), 9)).await;
    assert_eq!(store.restless().await.unwrap(), [(children, contact(1))], "a new try knew of all");
}

pub async fn only_rows_that_wait_for_this_very_parent_are_woken<B: Backend>() {
    let store = B::empty().open().await;
    let (parents, children) = (accounts(&store).await.id, contacts(&store).await.id);
    let contact = |number: u32| -> RecordId { name(&format!("003{number:012}")) };
    let other_object = Parent { target_object: name("Person__c"), record: account(1) };
    let rows = vec![
        waiting(children, contact(1), 1, parent(2)),
        waiting(children, contact(2), 2, other_object),
        Parked { state: ParkedState::Failed, ..waiting(children, contact(3), 3, parent(1)) },
        failed(children, contact(4), 4),
        waiting(children, contact(5), 5, parent(1)),
    ];
    settle(&store, Settlement { park: rows, ..Settlement::default() }).await;
    let settlement = Settlement {
        links: vec![link(parents, account(1), target(1))],
        close: vec![(children, contact(5), Seq(5))],
        ..Settlement::default()
    };
    let woken = settle(&store, settlement).await;
    assert_eq!(
        woken,
        [(children, contact(3))],
        "one that failed because it did not come; what is closed in the same settlement is not woken"
    );
    // A link that is set and dropped at once wakes nobody.
    let links = vec![
        link(parents, account(2), target(2)),
        LinkChange::Drop { pipeline: parents, source: account(2), target: target(2) },
    ];
    assert_eq!(settle(&store, Settlement { links, ..Settlement::default() }).await, []);
}

pub async fn a_parent_in_another_pair_of_orgs_wakes_nobody<B: Backend>() {
    let store = B::empty().open().await;
    let children = contacts(&store).await.id;
    let elsewhere = PipelineIdentity { target_org: name("third"), ..identity() };
    let elsewhere = store.pipeline(&elsewhere, Seq::ZERO).await.unwrap().id;
    park(&store, waiting(children, child(), 1, parent(1))).await;
    let links = vec![link(elsewhere, account(1), target(1))];
    assert_eq!(settle(&store, Settlement { links, ..Settlement::default() }).await, []);
    assert_eq!(park(&store, waiting(children, child(), 2, parent(1))).await, []);
}

pub async fn what_was_sent_is_noted_until_it_is_answered<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    let pipeline = accounts(&store).await.id;
    store.sending(vec![(pipeline, account(2)), (pipeline, account(1)), (pipeline, account(1))]).await.unwrap();
    store.sending(vec![(pipeline, account(1))]).await.unwrap();
    drop(store);
    let store = backend.open().await;
    let note = |number| Sent { pipeline, record: account(number), suspect_until: None };
    assert_eq!(store.sent().await.unwrap(), [note(1), note(2)]);
    let settlement = Settlement {
        answered: vec![(pipeline, account(1)), (pipeline, account(7))],
        cleared: vec![(pipeline, account(2))],
        ..Settlement::default()
    };
    settle(&store, settlement).await;
    assert_eq!(store.sent().await.unwrap(), [note(2)], "only a suspect row is cleared");
}

pub async fn a_bulk_job_is_known_until_it_has_ended<B: Backend>() {
    let store = B::empty();
    let job = |org: &str, id: &str, at| BulkJob {
        org: name(org),
        job: name(id),
        object: name("Account"),
        begun_at: Timestamp(at),
    };
    let (first, second, other) =
        (job("hq", "7505e00000AbCdEAAV", 2), job("hq", "7505e00000AbCdFAAV", 1), job("emea", "7505e00000AbCdGAAV", 3));
    let opened = store.open().await;
    for job in [&first, &second, &other, &first] {
        opened.bulk_begun(job.clone()).await.unwrap();
    }
    drop(opened);
    let opened = store.open().await;
    assert_eq!(opened.bulk_jobs(&name("hq")).await.unwrap(), [second.clone(), first.clone()]);
    opened.bulk_ended(&second.job).await.unwrap();
    assert_eq!(opened.bulk_jobs(&name("hq")).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!(opened.bulk_jobs(&name("emea")).await.unwrap(), std::slice::from_ref(&other));
    // A job of one org is none of the org that has its name now.
    opened.pin_org(&name("hq"), "00D000000000001AAA").await.unwrap();
    opened.accept_org(&name("hq"), "00D000000000002AAA").await.unwrap();
    assert_eq!(opened.bulk_jobs(&name("hq")).await.unwrap(), []);
}

pub async fn a_suspect_row_stays_until_it_is_cleared<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let row = (pipeline, account(1));
    let until = |millis: i64| vec![Sent { pipeline, record: account(1), suspect_until: Some(Timestamp(millis)) }];
    for (asked, found) in [(50, 50), (90, 90), (70, 90)] {
        // The first one finds no row: it is made.
        let suspect = vec![(pipeline, account(1), Timestamp(asked))];
        settle(&store, Settlement { suspect, ..Settlement::default() }).await;
        assert_eq!(store.sent().await.unwrap(), until(found), "the latest time counts");
    }
    store.sending(vec![row]).await.unwrap();
    settle(&store, Settlement { answered: vec![row], ..Settlement::default() }).await;
    assert_eq!(store.sent().await.unwrap(), until(90));
    settle(&store, Settlement { cleared: vec![row], ..Settlement::default() }).await;
    assert_eq!(store.sent().await.unwrap(), []);
}

pub async fn a_settlement_is_all_or_nothing<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let nobody = PipelineId(77);
    let bad = [
        Settlement { links: vec![link(nobody, account(1), target(1))], ..Settlement::default() },
        Settlement { park: vec![failed(nobody, account(1), 1)], ..Settlement::default() },
        Settlement { suspect: vec![(nobody, account(1), NOW)], ..Settlement::default() },
    ];
    for bad in bad {
        let bad = Settlement {
            applied: vec![(pipeline, account(1), applied(5))],
            watermarks: vec![(pipeline, Seq(5))],
            ..bad
        };
        assert!(store.settle(bad).await.is_err());
        assert_eq!(known(&store, pipeline, &[account(1)]).await.applied.len(), 0);
        assert_eq!(accounts(&store).await.watermark, Seq::ZERO);
    }
}

pub async fn parked_rows_come_oldest_first<B: Backend>() {
    let store = B::empty().open().await;
    let (one, other) = (accounts(&store).await.id, contacts(&store).await.id);
    let rows = [failed(one, account(1), 9), failed(other, account(2), 2), failed(one, account(3), 5)];
    settle(&store, Settlement { park: rows.to_vec(), ..Settlement::default() }).await;
    let found: Vec<_> = store.parked(2).await.unwrap().iter().map(|row| row.from.0).collect();
    assert_eq!(found, [2, 5]);
}

pub async fn everything_is_found_again<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    let pipeline = accounts(&store).await.id;
    let tombstone = Applied { seq: Seq(5), tombstone: true };
    let row = Parked { to: Seq(8), ..waiting(pipeline, account(3), 6, parent(9)) };
    let settlement = Settlement {
        applied: vec![(pipeline, account(1), tombstone)],
        links: vec![link(pipeline, account(2), target(2))],
        park: vec![row.clone()],
        suspect: vec![(pipeline, account(4), NOW)],
        watermarks: vec![(pipeline, Seq(5))],
        ..Settlement::default()
    };
    settle(&store, settlement).await;
    drop(store);
    let store = backend.open().await;
    let answer = known(&store, pipeline, &[account(1), account(2), account(3), account(4)]).await;
    assert_eq!(answer.applied, [(account(1), tombstone)].into());
    assert_eq!(answer.links, [(account(2), target(2))].into());
    assert_eq!(answer.parked, [(account(3), row)].into());
    assert_eq!(store.sent().await.unwrap(), [Sent { pipeline, record: account(4), suspect_until: Some(NOW) }]);
    assert_eq!(accounts(&store).await.watermark, Seq(5));
}

pub async fn who_waits_for_a_record_that_will_not_come_is_a_failed_record_and_hears_of_it_all_the_same<B: Backend>() {
    let store = B::empty().open().await;
    let (parents, children) = (accounts(&store).await.id, contacts(&store).await.id);
    let contact = |number: u32| -> RecordId { name(&format!("003{number:012}")) };
    let park = vec![waiting(children, contact(1), 1, parent(1)), waiting(children, contact(2), 2, parent(2))];
    settle(&store, Settlement { park, ..Settlement::default() }).await;
    let not_coming = vec![(parents, account(1), NotComing::Excluded), (children, account(2), NotComing::Deleted)];
    settle(&store, Settlement { not_coming, ..Settlement::default() }).await;
    let rows = store.parked(9).await.unwrap();
    let told = |row: &Parked| (row.record, row.state, row.code.clone());
    assert_eq!(told(&rows[0]), (contact(1), ParkedState::Failed, "PARENT_EXCLUDED".to_owned()));
    assert!(rows[0].evidence.contains(account(1).as_str()), "{}", rows[0].evidence);
    assert_eq!(rows[1].state, ParkedState::Waiting, "another object's record");
    let links = vec![link(parents, account(1), target(1))];
    assert_eq!(settle(&store, Settlement { links, ..Settlement::default() }).await, [(children, contact(1))]);
    // One that has a counterpart has come.
    let park = vec![waiting(children, contact(3), 3, parent(1))];
    let not_coming = vec![(parents, account(1), NotComing::Deleted)];
    settle(&store, Settlement { park, not_coming, ..Settlement::default() }).await;
    assert_eq!(store.parked(9).await.unwrap()[2].state, ParkedState::Waiting);
}

pub async fn rows_that_wait_for_each_other_are_told_by_the_one_that_closes_the_circle<B: Backend>() {
    let store = B::empty().open().await;
    let (one, other) = (accounts(&store).await.id, contacts(&store).await.id);
    let own = |number| Parent { target_object: name("Person__c"), record: account(number) };
    let circles =
        async |park: Vec<Parked>| store.settle(Settlement { park, ..Settlement::default() }).await.unwrap().circles;
    // Of the other pipeline's object, and of its own.
    assert_eq!(circles(vec![waiting(one, account(1), 1, own(2))]).await, []);
    assert_eq!(circles(vec![waiting(other, account(2), 2, parent(3))]).await, []);
    assert_eq!(circles(vec![waiting(one, account(3), 3, parent(1))]).await, [(one, account(3), parent(1))]);
    assert_eq!(circles(vec![waiting(one, account(4), 4, parent(1))]).await, [], "it only leads into the circle");
    assert_eq!(circles(vec![waiting(one, account(5), 5, parent(5))]).await, [(one, account(5), parent(5))]);
}

pub async fn who_waits_too_long_for_a_parent_is_a_failed_record_and_hears_of_it_all_the_same<B: Backend>() {
    let store = B::empty().open().await;
    let (parents, children) = (accounts(&store).await.id, contacts(&store).await.id);
    let no_parent = Parked { waits_for: None, ..waiting(children, account(2), 2, parent(1)) };
    let first = waiting(children, account(1), 1, parent(1));
    let since = first.tried_at;
    let park = vec![first.clone(), no_parent];
    settle(&store, Settlement { park, ..Settlement::default() }).await;
    // Tried again later: it has waited since the first time.
    let again = Parked { tried_at: since.plus(MINUTE), ..first };
    settle(&store, Settlement { park: vec![again], ..Settlement::default() }).await;
    assert_eq!(store.give_up_parents(children, since).await.unwrap(), 0);
    assert_eq!(store.give_up_parents(parents, since.plus(MINUTE)).await.unwrap(), 0);
    assert_eq!(store.give_up_parents(children, since.plus(MINUTE)).await.unwrap(), 1);
    assert_eq!(store.give_up_parents(children, since.plus(MINUTE)).await.unwrap(), 0, "it is told once");
    let states: Vec<_> = store.parked(9).await.unwrap().iter().map(|row| (row.record, row.state)).collect();
    assert_eq!(states, [(account(1), ParkedState::Failed), (account(2), ParkedState::Waiting)]);
    let links = vec![link(parents, account(1), target(1))];
    assert_eq!(settle(&store, Settlement { links, ..Settlement::default() }).await, [(children, account(1))]);
    assert!(store.restless().await.unwrap().contains(&(children, account(1))));
}
