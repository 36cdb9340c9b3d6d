//! The header of a change event (streaming-cometd.md section 12, streaming-pubsub.md section 8).

use apache_avro::types::Value as Avro;
use serde::Serialize;
use serde::ser::{SerializeTuple, Serializer};

/// What happened to the records of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeType {
    Create,
    Update,
    Delete,
    Undelete,
    GapCreate,
    GapUpdate,
    GapDelete,
    GapUndelete,
    GapOverflow,
    Snapshot,
}

impl ChangeType {
    pub const ALL: [Self; 10] = [
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Undelete,
        Self::GapCreate,
        Self::GapUpdate,
        Self::GapDelete,
        Self::GapUndelete,
        Self::GapOverflow,
        Self::Snapshot,
    ];

    pub fn name(self) -> &'static str {
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
            Self::Snapshot => "SNAPSHOT",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The same change without what it did.
    pub fn gap(self) -> Self {
        match self {
            Self::Create => Self::GapCreate,
            Self::Update => Self::GapUpdate,
            Self::Delete => Self::GapDelete,
            Self::Undelete => Self::GapUndelete,
            other => other,
        }
    }

    /// The event has its header only, and says not even which fields changed.
    pub fn is_gap(self) -> bool {
        self >= Self::GapCreate
    }
}

/// A symbol of the schema's enum, in the order of [`ChangeType::ALL`].
impl Serialize for ChangeType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit_variant("ChangeType", *self as u32, self.name())
    }
}

/// Bitmaps are as on the wire ([`super::bitmap`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub entity: String,
    pub record_ids: Vec<String>,
    pub kind: ChangeType,
    pub origin: String,
    pub transaction_key: String,
    /// From 1 within the transaction.
    pub sequence: i32,
    /// Milliseconds since 1970, in whole seconds.
    pub commit_timestamp: i64,
    pub commit_number: i64,
    pub commit_user: String,
    pub nulled: Vec<String>,
    pub diffed: Vec<String>,
    pub changed: Vec<String>,
}

impl Serialize for Header {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut record = serializer.serialize_tuple(12)?;
        record.serialize_element(&self.entity)?;
        record.serialize_element(&self.record_ids)?;
        record.serialize_element(&self.kind)?;
        record.serialize_element(&self.origin)?;
        record.serialize_element(&self.transaction_key)?;
        record.serialize_element(&self.sequence)?;
        record.serialize_element(&self.commit_timestamp)?;
        record.serialize_element(&self.commit_number)?;
        record.serialize_element(&self.commit_user)?;
        record.serialize_element(&self.nulled)?;
        record.serialize_element(&self.diffed)?;
        record.serialize_element(&self.changed)?;
        record.end()
    }
}

impl Header {
    /// A header that Avro's library has read, if it has the fields of one.
    pub fn from_avro(value: Avro) -> Option<Self> {
        let Avro::Record(fields) = value else { return None };
        let mut fields = fields.into_iter().map(|(_, value)| value);
        let mut next = || fields.next();
        let header = Self {
            entity: text(next()?)?,
            record_ids: texts(next()?)?,
            kind: match next()? {
                Avro::Enum(_, name) => ChangeType::named(&name)?,
                _ => return None,
            },
            origin: text(next()?)?,
            transaction_key: text(next()?)?,
            sequence: match next()? {
                Avro::Int(n) => n,
                _ => return None,
            },
            commit_timestamp: long(next()?)?,
            commit_number: long(next()?)?,
            commit_user: text(next()?)?,
            nulled: texts(next()?)?,
            diffed: texts(next()?)?,
            changed: texts(next()?)?,
        };
        fields.next().is_none().then_some(header)
    }
}

fn text(value: Avro) -> Option<String> {
    if let Avro::String(text) = value { Some(text) } else { None }
}

fn long(value: Avro) -> Option<i64> {
    if let Avro::Long(n) = value { Some(n) } else { None }
}

fn texts(value: Avro) -> Option<Vec<String>> {
    if let Avro::Array(items) = value { items.into_iter().map(text).collect() } else { None }
}
