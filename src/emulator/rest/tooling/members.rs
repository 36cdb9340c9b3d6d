//! Making, changing and deleting channels and their members. A change brings the whole member.

use serde_json::Value as Json;

use super::select;
use crate::org::{Id, SaveError};
use crate::rest::{Context, Request, not_found};
use crate::wire::Answer;

pub fn add(context: &mut Context, request: &Request) -> Result<Id, Answer> {
    let member = Body::of(request)?;
    let known = member.full_name.is_empty() || member.full_name == member.proper_name();
    if !known {
        let message = format!("the name of the member has to be {}", member.proper_name());
        return Err(refused(SaveError::new("FIELD_INTEGRITY_EXCEPTION", message).on("FullName")));
    }
    context.org.add_member(&member.channel, &member.entity, member.enriched, member.filter).map_err(refused)
}

pub fn change(context: &mut Context, request: &Request, id: &str) -> Result<(), Answer> {
    let id = Id::parse(id).ok_or_else(not_found)?;
    let member = Body::of(request)?;
    let known = context.org.members().into_iter().find(|(_, known)| known.id == id);
    let (channel, known) = known.ok_or_else(not_found)?;
    if (channel, known.entity) != (member.channel, member.entity) {
        let message = "only enrichedFields and filterExpression of a member can be changed";
        return Err(refused(SaveError::new("FIELD_INTEGRITY_EXCEPTION", message)));
    }
    context.org.change_member(&id, member.enriched, member.filter).map_err(refused)
}

pub fn remove(context: &mut Context, id: &str) -> Result<(), Answer> {
    let id = Id::parse(id).ok_or_else(not_found)?;
    context.org.remove_member(&id).map_err(|_| not_found())
}

pub fn add_channel(context: &mut Context, request: &Request) -> Result<Id, Answer> {
    let body = request.body()?;
    let text = |at: &str| body.pointer(at).and_then(Json::as_str).unwrap_or_default();
    let events = match text("/Metadata/channelType") {
        "event" => true,
        "data" => false,
        _ => return Err(refused(SaveError::missing(vec!["channelType".into()]))),
    };
    context.org.add_channel(text("/FullName"), text("/Metadata/label"), events).map_err(refused)
}

fn refused(error: SaveError) -> Answer {
    Answer::refused(&error)
}

/// A member as requests have it.
struct Body {
    full_name: String,
    channel: String,
    entity: String,
    enriched: Vec<String>,
    filter: Option<String>,
}

impl Body {
    fn of(request: &Request) -> Result<Self, Answer> {
        let body = request.body()?;
        let text = |at: &str| body.pointer(at).and_then(Json::as_str).filter(|text| !text.is_empty());
        let required = |at: &str, name: &str| {
            text(at).map(str::to_owned).ok_or_else(|| refused(SaveError::missing(vec![name.into()])))
        };
        let enriched = body.pointer("/Metadata/enrichedFields").and_then(Json::as_array).into_iter().flatten();
        let filter = text("/Metadata/filterExpression").map(str::to_owned);
        if let Some(problem) = filter.as_deref().and_then(select::problem) {
            return Err(refused(SaveError::new("FIELD_INTEGRITY_EXCEPTION", problem).on("filterExpression")));
        }
        Ok(Self {
            full_name: text("/FullName").unwrap_or_default().to_owned(),
            channel: required("/Metadata/eventChannel", "eventChannel")?,
            entity: required("/Metadata/selectedEntity", "selectedEntity")?,
            enriched: enriched.filter_map(|field| field.get("name")?.as_str()).map(str::to_owned).collect(),
            filter,
        })
    }

    /// The double underscore of the channel becomes a single one.
    fn proper_name(&self) -> String {
        format!("{}_{}", self.channel.replace("__", "_"), self.entity)
    }
}
