//! What an org's own people do in the browser: merge, convert, empty the recycle bin, lock, change permissions.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use super::{problem, with_body};
use crate::host::Host;
use crate::org::time::SECOND;
use crate::org::{Caller, FieldLevel, Id, ObjectAccess, Options, SaveError, User, Write};
use crate::wire::{Answer, Call};

pub fn handle(host: &Host, call: &Call) -> Answer {
    match (call.method.as_str(), call.path().get(1..).unwrap_or_default()) {
        ("GET", ["users"]) => users(host),
        ("POST", ["users"]) => with_body(call, |body| change_user(host, read(body)?)),
        ("POST", ["merge"]) => with_body(call, |body| merge(host, &read(body)?)),
        ("POST", ["convert"]) => with_body(call, |body| convert(host, &read(body)?)),
        ("DELETE", ["recycle-bin"]) => {
            let purged = host.org().empty_recycle_bin();
            Answer::json(200, &json!({"purged": purged}))
        }
        ("POST", ["locks"]) => with_body(call, |body| lock(host, &read(body)?)),
        ("DELETE", ["locks"]) => {
            host.org().locks.release_all();
            Answer::json(200, &json!({}))
        }
        ("POST", ["access"]) => with_body(call, |body| access(host, &read(body)?)),
        _ => problem(405, "another method is expected here; GET /emulator explains it"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserChange {
    username: String,
    active: Option<bool>,
    api_enabled: Option<bool>,
    password: Option<String>,
    security_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    master: String,
    losers: Vec<String>,
    #[serde(default)]
    fields: Map<String, Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Convert {
    lead: String,
    #[serde(default = "yes")]
    opportunity: bool,
}

/// For so many attempts, or for so many seconds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lock {
    ids: Vec<String>,
    #[serde(default)]
    times: Option<u64>,
    #[serde(default)]
    seconds: Option<u32>,
}

/// To one field, or without one to the object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Access {
    user: String,
    object: String,
    #[serde(default)]
    field: Option<String>,
    access: Level,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    None,
    Read,
    Edit,
}

fn yes() -> bool {
    true
}

pub fn read<T: DeserializeOwned>(body: Json) -> Result<T, String> {
    serde_json::from_value(body).map_err(|error| error.to_string())
}

fn id(text: &str) -> Result<Id, String> {
    Id::parse(text).ok_or_else(|| format!("{text} is no record id"))
}

fn refused(error: &SaveError) -> String {
    format!("{}: {}", error.code, error.message)
}

/// The user who works in the browser.
fn person(host: &Host) -> Caller {
    Caller::system(host.org().ordinary_user(), "com/salesforce/api/soap/66.0;client=SfdcInternalAPI/")
}

fn users(host: &Host) -> Answer {
    let org = host.org();
    let show = |user: &User| {
        json!({"id": user.id.as_str(), "username": user.username, "active": user.active,
            "api_enabled": user.api_enabled})
    };
    Answer::json(200, &org.users().iter().map(show).collect())
}

/// A user who is deactivated loses everything that he was given.
fn change_user(host: &Host, change: UserChange) -> Result<Answer, String> {
    let (caller, now) = (person(host), host.now());
    let gone = {
        let mut org = host.org();
        let id = {
            let user = org.user_by_name_mut(&change.username).ok_or("username: no such user")?;
            user.api_enabled = change.api_enabled.unwrap_or(user.api_enabled);
            user.password = change.password.or_else(|| user.password.take());
            user.security_token = change.security_token.or_else(|| user.security_token.take());
            user.id.clone()
        };
        if let (Some(active), Some((object, _))) = (change.active, org.schema.find("User")) {
            let fields = Map::from_iter([("IsActive".to_owned(), json!(active))]);
            let write = vec![Ok(Write::Update { object, id: id.clone(), fields })];
            let results = org.transact(&caller, write, &Options::default(), now).map_err(|error| refused(&error))?;
            results.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| refused(&error))?;
        }
        (change.active == Some(false)).then_some(id)
    };
    if let Some(user) = gone {
        host.tokens().end_user(&user);
    }
    host.notify();
    Ok(users(host))
}

fn merge(host: &Host, body: &Merge) -> Result<Answer, String> {
    let master = id(&body.master)?;
    let losers = body.losers.iter().map(|text| id(text)).collect::<Result<Vec<_>, _>>()?;
    let (caller, now) = (person(host), host.now());
    host.org().merge(&caller, &master, &losers, body.fields.clone(), now).map_err(|error| refused(&error))?;
    host.notify();
    Ok(Answer::json(200, &json!({"master": master.as_str()})))
}

fn convert(host: &Host, body: &Convert) -> Result<Answer, String> {
    let lead = id(&body.lead)?;
    let (caller, now) = (person(host), host.now());
    let converted = host.org().convert_lead(&caller, &lead, body.opportunity, now).map_err(|error| refused(&error))?;
    host.notify();
    Ok(Answer::json(
        200,
        &json!({"account": converted.account.as_str(), "contact": converted.contact.as_str(),
            "opportunity": converted.opportunity.as_ref().map(Id::as_str)}),
    ))
}

fn lock(host: &Host, body: &Lock) -> Result<Answer, String> {
    let ids = body.ids.iter().map(|text| id(text)).collect::<Result<Vec<_>, _>>()?;
    let now = host.now();
    let mut org = host.org();
    for id in &ids {
        match (body.times, body.seconds) {
            (Some(times), None) => org.locks.refuse_times(id, times),
            (None, Some(seconds)) => org.locks.hold_until(id, now + i64::from(seconds) * SECOND),
            _ => return Err("either `times` or `seconds`".into()),
        }
    }
    Ok(Answer::json(200, &json!({"locked": ids.len()})))
}

fn access(host: &Host, body: &Access) -> Result<Answer, String> {
    let mut org = host.org();
    let user = org.user_by_name(&body.user).map(|user| user.id.clone());
    let user = user.ok_or_else(|| format!("there is no user {}", body.user))?;
    let (object, definition) =
        org.schema.find(&body.object).ok_or_else(|| format!("there is no object {}", body.object))?;
    if let Some(name) = &body.field {
        let (field, _) = definition.find(name).ok_or_else(|| format!("{} has no field {name}", body.object))?;
        let level = match body.access {
            Level::None => FieldLevel::Hidden,
            Level::Read => FieldLevel::ReadOnly,
            Level::Edit => FieldLevel::Editable,
        };
        org.set_field_level(&user, object, field, level);
    } else {
        let access = match body.access {
            Level::None => ObjectAccess::default(),
            Level::Read => ObjectAccess { read: true, ..ObjectAccess::default() },
            Level::Edit => ObjectAccess::ALL,
        };
        org.set_object_access(&user, object, access);
    }
    org.note_setup_change(host.now());
    Ok(Answer::json(200, &json!({})))
}
