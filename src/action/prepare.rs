//! What the entries of the journal mean for an action: the source is read for what an event does not say.

use std::collections::HashMap;

use super::call::{Shot, Why};
use super::machine::Due;
use crate::config::{ActionConfig, OnRead};
use crate::event::{Change, FieldName, FieldPath, Happening, Part, Record, RecordId, Timestamp};
use crate::hydrate;
use crate::mapping::{EVENT_HIDDEN, Failure, Gives, Inputs, Skip};
use crate::org::{CallError, Org};
use crate::store::{Entry, Occasion, OccasionOf};
use crate::subscribe::found;

/// The code of a failed action whose record is gone, while its event does not say all that is handed over.
pub const RECORD_GONE: &str = "RECORD_GONE";

/// The code of a failed action: the event of a change never came.
pub const EVENT_MISSED: &str = "EVENT_MISSED";

/// Records in one read.
const READ_MAX: usize = 2_000;

/// What one event, or one record of it, means.
#[derive(Debug)]
pub struct Prepared {
    pub occasion: Occasion,
    pub committed: Timestamp,
    pub idempotency_key: String,
    pub meaning: Meaning,
}

#[derive(Debug)]
pub enum Meaning {
    Due(Box<Due>),
    Skipped(Skip),
    /// It is a failed action from the beginning.
    Failed(Why),
}

/// What is needed to tell.
#[derive(Debug, Clone)]
pub struct Preparing {
    pub action: ActionConfig,
    pub inputs: Inputs,
    pub source: Org,
}

/// Which events are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those of the journal, as they come.
    All,
    /// One that a person wants done: what it hides is read.
    Redriven,
}

impl Preparing {
    /// The meaning of each event of these entries, in order.
    ///
    /// # Errors
    /// When the source could not be read. Then nothing is known yet.
    pub async fn prepare(&self, entries: Vec<Entry>, whose: Whose) -> Result<Vec<Prepared>, CallError> {
        let mut prepared = Vec::new();
        let mut unread: Vec<(usize, Part)> = Vec::new();
        for Entry { seq, change, received } in entries {
            let committed = change.committed().unwrap_or(received);
            let keys = Keys { action: &self.action, change: &change };
            match &change.happening {
                Happening::Event { fields, .. } => {
                    let occasion = Occasion { seq, of: OccasionOf::Event };
                    prepared.push(self.told(occasion, committed, keys.of(None), self.inputs.of_event(fields)));
                }
                Happening::Record(change) => {
                    let change = std::sync::Arc::new(change.clone());
                    for record in &change.header.record_ids {
                        let part = Part { seq, record: *record, change: change.clone() };
                        let occasion = Occasion { seq, of: OccasionOf::Record(*record) };
                        let gives = self.judge(&part, whose);
                        if matches!(gives, Gives::Needs) {
                            unread.push((prepared.len(), part));
                        }
                        prepared.push(self.told(occasion, committed, keys.of(Some(*record)), gives));
                    }
                }
                Happening::Notification { .. } => {}
            }
        }
        let records = self.read(unread.iter().map(|(_, part)| part.record).collect()).await?;
        for (at, part) in unread {
            let Some(known) = prepared.get_mut(at) else { continue };
            let gives = match records.get(&part.record) {
                Some(record) => self.inputs.of_part(&part, Some(record)),
                None => Gives::Failed(gone()),
            };
            *known = self.told(known.occasion, known.committed, std::mem::take(&mut known.idempotency_key), gives);
        }
        Ok(prepared)
    }

    fn judge(&self, part: &Part, whose: Whose) -> Gives {
        let asked = found::is_found(&part.change.header);
        match self.action.on_read {
            OnRead::Skip if asked && whose == Whose::All => Gives::Failed(missed()),
            OnRead::Skip if whose == Whose::All && self.inputs.is_hidden(part) => Gives::Failed(hidden()),
            OnRead::Skip | OnRead::Fire => self.inputs.of_part(part, None),
        }
    }

    async fn read(&self, mut ids: Vec<RecordId>) -> Result<HashMap<RecordId, Record>, CallError> {
        ids.sort_unstable();
        ids.dedup();
        let mut records = HashMap::new();
        let paths = self.inputs.reads();
        let mut fields: Vec<FieldName> = paths.iter().map(FieldPath::object_field).collect();
        fields.extend("Id".parse::<FieldName>());
        fields.sort();
        fields.dedup();
        for ids in ids.chunks(READ_MAX) {
            let rows = self.source.read(&self.inputs.source_object, ids, &fields).await?;
            let there = ids.iter().zip(rows).filter_map(|(id, row)| Some((*id, row?)));
            records.extend(there.map(|(id, row)| (id, hydrate::record(id, &paths, &self.inputs.privacy, row))));
        }
        Ok(records)
    }

    fn told(&self, occasion: Occasion, committed: Timestamp, idempotency_key: String, gives: Gives) -> Prepared {
        let meaning = match gives {
            Gives::Fires(fired) => Meaning::Due(Box::new(Due {
                occasion,
                shot: Shot { idempotency_key: idempotency_key.clone(), inputs: fired.inputs },
                order: fired.order,
                committed,
                attempts: 0,
                first_at: None,
                answer: None,
                answers: fired.answers,
                holds: true,
            })),
            Gives::Skipped(skip) => Meaning::Skipped(skip),
            Gives::Failed(failure) => Meaning::Failed(Why {
                code: failure.code.to_owned(),
                evidence: format!(
                    "{}{}",
                    failure.field.map(|field| format!("{field}: ")).unwrap_or_default(),
                    failure.reason
                ),
            }),
            // It takes the place of what is read.
            Gives::Needs => Meaning::Failed(Why { code: RECORD_GONE.to_owned(), evidence: String::new() }),
        };
        Prepared { occasion, committed, idempotency_key, meaning }
    }
}

fn missed() -> Failure {
    Failure {
        code: EVENT_MISSED,
        field: None,
        reason: "no event told of this change: the org's tables do (on_read: skip); done again, its record is read and judged as \
                 it is then"
            .to_owned(),
    }
}

fn hidden() -> Failure {
    Failure {
        code: EVENT_HIDDEN,
        field: None,
        reason:
            "the event says that something changed, and not what (a gap event), so nobody knows whether it is one that \
                 triggers; done again, its record is read and judged as it is then"
                .to_owned(),
    }
}

fn gone() -> Failure {
    Failure {
        code: RECORD_GONE,
        field: None,
        reason: "the event does not say all that is handed over, and its record is deleted, or the bridge's user may not see \
                 it"
            .to_owned(),
    }
}

/// The idempotency keys of an event: the same whenever it is done for it, also with another state file.
struct Keys<'a> {
    action: &'a ActionConfig,
    change: &'a Change,
}

impl Keys<'_> {
    fn of(&self, record: Option<RecordId>) -> String {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        let record = record.map(|record| record.to_string()).unwrap_or_default();
        let parts =
            [self.action.name.as_str(), self.action.from.org.as_str(), &self.change.event_key().0, record.as_str()];
        for part in parts {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        // In the form of a UUID, which many take for one.
        let digest = context.finish();
        let hex: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}
