//! What the header of an upload means, and a row as a write (bulk2.md section 2).

use std::borrow::Cow;

use serde_json::{Map, Number, Value as Json, json};

use super::{Operation, Spec};
use crate::bulk::csv::{Fault, Sheet};
use crate::org::schema::Reference;
use crate::org::{FieldIndex, Id, Object, Org, SaveError, Write};

/// Characters of the first row.
const HEADER_LIMIT: usize = 32_000;
/// Characters of a value, and of all values of a row (bulk2.md section 4).
const VALUE_LIMIT: usize = 131_072;
const ROW_LIMIT: usize = 400_000;
/// How a cell says that a field is to be emptied.
const CLEAR: &str = "#N/A";
/// From this version on a type before a relationship is the whole name of an object.
const WHOLE_TYPES_SINCE: u32 = 57;

/// The columns of an upload, with everything looked up.
#[derive(Debug)]
pub struct Columns {
    columns: Vec<Column>,
    id: Option<usize>,
    key: Option<usize>,
}

#[derive(Debug)]
enum Column {
    Id,
    /// By its canonical name, with the describe's type.
    Field(String, &'static str),
    /// `Account.Ext__c`; with a type where the reference is polymorphic.
    Parent {
        relationship: String,
        object: Option<String>,
        field: String,
        type_name: &'static str,
    },
}

impl Columns {
    /// Looks the names of a header up, as the user sees them.
    ///
    /// # Errors
    /// The message of the job, which fails.
    pub fn resolve(org: &Org, user: &Id, spec: &Spec, version: u32, sheet: &Sheet) -> Result<Self, String> {
        let header = sheet.header();
        if header.is_empty() {
            return Err("InvalidBatch : The file does not contain a header row".into());
        }
        if let Some(fault) = sheet.header_fault() {
            return Err(format!("InvalidBatch : Failed to parse the header row: {}", fault.message()));
        }
        if header.iter().map(|name| name.chars().count() + 1).sum::<usize>() > HEADER_LIMIT {
            return Err(format!("InvalidBatch : The header row is longer than {HEADER_LIMIT} characters"));
        }
        let object = org.schema.object(spec.object);
        let mut columns = Vec::with_capacity(header.len());
        for (place, name) in header.iter().enumerate() {
            if header.iter().take(place).any(|other| other.eq_ignore_ascii_case(name)) {
                return Err(format!("InvalidBatch : Field name occurs more than once : {name}"));
            }
            columns.push(column(org, user, spec, object, version, name)?);
        }
        let id = columns.iter().position(|column| matches!(column, Column::Id));
        if spec.operation.deletes() && (id.is_none() || columns.len() > 1) {
            return Err(format!("InvalidBatch : The '{}' batch must contain only ids", spec.operation.name()));
        }
        if spec.operation == Operation::Update && id.is_none() {
            return Err("InvalidBatch : Field name not found : Id".into());
        }
        let key = match spec.key.as_ref().map(|key| (key, key.field)) {
            None => None,
            Some((_, None)) => id,
            Some((key, Some(_))) => columns.iter().position(|column| column.is_field(&key.name)),
        };
        match &spec.key {
            Some(wanted) if key.is_none() => Err(format!("InvalidBatch : Field name not found : {}", wanted.name)),
            _ => Ok(Self { columns, id, key }),
        }
    }

