//! Failed records as people ask for them: found, tried again, given up, remembered.

use std::time::Duration;

use super::Backend;
use super::given::*;
use crate::event::{RecordId, Seq, Timestamp};
use crate::store::{
    LOOKUP_MISSING, PARENT_DISCARDED, Parked, ParkedState, Paused, PipelineId, RowId, Settlement, Store, Which,
};

const MINUTE: Duration = Duration::from_secs(60);

fn contact(number: u32) -> RecordId {
    name(&format!("003{number:012}"))
}

async fn park(store: &impl Store, park: Vec<Parked>) -> Vec<RowId> {
    store.settle(Settlement { park, ..Settlement::default() }).await.unwrap().woken
}

async fn close(store: &impl Store, pipeline: PipelineId, record: RecordId, seq: u64) {
    let close = vec![(pipeline, record, Seq(seq))];
    store.settle(Settlement { close, ..Settlement::default() }).await.unwrap();
}

fn one(record: RecordId) -> Which {
    Which { record: Some(record), ..Which::default() }
}

async fn found(store: &impl Store, which: Which) -> Vec<RecordId> {
    store.failed(&which, None, 99).await.unwrap().into_iter().map(|failed| failed.row.record).collect()
}

/// Two pipelines with failed records of different causes and ages, and one that waits.
async fn several(store: &impl Store) -> (PipelineId, PipelineId) {
    let (parents, children) = (accounts(store).await.id, contacts(store).await.id);
    let old = Parked { code: "DUPLICATE_VALUE".to_owned(), fields: vec![], ..failed(parents, account(3), 7) };
    let rows = vec![
        failed(parents, account(1), 5),
        Parked { tried_at: NOW.plus(MINUTE), ..failed(parents, account(2), 6) },
        Parked { tried_at: NOW.minus(MINUTE), ..old },
        failed(children, contact(1), 8),
        waiting(children, contact(2), 9, parent(9)),
    ];
    park(store, rows).await;
    (parents, children)
}

pub async fn failed_records_are_found_by_what_is_said_of_them<B: Backend>() {
    let store = B::empty().open().await;
    several(&store).await;
    let all = [account(1), account(2), account(3), contact(1)];
    assert_eq!(found(&store, Which::default()).await, all);
    let waiting = Which { waiting: true, ..Which::default() };
    assert_eq!(found(&store, waiting).await, [account(1), account(2), account(3), contact(1), contact(2)]);
    let pipeline = Which { pipeline: Some(name("contacts")), ..Which::default() };
    assert_eq!(found(&store, pipeline).await, [contact(1)]);
    let code = Which { code: Some("duplicate_value".to_owned()), ..Which::default() };
    assert_eq!(found(&store, code).await, [account(3)]);
    let object = Which { object: Some(name("Person__c")), ..Which::default() };
    assert_eq!(found(&store, object).await, [contact(1)]);
    assert_eq!(found(&store, one(account(2))).await, [account(2)]);
    let before = Which { before: Some(NOW), ..Which::default() };
    assert_eq!(found(&store, before).await, [account(1), account(3), contact(1)]);
    let after = Which { after: Some(NOW), ..Which::default() };
    assert_eq!(found(&store, after).await, [account(1), account(2), contact(1)]);
    let both = Which { code: Some("DUPLICATE_VALUE".to_owned()), ..one(account(1)) };
    assert_eq!(found(&store, both).await, []);
}

pub async fn failed_records_come_page_by_page<B: Backend>() {
    let store = B::empty().open().await;
    several(&store).await;
    let (mut after, mut pages) = (None, Vec::new());
    loop {
        let page = store.failed(&Which::default(), after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.row.pipeline, last.row.record));
        pages.push(page.len());
    }
    assert_eq!(pages, [3, 1]);
}

pub async fn causes_tell_how_many_since_when_and_three_examples<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let row = |n: u32| {
        let tried_at = NOW.plus(MINUTE * n);
        Parked { tried_at, ..failed(pipeline, account(n), u64::from(n)) }
    };
    let mut rows: Vec<Parked> = [4, 2, 5, 3].into_iter().map(row).collect();
    rows.push(Parked { fields: vec![], ..row(1) });
    park(&store, rows).await;
    let causes = store.failed_causes(&Which::default()).await.unwrap();
    let told: Vec<_> = causes.iter().map(|cause| (cause.records, cause.oldest, cause.examples.clone())).collect();
    assert_eq!(
        told,
        [(4, NOW.plus(MINUTE * 2), vec![account(2), account(3), account(4)]), (1, NOW.plus(MINUTE), vec![account(1)]),]
    );
    assert_eq!((&causes[0].pipeline, causes[0].fields.len()), (&name("accounts"), 2));
    let of_one = store.failed_causes(&one(account(5))).await.unwrap();
    assert_eq!((of_one.len(), &of_one[0].examples), (1, &vec![account(5)]));
}

