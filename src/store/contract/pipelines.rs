//! Pipelines: made, refused, forgotten, added again, and what they share.

use super::Backend;
use super::given::*;
use crate::event::{Seq, Timestamp};
use crate::store::{
    Answer, GapKind, Halted, PIPELINE_HALTED, Parent, Parked, PipelineIdentity, Question, Sent, Settlement, Store,
    StoreError,
};

pub async fn a_pipeline_is_made_once<B: Backend>() {
    let backend = B::empty();
    let made = backend.open().await.pipeline(&identity(), Seq(5)).await.unwrap();
    assert_eq!((made.watermark, &made.identity, made.parked, made.failed), (Seq(5), &identity(), 0, 0));
    let store = backend.open().await;
    assert_eq!(store.pipeline(&identity(), Seq(9)).await.unwrap(), made);
    let other = contacts(&store).await;
    assert_ne!(other.id, made.id);
    assert_eq!(store.pipelines().await.unwrap(), [made, other]);
    assert_eq!(store.gaps().await.unwrap(), []);
}

pub async fn a_pipeline_that_differs_is_refused_by_what_differs<B: Backend>() {
    let store = B::empty().open().await;
    let made = accounts(&store).await;
    let cases = [
        ("source org", PipelineIdentity { source_org: name("other"), key: name("Other__c"), ..identity() }, "other"),
        ("channel", PipelineIdentity { channel: name("/data/Other"), ..identity() }, "/data/Other"),
        ("source object", PipelineIdentity { source_object: name("Lead"), ..identity() }, "Lead"),
        ("target org", PipelineIdentity { target_org: name("other"), ..identity() }, "other"),
        ("target object", PipelineIdentity { target_object: name("Lead"), ..identity() }, "Lead"),
        ("key field", PipelineIdentity { key: name("Other__c"), ..identity() }, "Other__c"),
    ];
    for (part, identity, found) in cases {
        match store.pipeline(&identity, Seq::ZERO).await {
            Err(StoreError::OtherPipeline { name, what, new, .. }) => {
                assert_eq!((name.as_str(), what, new.as_str()), ("accounts", part, found));
            }
            other => panic!("{part}: {other:?}"),
        }
    }
    assert_eq!(store.pipelines().await.unwrap(), [made]);
}

/// One of everything that a pipeline can have.
async fn with_progress(store: &impl Store) -> crate::store::PipelineRow {
    let pipeline = accounts(store).await;
    let settlement = Settlement {
        applied: vec![(pipeline.id, account(1), applied(3))],
        links: vec![link(pipeline.id, account(1), target(1))],
        park: vec![failed(pipeline.id, account(2), 4)],
        watermarks: vec![(pipeline.id, Seq(4))],
        ..Settlement::default()
    };
    store.settle(settlement).await.unwrap();
    store.sending(vec![(pipeline.id, account(3))]).await.unwrap();
    pipeline
}

pub async fn a_forgotten_pipeline_loses_its_progress_and_keeps_its_links<B: Backend>() {
    let store = B::empty().open().await;
    assert!(!store.forget_pipeline(&name("accounts")).await.unwrap());
    let other = contacts(&store).await;
    store.sending(vec![(other.id, account(9))]).await.unwrap();
    with_progress(&store).await;
    assert!(store.forget_pipeline(&name("accounts")).await.unwrap());
    assert!(!store.forget_pipeline(&name("accounts")).await.unwrap());
    assert_eq!(store.pipelines().await.unwrap().iter().map(|row| row.id).collect::<Vec<_>>(), [other.id]);
    assert_eq!(store.parked(9).await.unwrap(), []);
    let left = Sent { pipeline: other.id, record: account(9), suspect_until: None };
    assert_eq!(store.sent().await.unwrap(), [left], "its neighbours keep theirs");
    let parents = vec![parent(1)];
    let answer = store.known(other.id, Question { records: vec![], parents }).await.unwrap();
    assert_eq!(answer.parents[&parent(1)], target(1));
}

