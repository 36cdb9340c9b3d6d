//! What people are told: each thing once, also behind what was forgotten.

use super::Backend;
use super::given::*;
use super::history::{happened, remember};
use crate::event::Timestamp;
use crate::store::{SentDigest, Settlement, Store, Told, What};

fn news(number: u32, written: Option<u64>, failed_or_healed: bool) -> Told {
    let written_at = written.map(|seq| Timestamp(NOW.0 + i64::try_from(seq).unwrap()));
    Told { record: account(number), written_at, failed_or_healed }
}

pub async fn what_happened_is_told_once_for_each_record_and_in_order<B: Backend>() {
    let store = B::empty().open().await;
    let (first, second) = (accounts(&store).await.id, contacts(&store).await.id);
    let history = vec![
        happened(first, 2, What::Created, 1),
        happened(first, 1, What::Failed, 2),
        happened(second, 3, What::Created, 3),
        happened(first, 2, What::Updated, 4),
        happened(first, 1, What::Healed, 5),
        happened(first, 4, What::LeftOut, 6),
        happened(first, 1, What::Updated, 7),
    ];
    remember(&store, history).await;
    let all = store.news(first, 0, 99).await.unwrap();
    assert_eq!(all.records, [news(2, Some(4), false), news(1, Some(7), true)]);
    assert!(!all.more);
    assert_eq!(all.to, store.newest_history().await.unwrap());
    let part = store.news(first, 0, 2).await.unwrap();
    assert_eq!((part.records, part.more), (vec![news(2, Some(1), false), news(1, None, true)], true));
    let rest = store.news(first, part.to, 99).await.unwrap();
    assert_eq!(rest.records, [news(2, Some(4), false), news(1, Some(7), true)]);
    let nothing = store.news(first, all.to, 99).await.unwrap();
    assert_eq!((nothing.records.len(), nothing.to, nothing.more), (0, all.to, false));
}

pub async fn how_far_people_were_told_is_remembered_for_each_pipeline<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    let (first, second) = (accounts(&store).await.id, contacts(&store).await.id);
    assert_eq!(store.newest_history().await.unwrap(), 0);
    store.tell(first, 3).await.unwrap();
    store.tell(first, 7).await.unwrap();
    drop(store);
    let store = backend.open().await;
    assert_eq!((store.told(first).await.unwrap(), store.told(second).await.unwrap()), (Some(7), None));
}

pub async fn nothing_is_missed_behind_the_history_of_a_pipeline_that_was_forgotten<B: Backend>() {
    let store = B::empty().open().await;
    let (first, second) = (accounts(&store).await, contacts(&store).await);
    remember(&store, vec![happened(first.id, 1, What::Created, 1)]).await;
    remember(&store, (2..=5).map(|seq| happened(second.id, 2, What::Updated, seq)).collect()).await;
    store.tell(first.id, store.newest_history().await.unwrap()).await.unwrap();
    store.forget_pipeline(&second.identity.name).await.unwrap();
    remember(&store, vec![happened(first.id, 3, What::Failed, 6)]).await;
    let told = store.told(first.id).await.unwrap().unwrap();
    assert_eq!(store.news(first.id, told, 99).await.unwrap().records, [news(3, None, true)]);
}

pub async fn only_failed_records_have_a_failure<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    let park = vec![failed(pipeline, account(1), 1), waiting(pipeline, account(2), 1, parent(9))];
    let (code, evidence) = (park[0].code.clone(), park[0].evidence.clone());
    store.settle(Settlement { park, ..Settlement::default() }).await.unwrap();
    let failures = store.failures(pipeline, vec![account(1), account(2), account(3)]).await.unwrap();
    assert_eq!(failures, [(account(1), (code, evidence))].into());
}

pub async fn the_last_digest_is_remembered<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    assert_eq!(store.digest().await.unwrap(), None);
    for number in 1..=2 {
        let sent = SentDigest { at: Timestamp(number), said: format!("{{\"gaps\": {number}}}") };
        store.digest_sent(&sent).await.unwrap();
    }
    drop(store);
    let sent = backend.open().await.digest().await.unwrap();
    assert_eq!(sent, Some(SentDigest { at: Timestamp(2), said: "{\"gaps\": 2}".to_owned() }));
}
