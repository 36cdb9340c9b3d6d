//! Writes as the CSV of a job, and which writes can not be told so; pure (facts: bulk2.md section 2).
//!
//! An empty cell leaves a field alone and `#N/A` empties it, so one table holds records of which different fields changed.

use std::collections::{BTreeSet, HashMap};

use crate::config::{AssignmentRules, Duplicates, SaveOptions};
use crate::event::{RecordId, Value};
use crate::org::{JobKind, NewJob};
use crate::publish::outbox::Call;
use crate::publish::write::{ByKey, Cell, Write};

/// Characters of a value, of all values of a record, and of the first row (facts: bulk2.md sections 2 and 4).
const VALUE_MAX: usize = 131_072;
const RECORD_MAX: usize = 400_000;
const HEADER_MAX: usize = 32_000;
/// What empties a field.
const EMPTIED: &str = "#N/A";
/// The column of updates and deletes.
const ID: &str = "Id";

/// Whether a write can go by a job and end as by collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    Yes,
    /// With line breaks in its values, which some orgs refuse, other than documented (facts: bulk2.md section 2).
    WithBreaks,
    No,
}

/// See [`Fit`].
pub fn fits(write: &Write, call: &Call) -> Fit {
    if !takes_options(call) {
        return Fit::No;
    }
    // By it the row is found among the results.
    if let Call::Upsert { key_field, .. } = call
        && !write.fields().and_then(|fields| fields.get(key_field)).and_then(Cell::key_text).is_some_and(is_plain_key)
    {
        return Fit::No;
    }
    let (mut characters, mut breaks) = (0, false);
    for cell in write.fields().into_iter().flat_map(|fields| fields.values()) {
        let Cell::Value(value) = cell else {
            characters += 18;
            continue;
        };
        let text = match value {
            Value::Null | Value::Bool(_) => continue,
            Value::Number(number) => number.as_str(),
            Value::Text(text) => text,
            Value::Compound(_) => return Fit::No,
        };
        // The text `#N/A` can not be told. A CR ends lines of the other kind: made LF, the value would be another one than by
        // collections.
        if text.trim().eq_ignore_ascii_case(EMPTIED) || text.contains('\r') {
            return Fit::No;
        }
        let length = text.chars().count();
        if length > VALUE_MAX {
            return Fit::No;
        }
        characters += length;
        breaks |= text.contains('\n');
    }
    match (characters > RECORD_MAX, breaks) {
        (true, _) => Fit::No,
        (false, true) => Fit::WithBreaks,
        (false, false) => Fit::Yes,
    }
}

/// Jobs have no header for duplicate rules: those that only alert refuse a record here (UNSURE). Of assignment rules they take
/// the id of one, for cases and leads; without it none is applied (UNSURE), as by collections with `Sforce-Auto-Assign: FALSE`.
fn takes_options(call: &Call) -> bool {
    let (Call::Upsert { object, options, .. } | Call::Update { object, options }) = call else { return true };
    let SaveOptions { assignment_rules, duplicates } = options;
    let takes_rules = match assignment_rules {
        AssignmentRules::Off => true,
        AssignmentRules::Active => false,
        AssignmentRules::Rule(_) => matches!(object.as_str(), "Case" | "Lead"),
    };
    takes_rules
        && match duplicates {
            Duplicates::Fail => true,
            Duplicates::SaveAlerts => false,
        }
}

/// It comes back as it was sent, whatever is trimmed on the way.
fn is_plain_key(key: String) -> bool {
    key.trim() == key && !key.is_empty() && !key.chars().any(char::is_control)
}

/// A batch as one table, and which row of it is which write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    pub job: NewJob,
    pub csv: Vec<u8>,
    /// The column that tells which row it is.
    pub key: String,
    places: HashMap<String, usize>,
}

