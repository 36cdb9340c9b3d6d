//! What happened to records: told in order, repeated in one row, and forgotten.

use std::time::Duration;

use super::Backend;
use super::given::*;
use crate::event::{RecordId, Seq, Timestamp};
use crate::store::{
    Happened, HistoryRow, HistoryTrimmed, LinkChange, NotComing, PARENT_DELETED, PipelineId, Settlement, Store,
    Through, What, Which,
};

const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn happened(pipeline: PipelineId, number: u32, what: What, seq: u64) -> Happened {
    Happened {
        pipeline,
        record: account(number),
        at: Timestamp(NOW.0 + i64::try_from(seq).unwrap()),
        what,
        from: Seq(seq),
        to: Seq(seq),
        through: Through::Events,
        target: None,
        fields: Vec::new(),
        code: None,
        parent: None,
    }
}

pub(super) async fn remember(store: &impl Store, history: Vec<Happened>) {
    store.settle(Settlement { history, ..Settlement::default() }).await.unwrap();
}

async fn told(store: &impl Store, record: RecordId) -> Vec<HistoryRow> {
    store.history_of(&source(), record, 99).await.unwrap()
}

async fn what(store: &impl Store, record: RecordId) -> Vec<What> {
    told(store, record).await.into_iter().map(|row| row.happened.what).collect()
}

pub async fn what_happened_to_a_record_is_told_in_order_and_in_full<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    let (first, second) = (accounts(&store).await, contacts(&store).await.id);
    let full = Happened {
        target: Some(target(1)),
        fields: vec!["Name".to_owned(), "It's \"odd\"".to_owned()],
        code: Some("TOO_LONG".to_owned()),
        parent: Some(parent(2)),
        through: Through::Redrive,
        ..happened(first.id, 1, What::Waiting, 3)
    };
    let other = happened(second, 1, What::Created, 2);
    remember(&store, vec![full.clone(), happened(first.id, 7, What::Deleted, 1)]).await;
    remember(&store, vec![other.clone()]).await;
    drop(store);
    let store = backend.open().await;
    let row = |pipeline, happened| HistoryRow { pipeline: name(pipeline), since: None, happened };
    assert_eq!(told(&store, account(1)).await, [row("accounts", full), row("contacts", other.clone())]);
    let last = store.history_of(&source(), account(1), 1).await.unwrap();
    assert_eq!(last, [row("contacts", other)], "the last ones where there are many");
    assert_eq!(store.history_of(&name("target"), account(1), 9).await.unwrap(), [], "of another org's record");
}

pub async fn what_only_repeats_stands_in_one_row_with_when_it_began<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let left_out =
        |seq, code: &str| Happened { code: Some(code.to_owned()), ..happened(pipeline, 1, What::LeftOut, seq) };
    remember(&store, vec![happened(pipeline, 1, What::Updated, 1), happened(pipeline, 1, What::Updated, 2)]).await;
    remember(&store, vec![left_out(3, "FILTERED")]).await;
    remember(&store, vec![happened(pipeline, 2, What::Created, 4), left_out(5, "FILTERED")]).await;
    remember(&store, vec![left_out(9, "FILTERED")]).await;
    remember(&store, vec![left_out(10, "DELETE_IGNORED"), left_out(11, "FILTERED")]).await;
    let rows = told(&store, account(1)).await;
    let shown: Vec<_> = rows.iter().map(|row| (row.happened.what, row.happened.from.0, row.happened.to.0)).collect();
    let expected = [
        (What::Updated, 1, 1),
        (What::Updated, 2, 2),
        (What::LeftOut, 3, 9),
        (What::LeftOut, 10, 10),
        (What::LeftOut, 11, 11),
    ];
    assert_eq!(shown, expected);
    assert_eq!((rows[2].since, rows[2].happened.at), (Some(Timestamp(NOW.0 + 3)), Timestamp(NOW.0 + 9)));
    assert_eq!(rows[3].since, None);
}

