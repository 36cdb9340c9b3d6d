//! The rows of a query job, from CSV; pure. They become what a query by REST gives: an empty cell is null, and what a column
//! holds is said by the describe.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use super::super::describe::{FieldKind, ObjectDescribe};
use crate::event::FieldName;

/// What the columns of a table hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cells {
    /// By name in lower case: the name as it was asked for, and what it holds.
    columns: HashMap<String, (String, Holds)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    Bool,
    Number,
}

impl Cells {
    /// What these fields hold; one that the describe does not know is text.
    pub fn new<'a>(fields: impl IntoIterator<Item = &'a FieldName>, described: &ObjectDescribe) -> Self {
        let column = |field: &FieldName| {
            let holds = match described.field(field).map(|field| &field.kind) {
                Some(FieldKind::Boolean) => Holds::Bool,
                Some(
                    FieldKind::Number { .. }
                    | FieldKind::Currency { .. }
                    | FieldKind::Percent { .. }
                    | FieldKind::Integer { .. },
                ) => Holds::Number,
                Some(_) | None => Holds::Text,
            };
            (field.as_str().to_ascii_lowercase(), (field.as_str().to_owned(), holds))
        };
        Self { columns: fields.into_iter().map(column).collect() }
    }
}

/// None: this is no such table.
pub(super) fn rows(csv: &[u8], cells: &Cells) -> Option<Vec<Map<String, Value>>> {
    // Also an empty body is an empty table (facts: bulk2.md section 5; UNSURE).
    if csv.iter().all(u8::is_ascii_whitespace) {
        return Some(Vec::new());
    }
    let mut reader = csv::ReaderBuilder::new().from_reader(csv);
    let header = reader.headers().ok()?;
    let columns: Option<Vec<(String, Holds)>> =
        header.iter().map(|name| cells.columns.get(&name.to_ascii_lowercase()).cloned()).collect();
    let columns = columns?;
    if columns.len() != cells.columns.len() {
        return None;
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.ok()?;
        let row: Option<Map<String, Value>> = columns
            .iter()
            .zip(record.iter())
            .map(|((name, holds), cell)| Some((name.clone(), value(*holds, cell)?)))
            .collect();
        rows.push(row?);
    }
    Some(rows)
}

fn value(holds: Holds, cell: &str) -> Option<Value> {
    match holds {
        _ if cell.is_empty() => Some(Value::Null),
        Holds::Text => Some(Value::String(cell.to_owned())),
        Holds::Bool if cell.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
        Holds::Bool if cell.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
        Holds::Bool => None,
        Holds::Number => cell.parse::<Number>().ok().map(Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cells(columns: &[(&str, Holds)]) -> Cells {
        let column = |(name, holds): &(&str, Holds)| (name.to_ascii_lowercase(), ((*name).to_owned(), *holds));
        Cells { columns: columns.iter().map(column).collect() }
    }

    #[test]
    fn a_row_is_as_by_rest_under_the_names_that_were_asked_for() {
        let cells = cells(&[
            ("Id", Holds::Text),
            ("Name", Holds::Text),
            ("Amount", Holds::Number),
            ("IsWon", Holds::Bool),
            ("Closed__c", Holds::Text),
        ]);
        let csv = "\"Id\",\"NAME\",\"Amount\",\"IsWon\",\"Closed__c\"\n\
                   \"006000000000001AAA\",\"Acme, \"\"Inc\"\"\nof Basel\",\"1234567890123456.25\",\"true\",\"2026-03-01T21:00:17.000Z\"\n\
                   \"006000000000002AAA\",\"\",\"\",\"false\",\"\"\n";
        let rows = rows(csv.as_bytes(), &cells).unwrap();
        assert_eq!(rows.len(), 2);
        let first = Value::Object(rows[0].clone());
        assert_eq!(first["Name"], "Acme, \"Inc\"\nof Basel");
        assert_eq!(first["Amount"].to_string(), "1234567890123456.25", "no digit is lost");
        assert_eq!((&first["IsWon"], &first["Closed__c"]), (&json!(true), &json!("2026-03-01T21:00:17.000Z")));
        let second =
            json!({"Id": "006000000000002AAA", "Name": null, "Amount": null, "IsWon": false, "Closed__c": null});
        assert_eq!(Value::Object(rows[1].clone()), second);
    }

    #[test]
    fn nothing_at_all_is_an_empty_table_and_what_is_no_such_table_is_none() {
        let cells = cells(&[("Id", Holds::Text), ("IsWon", Holds::Bool)]);
        for empty in [&b""[..], b"\n", b"\"Id\",\"IsWon\"\n"] {
            assert_eq!(rows(empty, &cells), Some(Vec::new()));
        }
        for csv in
            ["<html>", "\"Id\"\n\"1\"\n", "\"Id\",\"Name\"\n", "\"Id\",\"IsWon\"\n\"1\"\n", "Id,IsWon\n1,perhaps\n"]
        {
            assert_eq!(rows(csv.as_bytes(), &cells), None, "{csv}");
        }
    }
}
