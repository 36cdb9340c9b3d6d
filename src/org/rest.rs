//! The REST calls that the bridge makes (facts: rest.md sections 6 and 9).
//!
//! A write is one request for up to 200 records; each record has a result of its own, in the order in which they were
//! given. Nothing here tries again, but for a token that ran out.

use reqwest::Method;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::Org;
use super::error::{CallError, Lost};
use super::http::{Header, Request};
use super::save::SaveResult;
use crate::config::{AssignmentRules, Duplicates, SaveOptions};
use crate::event::{FieldName, ObjectName, RecordId};

mod actions;
mod channels;
mod describe;
mod history;
mod limits;
pub mod setup;

pub use actions::{ActionKind, ApexAnswer, Enqueued, Invoked, Parameter, Signature};
pub use channels::{Capture, CapturedChannel, FREE_ENTITIES, Member};
pub(super) use describe::Describes;
pub use history::{Changed, Changes, DELETIONS_KEPT, Deleted};
pub use limits::{Limits, Quota};

/// How many records one collection call writes.
pub const COLLECTION_MAX: usize = 200;
/// How many records one collection call reads.
pub const READ_MAX: usize = 2_000;

impl Org {
    /// Writes records by an external id: `PATCH /composite/sobjects/{object}/{key}`. Each record holds the field `key`
    /// and no id; a field that is null is emptied, one that is absent stays. More than [`COLLECTION_MAX`] are refused
    /// without a request. An external id that stands twice in the request fails both.
    pub async fn upsert(
        &self,
        object: &ObjectName,
        key: &FieldName,
        records: Vec<Map<String, Value>>,
        options: SaveOptions,
    ) -> Result<Vec<SaveResult>, CallError> {
        let sent = vec![None; records.len()];
        self.save(object, &format!("composite/sobjects/{object}/{key}"), records, (&sent, options)).await
    }

    /// Updates records by id: `PATCH /composite/sobjects`. Each record holds `id`.
    pub async fn update(
        &self,
        object: &ObjectName,
        records: Vec<Map<String, Value>>,
        options: SaveOptions,
    ) -> Result<Vec<SaveResult>, CallError> {
        let id = |record: &Map<String, Value>| record.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let sent: Vec<Option<RecordId>> = records.iter().map(id).collect();
        self.save(object, "composite/sobjects", records, (&sent, options)).await
    }

    async fn save(
        &self,
        object: &ObjectName,
        path: &str,
        mut records: Vec<Map<String, Value>>,
        (sent, options): (&[Option<RecordId>], SaveOptions),
    ) -> Result<Vec<SaveResult>, CallError> {
        for record in &mut records {
            record.insert("attributes".into(), json!({"type": object.as_str()}));
        }
        let body = json!({"allOrNone": false, "records": records});
        let target = self.resource(path);
        self.save_call(Method::PATCH, target, Some(body), (sent, headers(options))).await
    }

    /// Deletes records, up to the recycle bin: `DELETE /composite/sobjects?ids=`. One that is already deleted is
    /// refused with `ENTITY_IS_DELETED`.
    pub async fn delete(&self, ids: &[RecordId]) -> Result<Vec<SaveResult>, CallError> {
        let sent: Vec<Option<RecordId>> = ids.iter().copied().map(Some).collect();
        let target = format!("{}?ids={}&allOrNone=false", self.resource("composite/sobjects"), joined(ids));
        self.save_call(Method::DELETE, target, None, (&sent, Vec::new())).await
    }

    async fn save_call(
        &self,
        method: Method,
        target: String,
        body: Option<Value>,
        (sent, headers): (&[Option<RecordId>], Vec<Header>),
    ) -> Result<Vec<SaveResult>, CallError> {
        if sent.is_empty() {
            return Ok(Vec::new());
        }
        if sent.len() > COLLECTION_MAX {
            return Err(CallError::too_many_records());
        }
        let body = body.map(|body| body.to_string().into_bytes());
        let timeout = self.shared.timeouts.write;
        let results = one_for_each(self.call(&Request { method, target, body, timeout, headers }).await?, sent.len())?;
        let results: Option<Vec<SaveResult>> =
            results.iter().zip(sent).map(|(result, sent)| SaveResult::read(result, *sent)).collect();
        results.ok_or(UNREADABLE)
    }

