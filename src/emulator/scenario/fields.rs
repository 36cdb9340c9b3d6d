//! A field as it is written in a scenario becomes the fields of an object: an address is six of them.

use super::Problem;
use super::spec::{FieldSpec, FieldType, OnParentDelete, OwnerKind, SummaryFunction};
use crate::org::schema::{
    ADDRESS_PARTS, Field, Formula, Kind, LOCATION_PARTS, NumberKind, Picklist, Reference, RollUp, Summary, System,
};

pub fn fields(spec: &FieldSpec) -> Result<Vec<Field>, Problem> {
    let name = spec.name.value.as_str();
    let wrong = |text: &str| Problem::at(&spec.name, text);
    let label = spec.label.clone().unwrap_or_else(|| name.to_owned());
    let length = |default: usize| spec.length.unwrap_or(default);
    let digits = |default: usize, scale: usize| {
        let precision = spec.precision.unwrap_or(default);
        precision.checked_sub(scale).ok_or_else(|| wrong("its scale is greater than its precision"))
    };
    let number = |kind| {
        let scale = spec.scale.unwrap_or(2);
        Ok::<_, Problem>(Kind::Number(kind, digits(18, scale)?, scale))
    };
    let kind = match spec.kind {
        FieldType::String => Kind::Text(length(255)),
        FieldType::Textarea => Kind::TextArea { length: length(255), html: false },
        FieldType::Richtext => Kind::TextArea { length: length(32_768), html: true },
        FieldType::Email => Kind::Email(length(80)),
        FieldType::Phone => Kind::Phone(length(40)),
        FieldType::Url => Kind::Url(length(255)),
        FieldType::Encryptedstring => Kind::Encrypted(length(175)),
        FieldType::Picklist => Kind::Picklist(picklist(spec)),
        FieldType::Multipicklist => Kind::MultiPicklist(picklist(spec)),
        FieldType::Boolean => Kind::Boolean,
        FieldType::Int => Kind::Int(spec.precision.unwrap_or(9)),
        FieldType::Double => number(NumberKind::Double)?,
        FieldType::Currency => number(NumberKind::Currency)?,
        FieldType::Percent => number(NumberKind::Percent)?,
        FieldType::Date => Kind::Date,
        FieldType::Datetime => Kind::DateTime,
        FieldType::Time => Kind::Time,
        FieldType::Lookup | FieldType::MasterDetail => Kind::Reference(reference(spec)?),
        FieldType::Autonumber => {
            let format = spec.format.as_deref().unwrap_or("{0}");
            let parts = format.strip_suffix('}').and_then(|format| format.split_once('{'));
            let (prefix, zeros) = parts.ok_or_else(|| wrong("its `format` has the form `INV-{0000}`"))?;
            Kind::AutoNumber { prefix: prefix.to_owned(), digits: zeros.len() }
        }
        FieldType::Formula => {
            Kind::Formula(Formula(spec.formula.clone().ok_or_else(|| wrong("a formula needs its `formula`"))?))
        }
        FieldType::Rollup => Kind::RollUp(roll_up(spec)?),
        FieldType::FullName => Kind::System(System::FullName),
        FieldType::Address => return Ok(address(name, &label)),
        FieldType::Location => return Ok(location(name, &label)),
    };
    let master = spec.kind == FieldType::MasterDetail;
    let mut field = Field::new(name, &label, kind);
    field.required = spec.required || master || spec.kind == FieldType::Boolean;
    field.default = match (&spec.default, spec.kind) {
        (None, FieldType::Boolean) => Some(false.into()),
        (default, _) => default.clone(),
    };
    field.lookup_key = spec.external_id || spec.id_lookup;
    field.external_id = spec.external_id;
    field.unique = spec.unique;
    field.case_sensitive = spec.case_sensitive;
    field.create_only = spec.create_only;
    field.read_only = spec.read_only;
    Ok(vec![if spec.name_part { field.part_of("Name", name) } else { field }])
}

