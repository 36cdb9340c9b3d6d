//! The Avro schemas of events: change events and platform events (streaming-pubsub.md sections 8 and 15).
//!
//! The order of the fields counts: bitmaps name them by their position.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::cell::Cell;
use super::header::ChangeType;
use super::layout::{Layout, NotAnEvent, SWITCHABLE};
use crate::org::schema::{Field, FieldIndex, Kind, NumberKind, Object, ObjectIndex, RollUp, Summary};
use crate::org::setup::FIRST_ID;
use crate::org::{Id, ObjectKind, Org};

const NAMESPACE: &str = "com.sforce.eventbus";
const ADDRESS: [(&str, &str); 8] = [
    ("Street", "string"),
    ("City", "string"),
    ("State", "string"),
    ("PostalCode", "string"),
    ("Country", "string"),
    ("Latitude", "double"),
    ("Longitude", "double"),
    ("GeocodeAccuracy", "string"),
];
const LOCATION: [(&str, &str); 2] = [("Latitude", "double"), ("Longitude", "double")];
const NAME: [(&str, &str); 3] = [("Salutation", "string"), ("FirstName", "string"), ("LastName", "string")];

/// One version of the schema of an object's events. Its id never means another one.
pub struct EventSchema {
    /// 22 characters.
    pub id: String,
    pub object: ObjectIndex,
    /// Avro's JSON.
    pub json: Json,
    pub layout: Layout,
    /// Where the cell at each position comes from, the header's left out.
    pub sources: Vec<Source>,
    /// The bytes of a record without any value, behind the header.
    pub nothing: Vec<u8>,
}

impl fmt::Debug for EventSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSchema").field("id", &self.id).field("object", &self.object).finish_non_exhaustive()
    }
}

/// Where a cell comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    CreatedDate,
    CreatedById,
    LastModifiedDate,
    LastModifiedById,
    Field(FieldIndex),
    /// The parts of a compound; those without a field are never filled.
    Parts(Vec<Option<FieldIndex>>),
    /// A text, or parts of a name.
    TextOrParts(FieldIndex, Vec<Option<FieldIndex>>),
}

impl Source {
    /// The field of the object behind it, or behind a part of it.
    pub fn field(&self, part: Option<usize>) -> Option<FieldIndex> {
        match (self, part) {
            (Self::Field(field) | Self::TextOrParts(field, _), None) => Some(*field),
            (Self::Parts(fields) | Self::TextOrParts(_, fields), Some(part)) => *fields.get(part)?,
            _ => None,
        }
    }

    /// The field, or the part, whose values come from a field of the object.
    pub fn finds(&self, field: FieldIndex) -> Option<Option<usize>> {
        let part = |parts: &[Option<FieldIndex>]| parts.iter().position(|part| *part == Some(field)).map(Some);
        match self {
            Self::Field(own) => (*own == field).then_some(None),
            Self::Parts(parts) => part(parts),
            Self::TextOrParts(own, parts) => {
                if *own == field {
                    Some(None)
                } else {
                    part(parts)
                }
            }
            _ => None,
        }
    }
}

impl Object {
    /// The name of its events: `AccountChangeEvent`, `Invoice__ChangeEvent`, `Order_Shipped__e`.
    pub fn event_name(&self) -> String {
        match (self.kind, self.name.strip_suffix("__c")) {
            (ObjectKind::Event, _) => self.name.clone(),
            (_, Some(custom)) => format!("{custom}__ChangeEvent"),
            (_, None) => format!("{}ChangeEvent", self.name),
        }
    }
}

impl Org {
    /// The schema of an object's events as it is now.
    pub fn schema_of(&self, object: ObjectIndex) -> Option<&Arc<EventSchema>> {
        let id = self.schema_ids.get(object)?;
        let current = self.event_schemas.get(object)?;
        Some(current.get_or_init(|| Arc::new(self.make_schema(object, id.clone()))))
    }

    /// The schema with this id, also one that is not written any more.
    pub fn schema_by_id(&self, id: &str) -> Option<&Arc<EventSchema>> {
        let old = || self.old_schemas.iter().find(|schema| schema.id == id);
        let current = self.schema_ids.iter().position(|known| known == id);
        current.and_then(|object| self.schema_of(object)).or_else(old)
    }

    /// Gives an object's events a new schema, after its fields have changed.
    pub(in crate::org) fn renew_schema(&mut self, object: ObjectIndex) {
        let _ = self.schema_of(object); // those who have seen its id may still ask for it
        let id = (0..22).map(|_| self.rng.alphanumeric()).collect();
        if let (Some(known), Some(current)) = (self.schema_ids.get_mut(object), self.event_schemas.get_mut(object)) {
            *known = id;
            self.old_schemas.extend(current.take());
        }
    }

