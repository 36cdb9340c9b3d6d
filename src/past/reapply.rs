//! Which records events of some time named, so that they are read and applied once more, as they are now.
//!
//! From the journal where it reaches and has no gap. Where it does not, the org is asked what has changed since then: that tells of every time, not
//! only of the 72 hours that the org keeps events, costs no deliveries, and finds each record that an event could have named.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::event::{Happening, RecordId, ReplayId, Seq, Timestamp, Transport};
use crate::store::{Gap, Mended, PipelineRow, Sought, Span, Store, StoreError, SubscriptionRow};

/// Gaps that were closed are remembered by their number.
const GAPS: usize = 10_000;
/// Entries that are looked at together.
const PAGE: usize = 1_000;

/// Which events. All that is said must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Range {
    /// From this event, or time, on.
    pub from: Option<Point>,
    /// Up to this event, or before this time.
    pub to: Option<Point>,
    pub transaction: Option<String>,
    pub record: Option<RecordId>,
}

/// A place among the events of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// By the org's clock.
    Time(Timestamp),
    /// In the journal.
    Number(Seq),
    /// As `orgbridge journal` shows it.
    ReplayId(String),
}

/// What a range comes to for a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// The journal has all of it.
    Journaled {
        events: u64,
        /// Events of it that do not name all their records; not 0 only where a record or a transaction was asked for.
        unnamed: u64,
        records: Vec<RecordId>,
    },
    /// The journal does not have all of it: what has changed since then.
    Since(Timestamp),
}

/// The inner error says why nothing can be meant by the range, and what to do.
///
/// # Errors
/// When the store fails.
pub async fn touched<S: Store>(
    store: &S,
    row: &PipelineRow,
    subscription: Option<&SubscriptionRow>,
    range: &Range,
) -> Result<Result<Touched, String>, StoreError> {
    let identity = &row.identity;
    if let (Some(record), None, None, None) = (range.record, &range.from, &range.to, &range.transaction) {
        return Ok(Ok(Touched::Journaled { events: 0, unnamed: 0, records: vec![record] }));
    }
    let Some(subscription) = subscription else {
        return Ok(Err(format!("nothing was received for {} yet", identity.name)));
    };
    let mut sought = Sought {
        org: Some(identity.source_org.clone()),
        channel: Some(identity.channel.clone()),
        record: range.record,
        transaction: range.transaction.clone(),
        ..Sought::default()
    };
    let is_whole = range.record.is_none() && range.transaction.is_none();
    let mut span = Span::ALL;
    match &range.from {
        None => {}
        Some(Point::Time(at)) => {
            if is_whole && !reaches(store, subscription, *at).await? {
                return Ok(Ok(Touched::Since(*at)));
            }
            sought.since = Some(*at);
        }
        Some(Point::Number(number)) => span.above = number.before(),
        Some(Point::ReplayId(text)) => match numbers(store, subscription, text).await? {
            Some((first, _)) => span.above = first.before(),
            None => return Ok(Err(unknown(text, row))),
        },
    }
    let from_the_first = range.from.is_none() && is_whole;
    if from_the_first || matches!(range.from, Some(Point::Number(_) | Point::ReplayId(_))) {
        // Single ones that somebody needs are there, and others between them are not.
        let trimmed_to = store.journal_figures().await?.trimmed_to;
        if span.above < trimmed_to {
            return Ok(Err(format!("events up to {trimmed_to} are not in the journal any more: name a time")));
        }
    }
    match &range.to {
        None => {}
        Some(Point::Time(at)) => sought.until = Some(*at),
        Some(Point::Number(number)) => span.to = *number,
        Some(Point::ReplayId(text)) => match numbers(store, subscription, text).await? {
            Some((_, last)) => span.to = last,
            None => return Ok(Err(unknown(text, row))),
        },
    }
    let of_times = store.journal_span(sought.since, sought.until).await?;
    let mut span = Span { above: span.above.max(of_times.above), to: span.to.min(of_times.to) };
    let (mut events, mut unnamed, mut seen, mut records) = (0, 0, HashSet::new(), Vec::new());
    // When the range begins and ends, as far as its events tell.
    let (mut first, mut last): (Option<Timestamp>, Option<Timestamp>) = (sought.since, sought.until);
    loop {
        let page = store.journal_page(&sought, span, PAGE).await?;
        for journaled in page.entries {
            let Happening::Record(change) = &journaled.entry.change.happening else { continue };
            if change.header.entity_name != identity.source_object {
                continue;
            }
            events += 1;
            let at = change.header.commit_timestamp;
            first = Some(first.map_or(at, |first| first.min(at)));
            last = Some(last.map_or(at, |last| last.max(at)));
            unnamed += u64::from(change.header.wildcard || change.header.record_ids.is_empty());
            let of_range =
                change.header.record_ids.iter().filter(|record| range.record.is_none_or(|one| one == **record));
            records.extend(of_range.copied().filter(|record| seen.insert(*record)));
        }
        match page.next {
            Some(above) => span.above = above,
            None => break,
        }
    }
    if let (Some(first), true) = (first, is_whole)
        && (unnamed > 0 || has_gap(store, row, subscription, (first, last)).await?)
    {
        return Ok(Ok(Touched::Since(first)));
    }
    Ok(Ok(Touched::Journaled { events, unnamed, records }))
}