impl Sheet {
    /// None: the header would be too long, or a write names no record.
    pub fn new(call: &Call, writes: &[Write]) -> Option<Self> {
        let (job, key) = match call {
            Call::Upsert { object, key_field, options } => {
                (new_job(object, JobKind::Upsert { key: key_field.clone() }, Some(options)), key_field.as_str())
            }
            Call::Update { object, options } => (new_job(object, JobKind::Update, Some(options)), ID),
            Call::Delete { object } => (new_job(object, JobKind::Delete, None), ID),
        };
        let by_id = key == ID;
        let rows: Vec<Vec<(String, String)>> = writes.iter().map(cells).collect();
        let mut columns: BTreeSet<&str> = rows.iter().flatten().map(|(column, _)| column.as_str()).collect();
        columns.remove(key);
        let columns: Vec<&str> = std::iter::once(key).chain(columns).collect();
        if columns.iter().map(|column| column.chars().count() + 3).sum::<usize>() > HEADER_MAX {
            return None;
        }
        let numbers: HashMap<&str, usize> =
            columns.iter().enumerate().map(|(number, column)| (*column, number)).collect();
        let mut order: Vec<usize> = (0..writes.len()).collect();
        // Records of one parent together, for they lock it (facts: bulk2.md section 4).
        order.sort_by_key(|place| writes.get(*place).and_then(|write| write.lock_keys.first()));
        let mut csv = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Necessary).from_writer(Vec::new());
        csv.write_record(&columns).ok()?;
        let mut places = HashMap::with_capacity(writes.len());
        for place in order {
            let mut line = vec![""; columns.len()];
            for (column, cell) in rows.get(place)? {
                *line.get_mut(*numbers.get(column.as_str())?)? = cell;
            }
            let id = writes.get(place)?.key.linked();
            if by_id {
                *line.first_mut()? = id.as_ref()?.as_str();
            }
            places.insert((*line.first()?).to_owned(), place);
            csv.write_record(&line).ok()?;
        }
        Some(Self { job, csv: csv.into_inner().ok()?, key: key.to_owned(), places })
    }

    /// Which write a row of the results is. Ids are compared in either form.
    pub fn place(&self, key: &str) -> Option<usize> {
        let known = self.places.get(key).copied();
        known.or_else(|| self.places.get(key.parse::<RecordId>().ok()?.as_str()).copied())
    }
}

fn new_job(object: &crate::event::ObjectName, kind: JobKind, options: Option<&SaveOptions>) -> NewJob {
    let assignment_rule = match options.map(|options| options.assignment_rules) {
        Some(AssignmentRules::Rule(rule)) => Some(rule),
        Some(AssignmentRules::Off | AssignmentRules::Active) | None => None,
    };
    NewJob { object: object.clone(), kind, assignment_rule }
}

/// The columns that a write has something in. A lookup stands in one of two: by the key of its parent, or by its id; the other
/// is empty, and so says nothing (UNSURE: that both may stand in one header).
fn cells(write: &Write) -> Vec<(String, String)> {
    let mut cells = Vec::new();
    for (field, cell) in write.fields().into_iter().flatten() {
        let by_id = |id: Option<String>| (field.to_string(), id.unwrap_or_else(|| EMPTIED.to_owned()));
        cells.push(match cell {
            Cell::Value(value) => (field.to_string(), text(value)),
            Cell::Parent(reference) => match (&reference.by_key, &reference.link) {
                (Some(ByKey { relationship, key, typed }), _) => {
                    let kind = if *typed { format!("{}:", reference.parent.target_object) } else { String::new() };
                    (format!("{kind}{relationship}.{key}"), reference.parent.record.to_string())
                }
                // `#N/A` in a column of a relationship may clear nothing (UNSURE); in that of the id it does.
                (None, link) => by_id(link.map(|id| id.to_string())),
            },
            Cell::Unfilled { emptied: true, .. } => by_id(None),
            Cell::Unfilled { emptied: false, .. } => continue,
        });
    }
    cells
}

/// An empty text is stored as null by REST, and would be no value here.
fn text(value: &Value) -> String {
    match value {
        Value::Bool(bool) => bool.to_string(),
        Value::Number(number) => number.as_str().to_owned(),
        Value::Text(text) if !text.is_empty() => text.clone(),
        // A compound field does not fit.
        Value::Text(_) | Value::Null | Value::Compound(_) => EMPTIED.to_owned(),
    }
}

#[cfg(test)]
mod tests;