    /// The id by which Setup knows a custom field.
    pub fn custom_field_id(&self, object: ObjectIndex, field: FieldIndex) -> Id {
        // Room for as many fields as an object can have.
        Id::new("00N", &self.pod, FIRST_ID + object as u64 * 1_000 + field as u64)
    }

    /// The id by which Setup knows a custom object.
    pub fn custom_object_id(&self, object: ObjectIndex) -> Id {
        Id::new("01I", &self.pod, FIRST_ID + object as u64)
    }

    fn make_schema(&self, object: ObjectIndex, id: String) -> EventSchema {
        let definition = self.schema.object(object);
        let travels = |field: &Field| in_events(field) && (definition.kind != ObjectKind::Event || field.writable());
        let mut known = Vec::new();
        let mut entries = |group: Group| -> Vec<(Json, Source)> {
            let own = definition.fields_of_events().filter(|(_, field)| travels(field) && Group::of(field) == group);
            own.filter_map(|(index, field)| self.field(object, index, field, &mut known)).collect()
        };
        let (standard, person, custom) = (entries(Group::Standard), entries(Group::Person), entries(Group::Custom));
        let (first, system) = match definition.kind {
            ObjectKind::Event => (None, event_system()),
            _ => (Some(header()), change_system()),
        };
        let (fields, sources): (Vec<Json>, Vec<Source>) =
            standard.into_iter().chain(system).chain(person).chain(custom).unzip();
        let fields: Vec<Json> = first.into_iter().chain(fields).collect();
        let json = json!({"type": "record", "name": definition.event_name(), "namespace": NAMESPACE, "fields": fields});
        let layout = Layout::read(&json).unwrap_or_else(|error: NotAnEvent| {
            debug_assert!(false, "{error}"); // a test makes the schema of every object
            Layout::empty()
        });
        // Only fields of platform events are never empty, and those have no use for it.
        let nothing = layout.encode(&vec![Cell::Null; sources.len()]).unwrap_or_default();
        EventSchema { id, object, json, layout, sources, nothing }
    }

    /// A field's entry; none for the further parts of a compound that already has one.
    fn field(
        &self,
        object: ObjectIndex,
        index: FieldIndex,
        field: &Field,
        known: &mut Vec<String>,
    ) -> Option<(Json, Source)> {
        let definition = self.schema.object(object);
        let fields_of = |compound: &str, parts: &[(&str, &str)]| -> Vec<Option<FieldIndex>> {
            let of_part = |part: &str| {
                let is_it = |own: &Field| own.compound.as_ref().is_some_and(|(c, p)| c == compound && p == part);
                definition.fields().find(|(_, own)| is_it(own)).map(|(index, _)| index)
            };
            parts.iter().map(|(part, _)| of_part(part)).collect()
        };
        let (name, doc, types, source) = match &field.compound {
            Some((compound, _)) => {
                if known.contains(compound) {
                    return None;
                }
                known.push(compound.clone());
                let (record, parts): (&str, &[(&str, &str)]) =
                    match definition.find(compound).map(|(_, whole)| &whole.kind) {
                        Some(Kind::Address(_)) => ("Address", &ADDRESS),
                        Some(Kind::Location(_)) => ("Location", &LOCATION),
                        _ => ("PersonName", &NAME),
                    };
                let source = Source::Parts(fields_of(compound, parts));
                (compound.as_str(), record, vec![named(record, parts, known)], source)
            }
            None if definition.name == "Account" && field.name == "Name" => {
                let source = Source::TextOrParts(index, fields_of("Name", &NAME));
                known.push("Name".into()); // its parts have no entry of their own
                ("Name", SWITCHABLE, vec![json!("string"), named(SWITCHABLE, &NAME, known)], source)
            }
            None => {
                let (doc, kind) = avro(field);
                (field.name.as_str(), doc, vec![json!(kind)], Source::Field(index))
            }
        };
        let custom =
            field.compound.as_ref().and_then(|(compound, _)| definition.find(compound)).unwrap_or((index, field));
        let role = if field.reference().is_some() { "ForeignKey" } else { "Data" };
        let id = match custom {
            (index, whole) if whole.custom() => format!(":{}", self.custom_field_id(object, index).short()),
            _ => String::new(),
        };
        let union: Vec<Json> = std::iter::once(json!("null")).chain(types).collect();
        Some((json!({"name": name, "type": union, "doc": format!("{role}:{doc}{id}"), "default": null}), source))
    }
}

