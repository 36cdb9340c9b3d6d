//! Links that a person named.

use super::Backend;
use super::given::*;
use crate::event::RecordId;
use crate::store::{
    JobEnd, JobEnded, LinkChange, ListNumber, Listed, NotLinked, PipelineIdentity, Settlement, Store, Work,
};

async fn list(store: &impl Store, pairs: &[(u32, u32)]) -> ListNumber {
    let listed = |(from, to): &(u32, u32)| Listed { record: account(*from), target: Some(target(*to)) };
    store.add_to_list(None, pairs.iter().map(listed).collect()).await.unwrap()
}

fn done() -> JobEnded {
    JobEnded { at: NOW, how: JobEnd::Done, why: String::new() }
}

pub async fn pairs_are_linked_together_with_the_job_that_gives_them_the_key<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    let pipeline = accounts(&store).await.id;
    let pairs = list(&store, &[(1, 11), (2, 12)]).await;
    let job = store.import(pipeline, pairs, NOW).await.unwrap().unwrap();
    let again = list(&store, &[(3, 13)]).await;
    assert_eq!(store.import(pipeline, again, NOW).await.unwrap(), None, "one at a time");
    drop(store);
    let store = backend.open().await;
    let known = known(&store, pipeline, &[account(1), account(2), account(3)]).await;
    assert_eq!(known.links, [(account(1), target(11)), (account(2), target(12))].into());
    assert!(known.created.is_empty(), "the bridge made none of them");
    let open = store.open_jobs().await.unwrap();
    assert_eq!((open[0].number, &open[0].work), (job, &Work::Import { list: pairs }));
    assert_eq!(store.not_linked(pipeline, None, 9).await.unwrap(), []);
}

pub async fn a_pair_that_does_not_fit_what_is_known_is_noted_and_not_linked<B: Backend>() {
    let store = B::empty().open().await;
    let (pipeline, other) = (accounts(&store).await.id, contacts(&store).await.id);
    let elsewhere = PipelineIdentity { name: name("elsewhere"), target_org: name("third"), ..identity() };
    let elsewhere = store.pipeline(&elsewhere, crate::event::Seq::ZERO).await.unwrap().id;
    let links: Vec<LinkChange> = [
        (pipeline, 1, 91),
        (pipeline, 99, 12),
        (pipeline, 3, 13),
        // Of another object of the target, and of another target.
        (other, 4, 94),
        (elsewhere, 98, 14),
    ]
    .map(|(pipeline, from, to)| link(pipeline, account(from), target(to)))
    .into();
    store.settle(Settlement { links, ..Settlement::default() }).await.unwrap();
    store.sending(vec![(pipeline, account(5)), (elsewhere, account(4))]).await.unwrap();
    let pairs = list(&store, &[(1, 11), (2, 12), (3, 13), (4, 14), (5, 15), (6, 16), (7, 16), (8, 18), (8, 19)]).await;
    let job = store.import(pipeline, pairs, NOW).await.unwrap().unwrap();
    let numbers: Vec<u32> = (1..9).collect();
    let asked: Vec<RecordId> = numbers.iter().map(|n| account(*n)).collect();
    let known = known(&store, pipeline, &asked).await;
    assert_eq!(known.links, [(account(1), target(91)), (account(3), target(13)), (account(4), target(14))].into());
    let told = store.not_linked(pipeline, None, 99).await.unwrap();
    let told: Vec<_> = told.iter().map(|one| (one.record, one.why.split(' ').nth(1).unwrap())).collect();
    let expected = [(1, "record"), (2, "record"), (5, "write"), (6, "list"), (7, "list"), (8, "list")];
    assert_eq!(told, expected.map(|(n, word)| (account(n), word)));

    // What is found out later joins them, and of two reasons the first one stays.
    let later = |n| NotLinked { record: account(n), target: target(n), why: "later".to_owned() };
    store.note_not_linked(job, vec![later(2), later(3)]).await.unwrap();
    let page = store.not_linked(pipeline, Some(account(1)), 2).await.unwrap();
    assert_eq!(page[1], later(3));
    assert!(page[0].record == account(2) && page[0].why != "later");
    assert_eq!(store.not_linked(other, None, 9).await.unwrap(), []);

    // The next import has its own.
    store.job_ended(job, done()).await.unwrap();
    let pairs = list(&store, &[(6, 16)]).await;
    store.import(pipeline, pairs, NOW).await.unwrap().unwrap();
    assert_eq!(store.not_linked(pipeline, None, 9).await.unwrap(), []);
}
