//! How our types stand in columns. An error names the column, never what is in it.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::{
    ChangeKind, Channel, EventKey, FieldName, FieldPath, Happening, ObjectName, OrgName, PipelineName, RecordId,
    ReplayId, Seq, Timestamp, Transport,
};
use crate::org::JobId;
use crate::privacy::Treatment;
use crate::store::{
    GapKind, JobEnd, JobNumber, ListNumber, Mended, ParkedState, PipelineId, StoreError, SubscriptionId, Through,
    VerificationNumber, What,
};

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(Box::new(error))
    }
}

macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str()?.parse().map_err(|_| FromSqlError::InvalidType)
            }
        }
    )*};
}

as_text!(
    RecordId,
    OrgName,
    ObjectName,
    FieldName,
    PipelineName,
    Channel,
    ChangeKind,
    GapKind,
    Mended,
    ParkedState,
    Transport,
    FieldPath,
    JobId,
    JobEnd,
    Treatment,
    What,
    Through
);

macro_rules! as_integer {
    ($($type:ident),*) => {$(
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.0.into())
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_i64().map($type)
            }
        }
    )*};
}

as_integer!(SubscriptionId, PipelineId, JobNumber, ListNumber, VerificationNumber, Timestamp);

impl ToSql for Seq {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        // No journal comes near that; a bound may be "all".
        Ok(i64::try_from(self.0).unwrap_or(i64::MAX).into())
    }
}

impl FromSql for Seq {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        unsigned(value.as_i64()?).map(Seq)
    }
}

/// A count, which SQLite keeps as a signed number.
pub(super) struct Count(pub u64);

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        unsigned(value.as_i64()?).map(Self)
    }
}

/// A count as SQLite keeps it.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A column of JSON of our own.
pub(super) struct Json<T>(pub T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = serde_json::to_string(&self.0);
        text.map(Into::into).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(|_| FromSqlError::InvalidType)
    }
}

fn unsigned(number: i64) -> FromSqlResult<u64> {
    u64::try_from(number).map_err(|_| FromSqlError::OutOfRange(number))
}

impl ToSql for ReplayId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_slice().into())
    }
}

impl FromSql for ReplayId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_blob().map(|bytes| Self(bytes.to_vec()))
    }
}

impl ToSql for EventKey {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_str().into())
    }
}

impl FromSql for EventKey {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        String::column_result(value).map(Self)
    }
}

impl ParkedState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }
}

impl std::str::FromStr for ParkedState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Waiting, Self::Failed].into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// `journal.payload`: what happened, as one JSON object with its version in front. It is no deeper than the event
/// was on the wire, so whatever could be parsed there can be parsed again here.
pub(super) struct Payload(pub Happening);

const VERSION: &str = r#"{"v":1,"#;

impl Payload {
    /// What is not in it: the channel and the replay id, which have columns.
    pub fn write(happening: &Happening) -> Result<String, StoreError> {
        let json = serde_json::to_string(happening).map_err(|error| StoreError::Database(Box::new(error)))?;
        match json.strip_prefix('{') {
            Some(inside) => Ok(format!("{VERSION}{inside}")),
            None => Err(StoreError::Database("an event that is no JSON object".into())),
        }
    }
}

impl FromSql for Payload {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let inside = value.as_str()?.strip_prefix(VERSION).ok_or(FromSqlError::InvalidType)?;
        // serde's own message could quote a record's value.
        serde_json::from_str(&format!("{{{inside}")).map(Self).map_err(|_| FromSqlError::InvalidType)
    }
}

/// A list for `IN (SELECT value FROM json_each(?))`. Ids are letters and digits, so nothing needs escaping.
pub(super) fn json_list<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("\"{name}\"")).collect();
    format!("[{}]", quoted.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Value;

    #[test]
    fn a_payload_can_be_read_however_deep_it_came() {
        // serde_json takes 127 levels; on the wire a field's value is at the fifth.
        let mut value = Value::Bool(true);
        for _ in 0..122 {
            value = Value::Compound([("x".to_owned(), value)].into());
        }
        let happening = Happening::Event { uuid: None, fields: [("Deep".to_owned(), value)].into() };
        let written = Payload::write(&happening).unwrap();
        assert!(written.starts_with(r#"{"v":1,"event":{"#));
        let read = Payload::column_result(ValueRef::Text(written.as_bytes())).unwrap();
        assert_eq!(read.0, happening);
    }

    #[test]
    fn a_payload_of_another_version_is_refused() {
        let later = br#"{"v":2,"event":{"uuid":null,"fields":{}}}"#;
        assert!(Payload::column_result(ValueRef::Text(later)).is_err());
    }
}