pub async fn a_counterpart_leads_back_to_its_record_also_where_no_link_names_it_any_more<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let made = |number, at, what, seq| Happened { target: Some(target(at)), ..happened(pipeline, number, what, seq) };
    let links = vec![link(pipeline, account(1), target(1)), link(pipeline, account(2), target(2))];
    let history = vec![made(1, 1, What::Created, 1), made(2, 2, What::Created, 2)];
    store.settle(Settlement { links, history, ..Settlement::default() }).await.unwrap();
    let links = vec![LinkChange::Drop { pipeline, source: account(1), target: target(1) }];
    let history = vec![made(1, 1, What::Deleted, 3)];
    store.settle(Settlement { links, history, ..Settlement::default() }).await.unwrap();
    for (asked, source, target, past) in [
        (target(1), account(1), target(1), true),
        (account(1), account(1), target(1), true),
        (target(2), account(2), target(2), false),
        (account(2), account(2), target(2), false),
    ] {
        let found = store.links_of(asked).await.unwrap();
        let shown: Vec<_> = found.iter().map(|pair| (pair.source, pair.target, pair.past)).collect();
        assert_eq!(shown, [(source, target, past)], "{asked}");
        assert_eq!((&found[0].source_org, &found[0].target_org), (&name("source"), &name("target")));
        assert_eq!(found[0].target_object, name("Customer__c"));
    }
    assert_eq!(store.links_of(account(3)).await.unwrap(), []);
}

