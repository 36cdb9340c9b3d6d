//! A whole record, as a read of the source org found it.

use std::collections::BTreeMap;

use super::{FieldPath, RecordId, Value};

/// A record with all the fields that were asked for, named as events name them (`BillingAddress.City`), so that a
/// read and an event are mapped by the same rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub id: RecordId,
    pub values: BTreeMap<FieldPath, Value>,
}

/// What a read found of a record of the source.
#[derive(Debug, Clone)]
pub enum Found {
    Record(Record),
    Deleted,
    /// Deleted by being merged into this one, which has its children now.
    Merged {
        into: RecordId,
    },
    NotVisible,
}

impl Found {
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Deleted | Self::Merged { .. } | Self::NotVisible => None,
        }
    }
}
