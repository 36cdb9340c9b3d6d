//! `jobs`: Bulk API 2.0 (bulk2.md). Thin: jobs themselves are in [`crate::bulk`].
//!
//! These requests do not take the org for themselves; the work of a job is done in the background, chunk by chunk.

mod ingest;
mod multipart;
mod query;
mod work;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::{Request, not_allowed, not_found};
use crate::bulk::csv::{Delimiter, Format, LineEnding};
use crate::bulk::job::State;
use crate::bulk::{Maker, Refused, Viewer};
use crate::host::Host;
use crate::org::Id;
use crate::wire::{Answer, Call};

/// The versions that brought the two kinds of jobs.
const INGEST_SINCE: u32 = 41;
const QUERY_SINCE: u32 = 47;
/// Jobs of one answer to a list.
const LISTED: usize = 1_000;
/// The body of an upload, in bytes.
pub const UPLOAD_LIMIT: usize = 150 * 1024 * 1024;
/// A job's data, which has to keep within that limit in base64 too (bulk2.md section 4).
const DATA_LIMIT: usize = UPLOAD_LIMIT / 4 * 3;

/// Whether a call brings the data of a job.
pub fn is_upload(call: &Call) -> bool {
    call.method == "PUT" && matches!(call.path().as_slice(), ["services", "data", _, "jobs", "ingest", _, "batches"])
}

/// Whether a call makes a job and may bring its data along.
pub fn is_creation(call: &Call) -> bool {
    call.method == "POST" && matches!(call.path().as_slice(), ["services", "data", _, "jobs", "ingest"])
}

/// The name under which a call below `jobs` is counted.
pub fn kind_of(method: &str, path: &[&str]) -> &'static str {
    match (method, path) {
        ("POST", ["ingest"]) => "bulk_create",
        ("PUT", ["ingest", ..]) => "bulk_upload",
        ("PATCH", ["ingest", ..]) => "bulk_close",
        ("DELETE", ["ingest", ..]) => "bulk_delete",
        (_, ["ingest", _, _]) => "bulk_results",
        (_, ["ingest", ..]) => "bulk_read",
        ("POST", ["query"]) => "bulk_query",
        ("PATCH", ["query", ..]) => "bulk_query_close",
        ("DELETE", ["query", ..]) => "bulk_query_delete",
        (_, ["query", _, _]) => "bulk_query_results",
        (_, ["query", ..]) => "bulk_query_read",
        _ => "other",
    }
}

/// A request for jobs, and who asks.
struct Desk<'a> {
    host: &'a Arc<Host>,
    request: &'a Request,
    now: i64,
    /// May see and end the jobs of others.
    manages: bool,
}

pub(super) fn handle(host: &Arc<Host>, request: &Request, rest: &[&str]) -> Result<Answer, Answer> {
    let now = host.now();
    host.bulk().age(now);
    let manages = host.org().user(&request.user).is_some_and(|user| user.access.modify_all_data);
    let desk = Desk { host, request, now, manages };
    match rest {
        ["ingest", rest @ ..] if request.version >= INGEST_SINCE => ingest::handle(&desk, rest),
        ["query", rest @ ..] if request.version >= QUERY_SINCE => query::handle(&desk, rest),
        _ => Err(not_found()),
    }
}

impl Desk<'_> {
    fn method(&self) -> &str {
        self.request.call.method.as_str()
    }

    fn viewer(&self) -> Viewer<'_> {
        Viewer { user: &self.request.user, manages: self.manages }
    }

    fn maker(&self, format: Format) -> Maker {
        Maker { user: self.request.user.clone(), version: self.request.version, format }
    }

    /// The job of a path.
    fn id(&self, text: &str) -> Result<Id, Answer> {
        Id::parse(text).filter(|id| id.has_prefix("750")).ok_or_else(not_found)
    }

    /// The state that a PATCH asks for.
    fn wanted_state(&self) -> Result<State, Answer> {
        let body = self.request.body()?;
        match body.get("state").and_then(Json::as_str) {
            Some("UploadComplete") => Ok(State::UploadComplete),
            Some("Aborted") => Ok(State::Aborted),
            Some(other) => Err(invalid(&format!("A job cannot be set to the state {other}"))),
            None => Err(invalid("No state specified")),
        }
    }

    /// A page of jobs; all here are of one type, parallel, and without PK chunking.
    ///
    /// # Errors
    /// A locator that is none.
    fn list(
        &self,
        family: &str,
        job_type: &str,
        jobs: impl FnOnce(Option<&Id>) -> Vec<(Id, Json)>,
    ) -> Result<Answer, Answer> {
        let given = |name: &str| self.request.call.parameter(name);
        let other = |name: &str, own: &str| given(name).is_some_and(|value| !value.eq_ignore_ascii_case(own));
        let none =
            other("jobType", job_type) || other("isPkChunkingEnabled", "false") || other("concurrencyMode", "parallel");
        let after = match given("queryLocator") {
            None => None,
            Some(text) => Some(read_locator(text).and_then(|id| Id::parse(&id)).ok_or_else(invalid_locator)?),
        };
        let mut found = if none { Vec::new() } else { jobs(after.as_ref()) };
        let more = found.len() > LISTED;
        found.truncate(LISTED);
        let next = found.last().filter(|_| more).map(|(id, _)| {
            let version = self.request.version;
            format!("/services/data/v{version}.0/jobs/{family}?queryLocator={}", locator(id.as_str()))
        });
        let records: Vec<Json> = found.into_iter().map(|(_, job)| job).collect();
        Ok(Answer::json(200, &json!({"done": !more, "records": records, "nextRecordsUrl": next})))
    }
}

fn locator(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn read_locator(text: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn invalid(message: &str) -> Answer {
    Answer::error(400, "INVALIDJOB", &format!("InvalidJob : {message}"))
}

fn invalid_locator() -> Answer {
    Answer::error(400, "INVALIDQUERYLOCATOR", "invalid query locator")
}

fn refused(refused: Refused) -> Answer {
    Answer::error(refused.status, refused.code, &refused.message)
}

/// The description of a new job.
fn described<T: DeserializeOwned>(body: Json) -> Result<T, Answer> {
    serde_json::from_value(body).map_err(|error| Answer::error(400, "JSON_PARSER_ERROR", &error.to_string()))
}

fn format(
    content_type: Option<&str>,
    delimiter: Option<Delimiter>,
    line_ending: Option<LineEnding>,
) -> Result<Format, Answer> {
    match content_type {
        None | Some("CSV") => {
            Ok(Format { delimiter: delimiter.unwrap_or_default(), line_ending: line_ending.unwrap_or_default() })
        }
        Some(other) => Err(invalid(&format!("Content type not supported: {other}"))),
    }
}

fn csv(text: String, rows: usize) -> Answer {
    Answer::text(200, "text/csv", text).with("sforce-numberofrecords", rows.to_string())
}
