//! The Avro schemas of events: change events and platform events (streaming-pubsub.md sections 8 and 15).
//!
//! The order of the fields counts: bitmaps name them by their position.

use serde_json::{Value as Json, json};

use super::event::in_events;
use super::schema::{Field, FieldIndex, Kind, NumberKind, Object, ObjectIndex, RollUp, Summary};
use super::setup::FIRST_ID;
use super::{Id, ObjectKind, Org};

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
const KINDS: [&str; 10] = [
    "CREATE",
    "UPDATE",
    "DELETE",
    "UNDELETE",
    "GAP_CREATE",
    "GAP_UPDATE",
    "GAP_DELETE",
    "GAP_UNDELETE",
    "GAP_OVERFLOW",
    "SNAPSHOT",
];

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
    /// The id of the schema of an object's events.
    pub fn schema_id(&self, object: ObjectIndex) -> &str {
        self.schema_ids.get(object).map(String::as_str).unwrap_or_default()
    }

    /// The object whose events have the schema with this id.
    pub fn object_of_schema(&self, id: &str) -> Option<ObjectIndex> {
        self.schema_ids.iter().position(|known| known == id)
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

    /// The Avro record of an object's events.
    pub fn event_schema(&self, object: ObjectIndex) -> Json {
        let definition = self.schema.object(object);
        let travels = |field: &Field| in_events(field) && (definition.kind != ObjectKind::Event || field.writable());
        let mut known = Vec::new();
        let mut entries = |custom: bool| -> Vec<Json> {
            let own = definition.fields().filter(|(_, field)| travels(field) && field.custom() == custom);
            own.filter_map(|(index, field)| self.field(object, index, field, &mut known)).collect()
        };
        let (standard, custom) = (entries(false), entries(true));
        let (first, system) = match definition.kind {
            ObjectKind::Event => (None, event_system()),
            _ => (Some(header()), change_system()),
        };
        let all: Vec<Json> = first.into_iter().chain(standard).chain(system).chain(custom).collect();
        json!({"type": "record", "name": definition.event_name(), "namespace": NAMESPACE, "fields": all})
    }

    /// A field's entry; none for the further parts of a compound that already has one.
    fn field(&self, object: ObjectIndex, index: FieldIndex, field: &Field, known: &mut Vec<String>) -> Option<Json> {
        let definition = self.schema.object(object);
        let (name, doc, types) = match &field.compound {
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
                (compound.as_str(), record, vec![named(record, parts, known)])
            }
            None if definition.name == "Account" && field.name == "Name" => {
                let record = "Switchable_PersonName";
                ("Name", record, vec![json!("string"), named(record, &NAME, known)])
            }
            None => {
                let (doc, kind) = avro(field);
                (field.name.as_str(), doc, vec![json!(kind)])
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
        Some(json!({"name": name, "type": union, "doc": format!("{role}:{doc}{id}"), "default": null}))
    }
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
        {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": KINDS}},
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

fn change_system() -> Vec<Json> {
    let optional =
        |name: &str, kind: &str, doc: &str| json!({"name": name, "type": ["null", kind], "doc": doc, "default": null});
    vec![
        optional("CreatedDate", "long", "CreatedDate:DateTime"),
        optional("CreatedById", "string", "ForeignKey:EntityId"),
        optional("LastModifiedDate", "long", "Data:DateTime"),
        optional("LastModifiedById", "string", "ForeignKey:EntityId"),
    ]
}

/// Never null in platform events.
fn event_system() -> Vec<Json> {
    vec![
        json!({"name": "CreatedDate", "type": "long", "doc": "CreatedDate:DateTime"}),
        json!({"name": "CreatedById", "type": "string", "doc": "CreatedBy:EntityId"}),
    ]
}
