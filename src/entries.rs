//! Entries of the journal as people and scripts see them. The shape of an event is a promise to scripts: names and meanings
//! stay, new ones may come.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::event::{Field, Happening, RecordId, Seq};
use crate::store::{Journaled, Sought, Span, Store, StoreError};

/// Events that are told at once. With values they may be large; the store ends a page where they are.
const PAGE: usize = 200;

/// What can be asked of the journal, whether a bridge runs or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    pub which: Sought,
    /// Only events above this number.
    pub after: Seq,
    /// Where the last page ended; none: this is the first.
    pub place: Option<Place>,
    /// No more events than this.
    pub at_most: usize,
    /// With the values of their records.
    pub values: bool,
}

/// Where a list goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place(Span);

/// A page of events by number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub events: Vec<Event>,
    /// There may be more; this page can be empty all the same.
    pub next: Option<Place>,
}

/// One event. `Debug` leaves out whatever may hold a value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the journal.
    pub number: u64,
    pub org: String,
    pub channel: String,
    /// When it was committed in the source; null where the event does not say.
    pub committed: Option<String>,
    /// By the bridge's clock.
    pub received: String,
    /// Null of what is no change of records.
    pub object: Option<String>,
    /// The `changeType` of a change event; else `EVENT`, or `NOTIFICATION`.
    pub kind: String,
    /// The records that it names.
    pub records: Vec<String>,
    /// It speaks of records that it does not name, too.
    pub wildcard: bool,
    pub transaction: Option<String>,
    /// The names of the fields that it says have changed.
    pub changed: Vec<String>,
    /// The bridge found it by asking the org; no event told of it.
    pub found: bool,
    pub replay_id: String,
    /// All of it, as it is stored; only where values were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Json>,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, channel, kind, records, .. } = self;
        f.debug_struct("Event")
            .field("number", number)
            .field("channel", channel)
            .field("kind", kind)
            .field("records", records)
            .finish_non_exhaustive()
    }
}

impl Event {
    fn of(journaled: Journaled, values: bool) -> Self {
        let Journaled { org, own, entry } = journaled;
        let change = &entry.change;
        let event = Self {
            number: entry.seq.0,
            org,
            channel: change.channel.to_string(),
            committed: change.committed().map(|at| at.to_string()),
            received: entry.received.to_string(),
            object: None,
            kind: String::new(),
            records: Vec::new(),
            wildcard: false,
            transaction: None,
            changed: Vec::new(),
            found: own,
            replay_id: format!("{:?}", change.replay_id),
            event: values.then(|| serde_json::to_value(&change.happening).unwrap_or(Json::Null)),
        };
        match &change.happening {
            Happening::Record(record) => {
                let header = &record.header;
                let has_changed = |field: &Field| !matches!(field, Field::Same(_));
                Self {
                    object: Some(header.entity_name.to_string()),
                    kind: header.change_type.as_str().to_owned(),
                    records: header.record_ids.iter().map(RecordId::to_string).collect(),
                    wildcard: header.wildcard,
                    transaction: Some(header.transaction_key.clone()),
                    changed: record
                        .fields
                        .iter()
                        .filter(|(_, field)| has_changed(field))
                        .map(|(name, _)| name.clone())
                        .collect(),
                    ..event
                }
            }
            Happening::Event { fields, .. } => {
                Self { kind: "EVENT".to_owned(), changed: fields.keys().cloned().collect(), ..event }
            }
            Happening::Notification { .. } => Self { kind: "NOTIFICATION".to_owned(), ..event },
        }
    }
}

