//! The rows of a job that has ended, from CSV; pure. They come in any order: a column of the request tells which row it is.

use super::super::save::{RecordError, Refusal, SaveResult};
use super::ResultSet;
use crate::event::RecordId;

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultRow {
    /// What the request had in the key column.
    pub key: String,
    /// None: it was never tried.
    pub result: Option<SaveResult>,
}

impl ResultRow {
    /// All rows of a page. None: this is no such table. `key`: the column of the request that tells which row it is.
    pub(super) fn read_all(csv: &[u8], set: ResultSet, key: &str) -> Option<Vec<Self>> {
        // Also an empty body is an empty table (facts: bulk2.md section 5; UNSURE).
        if csv.iter().all(u8::is_ascii_whitespace) {
            return Some(Vec::new());
        }
        let mut reader = csv::ReaderBuilder::new().from_reader(csv);
        let header = reader.headers().ok()?;
        let column = |name: &str| header.iter().position(|column| column.eq_ignore_ascii_case(name));
        let (key, id) = (column(key)?, column("sf__Id"));
        let (created, error) = (column("sf__Created"), column("sf__Error"));
        match set {
            ResultSet::Successful => drop((id?, created?)),
            ResultSet::Failed => drop(error?),
            ResultSet::Unprocessed => {}
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.ok()?;
            let cell = |column: Option<usize>| column.and_then(|column| record.get(column)).unwrap_or_default();
            let result = match set {
                ResultSet::Successful => {
                    let created = Some(cell(created).eq_ignore_ascii_case("true"));
                    Some(SaveResult::Saved { id: cell(id).parse::<RecordId>().ok()?, created })
                }
                ResultSet::Failed => {
                    Some(SaveResult::Refused(Refusal::new(RecordError::of_row(cell(error)), Vec::new())))
                }
                ResultSet::Unprocessed => None,
            };
            rows.push(Self { key: cell(Some(key)).to_owned(), result });
        }
        Some(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::code::Code;
    use super::*;

    const ID: &str = "001D000000IqhSLIAZ";

    #[test]
    fn rows_are_told_by_the_key_column_whatever_stands_before_it() {
        let csv = format!(
            "\"sf__Id\",\"sf__Created\",\"Ext__c\",\"Name\"\n\"{ID}\",\"true\",\"ACME-1\",\"Acme\n\"\"Inc\"\"\"\n"
        );
        let rows = ResultRow::read_all(csv.as_bytes(), ResultSet::Successful, "Ext__c").unwrap();
        let saved = SaveResult::Saved { id: ID.parse().unwrap(), created: Some(true) };
        assert_eq!(rows, [ResultRow { key: "ACME-1".to_owned(), result: Some(saved) }]);
    }

    #[test]
    fn a_failed_row_is_a_refusal_like_any_other() {
        let error = "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --";
        // Without `sf__Id` before v53.
        for own in [format!("\"\",\"{error}\""), format!("\"{error}\"")] {
            let head = if own.starts_with("\"\"") { "\"sf__Id\",\"sf__Error\"" } else { "\"sf__Error\"" };
            let csv = format!("{head},\"Id\"\n{own},\"{ID}\"\n");
            let rows = ResultRow::read_all(csv.as_bytes(), ResultSet::Failed, "Id").unwrap();
            let Some(SaveResult::Refused(refusal)) = &rows[0].result else { panic!("{rows:?}") };
            let told: Vec<_> = refusal.errors().collect();
            assert_eq!((told.len(), &told[0].code), (1, &Code::RequiredFieldMissing));
            assert_eq!((rows[0].key.as_str(), &told[0].fields[..]), (ID, &["LastName".to_owned()][..]));
        }
    }

    #[test]
    fn rows_that_were_not_tried_have_no_result_and_none_at_all_are_an_empty_table() {
        let rows = ResultRow::read_all(b"\"Ext__c\"\n\"1\"\n\"2\"\n", ResultSet::Unprocessed, "Ext__c").unwrap();
        assert!(rows.len() == 2 && rows.iter().all(|row| row.result.is_none()));
        for empty in [&b""[..], b"\n", b"\"Ext__c\"\n"] {
            assert_eq!(ResultRow::read_all(empty, ResultSet::Unprocessed, "Ext__c"), Some(Vec::new()));
        }
    }

    #[test]
    fn what_is_no_table_of_results_is_none() {
        for (csv, set) in [
            ("<html>", ResultSet::Successful),
            ("\"sf__Id\",\"sf__Created\",\"Name\"\n", ResultSet::Successful),
            ("\"sf__Id\",\"Ext__c\"\n", ResultSet::Successful),
            ("\"Ext__c\"\n", ResultSet::Failed),
            ("\"sf__Id\",\"sf__Created\",\"Ext__c\"\n\"nobody\",\"true\",\"1\"\n", ResultSet::Successful),
            ("\"Ext__c\"\n\"1\",\"2\"\n", ResultSet::Unprocessed),
        ] {
            assert_eq!(ResultRow::read_all(csv.as_bytes(), set, "Ext__c"), None, "{csv}");
        }
    }
}
