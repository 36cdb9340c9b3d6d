//! The REST API: versions, single records, collections, queries (rest.md).
//!
//! This module counts the call, checks the token, and passes on to the families below.

mod actions;
mod apexrest;
mod collections;
mod composite;
mod conditions;
mod describe;
mod events;
mod intake;
mod jobs;
mod limits;
mod places;
mod query;
mod records;
mod related;
mod replication;
mod streaming;
#[cfg(test)]
mod tests;
mod tooling;
mod versions;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

pub use collections::item_errors;
pub use intake::too_large;
pub use jobs::UPLOAD_LIMIT;
pub use limits::{Usage, show as limits_shown};
pub use query::Cursors;

use super::host::Host;
use super::oauth;
use super::org::{Caller, FieldIndex, Id, Object, ObjectIndex, Options, Org, Row, SaveError, Saved, Unit, Write};
use super::wire::{Answer, Authorization, Call};

/// What a request is told that brings nothing where it has to bring something.
const NO_BODY: &str = "The HTTP entity body is required, but this request has no entity body.";

/// Any request under `/services/data`.
pub async fn handle(host: Arc<Host>, call: Call) -> Answer {
    let Some(version) = call.segments.get(2) else { return versions::list() };
    let number = match versions::number(version) {
        Ok(number) => number,
        Err(refused) => return refused.with("sforce-limit-info", host.usage().header(host.now())),
    };
    guarded(host, call, number).await
}

/// Any request under `/services/apexrest`: the same token and limits.
pub async fn handle_apex(host: Arc<Host>, call: Call) -> Answer {
    guarded(host, call, versions::NEWEST).await
}

/// Counts a call that a fault keeps from its work.
pub fn count_struck(host: &Host, call: &Call) {
    if matches!(call.path().as_slice(), ["services", "data", _, ..] | ["services", "apexrest", ..]) {
        host.count(kind_of(call), true);
    }
}

/// Counts a call, checks its token, does it, and says how many calls there were.
async fn guarded(host: Arc<Host>, mut call: Call, number: u32) -> Answer {
    let kind = kind_of(&call);
    let now = host.now();
    let (user, spent) = (user_of(&host, &call), host.usage().spent(now));
    let pretty = call.header("x-prettyprint") == Some("1");
    let answer = match (user, intake::admit(&mut call, number)) {
        (Err(refused), _) => {
            host.count(kind, true);
            refused.with("www-authenticate", "Token")
        }
        // A call that is refused for this does not count, or the org would never come out of it.
        (Ok(_), _) if spent => limits::exceeded(),
        (Ok(_), Err(refused)) => {
            host.count(kind, true);
            refused
        }
        (Ok(user), Ok(())) => {
            host.count(kind, true);
            slowly(&host, &Request::new(call, number, user), is_write_kind(kind)).await
        }
    };
    let answer = versions::warned(if pretty { answer.pretty() } else { answer }, number);
    answer.with("sforce-limit-info", host.usage().header(host.now()))
}

