//! One field, with every key that the platform has for it.

use serde_json::{Map, Value as Json, json};

use crate::org::schema::{Field, Formula, Kind, Object, Reference, RollUp, Summary, System};
use crate::org::{FieldIndex, FieldLevel, ObjectAccess};

/// Characters of an id.
const ID: usize = 18;
/// What a picklist's value, a multipicklist's text, and a formula's text may have.
const PICKLIST: usize = 255;
const MULTI_PICKLIST: usize = 4_099;
const FORMULA: usize = 1_300;

/// A field as a user with these permissions sees it.
pub(super) fn describe(object: &Object, index: FieldIndex, access: ObjectAccess, level: FieldLevel) -> Json {
    let field = object.field(index);
    let name_field = is_name(object, field);
    let editable = level == FieldLevel::Editable;
    let flags = Flags::of(field);
    let mut keys = nature(field);
    keys.extend(text(field));
    keys.extend(relations(object, index));
    for (name, value) in [
        ("aggregatable", flags.aggregatable),
        ("createable", access.create && editable && field.writable()),
        ("defaultedOnCreate", flags.defaulted),
        ("groupable", flags.groupable),
        ("nameField", name_field),
        ("nillable", flags.nillable),
        ("permissionable", permissionable(object, index)),
        ("sortable", flags.sortable),
        ("updateable", access.edit && editable && field.updateable()),
        // What no org here has.
        ("aiPredictionField", false),
        ("cascadeDelete", false),
        ("dependentPicklist", false),
        ("deprecatedAndHidden", false),
        ("encrypted", false),
        ("formulaTreatNullNumberAsZero", false),
        ("highScaleNumber", false),
        ("writeRequiresMasterRead", false),
    ] {
        keys.insert(name.into(), value.into());
    }
    for name in
        ["controllerName", "defaultValueFormula", "filteredLookupInfo", "inlineHelpText", "referenceTargetField"]
    {
        keys.insert(name.into(), Json::Null);
    }
    Json::Object(keys)
}

/// Whether it has field-level security.
pub(in crate::rest) fn permissionable(object: &Object, index: FieldIndex) -> bool {
    let field = object.field(index);
    Flags::of(field).permissionable && !is_name(object, field) && !field.reference().is_some_and(|to| to.master)
}

/// What it is and what it holds.
fn nature(field: &Field) -> Map<String, Json> {
    let kind = &field.kind;
    let (length, precision, scale, digits) = sizes(kind);
    let (values, restricted) = picklist(field);
    map(json!({
        "name": field.name, "label": field.label, "type": field.type_name(), "soapType": soap_type(field),
        "length": length, "byteLength": if kind_text(kind) { length * 3 } else { length },
        "precision": precision, "scale": scale, "digits": digits,
        "picklistValues": values, "restrictedPicklist": restricted,
        "custom": field.custom(), "externalId": field.external_id,
        "idLookup": field.lookup_key || matches!(kind, Kind::System(System::Id)),
        "unique": field.unique, "caseSensitive": field.case_sensitive, "filterable": field.filterable(),
    }))
}

/// How its values are made and shown.
fn text(field: &Field) -> Map<String, Json> {
    let kind = &field.kind;
    let encrypted = matches!(kind, Kind::Encrypted(_));
    map(json!({
        "autoNumber": matches!(kind, Kind::AutoNumber { .. }),
        "calculated": matches!(kind, Kind::Formula(_) | Kind::RollUp(_)),
        "calculatedFormula": match kind { Kind::Formula(Formula(text)) => json!(text), _ => Json::Null },
        "compoundFieldName": field.compound.as_ref().map(|(compound, _)| compound),
        "defaultValue": match kind { Kind::Boolean => json!(field.default == Some(json!(true))), _ => Json::Null },
        "displayLocationInDecimal": matches!(kind, Kind::Location(_)),
        "queryByDistance": matches!(kind, Kind::Location(_)),
        "extraTypeInfo": match kind {
            Kind::TextArea { html: true, .. } => json!("richtextarea"),
            Kind::TextArea { .. } => json!("plaintextarea"),
            Kind::System(System::FullName) => json!("personname"),
            _ => Json::Null,
        },
        "htmlFormatted": matches!(kind, Kind::TextArea { html: true, .. }),
        "mask": encrypted.then_some("asterisk"), "maskType": encrypted.then_some("all"),
    }))
}

/// Whom it refers to.
fn relations(object: &Object, index: FieldIndex) -> Map<String, Json> {
    let field = object.field(index);
    let (references, reference) = (references(field), field.reference());
    let several = references.len() > 1;
    let master = reference.is_some_and(|to| to.master);
    map(json!({
        "namePointing": several, "polymorphicForeignKey": several, "referenceTo": references,
        "relationshipName": relationship(field), "relationshipOrder": master.then(|| order(object, index)),
        "restrictedDelete": reference.is_some_and(|to| to.restricts), "searchPrefilterable": reference.is_some(),
    }))
}