/// What the store knows.
///
/// # Errors
/// When the store fails.
pub async fn told<S: Store>(store: &S, ask: Ask) -> Result<Told, StoreError> {
    let Ask { which, after, place, at_most, values } = ask;
    let span = match place {
        Some(Place(span)) => span,
        // Their own indexes find these, and the page looks at the time.
        None if which.record.is_some() || which.transaction.is_some() => Span::ALL,
        None => store.journal_span(which.since, which.until).await?,
    };
    let span = Span { above: span.above.max(after), ..span };
    let page = store.journal_page(&which, span, at_most.min(PAGE)).await?;
    Ok(Told {
        events: page.entries.into_iter().map(|journaled| Event::of(journaled, values)).collect(),
        next: page.next.map(|above| Place(Span { above, ..span })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Arrival, ChangeKind, Value};
    use crate::store::Sqlite;
    use crate::store::contract::given::{NOW, account, arrivals, event, subscribed};

    const MANUAL: &str = include_str!("../docs/journal.md");

    async fn ask(store: &Sqlite, place: Option<Place>, at_most: usize, values: bool) -> Told {
        let ask = Ask { which: Sought::default(), after: Seq(1), place, at_most, values };
        told(store, ask).await.unwrap()
    }

    #[tokio::test]
    async fn the_manual_explains_every_field() {
        let store = Sqlite::in_memory().unwrap();
        store.append(subscribed(&store).await, arrivals(1..=2), NOW).await.unwrap();
        let told = ask(&store, None, 9, true).await;
        let json = serde_json::to_value(&told.events[0]).unwrap();
        for name in json.as_object().unwrap().keys() {
            assert!(MANUAL.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[tokio::test]
    async fn all_events_are_told_in_the_end_and_none_twice() {
        let store = Sqlite::in_memory().unwrap();
        store.append(subscribed(&store).await, arrivals(1..=450), NOW).await.unwrap();
        let (mut place, mut pages) = (None, Vec::new());
        loop {
            let Told { events, next } = ask(&store, place, usize::MAX, false).await;
            pages.push((events.len(), events.first().map(|event| event.number)));
            place = next;
            if place.is_none() {
                break;
            }
        }
        assert_eq!(pages, [(200, Some(2)), (200, Some(202)), (49, Some(402))]);
        assert_eq!(ask(&store, None, 3, false).await.events.len(), 3);
    }

    #[tokio::test]
    async fn a_page_of_large_events_fits_into_an_answer() {
        let store = Sqlite::in_memory().unwrap();
        let large = |number| event(number).fields([("Body", Field::New(Value::text("x".repeat(1 << 20))))]).arrives();
        store.append(subscribed(&store).await, (1..=20).map(large).collect(), NOW).await.unwrap();
        let told = ask(&store, None, usize::MAX, true).await;
        assert!(told.events.len() == 8 && told.next.is_some(), "{}", told.events.len());
    }

    #[tokio::test]
    async fn values_are_told_only_where_they_are_asked_for_and_never_printed() {
        let store = Sqlite::in_memory().unwrap();
        let group = vec![
            event(1).arrives(),
            event(2)
                .records(&[account(1), account(2)])
                .fields([
                    ("Name", Field::New(Value::text("private words"))),
                    ("Rating", Field::Same(Value::text("Hot"))),
                    ("Body", Field::Diff),
                ])
                .arrives(),
            Arrival::Found { change: event(3).kind(ChangeKind::GapDelete).fields([]).0, missed: false },
        ];
        store.append(subscribed(&store).await, group, NOW).await.unwrap();
        let names = ask(&store, None, 9, false).await;
        assert!(!serde_json::to_string(&names).unwrap().contains("private"));
        let [update, found] = &names.events[..] else { panic!("{names:?}") };
        assert_eq!((update.changed.clone(), update.found), (vec!["Body".to_owned(), "Name".to_owned()], false));
        assert_eq!((found.kind.as_str(), found.found), ("GAP_DELETE", true));
        let values = ask(&store, None, 9, true).await;
        assert_eq!(values.events[0].event.as_ref().unwrap()["record"]["fields"]["Name"]["new"], "private words");
        assert!(!format!("{values:?}").contains("private"), "{values:?}");
    }
}
