//! `/composite/tree/X`: new records with their children; all of them or none.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use crate::org::{FieldIndex, Id, ObjectIndex, Options, SaveError, Unit, Write};
use crate::rest::{Context, Request, item_errors};
use crate::wire::Answer;

const RECORDS: usize = 200;
const LEVELS: usize = 5;
const TYPES: usize = 5;

/// A record of the tree, its children taken out of it.
struct Node {
    reference: String,
    object: ObjectIndex,
    fields: Map<String, Json>,
    /// The place of its parent, and the field that refers to it.
    parent: Option<(usize, FieldIndex)>,
    level: usize,
}

pub(super) fn handle(context: &mut Context, request: &Request, object: &str) -> Result<Answer, Answer> {
    let object = context.object(request, object)?;
    let mut body = request.body()?;
    let Some(Json::Array(records)) = body.get_mut("records").map(Json::take) else {
        return Err(Answer::refused(&SaveError::wrong_json("list", &Json::Null)));
    };
    let mut nodes = Vec::new();
    let read = records.into_iter().try_for_each(|record| grow(context, request, record, object, None, &mut nodes));
    if let Err(wrong) = read.and_then(|()| check(&nodes)) {
        return Ok(failed(&[wrong]));
    }
    let mut unit = context.org.begin(context.now);
    match plant(context, request, &mut unit, &nodes) {
        Ok(ids) => {
            context.org.commit(unit, &request.caller(context.host, true));
            let results: Vec<Json> = nodes
                .iter()
                .zip(&ids)
                .map(|(node, id)| json!({"referenceId": node.reference, "id": id.as_str()}))
                .collect();
            Ok(Answer::json(201, &json!({"hasErrors": false, "results": results})))
        }
        Err(errors) => {
            context.org.roll_back(unit);
            Ok(failed(&errors))
        }
    }
}

/// The reference id of a record, where it has one, and what is wrong with it.
type Wrong = Box<(Option<String>, SaveError)>;

fn failed(errors: &[Wrong]) -> Answer {
    let item = |wrong: &Wrong| match &**wrong {
        (Some(reference), error) => json!({"referenceId": reference, "errors": item_errors(error)}),
        (None, error) => json!({"errors": item_errors(error)}),
    };
    Answer::json(400, &json!({"hasErrors": true, "results": errors.iter().map(item).collect::<Vec<_>>()}))
}

/// Puts a record and its children behind the nodes that are there.
fn grow(
    context: &Context,
    request: &Request,
    record: Json,
    object: ObjectIndex,
    parent: Option<(usize, FieldIndex)>,
    nodes: &mut Vec<Node>,
) -> Result<(), Wrong> {
    let invalid = |text: &str| SaveError::new("INVALID_INPUT", text);
    let nameless = |text: &str| Err(Box::new((None, invalid(text))));
    let Json::Object(mut fields) = record else { return nameless("A record must be a JSON object.") };
    let attributes = fields.remove("attributes").unwrap_or_default();
    let text = |key: &str| attributes.get(key).and_then(Json::as_str);
    let Some(reference) = text("referenceId").map(str::to_owned) else {
        return nameless("Include a reference ID for each record in the request.");
    };
    let wrong = |error: SaveError| Box::new((Some(reference.clone()), error));
    let definition = context.org.schema.object(object);
    match text("type") {
        Some(name) if name.eq_ignore_ascii_case(&definition.name) => {}
        Some(_) => {
            let message = format!("All records on this level must be of the type {}.", definition.name);
            return Err(wrong(invalid(&message)));
        }
        None => return Err(wrong(invalid("Include a type for each record in the request."))),
    }
    let level = parent.and_then(|(place, _)| nodes.get(place)).map_or(1, |parent| parent.level + 1);
    // Deeper ones are not even read.
    if level > LEVELS || nodes.len() >= RECORDS {
        let message = format!("A tree can have no more than {RECORDS} records on no more than {LEVELS} levels.");
        return Err(wrong(SaveError::new("LIMIT_EXCEEDED", message)));
    }
    let place = nodes.len();
    let mut branches = Vec::new();
    let names: Vec<String> =
        fields.iter().filter(|(_, value)| value.get("records").is_some()).map(|(name, _)| name.clone()).collect();
    for name in names {
        let child = definition.child(&name).map(|child| (child.object, child.field));
        let seen = child.filter(|(object, _)| context.org.can_see_object(&request.user, *object));
        let Some((object, field)) = seen else {
            return Err(wrong(SaveError::no_such_column(&name, &definition.name)));
        };
        if let Some(Json::Array(list)) =
            fields.remove(&name).and_then(|mut branch| branch.get_mut("records").map(Json::take))
        {
            branches.push((object, field, list));
        }
    }
    nodes.push(Node { reference: reference.clone(), object, fields, parent, level });
    for (object, field, list) in branches {
        for record in list {
            grow(context, request, record, object, Some((place, field)), nodes)?;
        }
    }
    Ok(())
}

fn check(nodes: &[Node]) -> Result<(), Wrong> {
    let mut references = BTreeSet::new();
    if let Some(double) = nodes.iter().find(|node| !references.insert(node.reference.as_str())) {
        let error = SaveError::new("INVALID_INPUT", "Duplicate ReferenceId provided in the request.");
        return Err(Box::new((Some(double.reference.clone()), error)));
    }
    let types: BTreeSet<ObjectIndex> = nodes.iter().map(|node| node.object).collect();
    if types.len() > TYPES {
        let message = format!("A tree can have records of no more than {TYPES} types.");
        return Err(Box::new((None, SaveError::new("LIMIT_EXCEEDED", message))));
    }
    Ok(())
}

/// Creates the records level by level, parents first; the ids stand in the order of the nodes.
fn plant(context: &mut Context, request: &Request, unit: &mut Unit, nodes: &[Node]) -> Result<Vec<Id>, Vec<Wrong>> {
    let caller = request.caller(context.host, true);
    let mut ids: Vec<Option<Id>> = nodes.iter().map(|_| None).collect();
    for level in 1..=LEVELS {
        let places: Vec<usize> =
            nodes.iter().enumerate().filter(|(_, node)| node.level == level).map(|(place, _)| place).collect();
        let write = |place: &usize| {
            let node = nodes.get(*place).ok_or_else(SaveError::unknown_id)?;
            let mut fields = node.fields.clone();
            if let Some((parent, field)) = node.parent {
                let id = ids.get(parent).cloned().flatten().ok_or_else(SaveError::unknown_id)?;
                let name = context.org.schema.object(node.object).field(field).name.clone();
                fields.insert(name, id.as_str().into());
            }
            Ok(Write::Create { object: node.object, fields })
        };
        let writes: Vec<Result<Write, SaveError>> = places.iter().map(write).collect();
        let (writes, locked) = context.host.strike_records(&request.call, writes);
        let options = Options { malformed_fails_alone: true, locked, ..Options::default() };
        let results =
            context.org.run(unit, &caller, writes, &options).map_err(|error| vec![Box::new((None, error))])?;
        let mut wrong = Vec::new();
        for (place, result) in places.into_iter().zip(results) {
            match (result, ids.get_mut(place)) {
                (Ok(saved), Some(slot)) => *slot = Some(saved.id),
                (Err(error), _) => {
                    wrong.push(Box::new((nodes.get(place).map(|node| node.reference.clone()), error)));
                }
                (Ok(_), None) => {}
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
    }
    Ok(ids.into_iter().flatten().collect())
}
