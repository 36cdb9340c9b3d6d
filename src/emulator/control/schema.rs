//! What an admin does to fields while others work, and gaps that nothing but a request makes.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use super::{problem, with_body};
use crate::host::Host;
use crate::org::schema::Field;
use crate::org::{ChangeType, Id, OVERFLOWN, ObjectIndex, ObjectKind, Org};
use crate::scenario;
use crate::wire::{Answer, Call};

pub fn handle(host: &Host, call: &Call) -> Answer {
    match (call.method.as_str(), call.path().get(1..).unwrap_or_default()) {
        ("POST", ["fields"]) => with_body(call, |body| change_fields(host, read(body)?)),
        ("POST", ["gap"]) => with_body(call, |body| gap(host, read(body)?)),
        _ => problem(405, "another method is expected here; GET /emulator explains it"),
    }
}

/// A new field, with the keys of a scenario's, or an old one and what it becomes.
#[derive(Deserialize)]
struct FieldChange {
    object: String,
    add: Option<Json>,
    convert: Option<String>,
    #[serde(flatten)]
    to: Map<String, Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gap {
    object: String,
    kind: String,
    #[serde(default)]
    ids: Vec<String>,
}

fn read<T: DeserializeOwned>(body: Json) -> Result<T, String> {
    serde_json::from_value(body).map_err(|error| error.to_string())
}

fn change_fields(host: &Host, change: FieldChange) -> Result<Answer, String> {
    let now = host.now();
    let answer = {
        let mut org = host.org();
        let object = object(&org, &change.object)?;
        match (change.add, change.convert) {
            (Some(field), None) if change.to.is_empty() => {
                let fields = scenario::fields_of(&field)?;
                let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
                org.add_fields(object, fields, now)?;
                json!({"fields": names, "schema": org.schema_of(object).map(|schema| &schema.id)})
            }
            (None, Some(name)) => {
                let found = org.schema.object(object).find(&name);
                let (index, known) = found.ok_or_else(|| format!("{} has no field {name}", change.object))?;
                let name = known.name.clone();
                let to = becoming(&name, change.to)?;
                let told = org.convert_field(object, index, to, now)?;
                let schema = org.schema_of(object).map(|schema| &schema.id);
                json!({"fields": [name], "schema": schema, "changeType": told.name()})
            }
            _ => return Err("either add, or convert with the keys of what the field becomes".into()),
        }
    };
    host.notify();
    Ok(Answer::json(200, &answer))
}

/// The field that another one becomes.
fn becoming(name: &str, mut keys: Map<String, Json>) -> Result<Field, String> {
    keys.insert("name".into(), name.into());
    let [field] = <[Field; 1]>::try_from(scenario::fields_of(&Json::Object(keys))?)
        .map_err(|fields| format!("{name}: no field becomes {}", fields.len()))?;
    Ok(field)
}

fn gap(host: &Host, gap: Gap) -> Result<Answer, String> {
    let kind = ChangeType::named(&gap.kind).filter(|kind| kind.is_gap() && *kind != ChangeType::Snapshot);
    let kind = kind.ok_or("kind: GAP_CREATE, GAP_UPDATE, GAP_DELETE, GAP_UNDELETE or GAP_OVERFLOW")?;
    let now = host.now();
    {
        let mut org = host.org();
        let object = object(&org, &gap.object)?;
        let definition = org.schema.object(object);
        if definition.kind != ObjectKind::Record {
            return Err(format!("{} has no change events", definition.name));
        }
        let read = |text: &String| {
            let all = text.strip_suffix('*').filter(|prefix| *prefix == definition.prefix);
            let id = Id::parse(text).filter(|id| id.has_prefix(&definition.prefix));
            let known = id.map(|id| id.as_str().to_owned()).or_else(|| all.map(|_| text.clone()));
            known.ok_or_else(|| format!("ids: {text} is none of {}", definition.name))
        };
        let mut ids = gap.ids.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        match (kind, ids.is_empty()) {
            (ChangeType::GapOverflow, true) => ids.push(OVERFLOWN.to_owned()),
            (ChangeType::GapOverflow, false) => return Err("ids: an overflow has none".into()),
            (_, true) => return Err("ids: at least one".into()),
            (_, false) => {}
        }
        org.announce(object, kind, ids, now);
    }
    host.notify();
    Ok(Answer::json(200, &json!({})))
}

/// An object by its name.
fn object(org: &Org, name: &str) -> Result<ObjectIndex, String> {
    org.schema.find(name).map(|(index, _)| index).ok_or_else(|| format!("there is no object {name}"))
}
