//! Making, changing and deleting managed subscriptions (streaming-pubsub.md section 12). A change brings the whole.

use serde_json::Value as Json;

use crate::org::{Id, ManagedSpec, Replay, SaveError};
use crate::rest::{Context, Request, not_found};
use crate::wire::Answer;

pub fn add(context: &mut Context, request: &Request) -> Result<Id, Answer> {
    let body = request.body()?;
    let name = body.get("FullName").and_then(Json::as_str).unwrap_or_default();
    let spec = read(&body).map_err(refused)?;
    context.org.add_managed(name, spec).map_err(refused)
}

pub fn change(context: &mut Context, request: &Request, id: &str) -> Result<(), Answer> {
    let id = Id::parse(id).ok_or_else(not_found)?;
    let spec = read(&request.body()?).map_err(refused)?;
    let known = context.org.managed_subscriptions().iter().any(|known| known.id == id);
    if !known {
        return Err(not_found());
    }
    context.org.change_managed(&id, spec).map_err(refused)
}

pub fn remove(context: &mut Context, id: &str) -> Result<(), Answer> {
    let id = Id::parse(id).ok_or_else(not_found)?;
    context.org.remove_managed(&id).map_err(|_| not_found())
}

fn refused(error: SaveError) -> Answer {
    Answer::refused(&error)
}

/// The `Metadata` of a request.
fn read(body: &Json) -> Result<ManagedSpec, SaveError> {
    let text = |name: &str| {
        let value = body.get("Metadata").and_then(|metadata| metadata.get(name)).and_then(Json::as_str);
        value.filter(|text| !text.is_empty()).ok_or_else(|| SaveError::missing(vec![name.into()]))
    };
    let wrong = |name: &str| {
        let message = format!("{name}: bad value for restricted picklist field");
        SaveError::new("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message).on(name)
    };
    let replay = |name: &str| Replay::named(text(name)?).ok_or_else(|| wrong(name));
    let runs = match text("state")? {
        "RUN" => true,
        "STOP" => false,
        _ => return Err(wrong("state")),
    };
    Ok(ManagedSpec {
        label: text("label")?.to_owned(),
        topic: text("topicName")?.to_owned(),
        default_replay: replay("defaultReplay")?,
        error_recovery_replay: replay("errorRecoveryReplay")?,
        runs,
        version: text("version")?.to_owned(),
    })
}