fn map(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

/// What follows from the kind of a field.
#[derive(Debug, Clone, Copy)]
struct Flags {
    aggregatable: bool,
    defaulted: bool,
    groupable: bool,
    nillable: bool,
    permissionable: bool,
    sortable: bool,
}

impl Flags {
    fn of(field: &Field) -> Self {
        let kind = &field.kind;
        let (area, compound) = (matches!(kind, Kind::TextArea { .. }), field.is_compound());
        let many = matches!(kind, Kind::MultiPicklist(_));
        let system = matches!(kind, Kind::System(_));
        let number = matches!(kind, Kind::Number(..) | Kind::RollUp(_));
        let moment = matches!(field.type_name(), "datetime" | "time");
        let own = matches!(kind, Kind::AutoNumber { .. } | Kind::Boolean) || system;
        Self {
            aggregatable: !area && !compound && !many && field.filterable() && field.type_name() != "boolean",
            defaulted: own || (field.required && (field.default.is_some() || field.name == "OwnerId")),
            groupable: !area && !compound && !many && !number && !moment && field.filterable(),
            nillable: !field.required && !own,
            permissionable: !system && !compound && (!field.required || matches!(kind, Kind::Boolean)),
            sortable: !compound && !many && field.filterable(),
        }
    }
}

/// Whether the field's length counts characters of up to three bytes.
fn kind_text(kind: &Kind) -> bool {
    !matches!(kind, Kind::Reference(_) | Kind::System(System::Id | System::CreatedById | System::LastModifiedById))
}

/// Length, precision, scale and digits.
fn sizes(kind: &Kind) -> (usize, usize, usize, usize) {
    match kind {
        Kind::Text(length)
        | Kind::Email(length)
        | Kind::Phone(length)
        | Kind::Url(length)
        | Kind::Encrypted(length)
        | Kind::TextArea { length, .. } => (*length, 0, 0, 0),
        Kind::Picklist(_) => (PICKLIST, 0, 0, 0),
        Kind::MultiPicklist(_) => (MULTI_PICKLIST, 0, 0, 0),
        Kind::Formula(_) => (FORMULA, 0, 0, 0),
        Kind::AutoNumber { .. } => (30, 0, 0, 0),
        Kind::System(System::FullName) => (121, 0, 0, 0),
        Kind::Reference(_) | Kind::System(System::Id | System::CreatedById | System::LastModifiedById) => (ID, 0, 0, 0),
        Kind::Int(digits) => (0, 0, 0, *digits),
        Kind::RollUp(RollUp { summary: Summary::Count, .. }) => (0, 0, 0, 9),
        Kind::Number(_, before, scale) => (0, before + scale, *scale, 0),
        Kind::RollUp(_) => (0, 18, 2, 0),
        Kind::Boolean
        | Kind::Date
        | Kind::DateTime
        | Kind::Time
        | Kind::Address(_)
        | Kind::Location(_)
        | Kind::System(
            System::IsDeleted
            | System::IsPersonAccount
            | System::CreatedDate
            | System::LastModifiedDate
            | System::Modstamp,
        ) => (0, 0, 0, 0),
    }
}

fn references(field: &Field) -> Vec<&str> {
    match &field.kind {
        Kind::Reference(Reference { to, .. }) => to.iter().map(String::as_str).collect(),
        Kind::System(System::CreatedById | System::LastModifiedById) => vec!["User"],
        _ => Vec::new(),
    }
}

fn relationship(field: &Field) -> Option<&str> {
    match &field.kind {
        Kind::Reference(to) => to.relationship.as_deref(),
        Kind::System(System::CreatedById) => Some("CreatedBy"),
        Kind::System(System::LastModifiedById) => Some("LastModifiedBy"),
        _ => None,
    }
}

/// Which of an object's masters it is.
fn order(object: &Object, index: FieldIndex) -> usize {
    object.fields().filter(|(other, field)| *other < index && field.reference().is_some_and(|to| to.master)).count()
}

/// The field by which people know a record.
fn is_name(object: &Object, field: &Field) -> bool {
    match object.find("Name") {
        Some((_, name)) => name.name == field.name,
        None => matches!(field.kind, Kind::AutoNumber { .. }) || field.name == "Subject" && !has_number(object),
    }
}

fn has_number(object: &Object) -> bool {
    object.fields().any(|(_, field)| matches!(field.kind, Kind::AutoNumber { .. }))
}

fn picklist(field: &Field) -> (Vec<Json>, bool) {
    let (Kind::Picklist(list) | Kind::MultiPicklist(list)) = &field.kind else { return (Vec::new(), false) };
    let value = |value: &String| {
        let default = field.default.as_ref().and_then(Json::as_str) == Some(value);
        json!({"active": true, "defaultValue": default, "label": value, "validFor": null, "value": value})
    };
    (list.values.iter().map(value).collect(), list.restricted)
}

fn soap_type(field: &Field) -> &'static str {
    match field.type_name() {
        "id" | "reference" => "tns:ID",
        "boolean" => "xsd:boolean",
        "int" => "xsd:int",
        "double" | "currency" | "percent" => "xsd:double",
        "date" => "xsd:date",
        "datetime" => "xsd:dateTime",
        "time" => "xsd:time",
        "address" => "urn:address",
        "location" => "urn:location",
        _ => "xsd:string",
    }
}
