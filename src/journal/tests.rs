use std::pin::Pin;
use std::task::Poll;

use futures_util::FutureExt;

use super::*;
use crate::store::Sqlite;
use crate::store::contract::given;

/// A journal in memory with two pipelines, and the lines that are scanned.
struct Bench {
    store: Sqlite,
    head: watch::Sender<Seq>,
    accounts: PipelineId,
    contacts: PipelineId,
    next: u32,
}

type Lines = Pin<Box<dyn Stream<Item = Result<Scanned, StoreError>>>>;

impl Bench {
    async fn new() -> Self {
        let store = Sqlite::in_memory().unwrap();
        let (accounts, contacts) = (given::accounts(&store).await.id, given::contacts(&store).await.id);
        Self { store, head: watch::Sender::new(Seq::ZERO), accounts, contacts, next: 1 }
    }

    /// Journals an event for each of these objects.
    async fn append(&mut self, objects: &[&str]) {
        let subscription = given::subscribed(&self.store).await;
        let mut group = Vec::new();
        for object in objects {
            group.push(given::event(self.next).object(object).arrives());
            self.next += 1;
        }
        let appended = self.store.append(subscription, group, given::NOW).await.unwrap();
        self.head.send_replace(appended.head);
    }

    fn scan(&self, accounts: u64, contacts: u64) -> Lines {
        let lines = vec![(self.accounts, Seq(accounts)), (self.contacts, Seq(contacts))];
        Box::pin(scan(self.store.clone(), lines, self.head.subscribe()))
    }
}

/// Stretches until the scan has reached this number.
async fn up_to(lines: &mut Lines, head: u64) -> Vec<Scanned> {
    let mut stretches = Vec::new();
    while stretches.last().is_none_or(|last: &Scanned| last.to < Seq(head)) {
        stretches.push(lines.next().await.unwrap().unwrap());
    }
    stretches
}

fn seqs(stretches: &[Scanned], pipeline: PipelineId) -> Vec<u64> {
    let parts = stretches.iter().flat_map(|stretch| &stretch.parts);
    parts.filter(|(of, _)| *of == pipeline).map(|(_, part)| part.seq.0).collect()
}

#[tokio::test]
async fn all_pipelines_stay_abreast_and_nothing_older_comes_after_something_newer() {
    let mut bench = Bench::new().await;
    // Pages of accounts end at other numbers than pages of contacts.
    let objects: Vec<&str> = (0..1_000).map(|n| if n % 5 == 0 { "Contact" } else { "Account" }).collect();
    bench.append(&objects).await;
    let mut lines = bench.scan(0, 0);
    let stretches = up_to(&mut lines, 1_000).await;
    assert!(stretches.len() > 1);
    let mut reached = Seq::ZERO;
    for stretch in &stretches {
        assert!(stretch.to > reached);
        let seqs: Vec<Seq> = stretch.parts.iter().map(|(_, part)| part.seq).collect();
        assert!(seqs.is_sorted());
        assert!(
            seqs.iter().all(|seq| *seq > reached && *seq <= stretch.to),
            "{seqs:?} in {reached:?}..{:?}",
            stretch.to
        );
        reached = stretch.to;
    }
    let (contacts, accounts): (Vec<u64>, Vec<u64>) = (1..=1_000).partition(|seq| (seq - 1) % 5 == 0);
    assert_eq!(seqs(&stretches, bench.accounts), accounts);
    assert_eq!(seqs(&stretches, bench.contacts), contacts);
}

#[tokio::test]
async fn each_pipeline_begins_above_its_own_watermark() {
    let mut bench = Bench::new().await;
    bench.append(&["Account", "Contact", "Account", "Contact"]).await;
    let stretches = up_to(&mut bench.scan(1, 3), 4).await;
    assert_eq!((seqs(&stretches, bench.accounts), seqs(&stretches, bench.contacts)), (vec![3], vec![4]));
}

#[tokio::test]
async fn a_stretch_that_matches_nobody_is_told_all_the_same() {
    let mut bench = Bench::new().await;
    bench.append(&["Lead", "Lead"]).await;
    let stretch = bench.scan(0, 0).next().await.unwrap().unwrap();
    assert!(stretch.parts.is_empty());
    assert_eq!(stretch.to, Seq(2));
}

#[tokio::test]
async fn it_waits_at_the_head_and_wakes_when_that_moves() {
    let mut bench = Bench::new().await;
    bench.append(&["Account"]).await;
    let mut lines = bench.scan(0, 0);
    up_to(&mut lines, 1).await;
    let mut next = lines.next();
    // Whether it waits for the store or for the head by now: what comes is not slept over.
    let waiting = std::future::poll_fn(|context| Poll::Ready(next.poll_unpin(context).is_pending())).await;
    assert!(waiting);
    bench.append(&["Contact"]).await;
    let stretch = next.await.unwrap().unwrap();
    assert_eq!((seqs(&[stretch], bench.contacts), bench.next), (vec![2], 3));
}

#[tokio::test]
async fn it_ends_with_the_journal() {
    let mut bench = Bench::new().await;
    bench.append(&["Account"]).await;
    let mut lines = bench.scan(0, 0);
    drop(bench.head);
    assert_eq!(lines.next().await.unwrap().unwrap().to, Seq(1), "what is journaled is still given");
    assert!(lines.next().await.is_none());
}

#[tokio::test]
async fn an_entry_falls_into_a_part_for_each_record_that_it_names() {
    let mut bench = Bench::new().await;
    let ids = [given::account(1), given::account(2), given::account(3)];
    let subscription = given::subscribed(&bench.store).await;
    let group = vec![given::event(1).records(&ids).arrives(), given::event(2).records(&[]).wildcard().arrives()];
    bench.store.append(subscription, group, given::NOW).await.unwrap();
    let stretch = bench.scan(0, 0).next().await.unwrap().unwrap();
    let records: Vec<_> = stretch.parts.iter().map(|(_, part)| (part.seq, part.record)).collect();
    assert_eq!(records, ids.map(|id| (Seq(1), id)));
    assert_eq!(stretch.to, Seq(2));
    bench.next = 3;
}