/// Who calls, if he may use the API (oauth.md section 12).
fn user_of(host: &Host, call: &Call) -> Result<Id, Answer> {
    let token = match call.authorization() {
        Authorization::Malformed => return Err(Answer::error(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")),
        Authorization::Missing => None,
        Authorization::Token(token) => Some(token),
    };
    let (session, user) = oauth::session(host, token)
        .ok_or_else(|| Answer::error(401, "INVALID_SESSION_ID", "Session expired or invalid"))?;
    if user.api_enabled && session.scopes.allow_api() {
        Ok(user.id)
    } else {
        Err(Answer::error(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"))
    }
}

/// A request with a good token.
struct Request {
    call: Call,
    version: u32,
    user: Id,
    /// Read before the org is asked, so that nobody waits for a parser.
    json: Result<Mutex<Json>, String>,
}

/// What a request works on: the org for itself, and what the host knows besides.
struct Context<'a> {
    org: &'a mut Org,
    host: &'a Host,
    now: i64,
    /// The transaction of the request around this one, where that commits for all.
    unit: Option<Unit>,
    /// Of the Streaming API. Counted before the org is locked, as streams lock the other way round.
    clients: u64,
}

impl Context<'_> {
    /// Does writes as one transaction, or as a part of the one around it.
    fn write(
        &mut self,
        caller: &Caller,
        writes: Vec<Result<Write, SaveError>>,
        options: &Options,
    ) -> Result<Vec<Result<Saved, SaveError>>, SaveError> {
        match &mut self.unit {
            Some(unit) => self.org.run(unit, caller, writes, options),
            None => self.org.transact(caller, writes, options, self.now),
        }
    }

    /// An object that the caller may see, by name.
    fn object(&self, request: &Request, name: &str) -> Result<ObjectIndex, Answer> {
        let found = self.org.schema.find(name).map(|(index, _)| index);
        found.filter(|index| self.org.can_see_object(&request.user, *index)).ok_or_else(not_found)
    }

    /// A field that the caller may see, by name.
    fn field(&self, request: &Request, object: ObjectIndex, name: &str) -> Option<FieldIndex> {
        let (index, _) = self.org.schema.object(object).find(name)?;
        self.org.can_see_field(&request.user, object, index).then_some(index)
    }

    /// Field names as indexes.
    fn fields(&self, request: &Request, object: ObjectIndex, names: &[&str]) -> Result<Vec<FieldIndex>, Answer> {
        let find = |name: &str| {
            let definition = self.org.schema.object(object);
            let unknown = || Answer::refused(&SaveError::no_such_column(name, &definition.name));
            self.field(request, object, name).ok_or_else(unknown)
        };
        names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).map(find).collect()
    }

    /// Every field of an object that the caller may see.
    fn all_fields(&self, request: &Request, object: ObjectIndex) -> Vec<FieldIndex> {
        let fields = self.org.schema.object(object).fields().map(|(index, _)| index);
        fields.filter(|index| self.org.can_see_field(&request.user, object, *index)).collect()
    }

    /// A live record that the caller may see.
    fn row(&self, request: &Request, object: ObjectIndex, id: &Id) -> Option<&Row> {
        self.org.table(object).live_row(id).filter(|row| self.org.can_see_row(&request.user, object, row))
    }
}

impl Request {
    fn new(call: Call, version: u32, user: Id) -> Self {
        // Tables and bodies of several parts are not for this parser.
        let json = if intake::is_json(&call) { intake::json(&call.body) } else { Ok(Json::Null) }.map(Mutex::new);
        Self { call, version, user, json }
    }

    /// Who writes, with the client name that the caller gave itself.
    fn caller(&self, host: &Host, collection: bool) -> Caller {
        let honoured = !collection || host.switches().client_on_collections;
        let tail = if honoured { self.client_tail() } else { String::new() };
        let auto_assign =
            !self.call.header("sforce-auto-assign").is_some_and(|value| value.eq_ignore_ascii_case("false"));
        let duplicates = self.call.header("sforce-duplicate-rule-header").unwrap_or_default();
        let allow_duplicates =
            duplicates.split([';', ',']).any(|part| part.trim().eq_ignore_ascii_case("allowSave=true"));
        let origin = format!("com/salesforce/api/rest/{}.0{tail}", self.version);
        let unchanged_masters = !host.switches().unchanged_master_refused;
        Caller { auto_assign, allow_duplicates, unchanged_masters, ..Caller::new(self.user.clone(), origin) }
    }

    /// What a change origin says of the client behind the name of the API: `;client=X`, or nothing.
    fn client_tail(&self) -> String {
        let options = self.call.header("sforce-call-options").unwrap_or_default();
        let client = options.split([';', ',']).find_map(|option| option.trim().strip_prefix("client="));
        client.map(|client| format!(";client={client}")).unwrap_or_default()
    }

    fn url(&self, object: &str, id: &str) -> String {
        format!("/services/data/v{}.0/sobjects/{object}/{id}", self.version)
    }

    /// A record as answers show it, with the fields asked for.
    fn show(&self, object: &Object, row: &Row, fields: &[FieldIndex]) -> Map<String, Json> {
        let mut shown = Map::new();
        let url = self.url(&object.name, row.id.as_str());
        shown.insert("attributes".into(), json!({"type": object.name, "url": url}));
        for &field in fields {
            shown.insert(object.field(field).name.clone(), row.read(object, field));
        }
        shown
    }

    /// The body for good: it is large where many records come, and nobody reads it twice.
    fn take_body(&self) -> Result<Json, Answer> {
        match &self.json {
            Ok(json) => Ok(std::mem::take(&mut *json.lock().unwrap_or_else(PoisonError::into_inner))),
            Err(_) => self.body(),
        }
    }

    /// An error with the place of the value that it is about; `prefix` leads to the record.
    fn placed(&self, error: SaveError, prefix: &[&str]) -> SaveError {
        if error.path.is_empty() {
            return error;
        }
        let path: Vec<String> =
            prefix.iter().map(|step| (*step).to_owned()).chain(error.path.iter().cloned()).collect();
        match places::of(&self.call.body, &path) {
            Some((line, column)) => error.at(line, column),
            None => error,
        }
    }

    /// The body as the fields of one record.
    fn record(&self) -> Result<Map<String, Json>, Answer> {
        match self.body()? {
            Json::Object(fields) => Ok(fields),
            Json::Null if self.call.body.is_empty() => Err(Answer::error(400, "JSON_PARSER_ERROR", NO_BODY)),
            other => Err(Answer::refused(&SaveError::wrong_json("sobject", &other))),
        }
    }

    fn body(&self) -> Result<Json, Answer> {
        match &self.json {
            Ok(json) => Ok(json.lock().unwrap_or_else(PoisonError::into_inner).clone()),
            Err(message) => Err(Answer::error(400, "JSON_PARSER_ERROR", message)),
        }
    }
}

/// Does the work of one request; the answer to a write takes the time of its transaction.
async fn slowly(host: &Arc<Host>, request: &Request, write: bool) -> Answer {
    let done = perform(host, request);
    let transaction = host.switches().transaction_ms;
    if write && transaction > 0 {
        let stopped = host.stopped();
        let time = tokio::time::sleep(Duration::from_millis(transaction));
        tokio::select! { () = stopped.cancelled() => {} () = time => {} }
    }
    done
}

/// Does the work of one request, with the org for itself; only jobs take it when they need it.
fn perform(host: &Arc<Host>, request: &Request) -> Answer {
    if let ["services", "data", _, "jobs", rest @ ..] = request.call.path().as_slice() {
        let answer = jobs::handle(host, request, rest).unwrap_or_else(|refused| refused);
        host.notify();
        return answer;
    }
    let clients = host.sessions().count(host.now());
    let answer = {
        let mut org = host.org();
        let now = host.now();
        org.run_flows(now);
        let clients = u64::try_from(clients).unwrap_or(u64::MAX);
        dispatch(&mut Context { org: &mut org, host, now, unit: None, clients }, request)
    };
    host.notify();
    answer
}

fn dispatch(context: &mut Context, request: &Request) -> Answer {
    let path = request.call.path();
    if let ["services", "apexrest", rest @ ..] = path.as_slice() {
        return apexrest::handle(context, request, rest).unwrap_or_else(|refused| refused);
    }
    let answer = match path.get(3..).unwrap_or_default() {
        [] => versions::resources(context, request),
        ["sobjects", object, rest @ ..] if events::concerns(context, request, object, rest) => {
            events::handle(context, request, object, rest)
        }
        ["sobjects", object, id, "push"] if object.eq_ignore_ascii_case("StreamingChannel") => {
            streaming::push(context, request, id)
        }
        ["tooling", rest @ ..] => tooling::handle(context, request, rest),
        ["event", "eventSchema", id] => events::by_id(context, request, id),
        ["limits", rest @ ..] => limits::handle(context, request, rest),
        ["sobjects"] => describe::global(context, request),
        ["ui-api", "object-info", object, "picklist-values", record_type] => {
            describe::of_record_type(context, request, object, record_type)
        }
        ["sobjects", object, rest @ ..] => records::handle(context, request, object, rest),
        ["actions", rest @ ..] => actions::handle(context, request, rest),
        ["composite", "sobjects", rest @ ..] => collections::handle(context, request, rest),
        ["composite", rest @ ..] => composite::handle(context, request, rest),
        [word, rest @ ..] if word.eq_ignore_ascii_case("query") => query::handle(context, request, rest, false),
        [word, rest @ ..] if word.eq_ignore_ascii_case("queryAll") => query::handle(context, request, rest, true),
        _ => Err(not_found()),
    };
    answer.unwrap_or_else(|refused| refused)
}

/// The name under which a call is counted.
fn kind_of(call: &Call) -> &'static str {
    let path = call.path();
    if path.get(1) == Some(&"apexrest") {
        return if call.method == "GET" { "apex_rest_read" } else { "apex_rest_write" };
    }
    match (call.method.as_str(), path.get(3..).unwrap_or_default()) {
        ("POST", ["composite", "sobjects"]) => "composite_create",
        ("PATCH", ["composite", "sobjects"]) => "composite_update",
        ("PATCH", ["composite", "sobjects", ..]) => "composite_upsert",
        ("DELETE", ["composite", "sobjects", ..]) => "composite_delete",
        ("POST", ["composite"]) => "composite",
        ("POST", ["composite", "graph"]) => "composite_graph",
        ("POST", ["composite", "batch"]) => "composite_batch",
        ("POST", ["composite", "tree", _]) => "composite_tree",
        (_, ["composite", "sobjects", _, ..]) | ("GET" | "HEAD", ["sobjects", ..]) => "read",
        ("POST", ["sobjects", ..]) => "record_create",
        ("PATCH", ["sobjects", _, _, _, ..]) => "record_upsert",
        ("PATCH", ["sobjects", ..]) => "record_update",
        ("DELETE", ["sobjects", ..]) => "record_delete",
        (_, ["query" | "queryAll", ..]) => "query",
        (_, ["limits", ..]) => "limits",
        ("POST", ["actions", ..]) => "action",
        (method, ["jobs", rest @ ..]) => jobs::kind_of(method, rest),
        _ => "other",
    }
}

/// Whether a call may write records.
pub fn is_write(call: &Call) -> bool {
    is_write_kind(kind_of(call))
}

fn is_write_kind(kind: &str) -> bool {
    kind.starts_with("composite")
        || kind.starts_with("record_")
        || matches!(kind, "action" | "apex_rest_write" | "bulk_create" | "bulk_upload" | "bulk_close" | "bulk_delete")
}

fn not_found() -> Answer {
    Answer::error(404, "NOT_FOUND", "The requested resource does not exist")
}

fn not_allowed(call: &Call, allowed: &str) -> Answer {
    let message = format!("HTTP Method '{}' not allowed. Allowed are {allowed}", call.method);
    Answer::error(405, "METHOD_NOT_ALLOWED", &message)
}
