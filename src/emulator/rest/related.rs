//! `/sobjects/X/<id>/<relationship>`: the parent of a record, or its children.

use std::sync::Mutex;

use axum::body::Bytes;
use axum::http::Method;

use super::{Context, Request, not_allowed, not_found, query, records};
use crate::org::{Id, ObjectIndex};
use crate::wire::{Answer, Call};

pub(super) fn handle(
    context: &mut Context,
    request: &Request,
    object: ObjectIndex,
    id: &Id,
    name: &str,
) -> Result<Answer, Answer> {
    if !matches!(request.call.method.as_str(), "GET" | "HEAD") {
        return Err(not_allowed(&request.call, "HEAD,GET"));
    }
    let row = context.row(request, object, id).ok_or_else(not_found)?;
    let definition = context.org.schema.object(object);
    if let Some((field, _)) = definition.relationship(name) {
        let shown = context.org.can_see_field(&request.user, object, field);
        let parent =
            row.read(definition, field).as_str().filter(|_| shown).and_then(Id::parse).ok_or_else(not_found)?;
        let (parents, _) = context.org.schema.of_id(&parent).ok_or_else(not_found)?;
        return records::read(context, request, parents, &parent);
    }
    let child = definition.child(name).ok_or_else(not_found)?;
    let (children, by) = (child.object, child.field);
    if !context.org.can_see_object(&request.user, children) {
        return Err(not_found());
    }
    let fields = match request.call.parameter("fields") {
        Some(names) => context.fields(request, children, &names.split(',').collect::<Vec<_>>())?,
        None => context.all_fields(request, children),
    };
    let definition = context.org.schema.object(children);
    let names: Vec<&str> = fields.iter().map(|field| definition.field(*field).name.as_str()).collect();
    let (from, by) = (&definition.name, &definition.field(by).name);
    let text = format!("SELECT {} FROM {from} WHERE {by} = '{id}'", names.join(","));
    let call = Call {
        method: Method::GET,
        segments: Vec::new(),
        query: vec![("q".into(), text)],
        headers: request.call.headers.clone(),
        body: Bytes::new(),
        secure: request.call.secure,
    };
    let inner = Request { call, version: request.version, user: request.user.clone(), json: Ok(Mutex::default()) };
    query::handle(context, &inner, &[], false)
}