    /// Reads up to [`READ_MAX`] records: `POST /composite/sobjects/{object}`. A record that is deleted, or that the
    /// integration user may not see, is `None` at its place. Records have `attributes` beside their fields.
    pub async fn read(
        &self,
        object: &ObjectName,
        ids: &[RecordId],
        fields: &[FieldName],
    ) -> Result<Vec<Option<Map<String, Value>>>, CallError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        if ids.len() > READ_MAX {
            return Err(CallError::too_many_records());
        }
        let fields: Vec<&str> = fields.iter().map(FieldName::as_str).collect();
        let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
        let request = Request {
            method: Method::POST,
            target: self.resource(&format!("composite/sobjects/{object}")),
            body: Some(json!({"ids": ids, "fields": fields}).to_string().into_bytes()),
            timeout: self.shared.timeouts.read,
            headers: Vec::new(),
        };
        let records = one_for_each(self.call(&request).await?, ids.len())?;
        let record = |record| match record {
            Value::Null => Ok(None),
            Value::Object(record) => Ok(Some(record)),
            _ => Err(UNREADABLE),
        };
        records.into_iter().map(record).collect()
    }

    /// All rows of a query, page by page. The text must fit a URL: about 16,000 characters when encoded.
    pub async fn query(&self, soql: &str) -> Result<Vec<Map<String, Value>>, CallError> {
        self.pages("query", soql).await
    }

    /// As [`Org::query`], with deleted (`IsDeleted`) and archived records.
    pub async fn query_all(&self, soql: &str) -> Result<Vec<Map<String, Value>>, CallError> {
        self.pages("queryAll", soql).await
    }

    /// How many records of an object there are, or meet a condition (as behind WHERE).
    pub async fn count(&self, object: &ObjectName, condition: Option<&str>) -> Result<u64, CallError> {
        let condition = condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
        let soql = format!("SELECT count() FROM {object}{condition}");
        let encoded: String = form_urlencoded::byte_serialize(soql.as_bytes()).collect();
        self.get(&format!("query?q={encoded}")).await?.get("totalSize").and_then(Value::as_u64).ok_or(UNREADABLE)
    }

    async fn pages(&self, resource: &str, soql: &str) -> Result<Vec<Map<String, Value>>, CallError> {
        let encoded: String = form_urlencoded::byte_serialize(soql.as_bytes()).collect();
        let mut request = self.reading(&format!("{resource}?q={encoded}"));
        let mut rows = Vec::new();
        loop {
            let mut page = self.call(&request).await?;
            let Some(Value::Array(records)) = page.get_mut("records").map(Value::take) else { return Err(UNREADABLE) };
            for record in records {
                let Value::Object(record) = record else { return Err(UNREADABLE) };
                rows.push(record);
            }
            match (page.get("done").and_then(Value::as_bool), page.get("nextRecordsUrl").and_then(Value::as_str)) {
                (Some(true), _) => return Ok(rows),
                // The same page again would be read for ever.
                (Some(false), Some(next)) if next != request.target => next.clone_into(&mut request.target),
                _ => return Err(UNREADABLE),
            }
        }
    }

    async fn get(&self, path: &str) -> Result<Value, CallError> {
        self.call(&self.reading(path)).await
    }

    fn reading(&self, path: &str) -> Request {
        let timeout = self.shared.timeouts.read;
        Request { method: Method::GET, target: self.resource(path), body: None, timeout, headers: Vec::new() }
    }

    pub(super) fn resource(&self, path: &str) -> String {
        format!("/services/data/v{}/{path}", self.shared.config.api_version)
    }
}

pub(super) const UNREADABLE: CallError = CallError::Unknown(Lost::Unreadable { status: 200 });

/// The headers of a call that saves (facts: rest.md section 13). Nothing is left to the org's own default.
fn headers(options: SaveOptions) -> Vec<Header> {
    let assign = match options.assignment_rules {
        AssignmentRules::Off => "FALSE".to_owned(),
        AssignmentRules::Active => "TRUE".to_owned(),
        AssignmentRules::Rule(rule) => rule.to_string(),
    };
    let mut headers = vec![("Sforce-Auto-Assign".into(), assign)];
    match options.duplicates {
        Duplicates::Fail => {}
        Duplicates::SaveAlerts => headers.push(("Sforce-Duplicate-Rule-Header".into(), "allowSave=true".to_owned())),
    }
    headers
}

fn joined(ids: &[RecordId]) -> String {
    let ids: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    ids.join(",")
}

/// The elements of an answer, if there is one for each record.
fn one_for_each(answer: Value, sent: usize) -> Result<Vec<Value>, CallError> {
    let Value::Array(results) = answer else { return Err(UNREADABLE) };
    if results.len() != sent {
        return Err(CallError::Unknown(Lost::Count { sent, got: results.len() }));
    }
    Ok(results)
}

#[cfg(test)]
mod tests;
