//! Which values of its picklists a record type has: the one resource of the User Interface API that is here. The facts
//! are silent on it; it is as the developer guide of that API describes it.

use serde_json::{Map, Value as Json, json};

use super::{Context, MASTER, Request, only_get};
use crate::org::schema::{Field, FieldIndex, Kind};
use crate::org::{Id, ObjectIndex, ObjectKind};
use crate::rest::not_found;
use crate::wire::Answer;

/// `GET /ui-api/object-info/X/picklist-values/RECORD_TYPE`.
pub(in crate::rest) fn of_record_type(
    context: &Context,
    request: &Request,
    object: &str,
    id: &str,
) -> Result<Answer, Answer> {
    only_get(request)?;
    let object = context.object(request, object)?;
    let definition = context.org.schema.object(object);
    let record_type = Id::parse(id).filter(|_| definition.kind == ObjectKind::Record).ok_or_else(not_found)?;
    if record_type.as_str() != MASTER && !is_of(context, &record_type, object) {
        return Err(not_found());
    }
    let base = format!(
        "/services/data/v{}.0/ui-api/object-info/{}/picklist-values/{record_type}",
        request.version, definition.name
    );
    // Any text that changes with the answer.
    let tag = format!("{:032x}", context.org.setup_changed());
    let mut fields = Map::new();
    for index in context.all_fields(request, object) {
        let field = definition.field(index);
        let Some(values) = values(context, object, &record_type, (index, field)) else { continue };
        let default =
            field.default.as_ref().filter(|default| values.iter().any(|value| Some(*value) == default.as_str()));
        let picklist = json!({
            "controllerValues": {},
            "defaultValue": default.and_then(Json::as_str).map(shown),
            "eTag": tag,
            "url": format!("{base}/{}", field.name),
            "values": values.iter().map(|value| shown(value)).collect::<Vec<_>>(),
        });
        fields.insert(field.name.clone(), picklist);
    }
    Ok(Answer::json(200, &json!({"eTag": tag, "picklistFieldValues": fields})))
}

/// A value that depends on no other field.
fn shown(value: &str) -> Json {
    json!({"attributes": null, "label": value, "validFor": [], "value": value})
}

/// None of fields that are no picklists. In the order of the field, whatever the scenario's.
fn values<'c>(
    context: &'c Context,
    object: ObjectIndex,
    record_type: &Id,
    (index, field): (FieldIndex, &'c Field),
) -> Option<Vec<&'c str>> {
    let (Kind::Picklist(list) | Kind::MultiPicklist(list)) = &field.kind else { return None };
    let own = context.org.values_of(object, record_type, index);
    let has = |value: &&String| own.is_none_or(|own| own.contains(value));
    Some(list.values.iter().filter(has).map(String::as_str).collect())
}

fn is_of(context: &Context, record_type: &Id, object: ObjectIndex) -> bool {
    let name = &context.org.schema.object(object).name;
    let Some((index, types)) = context.org.schema.find("RecordType") else { return false };
    let Some((field, _)) = types.find("SobjectType") else { return false };
    let row = context.org.table(index).live_row(record_type);
    row.is_some_and(|row| row.read(types, field).as_str() == Some(name))
}