    /// A row as what is to be done with it.
    ///
    /// # Errors
    /// Why the row is none.
    pub fn write(&self, spec: &Spec, cells: &[Cow<'_, str>], fault: Option<Fault>) -> Result<Write, SaveError> {
        if let Some(fault) = fault {
            return Err(SaveError::new("INVALID_CSV_ROW", format!("Failed to parse the row: {}", fault.message())));
        }
        if cells.len() != self.columns.len() {
            let (given, wanted) = (cells.len(), self.columns.len());
            let message = format!("The row has {given} values, the header row has {wanted}");
            return Err(SaveError::new("INVALID_CSV_ROW", message));
        }
        check_size(cells)?;
        let object = spec.object;
        let id = self.id.and_then(|place| cells.get(place)).map(AsRef::as_ref).filter(|text| !text.is_empty());
        let parsed = id.map(parse_id).transpose();
        match (spec.operation, spec.key.as_ref().map(|key| key.field)) {
            (Operation::Delete | Operation::HardDelete, _) => {
                let id = parsed?.ok_or_else(|| missing_id("a delete"))?;
                Ok(Write::Delete { id })
            }
            (Operation::Update, _) => {
                let id = parsed?.ok_or_else(|| missing_id("an update"))?;
                Ok(Write::Update { object, id, fields: self.fields(cells) })
            }
            (Operation::Upsert, Some(None)) => match parsed? {
                Some(id) => Ok(Write::Update { object, id, fields: self.fields(cells) }),
                None => Ok(Write::Create { object, fields: self.fields(cells) }),
            },
            (operation, _) if id.is_some() => {
                let message = format!("cannot specify Id in an {} call", operation.name());
                Err(SaveError::new("INVALID_FIELD_FOR_INSERT_UPDATE", message).on("Id"))
            }
            (Operation::Upsert, Some(Some(key))) => Ok(Write::Upsert { object, key, fields: self.fields(cells) }),
            _ => Ok(Write::Create { object, fields: self.fields(cells) }),
        }
    }

    /// The record that a row names by its own id.
    pub fn named_id(&self, cells: &[Cow<'_, str>]) -> Option<Id> {
        Id::parse(cells.get(self.id?)?)
    }

    /// The key of an upsert and its value in a row, in the form of a request's fields.
    pub fn key_fields(&self, cells: &[Cow<'_, str>]) -> Option<Map<String, Json>> {
        let place = self.key?;
        let (Column::Field(name, kind), text) = (self.columns.get(place)?, cells.get(place)?) else { return None };
        (!text.is_empty() && text != CLEAR).then(|| Map::from_iter([(name.clone(), value(kind, text))]))
    }

    /// An error of the org in the words of this API: a value that is none of its field's type is told by its column.
    pub fn told(&self, error: SaveError, cells: &[Cow<'_, str>]) -> SaveError {
        if !error.malformed {
            return error;
        }
        let named = |column: &Column| error.path.iter().any(|step| column.is_named(step));
        let Some(place) = self.columns.iter().position(named) else { return error };
        let (name, kind) = match self.columns.get(place) {
            Some(Column::Field(name, kind) | Column::Parent { field: name, type_name: kind, .. }) => (name, *kind),
            _ => return error,
        };
        let kind = match kind {
            "currency" | "percent" => "double",
            "datetime" => "dateTime",
            "int" | "double" | "boolean" | "date" | "time" => kind,
            _ => "string",
        };
        let text = cells.get(place).map(AsRef::as_ref).unwrap_or_default();
        let message = format!(
            "Failed to deserialize field at col {place}. Due to, '{text}' is not a valid value for the type xsd:{kind}"
        );
        SaveError::new("INVALID_FIELD", message).on(name)
    }

    /// What a row sets. An empty cell is no value: it leaves a field alone, or to its default.
    fn fields(&self, cells: &[Cow<'_, str>]) -> Map<String, Json> {
        let mut fields = Map::new();
        for (column, text) in self.columns.iter().zip(cells) {
            if text.is_empty() {
                continue;
            }
            match column {
                Column::Id => {}
                Column::Field(name, kind) => drop(fields.insert(name.clone(), value(kind, text))),
                Column::Parent { relationship, .. } if text == CLEAR => {
                    fields.insert(relationship.clone(), Json::Null);
                }
                Column::Parent { relationship, object, field, type_name } => {
                    let mut parent = Map::from_iter([(field.clone(), value(type_name, text))]);
                    if let Some(object) = object {
                        parent.insert("attributes".into(), json!({"type": object}));
                    }
                    fields.insert(relationship.clone(), Json::Object(parent));
                }
            }
        }
        fields
    }
}

impl Column {
    fn is_field(&self, name: &str) -> bool {
        matches!(self, Self::Field(own, _) if own == name)
    }

    /// Whether a request's key stands for this column.
    fn is_named(&self, name: &str) -> bool {
        match self {
            Self::Id => false,
            Self::Field(own, _) => own == name,
            Self::Parent { relationship, .. } => relationship == name,
        }
    }
}

fn check_size(cells: &[Cow<'_, str>]) -> Result<(), SaveError> {
    // Hardly any row has even as many bytes.
    if cells.iter().map(|cell| cell.len()).sum::<usize>() <= VALUE_LIMIT {
        return Ok(());
    }
    let sizes: Vec<usize> = cells.iter().map(|cell| cell.chars().count()).collect();
    let limit = match () {
        () if sizes.iter().any(|size| *size > VALUE_LIMIT) => VALUE_LIMIT,
        () if sizes.iter().sum::<usize>() > ROW_LIMIT => ROW_LIMIT,
        () => return Ok(()),
    };
    Err(SaveError::new("INVALID_CSV_ROW", format!("The row has more than {limit} characters in a value or in all")))
}

fn parse_id(text: &str) -> Result<Id, SaveError> {
    Id::parse(text).ok_or_else(|| SaveError::new("MALFORMED_ID", format!("malformed id {text}")).on("Id"))
}

fn missing_id(call: &str) -> SaveError {
    SaveError::new("MISSING_ARGUMENT", format!("Id not specified in {call} call"))
}

fn not_found(name: &str) -> String {
    format!("InvalidBatch : Field name not found : {name}")
}

fn column(org: &Org, user: &Id, spec: &Spec, object: &Object, version: u32, name: &str) -> Result<Column, String> {
    let visible = |field: FieldIndex| org.can_see_field(user, spec.object, field);
    if name.eq_ignore_ascii_case("Id") {
        return Ok(Column::Id);
    }
    let Some((relationship, parent_field)) = name.split_once('.') else {
        let found = object.find(name).filter(|(index, _)| visible(*index));
        let (_, field) = found.ok_or_else(|| not_found(name))?;
        return Ok(Column::Field(field.name.clone(), field.type_name()));
    };
    let (wanted, relationship) = match relationship.split_once(':') {
        Some((kind, relationship)) => (Some(kind), relationship),
        None => (None, relationship),
    };
    let found = object.relationship(relationship).filter(|(index, _)| visible(*index));
    let reference = found.and_then(|(_, field)| field.reference()).ok_or_else(|| not_found(name))?;
    let target = match (wanted, reference.objects.as_slice()) {
        (None, [only]) => *only,
        (Some(_), [_]) => {
            return Err(format!("InvalidBatch : type is not needed for non polymorphic foreign key {name}"));
        }
        (None, _) => return Err(format!("InvalidBatch : type is needed for polymorphic foreign key {name}")),
        (Some(wanted), objects) => {
            let custom = (version < WHOLE_TYPES_SINCE).then(|| format!("{wanted}__c"));
            let named = org.schema.find(wanted).or_else(|| org.schema.find(&custom?));
            named.map(|(index, _)| index).filter(|index| objects.contains(index)).ok_or_else(|| not_found(name))?
        }
    };
    let parent = org.schema.object(target);
    let seen = |index: FieldIndex| org.can_see_field(user, target, index);
    let key =
        parent.find(parent_field).filter(|(index, field)| (field.lookup_key || field.name == "Id") && seen(*index));
    let (_, key) = key.ok_or_else(|| not_found(name))?;
    Ok(Column::Parent {
        relationship: canonical(reference, relationship),
        object: wanted.map(|_| parent.name.clone()),
        field: key.name.clone(),
        type_name: key.type_name(),
    })
}

fn canonical(reference: &Reference, given: &str) -> String {
    reference.relationship.clone().unwrap_or_else(|| given.to_owned())
}

/// The text of a cell as the JSON that the org takes for a type; what does not fit stays a text, for it to refuse.
fn value(kind: &str, text: &str) -> Json {
    match kind {
        _ if text == CLEAR => Json::Null,
        "boolean" if text == "1" || text.eq_ignore_ascii_case("true") => Json::Bool(true),
        "boolean" if text == "0" || text.eq_ignore_ascii_case("false") => Json::Bool(false),
        "int" | "double" | "currency" | "percent" => number(text).map_or_else(|| json!(text), Json::Number),
        _ => json!(text),
    }
}

/// Numbers of XML may have a plus, zeros in front, and a bare point; those of JSON may not.
fn number(text: &str) -> Option<Number> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.trim_start_matches('0');
    let (whole, rest) = digits.split_at(digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len()));
    let whole = if whole.is_empty() { "0" } else { whole };
    let rest = if rest == "." { "" } else { rest };
    let plain = text.bytes().any(|byte| byte.is_ascii_digit());
    plain.then(|| format!("{sign}{whole}{rest}").parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_written_as_xml_has_them() {
        for (text, expected) in [
            ("5", Some("5")),
            ("+5", Some("5")),
            ("007", Some("7")),
            ("-.5", Some("-0.5")),
            ("5.", Some("5")),
            ("1.5E3", Some("1.5E3")),
            ("0", Some("0")),
            ("1,000", None),
            (".", None),
            ("", None),
            (" 5", None),
            ("five", None),
        ] {
            let read = number(text).map(|number| number.to_string().to_uppercase().replace("E+", "E"));
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