/// Whether there was a time within this one of which events do not tell. What was read then, when it was repaired, was mapped as the
/// config said at that time.
async fn has_gap<S: Store>(
    store: &S,
    row: &PipelineRow,
    subscription: &SubscriptionRow,
    (first, last): (Timestamp, Option<Timestamp>),
) -> Result<bool, StoreError> {
    let mut gaps = store.gaps().await?;
    gaps.extend(store.mended_gaps(GAPS).await?);
    // One that names records has an entry, which names them too.
    let is_own = |gap: &Gap| {
        gap.subscription == subscription.id
            && gap.records == 0
            && gap.object.as_ref().is_none_or(|object| *object == row.identity.source_object)
    };
    let within =
        |gap: &Gap| gap.to.is_none_or(|to| to >= first) && gap.from.zip(last).is_none_or(|(from, last)| from <= last);
    // What only proved to be no gap has hidden nothing.
    let hid =
        |gap: &Gap| gap.closed.as_ref().is_none_or(|closed| closed.by == Mended::Repair || closed.by == Mended::Person);
    Ok(gaps.iter().any(|gap| is_own(gap) && within(gap) && hid(gap)))
}

/// Whether the journal has all that was committed since then: the subscription is older, and nothing was trimmed.
async fn reaches<S: Store>(store: &S, subscription: &SubscriptionRow, at: Timestamp) -> Result<bool, StoreError> {
    let whole_since = store.journal_figures().await?.whole_since;
    let is_whole = whole_since.is_some_and(|since| since <= at);
    Ok(is_whole && subscription.position.started_at.is_some_and(|started| started <= at))
}

/// The numbers of the first and the last event with this replay id.
async fn numbers<S: Store>(
    store: &S,
    subscription: &SubscriptionRow,
    text: &str,
) -> Result<Option<(Seq, Seq)>, StoreError> {
    let Some(id) = replay_id(subscription.transport, text) else { return Ok(None) };
    store.replayed(subscription.id, id).await
}

/// As it is shown: digits of the Streaming API, the bytes of the Pub/Sub API in hexadecimal.
fn replay_id(transport: Transport, text: &str) -> Option<ReplayId> {
    match transport {
        Transport::Cometd => Some(ReplayId(text.as_bytes().to_vec())),
        Transport::Pubsub => {
            let pairs = text.as_bytes().chunks(2).map(|pair| {
                let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
                u8::from_str_radix(pair, 16).ok()
            });
            pairs.collect::<Option<Vec<u8>>>().map(ReplayId)
        }
    }
}

