//! One message of the bus, and the parts it falls into.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Channel, FieldPath, ObjectName, RecordId, ReplayId, Seq, TextDiff, Timestamp, Value};

/// One message that a source org delivered. Nothing behind `subscribe` knows by which transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The channel that was subscribed to; the object is in the header.
    pub channel: Channel,
    pub replay_id: ReplayId,
    pub happening: Happening,
}

/// What a message tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// Change Data Capture: records of an object changed.
    Record(RecordChange),
    /// A platform event. `uuid` is missing in events of old versions.
    Event { uuid: Option<String>, fields: BTreeMap<String, Value> },
    /// PushTopic or generic event: kept as it came.
    Notification { body: Value },
}

/// A change event: who and what, and the fields that it carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordChange {
    pub header: Header,
    pub fields: Fields,
}

/// The ChangeEventHeader, in the platform's names (facts: streaming-cometd.md section 12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub entity_name: ObjectName,
    /// As they came. What is no record id (`001*`, the zero id of an overflow) is dropped here and makes
    /// `wildcard` true.
    pub record_ids: Vec<RecordId>,
    /// The event speaks of records that it does not name.
    pub wildcard: bool,
    pub change_type: ChangeKind,
    pub change_origin: String,
    pub transaction_key: String,
    pub sequence_number: i64,
    /// Whole seconds on the platform: shown, never ordered by.
    pub commit_timestamp: Timestamp,
    pub commit_number: i64,
    pub commit_user: String,
}

/// The `changeType` of a change event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChangeKind {
    Create,
    Update,
    Delete,
    Undelete,
    GapCreate,
    GapUpdate,
    GapDelete,
    GapUndelete,
    GapOverflow,
}

impl ChangeKind {
    /// The platform's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Undelete => "UNDELETE",
            Self::GapCreate => "GAP_CREATE",
            Self::GapUpdate => "GAP_UPDATE",
            Self::GapDelete => "GAP_DELETE",
            Self::GapUndelete => "GAP_UNDELETE",
            Self::GapOverflow => "GAP_OVERFLOW",
        }
    }

    /// Of an event that tells values: the one that tells only that there are some.
    pub fn without_values(self) -> Self {
        match self {
            Self::Create => Self::GapCreate,
            Self::Update => Self::GapUpdate,
            Self::Undelete => Self::GapUndelete,
            Self::Delete
            | Self::GapCreate
            | Self::GapUpdate
            | Self::GapDelete
            | Self::GapUndelete
            | Self::GapOverflow => self,
        }
    }

    /// The record is gone from the source.
    pub fn is_delete(self) -> bool {
        matches!(self, Self::Delete | Self::GapDelete)
    }
}

impl std::str::FromStr for ChangeKind {
    type Err = super::InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [
            Self::Create,
            Self::Update,
            Self::Delete,
            Self::Undelete,
            Self::GapCreate,
            Self::GapUpdate,
            Self::GapDelete,
            Self::GapUndelete,
            Self::GapOverflow,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| super::InvalidName {
            text: text.chars().take(40).collect(),
            what: "a changeType",
            remedy: "this release knows CREATE, UPDATE, DELETE, UNDELETE and their GAP forms",
        })
    }
}

/// The fields of a change by their name in the event's body. A field that is not here is unknown: it may be
/// unchanged or empty, and only a read can tell.
pub type Fields = BTreeMap<String, Field>;

/// What a change says of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// It has this value now; null where it was emptied. A compound holds only the parts that changed.
    New(Value),
    /// It has this value and did not change (an enriched field): a filter may read it, it is never written.
    Same(Value),
    /// It changed, and the event does not say to what. The value must be read.
    Diff,
    /// It changed, and the event carries only the difference of two long texts. The value must be read: this is no text
    /// of the field.
    Patch(TextDiff),
}

/// How events are told apart when they come twice (design, "Positions and gaps").
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventKey(pub String);

impl Change {
    /// What is the same each time this event is delivered. The replay id is not: it can repeat over several events,
    /// and one event can come again under another id.
    pub fn event_key(&self) -> EventKey {
        EventKey(match &self.happening {
            Happening::Record(RecordChange { header, .. }) => {
                let ids: Vec<&str> = header.record_ids.iter().map(RecordId::as_str).collect();
                format!(
                    "{}/{}/{}/{}/{}",
                    header.transaction_key,
                    header.sequence_number,
                    header.entity_name,
                    header.change_type.as_str(),
                    ids.join("+"),
                )
            }
            Happening::Event { uuid: Some(uuid), .. } => uuid.clone(),
            Happening::Event { uuid: None, .. } | Happening::Notification { .. } => {
                format!("{}/{:?}", self.channel, self.replay_id)
            }
        })
    }

    /// When it was committed in the source org, where the event says so.
    pub fn committed(&self) -> Option<Timestamp> {
        match &self.happening {
            Happening::Record(change) => Some(change.header.commit_timestamp),
            Happening::Event { fields, .. } => Timestamp::read(fields.get("CreatedDate")?.as_text()?),
            Happening::Notification { body: Value::Compound(parts) } => match parts.get("event")? {
                Value::Compound(event) => Timestamp::read(event.get("createdDate")?.as_text()?),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => None,
            },
            Happening::Notification { .. } => None,
        }
    }
}

/// What one journaled change means for one record. A change with n record ids has n parts.
#[derive(Debug, Clone)]
pub struct Part {
    pub seq: Seq,
    pub record: RecordId,
    pub change: Arc<RecordChange>,
}

impl Part {
    pub fn kind(&self) -> ChangeKind {
        self.change.header.change_type
    }

    /// Event or read: what this part says of a source field. `None`: unknown.
    pub fn field(&self, path: &FieldPath) -> Option<Field> {
        let field = self.change.fields.get(path.top())?;
        let Some(part) = path.part() else { return Some(field.clone()) };
        let within = |value: &Value| match value {
            Value::Compound(parts) => parts.get(part).cloned(),
            // A compound that was emptied as a whole empties each of its parts.
            Value::Null => Some(Value::Null),
            Value::Bool(_) | Value::Number(_) | Value::Text(_) => None,
        };
        match field {
            Field::New(value) => within(value).map(Field::New),
            Field::Same(value) => within(value).map(Field::Same),
            // A part of what is no compound is not known.
            Field::Diff | Field::Patch(_) => Some(Field::Diff),
        }
    }
}