pub async fn a_pipeline_that_is_added_again_is_new_and_has_a_gap<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    let subscription = subscribed(&store).await;
    let before = Timestamp::now();
    let old = with_progress(&store).await;
    store.forget_pipeline(&name("accounts")).await.unwrap();
    drop(store);
    let store = backend.open().await;
    store.append(subscription, arrivals([1, 2, 3]), NOW).await.unwrap();
    // It may even be another one now.
    let identity = PipelineIdentity { key: name("Other__c"), ..identity() };
    let new = store.pipeline(&identity, Seq(3)).await.unwrap();
    assert_ne!(new.id, old.id, "what still speaks of the old one must not reach it");
    assert_eq!((new.watermark, &new.identity, new.failed), (Seq(3), &identity, 0));
    let answer = known(&store, new.id, &[account(1), account(2)]).await;
    assert_eq!((answer.applied.len(), answer.parked.len()), (0, 0));
    assert_eq!(answer.links[&account(1)], target(1));
    let gaps = store.gaps().await.unwrap();
    let [gap] = gaps.as_slice() else { panic!("{gaps:?}") };
    assert_eq!((gap.kind, gap.subscription, gap.seq), (GapKind::Removed, subscription, Seq(3)));
    assert_eq!(gap.object, Some(name("Account")));
    let (from, to) = (gap.from.unwrap(), gap.to.unwrap());
    assert!(before <= from && from <= to && to <= Timestamp::now());
    store.pipeline(&identity, Seq(3)).await.unwrap();
    assert_eq!(store.gaps().await.unwrap().len(), 1, "once");
}

pub async fn parked_rows_are_counted_by_state<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let park = vec![
        failed(pipeline, account(1), 1),
        failed(pipeline, account(2), 2),
        waiting(pipeline, account(3), 3, parent(9)),
    ];
    store.settle(Settlement { park, ..Settlement::default() }).await.unwrap();
    let row = accounts(&store).await;
    assert_eq!((row.parked, row.failed), (1, 2));
    assert_eq!(store.pipelines().await.unwrap(), [row]);
}

pub async fn links_are_shared_between_the_same_two_orgs<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let twin = PipelineIdentity { name: name("twin"), channel: name("/data/AccountChangeEvent"), ..identity() };
    let elsewhere = PipelineIdentity { name: name("elsewhere"), target_org: name("third"), ..identity() };
    let other_object = PipelineIdentity { name: name("other"), target_object: name("Lead"), ..identity() };
    let links = vec![link(pipeline, account(1), target(1))];
    store.settle(Settlement { links, ..Settlement::default() }).await.unwrap();
    for (identity, found) in [(twin, Some(target(1))), (elsewhere, None), (other_object, None)] {
        let row = store.pipeline(&identity, Seq::ZERO).await.unwrap();
        let answer = known(&store, row.id, &[account(1)]).await;
        assert_eq!(answer.links.get(&account(1)).copied(), found, "{}", identity.name);
    }
}

pub async fn a_parent_is_known_by_its_link_between_the_same_two_orgs<B: Backend>() {
    let store = B::empty().open().await;
    let writer = accounts(&store).await.id;
    let child = contacts(&store).await.id;
    let elsewhere = PipelineIdentity { name: name("elsewhere"), target_org: name("third"), ..identity() };
    let elsewhere = store.pipeline(&elsewhere, Seq::ZERO).await.unwrap().id;
    let links = vec![link(writer, account(1), target(1)), link(elsewhere, account(2), target(2))];
    store.settle(Settlement { links, ..Settlement::default() }).await.unwrap();
    let stranger = Parent { target_object: name("Lead"), record: account(1) };
    let parents = vec![parent(1), parent(2), stranger];
    let answer = store.known(child, Question { records: vec![], parents }).await.unwrap();
    assert_eq!(answer.parents, [(parent(1), target(1))].into());
}

pub async fn of_what_is_not_known_there_is_no_answer<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = with_progress(&store).await.id;
    assert_eq!(known(&store, pipeline, &[]).await, Answer::default());
    assert_eq!(known(&store, pipeline, &[account(77)]).await, Answer::default());
    let other = contacts(&store).await.id;
    let answer = known(&store, other, &[account(1), account(2)]).await;
    assert_eq!(answer, Answer::default(), "progress belongs to one pipeline");
    // More than any limit of bound values.
    let many: Vec<_> = (0..40_000).map(account).collect();
    let answer = known(&store, pipeline, &many).await;
    assert_eq!((answer.applied.len(), answer.links.len(), answer.parked.len()), (1, 1, 1));
}