fn unknown(text: &str, row: &PipelineRow) -> String {
    format!(
        "the journal has no event of {} with the replay id {text}: `orgbridge journal list` shows those that it has. What happened \
         before is named by a time",
        row.identity.channel
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Retain;
    use crate::event::Arrival;
    use crate::store::contract::given::{self, NOW, account};
    use crate::store::{Settlement, Sqlite};

    #[tokio::test]
    async fn a_range_names_each_record_of_its_events_once_and_what_the_journal_has_not_is_asked_of_the_org() {
        let store = Sqlite::in_memory().unwrap();
        let row = given::accounts(&store).await;
        let subscription = given::subscribed(&store).await;
        store.start(subscription, NOW).await.unwrap();
        let minute = Duration::from_secs(60);
        for n in 1..=6 {
            let group: Vec<Arrival> = vec![given::event(n).records(&[account(n % 3), account(9)]).arrives()];
            store.append(subscription, group, NOW.plus(n * minute)).await.unwrap();
        }
        let rows = store.subscriptions().await.unwrap();
        let touched = async |range: Range| touched(&store, &row, rows.first(), &range).await.unwrap();
        let from = |from| Range { from: Some(from), ..Range::default() };
        let found = |events, records: &[u32]| {
            let records = records.iter().map(|n| account(*n)).collect();
            Ok(Touched::Journaled { events, unnamed: 0, records })
        };
        assert_eq!(touched(Range::default()).await, found(6, &[1, 9, 2, 0]));
        assert_eq!(touched(from(Point::Number(Seq(5)))).await, found(2, &[2, 9, 0]));
        let up_to = Range { to: Some(Point::Number(Seq(5))), ..from(Point::Number(Seq(5))) };
        assert_eq!(touched(up_to).await, found(1, &[2, 9]));
        let one = Range { record: Some(account(9)), ..from(Point::Number(Seq(2))) };
        assert_eq!(touched(one).await, found(5, &[9]));
        let alone = Range { record: Some(account(77)), ..Range::default() };
        assert_eq!(touched(alone).await, found(0, &[77]), "whether or not an event named it");
        let before = NOW.minus(minute);
        assert_eq!(touched(from(Point::Time(before))).await, Ok(Touched::Since(before)));
        // An event that names not all its records, and a window that was repaired, tell less than there was.
        let wildcard = given::event(7).wildcard().committed(NOW.plus(minute)).arrives();
        store.append(subscription, vec![wildcard], NOW.plus(7 * minute)).await.unwrap();
        assert!(matches!(touched(from(Point::Number(Seq(7)))).await, Ok(Touched::Since(_))));
        let refused = touched(from(Point::ReplayId("00ff".to_owned()))).await.unwrap_err();
        assert!(refused.contains("no event of"), "{refused}");
        let retain = Retain { age: Some(Retain::AT_LEAST), size: None };
        store.received_by(subscription, Transport::Cometd, NOW).await.unwrap();
        let rows = store.subscriptions().await.unwrap();
        // Somebody still needs the second.
        let park = vec![given::failed(row.id, account(2), 2)];
        let watermarks = vec![(row.id, Seq(3))];
        store.settle(Settlement { park, watermarks, ..Settlement::default() }).await.unwrap();
        let touched = async |range: Range| super::touched(&store, &row, rows.first(), &range).await.unwrap();
        store.trim_journal(retain, NOW.plus(Retain::AT_LEAST).plus(10 * minute), Seq::ZERO, 9).await.unwrap();
        for gone in [Point::Number(Seq(3)), Point::ReplayId("2".to_owned())] {
            let refused = touched(from(gone)).await.unwrap_err();
            assert!(refused.contains("up to 3 are not in the journal any more"), "{refused}");
        }
        let first_ones = Range { to: Some(Point::Number(Seq(5))), ..Range::default() };
        assert!(touched(first_ones).await.unwrap_err().contains("name a time"));
        let behind = Range { record: Some(account(9)), ..from(Point::Number(Seq(4))) };
        assert_eq!(touched(behind).await, found(3, &[9]));
        let none = super::touched(&store, &row, None, &Range::default()).await.unwrap().unwrap_err();
        assert!(none.contains("nothing was received"), "{none}");
    }

    #[test]
    fn a_replay_id_is_read_as_it_is_shown() {
        for (transport, id) in
            [(Transport::Cometd, ReplayId(b"1398411".to_vec())), (Transport::Pubsub, ReplayId(vec![0, 0, 0xb3, 7]))]
        {
            assert_eq!(replay_id(transport, &format!("{id:?}")), Some(id));
        }
        assert_eq!((replay_id(Transport::Pubsub, "0g"), replay_id(Transport::Pubsub, "000")), (None, None));
    }
}