/// In which order the fields of an object come: those of person accounts behind the system's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Standard,
    Person,
    Custom,
}

impl Group {
    fn of(field: &Field) -> Self {
        match field.name.starts_with("Person") {
            _ if field.custom() => Self::Custom,
            true => Self::Person,
            false => Self::Standard,
        }
    }
}

/// Whether a field is among those of an object's events. `MasterRecordId` tells of a merge only to those who ask.
pub fn in_events(field: &Field) -> bool {
    field.stored() && field.name != "MasterRecordId"
}

/// A record of optional parts; after its first use only its name.
fn named(record: &str, parts: &[(&str, &str)], known: &mut Vec<String>) -> Json {
    let marker = format!("record {record}");
    if known.contains(&marker) {
        return json!(record);
    }
    known.push(marker);
    let part = |(name, kind): &(&str, &str)| json!({"name": name, "type": ["null", kind], "default": null});
    json!({"type": "record", "name": record, "fields": parts.iter().map(part).collect::<Vec<_>>()})
}

/// The type as the `doc` names it, and Avro's own.
fn avro(field: &Field) -> (&'static str, &'static str) {
    match &field.kind {
        Kind::Phone(_) => ("Phone", "string"),
        Kind::Email(_) => ("Email", "string"),
        Kind::Url(_) => ("Url", "string"),
        Kind::TextArea { html: true, .. } => ("HtmlStringPlusClob", "string"),
        Kind::TextArea { length, .. } if *length > 255 => ("StringPlusClob", "string"),
        Kind::Picklist(_) => ("DynamicEnum", "string"),
        Kind::MultiPicklist(_) => ("MultiEnum", "string"),
        Kind::Boolean => ("Boolean", "boolean"),
        Kind::Int(_) | Kind::RollUp(RollUp { summary: Summary::Count, .. }) => ("Integer", "int"),
        Kind::Number(NumberKind::Double, ..) | Kind::RollUp(_) => ("Double", "double"),
        Kind::Number(NumberKind::Currency, ..) => ("Currency", "double"),
        Kind::Number(NumberKind::Percent, ..) => ("Percent", "double"),
        Kind::Date => ("DateOnly", "long"),
        Kind::DateTime => ("DateTime", "long"),
        Kind::Time => ("TimeOnly", "long"),
        Kind::Reference(_) => ("EntityId", "string"),
        Kind::Text(_)
        | Kind::TextArea { .. }
        | Kind::Encrypted(_)
        | Kind::AutoNumber { .. }
        | Kind::Formula(_)
        | Kind::Address(_)
        | Kind::Location(_)
        | Kind::System(_) => ("Text", "string"),
    }
}

fn header() -> Json {
    let strings = json!({"type": "array", "items": "string"});
    let fields = json!([
        {"name": "entityName", "type": "string"},
        {"name": "recordIds", "type": strings},
        {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": ChangeType::ALL}},
        {"name": "changeOrigin", "type": "string"},
        {"name": "transactionKey", "type": "string"},
        {"name": "sequenceNumber", "type": "int"},
        {"name": "commitTimestamp", "type": "long"},
        {"name": "commitNumber", "type": "long"},
        {"name": "commitUser", "type": "string"},
        {"name": "nulledFields", "type": strings},
        {"name": "diffFields", "type": strings},
        {"name": "changedFields", "type": strings},
    ]);
    json!({"name": "ChangeEventHeader", "type": {"type": "record", "name": "ChangeEventHeader", "fields": fields},
        "doc": "Data:ComplexValueType"})
}

fn change_system() -> Vec<(Json, Source)> {
    let optional =
        |name: &str, kind: &str, doc: &str| json!({"name": name, "type": ["null", kind], "doc": doc, "default": null});
    vec![
        (optional("CreatedDate", "long", "CreatedDate:DateTime"), Source::CreatedDate),
        (optional("CreatedById", "string", "ForeignKey:EntityId"), Source::CreatedById),
        (optional("LastModifiedDate", "long", "Data:DateTime"), Source::LastModifiedDate),
        (optional("LastModifiedById", "string", "ForeignKey:EntityId"), Source::LastModifiedById),
    ]
}

/// Never null in platform events.
fn event_system() -> Vec<(Json, Source)> {
    vec![
        (json!({"name": "CreatedDate", "type": "long", "doc": "CreatedDate:DateTime"}), Source::CreatedDate),
        (json!({"name": "CreatedById", "type": "string", "doc": "CreatedBy:EntityId"}), Source::CreatedById),
    ]
}