pub async fn the_entries_of_a_record_are_told_whichever_subscription_brought_them<B: Backend>() {
    let store = B::empty().open().await;
    let first = subscribed(&store).await;
    let second = store.subscription(&source(), &name("/data/AccountChangeEvent")).await.unwrap().id;
    let elsewhere = store.subscription(&name("target"), &channel()).await.unwrap().id;
    store.append(first, vec![event(1).arrives(), event(2).records(&[account(2)]).arrives()], NOW).await.unwrap();
    store.append(second, vec![event(3).records(&[account(2), account(1)]).arrives()], NOW).await.unwrap();
    store.append(elsewhere, vec![event(4).arrives()], NOW).await.unwrap();
    store.append(first, vec![event(5).arrives()], NOW).await.unwrap();
    let seqs = async |limit| {
        let entries = store.entries_of(&source(), account(1), limit).await.unwrap();
        entries.into_iter().map(|entry| entry.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(seqs(9).await, [1, 3, 5]);
    assert_eq!(seqs(2).await, [3, 5], "the last ones where there are many");
}

pub async fn what_happened_long_ago_goes_a_part_at_a_time<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    remember(&store, (1..=5).map(|seq| happened(pipeline, 1, What::Updated, seq)).collect()).await;
    let before = Timestamp(NOW.0 + 4);
    let first = store.trim_history(before, 0, 2).await.unwrap();
    assert_eq!((first.rows, first.done), (2, false));
    assert_eq!(told(&store, account(1)).await.len(), 3);
    let second = store.trim_history(before, first.last, 2).await.unwrap();
    assert_eq!((second.rows, second.done), (1, true));
    let third = store.trim_history(before, second.last, 2).await.unwrap();
    assert_eq!(third, HistoryTrimmed { rows: 0, last: second.last, done: true });
    let left: Vec<_> = told(&store, account(1)).await.iter().map(|row| row.happened.to.0).collect();
    assert_eq!(left, [4, 5], "as old as that, and newer");
}

pub async fn the_last_thing_that_happened_and_the_last_write_stay_however_old_they_are<B: Backend>() {
    let store = B::empty().open().await;
    let (first, second) = (accounts(&store).await.id, contacts(&store).await.id);
    let history = vec![
        happened(first, 1, What::Created, 1),
        happened(first, 2, What::Created, 2),
        happened(second, 1, What::Failed, 3),
        Happened { fields: vec!["Name".to_owned()], ..happened(first, 1, What::Updated, 4) },
        happened(first, 1, What::Failed, 5),
        happened(first, 1, What::Healed, 6),
        happened(first, 2, What::Updated, 7),
    ];
    remember(&store, history).await;
    let (mut after, mut rows) = (0, 0);
    loop {
        let trimmed = store.trim_history(Timestamp::now(), after, 2).await.unwrap();
        (after, rows) = (trimmed.last, rows + trimmed.rows);
        if trimmed.done {
            break;
        }
    }
    assert_eq!(rows, 3);
    assert_eq!(what(&store, account(1)).await, [What::Failed, What::Updated, What::Healed]);
    assert_eq!(what(&store, account(2)).await, [What::Updated]);
    let written = store.last_writes(first, vec![account(1)]).await.unwrap();
    assert_eq!(written[&account(1)]["Name"], Timestamp(NOW.0 + 4));
}

pub async fn what_the_store_itself_ends_or_fails_or_marks_is_remembered<B: Backend>() {
    let store = B::empty().open().await;
    let (parents, children) = (accounts(&store).await.id, contacts(&store).await.id);
    let child = |number| -> RecordId { name(&format!("003{number:012}")) };
    let park = vec![
        failed(parents, account(1), 1),
        failed(parents, account(2), 2),
        waiting(children, child(3), 3, parent(9)),
        waiting(children, child(4), 4, parent(8)),
    ];
    store.settle(Settlement { park, ..Settlement::default() }).await.unwrap();
    let one = |number| Which { record: Some(account(number)), ..Which::default() };
    assert_eq!(store.redrive(&one(1), NOW).await.unwrap(), 1);
    let history = vec![happened(parents, 1, What::Created, 1)];
    let close = vec![(parents, account(1), Seq(1))];
    store.settle(Settlement { history, close, ..Settlement::default() }).await.unwrap();
    assert_eq!(what(&store, account(1)).await, [What::Redriven, What::Created, What::Healed]);
    assert_eq!(told(&store, account(1)).await[2].happened.code.as_deref(), Some("STRING_TOO_LONG"));
    assert_eq!(store.discard(&one(2), NOW).await.unwrap(), 1);
    assert_eq!(what(&store, account(2)).await, [What::Discarded]);
    let not_coming = vec![(parents, account(9), NotComing::Deleted)];
    store.settle(Settlement { not_coming, ..Settlement::default() }).await.unwrap();
    let rows = told(&store, child(3)).await;
    assert_eq!((rows[0].happened.what, rows[0].happened.code.as_deref()), (What::Failed, Some(PARENT_DELETED)));
    assert_eq!(store.give_up_parents(children, NOW.plus(MINUTE)).await.unwrap(), 1);
    assert_eq!(what(&store, child(4)).await, [What::Failed]);
}

pub async fn who_forgets_a_pipeline_or_gives_an_org_up_forgets_what_happened_too<B: Backend>() {
    let store = B::empty().open().await;
    let (first, second) = (accounts(&store).await.id, contacts(&store).await.id);
    remember(&store, vec![happened(first, 1, What::Created, 1), happened(second, 1, What::Created, 2)]).await;
    // Names and codes are no values.
    store.forget_record(&source(), account(1)).await.unwrap();
    assert_eq!(told(&store, account(1)).await.len(), 2);
    store.forget_pipeline(&name("contacts")).await.unwrap();
    assert_eq!(told(&store, account(1)).await.len(), 1);
    // A pipeline of the same name is another one.
    contacts(&store).await;
    assert_eq!(told(&store, account(1)).await.len(), 1);
    for org in ["target", "source"] {
        remember(&store, vec![happened(first, 1, What::Updated, 3)]).await;
        store.pin_org(&name(org), "00D000000000001AAA").await.unwrap();
        assert!(store.accept_org(&name(org), "00D000000000002AAA").await.unwrap());
        assert_eq!(told(&store, account(1)).await, [], "{org}");
    }
}
