//! Failed records as people and scripts see them: what is asked, what is told, and what to do about each cause.

mod remedy;
mod report;

use serde::{Deserialize, Serialize};

pub use remedy::remedy;
pub use report::{Cause, Event, Healed, Parent, Record};

use crate::event::{RecordId, Timestamp};
use crate::store::{PipelineId, RowId, Store, StoreError, Which};

/// Records that are told at once.
const PAGE: usize = 200;
/// The same with their events, of which each may have [`EVENTS_MAX`]: all must fit into one answer.
const PAGE_WITH_EVENTS: usize = 20;
/// Events of one record that are told.
pub const EVENTS_MAX: usize = 100;
/// Healed records that are told.
pub const HEALED_MAX: usize = 1_000;

/// What can be asked of the state, whether a bridge runs or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// How many have which cause.
    Causes(Which),
    /// Each, a page at a time, from behind `after` on.
    Each { which: Which, after: Option<Place>, events: bool },
    /// Those that are none any more.
    Healed(Which),
}

/// Where a list goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pipeline: i64,
    record: RecordId,
}

/// The answers, in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    Causes(Vec<Cause>),
    /// `next`: there may be more.
    Each {
        records: Vec<Record>,
        next: Option<Place>,
    },
    /// `more`: only the last of them are told.
    Healed {
        records: Vec<Healed>,
        more: bool,
    },
}

/// What the store knows.
///
/// # Errors
/// When the store fails.
pub async fn told<S: Store>(store: &S, ask: Ask) -> Result<Told, StoreError> {
    match ask {
        Ask::Causes(which) => {
            let causes = store.failed_causes(&which).await?;
            Ok(Told::Causes(causes.into_iter().map(Cause::of).collect()))
        }
        Ask::Each { which, after, events } => {
            let after: Option<RowId> = after.map(|place| (PipelineId(place.pipeline), place.record));
            let page = if events { PAGE_WITH_EVENTS } else { PAGE };
            let rows = store.failed(&which, after, page).await?;
            let place = |row: &RowId| Place { pipeline: row.0.0, record: row.1 };
            let last = rows.last().map(|last| (last.row.pipeline, last.row.record));
            let next = last.filter(|_| rows.len() >= page).as_ref().map(place);
            let mut records = Vec::with_capacity(rows.len());
            for row in rows {
                let id = (row.row.pipeline, row.row.record);
                let entries = match events {
                    true => store.events_of(id, (row.row.from, row.row.to), EVENTS_MAX + 1).await?,
                    false => Vec::new(),
                };
                records.push(Record::of(row, entries));
            }
            Ok(Told::Each { records, next })
        }
        Ask::Healed(which) => {
            let mut healed = store.healed(&which, Timestamp::now(), HEALED_MAX + 1).await?;
            let more = healed.len() > HEALED_MAX;
            healed.truncate(HEALED_MAX);
            Ok(Told::Healed { records: healed.into_iter().map(Healed::of).collect(), more })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::given;
    use crate::store::{Settlement, Sqlite};

    async fn with_failed(records: u32) -> Sqlite {
        let store = Sqlite::in_memory().unwrap();
        let pipeline = given::accounts(&store).await.id;
        let park = (0..records).map(|n| given::failed(pipeline, given::account(n), 1)).collect();
        store.settle(Settlement { park, ..Settlement::default() }).await.unwrap();
        store
    }

    #[tokio::test]
    async fn with_their_events_fewer_records_are_told_at_once_and_all_in_the_end() {
        let store = with_failed(41).await;
        let (mut after, mut pages) = (None, Vec::new());
        loop {
            let which = Which::default();
            let told = told(&store, Ask::Each { which, after, events: true }).await.unwrap();
            let Told::Each { records, next } = told else { panic!("{told:?}") };
            pages.push(records.len());
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(pages, [20, 20, 1]);
    }

    #[tokio::test]
    async fn of_many_healed_records_the_last_are_told_and_that_there_are_more() {
        for (there, expected) in [(HEALED_MAX, false), (HEALED_MAX + 1, true)] {
            let store = with_failed(u32::try_from(there).unwrap()).await;
            store.discard(&Which::default(), Timestamp::now()).await.unwrap();
            let told = told(&store, Ask::Healed(Which::default())).await.unwrap();
            let Told::Healed { records, more } = told else { panic!("{told:?}") };
            assert_eq!((records.len(), more), (HEALED_MAX, expected));
        }
    }
}