/// `OwnerId`, as most objects have it.
pub fn owner(kind: OwnerKind) -> Option<Field> {
    let to = match kind {
        OwnerKind::User => vec!["User".to_owned()],
        OwnerKind::UserOrQueue => vec!["Group".to_owned(), "User".to_owned()],
        OwnerKind::None => return None,
    };
    let reference = Reference { to, relationship: Some("Owner".into()), ..Reference::default() };
    Some(Field::new("OwnerId", "Owner ID", Kind::Reference(reference)).required())
}

pub fn record_type() -> Field {
    let to = vec!["RecordType".to_owned()];
    let reference = Reference { to, relationship: Some("RecordType".into()), ..Reference::default() };
    Field::new("RecordTypeId", "Record Type ID", Kind::Reference(reference))
}

/// The record that a deleted one was merged into.
pub fn master_record(object: &str) -> Field {
    let to = vec![object.to_owned()];
    let reference = Reference { to, relationship: Some("MasterRecord".into()), ..Reference::default() };
    Field { read_only: true, ..Field::new("MasterRecordId", "Master Record ID", Kind::Reference(reference)) }
}

fn picklist(spec: &FieldSpec) -> Picklist {
    Picklist { values: spec.values.clone(), restricted: spec.restricted }
}

fn reference(spec: &FieldSpec) -> Result<Reference, Problem> {
    if spec.to.is_empty() {
        return Err(Problem::at(&spec.name, "a lookup needs `to`, the objects that it refers to"));
    }
    let master = spec.kind == FieldType::MasterDetail;
    Ok(Reference {
        to: spec.to.clone(),
        objects: Vec::new(),
        relationship: spec.relationship.clone(),
        children: spec.children.clone(),
        master,
        reparentable: spec.reparentable,
        cascades: master || spec.on_parent_delete == OnParentDelete::Delete,
        restricts: spec.on_parent_delete == OnParentDelete::Refuse,
        locks: master || spec.locks_parent,
    })
}

fn roll_up(spec: &FieldSpec) -> Result<RollUp, Problem> {
    let wrong = |text: &str| Problem::at(&spec.name, text);
    let summary = spec.summary.as_ref().ok_or_else(|| wrong("a roll-up needs its `summary`"))?;
    let (child, by) =
        summary.of.split_once('.').ok_or_else(|| wrong("`of` names a child's reference: `Contact.AccountId`"))?;
    if (summary.function == SummaryFunction::Count) != summary.field.is_none() {
        return Err(wrong("`field` names what is summed up; a count has none"));
    }
    let function = match summary.function {
        SummaryFunction::Count => Summary::Count,
        SummaryFunction::Sum => Summary::Sum,
        SummaryFunction::Min => Summary::Min,
        SummaryFunction::Max => Summary::Max,
    };
    Ok(RollUp { child: child.into(), by: by.into(), summary: function, field: summary.field.clone() })
}

/// `BillingAddress` is `BillingStreet`, `BillingCity` … and itself.
fn address(name: &str, label: &str) -> Vec<Field> {
    let prefix = name.strip_suffix("Address").unwrap_or(name);
    let part = |part: &'static str| {
        let (name, label) = (format!("{prefix}{part}"), format!("{label} {part}"));
        let kind = match part {
            "Street" => Kind::TextArea { length: 255, html: false },
            "City" => Kind::Text(40),
            "PostalCode" => Kind::Text(20),
            _ => Kind::Text(80),
        };
        Field::new(&name, &label, kind).part_of(&format!("{prefix}Address"), part)
    };
    let whole = Field::new(&format!("{prefix}Address"), &format!("{label} Address"), Kind::Address(prefix.into()));
    ADDRESS_PARTS.into_iter().map(part).chain([whole]).collect()
}

/// `Place__c` is `Place__Latitude__s`, `Place__Longitude__s` and itself.
fn location(name: &str, label: &str) -> Vec<Field> {
    let prefix = name.strip_suffix("__c").unwrap_or(name);
    let part = |part: &'static str| {
        let (field, label) = (format!("{prefix}__{part}__s"), format!("{label} ({part})"));
        Field::new(&field, &label, Kind::Number(NumberKind::Double, 3, 15)).part_of(name, part)
    };
    LOCATION_PARTS.into_iter().map(part).chain([Field::new(name, label, Kind::Location(prefix.into()))]).collect()
}
