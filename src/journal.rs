//! The one wide place, on disk: arrivals become numbered entries on one side, and are read in stretches on the other.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use async_stream::try_stream;
use futures_util::{Stream, StreamExt};
use tokio::sync::{mpsc, watch};

use crate::event::Arrival;
use crate::event::{Channel, Happening, Part, Seq, Timestamp};
use crate::privacy::Privacy;
use crate::status::Board;
use crate::store::{PipelineId, Store, StoreError, SubscriptionId};

/// Arrivals in one transaction.
const GROUP_MAX: usize = 500;
/// Entries of one pipeline that are read at once.
const PAGE_MAX: usize = 200;

/// Journals what has arrived, then moves `head`, or wakes who watches it where a gap may have been opened in front of nothing.
/// One transaction holds the changes and the position that covers them;
/// under load it grows, in quiet times nothing waits for it. It knows no reader. Nothing is stored that the org's `privacy`
/// forbids.
///
/// # Errors
/// When the store fails. What was not journaled by then is not lost: the position did not move.
pub async fn journal<S: Store>(
    arrivals: mpsc::Receiver<(Channel, Arrival)>,
    subscriptions: HashMap<Channel, SubscriptionId>,
    privacy: Privacy,
    store: S,
    head: Arc<watch::Sender<Seq>>,
    board: Board,
) -> Result<(), StoreError> {
    let arrived =
        futures_util::stream::unfold(arrivals, |mut arrivals| async { Some((arrivals.recv().await?, arrivals)) });
    let mut groups = std::pin::pin!(arrived.ready_chunks(GROUP_MAX));
    while let Some(group) = groups.next().await {
        // One subscription's own order is kept; between them there is none to keep.
        let mut by_channel: Vec<(Channel, Vec<Arrival>)> = Vec::new();
        for (channel, mut arrival) in group {
            // The one way in for whatever a subscription, a poll or a probe brings.
            privacy.apply_arrival(&mut arrival);
            match by_channel.iter_mut().find(|(known, _)| *known == channel) {
                Some((_, arrivals)) => arrivals.push(arrival),
                None => by_channel.push((channel, vec![arrival])),
            }
        }
        for (channel, arrivals) in by_channel {
            let Some(id) = subscriptions.get(&channel) else { continue };
            let received = arrivals.iter().filter(|arrival| matches!(arrival, Arrival::Change(_))).count();
            let live = arrivals.iter().rev().find_map(|arrival| match arrival {
                Arrival::Live { until } => Some(*until),
                Arrival::Change(_)
                | Arrival::Passed { .. }
                | Arrival::Undecodable(_)
                | Arrival::Refused { .. }
                | Arrival::Skipped { .. }
                | Arrival::Found { .. }
                | Arrival::Window(_)
                | Arrival::Probed { .. } => None,
            });
            let is_gap = |arrival: &Arrival| match arrival {
                Arrival::Undecodable(_) | Arrival::Refused { .. } | Arrival::Skipped { .. } | Arrival::Window(_) => {
                    true
                }
                Arrival::Live { .. }
                | Arrival::Change(_)
                | Arrival::Passed { .. }
                | Arrival::Found { .. }
                | Arrival::Probed { .. } => false,
            };
            let gaps = arrivals.iter().any(is_gap);
            let appended = store.append(*id, arrivals, Timestamp::now()).await?;
            // Several subscriptions append, and the number of one must not hide that of another.
            head.send_if_modified(|head| {
                let moved = appended.head > *head;
                *head = appended.head.max(*head);
                moved || gaps
            });
            board.journaled(&channel, received as u64, appended.journaled, live);
        }
    }
    Ok(())
}

/// Parts of all pipelines between two numbers of the journal, in order.
#[derive(Debug)]
pub struct Scanned {
    pub parts: Vec<(PipelineId, Part)>,
    /// Every pipeline has been looked at up to here.
    pub to: Seq,
}

/// The journal for several pipelines together, each from its own watermark; more when `head` moves. They stay abreast,
/// so that nobody sees an entry before all have seen what is older.
pub fn scan<S: Store>(
    store: S,
    pipelines: Vec<(PipelineId, Seq)>,
    mut head: watch::Receiver<Seq>,
) -> impl Stream<Item = Result<Scanned, StoreError>> {
    try_stream! {
        let mut ahead: Vec<Ahead> =
            pipelines.into_iter().map(|(id, seen)| Ahead { id, seen, parts: VecDeque::new() }).collect();
        let mut given = ahead.iter().map(|line| line.seen).min().unwrap_or_default();
        loop {
            // Noted before the store is asked, so that an entry that comes in between is not slept over.
            head.borrow_and_update();
            for line in &mut ahead {
                if line.parts.is_empty() {
                    let page = store.page(line.id, line.seen, PAGE_MAX).await?;
                    line.seen = page.last_seq;
                    line.parts.extend(page.entries.into_iter().flat_map(parts));
                }
            }
            let to = ahead.iter().map(|line| line.seen).min().unwrap_or_default();
            if to > given {
                given = to;
                let mut parts: Vec<(PipelineId, Part)> =
                    ahead.iter_mut().flat_map(|line| line.up_to(to)).collect();
                parts.sort_by_key(|(_, part)| part.seq);
                yield Scanned { parts, to };
            } else if head.changed().await.is_err() {
                // Nobody journals any more.
                return;
            }
        }
    }
}

/// What was read for one pipeline and not given yet.
struct Ahead {
    id: PipelineId,
    seen: Seq,
    parts: VecDeque<Part>,
}

impl Ahead {
    fn up_to(&mut self, to: Seq) -> Vec<(PipelineId, Part)> {
        let count = self.parts.partition_point(|part| part.seq <= to);
        self.parts.drain(..count).map(|part| (self.id, part)).collect()
    }
}

/// An entry falls into a part for each record that it names.
fn parts(entry: crate::store::Entry) -> Vec<Part> {
    match entry.change.happening {
        Happening::Record(change) => {
            let change = Arc::new(change);
            let ids = change.header.record_ids.iter();
            ids.map(|record| Part { seq: entry.seq, record: *record, change: change.clone() }).collect()
        }
        Happening::Event { .. } | Happening::Notification { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