pub async fn what_was_sent_and_when_it_failed_first_stay_with_a_row_that_is_parked_again<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let request = Some(r#"{"call":"upsert"}"#.to_owned());
    park(&store, vec![Parked { request: request.clone(), ..failed(pipeline, account(1), 1) }]).await;
    park(&store, vec![Parked { tried_at: NOW.plus(MINUTE), ..failed(pipeline, account(1), 2) }]).await;
    let row = &store.failed(&Which::default(), None, 9).await.unwrap()[0];
    assert_eq!((&row.row.request, row.first_at, row.row.tried_at), (&request, NOW, NOW.plus(MINUTE)));
    let newer = Some(r#"{"call":"update"}"#.to_owned());
    park(&store, vec![Parked { request: newer.clone(), ..failed(pipeline, account(1), 2) }]).await;
    assert_eq!(store.parked(9).await.unwrap()[0].request, newer);
}

pub async fn the_events_of_a_row_are_those_that_name_its_record<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let id = subscribed(&store).await;
    let group = vec![
        event(1).arrives(),
        event(2).records(&[account(2)]).arrives(),
        event(3).records(&[account(2), account(1)]).arrives(),
        event(4).arrives(),
    ];
    store.append(id, group, NOW).await.unwrap();
    let seqs = async |from, to, limit| {
        let entries = store.events_of((pipeline, account(1)), (Seq(from), Seq(to)), limit).await.unwrap();
        entries.into_iter().map(|entry| entry.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(seqs(1, 3, 9).await, [1, 3]);
    assert_eq!(seqs(2, 9, 9).await, [3, 4]);
    assert_eq!(seqs(1, 9, 2).await, [1, 3]);
}

pub async fn a_failed_record_that_is_none_any_more_is_remembered_with_how<B: Backend>() {
    let store = B::empty().open().await;
    let (parents, children) = several(&store).await;
    let how = async || {
        let healed = store.healed(&Which::default(), Timestamp::now(), 99).await.unwrap();
        healed.into_iter().map(|healed| (healed.record, healed.how)).collect::<Vec<_>>()
    };
    // A change came after it had failed.
    let widen = vec![(parents, account(1), Seq(12))];
    store.settle(Settlement { widen, ..Settlement::default() }).await.unwrap();
    close(&store, parents, account(1), 11).await;
    assert_eq!(how().await, [], "the row reaches further");
    close(&store, parents, account(1), 20).await;
    assert_eq!(how().await, [(account(1), "healed by change 12".to_owned())]);
    assert_eq!(store.redrive(&one(account(2)), NOW).await.unwrap(), 1);
    assert_eq!(store.take_redrives(&[parents], 9).await.unwrap(), [(parents, account(2))]);
    close(&store, parents, account(2), 20).await;
    // Of this one the redrive had not begun.
    assert_eq!(store.redrive(&one(account(3)), NOW).await.unwrap(), 1);
    close(&store, parents, account(3), 20).await;
    // It only waited.
    close(&store, children, contact(2), 20).await;
    let expected = [
        (account(3), "healed by another try".to_owned()),
        (account(2), "healed by a redrive".to_owned()),
        (account(1), "healed by change 12".to_owned()),
    ];
    assert_eq!(how().await, expected);
    let code = Which { code: Some("DUPLICATE_VALUE".to_owned()), ..Which::default() };
    let healed = store.healed(&code, Timestamp::now(), 99).await.unwrap();
    assert_eq!((healed.len(), healed[0].first_at, healed[0].attempts), (1, NOW.minus(MINUTE), 1));
    assert!(healed[0].closed_at > NOW);
    store.forget_pipeline(&name("accounts")).await.unwrap();
    assert_eq!(how().await, []);
}

pub async fn a_record_that_is_to_be_tried_again_is_taken_once_and_found_by_the_next_bridge<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    let (parents, children) = several(&store).await;
    let both = [parents, children];
    assert_eq!(store.redrive(&Which::default(), NOW).await.unwrap(), 4);
    assert_eq!(store.take_redrives(&[children], 9).await.unwrap(), [(children, contact(1))]);
    assert_eq!(store.take_redrives(&both, 2).await.unwrap(), [(parents, account(1)), (parents, account(2))]);
    assert_eq!(store.take_redrives(&both, 2).await.unwrap(), [(parents, account(3))]);
    assert_eq!(store.take_redrives(&both, 2).await.unwrap(), []);
    // Of these two something is heard before the bridge ends.
    close(&store, parents, account(1), 20).await;
    park(&store, vec![failed(parents, account(2), 6)]).await;
    drop(store);
    let store = backend.open().await;
    store.redrives_anew().await.unwrap();
    assert_eq!(store.take_redrives(&both, 9).await.unwrap(), [(parents, account(3)), (children, contact(1))]);
}

pub async fn a_try_that_began_before_it_was_asked_for_is_not_the_one_that_was_asked_for<B: Backend>() {
    let store = B::empty().open().await;
    let (parents, _) = several(&store).await;
    store.redrive(&one(account(1)), NOW).await.unwrap();
    park(&store, vec![failed(parents, account(1), 6)]).await;
    assert_eq!(store.take_redrives(&[parents], 9).await.unwrap(), [(parents, account(1))]);
    park(&store, vec![failed(parents, account(1), 6)]).await;
    store.redrives_anew().await.unwrap();
    assert_eq!(store.take_redrives(&[parents], 9).await.unwrap(), []);
}

pub async fn records_of_a_halted_pipeline_are_tried_again_when_it_goes_on<B: Backend>() {
    let store = B::empty().open().await;
    let (parents, _) = several(&store).await;
    assert_eq!(store.halt(&name("accounts"), "why", NOW).await.unwrap(), Some(true));
    assert_eq!(store.halt(&name("accounts"), "another", NOW).await.unwrap(), Some(false), "it stays as it is");
    assert_eq!(store.halt(&name("nobody"), "why", NOW).await.unwrap(), None);
    assert_eq!(store.pipelines().await.unwrap()[0].halted.as_ref().unwrap().why, "why");
    store.redrive(&one(account(1)), NOW).await.unwrap();
    assert_eq!(store.take_redrives(&[parents], 9).await.unwrap(), []);
    store.resume(&name("accounts")).await.unwrap();
    assert_eq!(store.take_redrives(&[parents], 9).await.unwrap(), [(parents, account(1))]);
}

pub async fn what_is_discarded_is_done_with_and_its_children_fail_by_name<B: Backend>() {
    let store = B::empty().open().await;
    let (parents, children) = several(&store).await;
    let elsewhere = {
        let identity = crate::store::PipelineIdentity {
            name: name("elsewhere"),
            target_org: name("other"),
            source_object: name("Contact"),
            ..identity()
        };
        store.pipeline(&identity, Seq::ZERO).await.unwrap().id
    };
    let rows = vec![
        waiting(children, contact(3), 9, parent(1)),
        waiting(children, contact(4), 9, parent(2)),
        waiting(elsewhere, contact(3), 9, parent(1)),
    ];
    park(&store, rows).await;
    let at = NOW.plus(MINUTE);
    assert_eq!(store.discard(&one(account(1)), at).await.unwrap(), 1);
    let rows = store.parked(99).await.unwrap();
    let row = |pipeline, record| rows.iter().find(|row| (row.pipeline, row.record) == (pipeline, record));
    assert_eq!(row(parents, account(1)), None);
    let child = row(children, contact(3)).unwrap();
    assert_eq!((child.state, child.code.as_str()), (ParkedState::Failed, PARENT_DISCARDED));
    assert!(child.evidence.contains(account(1).as_str()), "{}", child.evidence);
    for other in [row(children, contact(4)), row(elsewhere, contact(3)), row(children, contact(2))] {
        assert_eq!(other.unwrap().state, ParkedState::Waiting);
    }
    let known = known(&store, parents, &[account(1)]).await;
    assert_eq!(known.applied[&account(1)], applied(5), "its parts are done, though nothing was written");
    let healed = store.healed(&one(account(1)), at, 9).await.unwrap();
    assert_eq!((healed[0].how.as_str(), healed[0].closed_at), ("discarded", at));
    assert_eq!(store.discard(&one(account(1)), at).await.unwrap(), 0);
    // The parent changes, and goes through.
    let links = vec![link(parents, account(1), target(1))];
    let woken = store.settle(Settlement { links, ..Settlement::default() }).await.unwrap().woken;
    assert_eq!(woken, [(children, contact(3))]);
    assert_eq!(store.restless().await.unwrap(), [(children, contact(3))]);
}

pub async fn a_record_that_waits_is_discarded_only_where_that_is_said<B: Backend>() {
    let store = B::empty().open().await;
    let (_, children) = several(&store).await;
    let row =
        Parked { code: LOOKUP_MISSING.to_owned(), waits_for: None, ..waiting(children, contact(5), 9, parent(1)) };
    park(&store, vec![row]).await;
    assert_eq!(store.discard(&one(contact(5)), NOW).await.unwrap(), 0);
    assert_eq!(store.discard(&Which { waiting: true, ..one(contact(5)) }, NOW).await.unwrap(), 1);
    assert_eq!(store.healed(&Which::default(), NOW, 9).await.unwrap(), [], "it had never failed");
}

pub async fn that_a_record_had_failed_is_remembered_also_where_it_waits_by_the_time_it_ends<B: Backend>() {
    let store = B::empty().open().await;
    let (parents, children) = several(&store).await;
    // One goes through, one is given up; each waits for two things one after the other before that.
    for (pipeline, record) in [(children, contact(1)), (parents, account(3))] {
        park(&store, vec![waiting(pipeline, record, 8, parent(9))]).await;
        let halted = Parked { code: "PIPELINE_HALTED".to_owned(), ..waiting(pipeline, record, 8, parent(9)) };
        park(&store, vec![Parked { waits_for: None, ..halted }]).await;
    }
    close(&store, children, contact(1), 20).await;
    assert_eq!(store.discard(&Which { waiting: true, ..one(account(3)) }, Timestamp::now()).await.unwrap(), 1);
    let healed = store.healed(&Which::default(), Timestamp::now(), 9).await.unwrap();
    let told: Vec<_> = healed.iter().map(|healed| (healed.record, healed.code.as_str(), healed.attempts)).collect();
    let code = failed(children, contact(1), 8).code;
    assert_eq!(told, [(account(3), "DUPLICATE_VALUE", 3), (contact(1), code.as_str(), 3)]);
}

pub async fn that_a_record_had_failed_is_remembered_for_thirty_days<B: Backend>() {
    let store = B::empty().open().await;
    several(&store).await;
    assert_eq!(store.discard(&one(account(1)), NOW).await.unwrap(), 1);
    let told = async |now| store.healed(&Which::default(), now, 9).await.unwrap().len();
    let end = NOW.plus(MINUTE * 60 * 24 * 30);
    assert_eq!((told(end).await, told(end.plus(MINUTE)).await), (1, 0), "also while nothing else ends");
    store.trim_healed(end).await.unwrap();
    assert_eq!(told(NOW).await, 1);
    store.trim_healed(end.plus(MINUTE)).await.unwrap();
    assert_eq!(told(NOW).await, 0);
}

pub async fn an_org_is_paused_until_it_is_resumed_known_or_not<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    let paused = |reason: &str, at: Timestamp| Paused { reason: reason.to_owned(), at };
    assert!(store.pause_org(&name("hq"), paused("storms", NOW)).await.unwrap());
    assert!(!store.pause_org(&name("hq"), paused("again", NOW.plus(MINUTE))).await.unwrap());
    drop(store);
    let store = backend.open().await;
    assert_eq!(store.paused_orgs().await.unwrap(), [(name("hq"), paused("storms", NOW))].into());
    assert!(store.resume_org(&name("hq")).await.unwrap());
    assert!(!store.resume_org(&name("hq")).await.unwrap());
    assert!(store.paused_orgs().await.unwrap().is_empty());
}

pub async fn time_for_which_an_org_was_paused_is_no_time_in_which_a_parent_did_not_come<B: Backend>() {
    let store = B::empty().open().await;
    let (_, children) = several(&store).await;
    let target = identity().target_org;
    let paused = Paused { reason: String::new(), at: NOW };
    assert!(store.pause_org(&target, paused).await.unwrap());
    assert!(store.resume_org(&target).await.unwrap());
    assert_eq!(store.give_up_parents(children, NOW.plus(MINUTE)).await.unwrap(), 0, "it waits since just now");
    // Nobody paused it: it goes on waiting as it did.
    park(&store, vec![waiting(children, contact(3), 9, parent(8))]).await;
    assert!(!store.resume_org(&target).await.unwrap());
    assert_eq!(store.give_up_parents(children, NOW.plus(MINUTE)).await.unwrap(), 1);
}
