//! Failed actions as people and scripts see them. The shape is a promise to scripts: names and meanings stay, new ones may
//! come.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::answer::{ANSWER_KEPT, NO_RECORD_ID};
use super::machine::ANSWER_LOST;
use super::prepare::{EVENT_MISSED, RECORD_GONE};
use crate::event::Seq;
use crate::mapping::EVENT_HIDDEN;
use crate::store::{
    ActionPlace, EVENTS_GONE, FailedAction, Occasion, OccasionOf, PipelineId, Store, StoreError, WhichActions,
};

/// Failed actions that are told at once.
const PAGE: usize = 100;

/// What can be asked of the state, whether a bridge runs or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    pub which: WhichActions,
    /// From behind this one on.
    pub after: Option<Place>,
    /// With their events, and what was handed over: they hold values.
    pub whole: bool,
}

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    action: i64,
    seq: u64,
    of: String,
}

/// `next`: there may be more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub actions: Vec<Failed>,
    pub next: Option<Place>,
}

/// An event for which an action was not done, or nobody knows whether it was. `Debug` leaves out whatever may hold a value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub action: String,
    /// The number of its event in the journal.
    pub seq: u64,
    pub source_org: String,
    /// The object, or the platform event.
    pub object: String,
    /// Whose change it was; null: it was a platform event, or a gap.
    pub record: Option<String>,
    pub code: String,
    /// What the other side said, or why else.
    pub answer: String,
    pub attempts: u32,
    pub first_at: String,
    pub last_at: String,
    pub idempotency_key: String,
    /// Since when it is to be done again.
    pub redrive_at: Option<String>,
    pub remedy: String,
    /// What was handed over; null: nothing was, or it was not asked for.
    pub request: Option<Json>,
    /// Its event; null: there is none, or it was not asked for.
    pub event: Option<Json>,
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, seq, code, .. } = self;
        f.debug_struct("Failed").field("action", action).field("seq", seq).field("code", code).finish_non_exhaustive()
    }
}

/// What the store knows.
///
/// # Errors
/// When the store fails.
pub async fn told<S: Store>(store: &S, ask: Ask) -> Result<Told, StoreError> {
    let after: Option<ActionPlace> = ask.after.and_then(|place| {
        Some((PipelineId(place.action), Occasion { seq: Seq(place.seq), of: place.of.parse().ok()? }))
    });
    let rows = store.failed_actions(&ask.which, after, PAGE).await?;
    let next = rows.last().filter(|_| rows.len() >= PAGE).map(|last| Place {
        action: last.id.0,
        seq: last.row.occasion.seq.0,
        of: last.row.occasion.of.to_string(),
    });
    let entries = match ask.whole {
        true => store.entries_at(rows.iter().map(|row| row.row.occasion.seq).collect()).await?,
        false => Vec::new(),
    };
    let event = |row: &FailedAction| {
        // Of a gap the number only says where in the journal it is.
        let entry = entries.iter().find(|entry| entry.seq == row.row.occasion.seq);
        let entry = entry.filter(|_| !matches!(row.row.occasion.of, OccasionOf::Gap(_)))?;
        serde_json::to_value(&entry.change.happening).ok()
    };
    let actions = rows.iter().map(|row| Failed::of(row, event(row), ask.whole)).collect();
    Ok(Told { actions, next })
}

impl Failed {
    fn of(failed: &FailedAction, event: Option<Json>, whole: bool) -> Self {
        let row = &failed.row;
        let request = row.request.as_deref().filter(|_| whole).and_then(|request| serde_json::from_str(request).ok());
        Self {
            action: failed.action.to_string(),
            seq: row.occasion.seq.0,
            source_org: failed.source_org.to_string(),
            object: failed.object.to_string(),
            record: match row.occasion.of {
                OccasionOf::Record(record) => Some(record.to_string()),
                OccasionOf::Event | OccasionOf::Gap(_) => None,
            },
            remedy: remedy(&row.code).to_owned(),
            code: row.code.clone(),
            answer: row.evidence.clone(),
            attempts: row.attempts,
            first_at: row.first_at.to_string(),
            last_at: row.tried_at.to_string(),
            idempotency_key: row.idempotency_key.clone(),
            redrive_at: row.redrive_at.map(|at| at.to_string()),
            request,
            event,
        }
    }
}

/// What a person does about a failed action with this code.
pub fn remedy(code: &str) -> &'static str {
    match code {
        ANSWER_LOST => {
            "look at the other side whether it was done; if not: `orgbridge actions redrive`, if so: `orgbridge actions \
             discard`"
        }
        EVENTS_GONE => {
            "look at the source whether something happened in that time; do by hand what should have been done, then \
             `orgbridge actions discard`"
        }
        EVENT_HIDDEN | EVENT_MISSED => {
            "`orgbridge actions redrive` reads the record and does it if it is one that triggers, as it is now; `discard` gives \
             it up"
        }
        RECORD_GONE => {
            "its record is gone, or the bridge's user may not see it: give it access and redrive, or discard"
        }
        NO_RECORD_ID => {
            "it was done, and its answer has no record to go to: see `answer: { record: ... }` in the config; redrive brings \
             only the answer back"
        }
        ANSWER_KEPT => {
            "it was done: look at the other side what it answered, and write that into the source by hand, then discard; while its \
             event triggers again, redrive brings only the answer back"
        }
        _ => "mend the cause there, or in the config, and `orgbridge actions redrive`; or `orgbridge actions discard`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANUAL: &str = include_str!("../../docs/actions.md");

    #[test]
    fn the_manual_explains_every_field_and_every_code_of_its_own() {
        let failed = Failed {
            action: String::new(),
            seq: 0,
            source_org: String::new(),
            object: String::new(),
            record: None,
            code: String::new(),
            answer: String::new(),
            attempts: 0,
            first_at: String::new(),
            last_at: String::new(),
            idempotency_key: String::new(),
            redrive_at: None,
            remedy: String::new(),
            request: None,
            event: None,
        };
        let shape = serde_json::to_value(failed).unwrap();
        for name in shape.as_object().unwrap().keys() {
            assert!(MANUAL.contains(&format!("`{name}`")), "{name}");
        }
        for code in [ANSWER_LOST, EVENTS_GONE, EVENT_HIDDEN, EVENT_MISSED, RECORD_GONE, NO_RECORD_ID, ANSWER_KEPT] {
            assert!(MANUAL.contains(&format!("`{code}`")), "{code}");
        }
    }
}
