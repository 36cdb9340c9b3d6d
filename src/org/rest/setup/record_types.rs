//! Record types of an object, also those that the user may not use.

use super::super::super::error::CallError;
use super::super::super::{Org, soql};
use super::{Asked, Row, flag, parsed, text};
use crate::event::{ObjectName, RecordId};

/// A record type. Whether the user may give it to records is in the object's describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordType {
    pub id: RecordId,
    pub developer_name: String,
    /// Of the package that it came with.
    pub namespace: Option<String>,
    pub name: String,
    pub active: bool,
}

impl Org {
    pub async fn record_types(&self, object: &ObjectName) -> Result<Asked<Vec<RecordType>>, CallError> {
        let soql = format!(
            "SELECT Id, Name, DeveloperName, NamespacePrefix, IsActive FROM RecordType WHERE SobjectType = {}",
            soql::literal(object.as_str())
        );
        let record_type = |row: &Row| {
            Some(RecordType {
                id: parsed(row, "Id")?,
                developer_name: text(row, "DeveloperName")?,
                namespace: text(row, "NamespacePrefix"),
                name: text(row, "Name").unwrap_or_default(),
                active: flag(row, "IsActive"),
            })
        };
        let rows = self.query(&soql).await;
        Asked::of(rows.map(|rows| rows.iter().filter_map(record_type).collect()), "read access to the object")
    }
}