pub async fn a_halted_pipeline_stays_halted_until_it_is_resumed_and_gives_its_reason<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    let subscription = subscribed(&store).await;
    assert_eq!(store.resume(&name("accounts")).await.unwrap(), None, "there is no such pipeline");
    let (one, other) = (accounts(&store).await, contacts(&store).await);
    assert_eq!((&one.halted, one.passes_to), (&None, Seq::ZERO));
    assert_eq!(store.resume(&name("accounts")).await.unwrap(), Some(false));
    for why in ["more than 5 deletes in 1m", "said again"] {
        let halts = vec![(one.id, why.to_owned(), NOW)];
        store.settle(Settlement { halts, ..Settlement::default() }).await.unwrap();
    }
    store.append(subscription, arrivals([1, 2, 3]), NOW).await.unwrap();
    drop(store);
    let store = backend.open().await;
    let rows = store.pipelines().await.unwrap();
    assert_eq!(rows[0].halted, Some(Halted { why: "more than 5 deletes in 1m".to_owned(), at: NOW }));
    assert_eq!(rows[1], other);
    assert_eq!(store.resume(&name("accounts")).await.unwrap(), Some(true));
    let rows = store.pipelines().await.unwrap();
    assert_eq!((&rows[0].halted, rows[0].passes_to), (&None, Seq(3)), "what is journaled by now may pass");
}

pub async fn how_many_records_of_an_object_go_out_together_is_remembered_for_all_its_pipelines<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    let one = accounts(&store).await;
    let twin = PipelineIdentity { name: name("twin"), source_object: name("Lead"), ..identity() };
    store.pipeline(&twin, Seq::ZERO).await.unwrap();
    contacts(&store).await;
    assert_eq!(one.batch_size, None);
    for size in [100, 7] {
        let batch_sizes = vec![(one.id, size)];
        store.settle(Settlement { batch_sizes, ..Settlement::default() }).await.unwrap();
    }
    drop(store);
    let rows = backend.open().await.pipelines().await.unwrap();
    let sizes: Vec<_> = rows.iter().map(|row| (row.identity.name.as_str(), row.batch_size)).collect();
    assert_eq!(sizes, [("accounts", Some(7)), ("twin", Some(7)), ("contacts", None)], "of one target object");
}

pub async fn what_waits_for_a_halted_pipeline_is_found_page_by_page_when_it_goes_on<B: Backend>() {
    let store = B::empty().open().await;
    let (one, other) = (accounts(&store).await.id, contacts(&store).await.id);
    let held = |pipeline, n, from| Parked {
        code: PIPELINE_HALTED.to_owned(),
        waits_for: None,
        ..waiting(pipeline, account(n), from, parent(9))
    };
    let park = vec![
        held(other, 1, 7),
        held(one, 3, 5),
        held(one, 1, 4),
        failed(one, account(2), 6),
        waiting(one, account(4), 3, parent(9)),
    ];
    let halts = vec![(one, "why".to_owned(), NOW)];
    store.settle(Settlement { park, halts, ..Settlement::default() }).await.unwrap();
    let all = async |after, limit| store.held(after, limit).await.unwrap();
    assert_eq!(all(None, 9).await, [(other, account(1), Seq(7))]);
    store
        .settle(Settlement {
            widen: vec![(one, account(3), Seq(8)), (one, account(4), Seq(8))],
            ..Settlement::default()
        })
        .await
        .unwrap();
    assert_eq!(store.restless().await.unwrap(), [], "nothing of a halted pipeline is tried");
    store.resume(&name("accounts")).await.unwrap();
    let page = all(None, 2).await;
    assert_eq!(page, [(one, account(1), Seq(4)), (one, account(3), Seq(5))]);
    assert_eq!(all(Some((one, account(3))), 2).await, [(other, account(1), Seq(7))]);
    assert_eq!(all(Some((other, account(1))), 2).await, []);
    assert_eq!(store.restless().await.unwrap(), [(one, account(4))], "what was held is found page by page alone");
}
