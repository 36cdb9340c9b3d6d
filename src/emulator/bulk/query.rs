//! Query jobs: their results as a table of text, given out in pages (bulk2.md section 5).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};

use super::csv::Format;
use super::job::Job;

/// Rows of a page, where the client does not wish for another number.
pub const PAGE: usize = 25_000;

#[derive(Debug)]
pub struct QueryJob {
    pub job: Job,
    /// Deleted records too.
    pub with_deleted: bool,
    pub object: String,
    pub soql: String,
    pub result: Arc<Table>,
    /// Rows found so far.
    pub processed: usize,
    /// Locators of other jobs mean nothing here.
    pub salt: u32,
}

impl QueryJob {
    fn operation(&self) -> &'static str {
        if self.with_deleted { "queryAll" } else { "query" }
    }

    /// What the answers to a creation and to a change of state show.
    pub fn show(&self) -> Json {
        Json::Object(self.job.show(&self.object, self.operation()))
    }

    /// What a list of jobs shows of each.
    pub fn listed(&self) -> Json {
        let mut shown = self.job.show(&self.object, self.operation());
        shown.insert("jobType".into(), json!("V2Query"));
        Json::Object(shown)
    }

    /// The whole of it, with counters.
    pub fn info(&self, now: i64) -> Json {
        let mut shown = self.job.show(&self.object, self.operation());
        shown.insert("jobType".into(), json!("V2Query"));
        shown.insert("numberRecordsProcessed".into(), json!(self.processed));
        shown.insert("retries".into(), json!(0));
        shown.insert("totalProcessingTime".into(), json!(self.job.total_ms(now)));
        shown.insert("isPkChunkingSupported".into(), json!(true));
        if let Some(error) = &self.job.error {
            shown.insert("errorMessage".into(), json!(error));
        }
        Json::Object(shown)
    }

    /// What names a place in the results; nobody can compute the next from it.
    pub fn locator(&self, row: usize) -> String {
        let row = u64::try_from(row).unwrap_or(u64::MAX);
        let mixed = (row ^ u64::from(self.salt)).wrapping_mul(FACTOR);
        URL_SAFE_NO_PAD.encode(mixed.to_be_bytes())
    }

    /// The row of a locator of this job.
    pub fn place(&self, locator: &str) -> Option<usize> {
        let bytes: [u8; 8] = URL_SAFE_NO_PAD.decode(locator).ok()?.try_into().ok()?;
        let row = u64::from_be_bytes(bytes).wrapping_mul(INVERSE) ^ u64::from(self.salt);
        usize::try_from(row).ok().filter(|row| *row < self.result.len().max(1))
    }
}

/// Odd, so that there is an inverse modulo 2^64.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const INVERSE: u64 = 0xf1de_83e1_9937_733d;

/// The rows of a result as CSV, and where each ends.
#[derive(Debug, Default)]
pub struct Table {
    header: String,
    text: String,
    ends: Vec<usize>,
}

impl Table {
    pub fn new(format: Format, names: &[String]) -> Self {
        let mut table = Self::default();
        format.write(&mut table.header, names);
        table
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Adds a row; `instants` tells which values are points in time.
    pub fn push(&mut self, format: Format, values: &[Json], instants: &[bool]) {
        format.write(&mut self.text, values.iter().zip(instants).map(|(value, instant)| cell(value, *instant)));
        self.ends.push(self.text.len());
    }

    /// So many rows from a place on, with the header in front, and how many there are.
    pub fn page(&self, from: usize, rows: usize) -> (String, usize) {
        let to = from.saturating_add(rows).min(self.len());
        let end = |row: usize| row.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or_default();
        let text = self.text.get(end(from)..end(to)).unwrap_or_default();
        (format!("{}{text}", self.header), to.saturating_sub(from))
    }
}

/// Null is an empty cell; instants are in the form of XML.
fn cell(value: &Json, instant: bool) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) if instant => match text.strip_suffix("+0000") {
            Some(plain) => format!("{plain}Z"),
            None => text.clone(),
        },
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bulk::job::State;
    use crate::org::Id;

    fn job(rows: usize) -> QueryJob {
        let (id, user) = (Id::new("750", "5e0", 1), Id::new("005", "5e0", 1));
        let mut table = Table::new(Format::default(), &["Id".into(), "Owner.Name".into()]);
        for row in 0..rows {
            table.push(Format::default(), &[json!(row), Json::Null], &[false, false]);
        }
        let job = Job::new(id, user, 66, Format::default(), State::JobComplete, 0);
        let (object, soql) = ("Account".into(), String::new());
        QueryJob { job, with_deleted: false, object, soql, result: Arc::new(table), processed: rows, salt: 77 }
    }

    #[test]
    fn a_page_has_the_header_and_its_rows() {
        let table = job(3).result;
        assert_eq!(table.page(0, 2), ("\"Id\",\"Owner.Name\"\n\"0\",\"\"\n\"1\",\"\"\n".into(), 2));
        assert_eq!(table.page(2, 2), ("\"Id\",\"Owner.Name\"\n\"2\",\"\"\n".into(), 1));
        assert_eq!(job(0).result.page(0, 5), ("\"Id\",\"Owner.Name\"\n".into(), 0));
    }

    #[test]
    fn a_locator_leads_back_and_no_other_text_does() {
        let job = job(100);
        for row in 0..100 {
            assert_eq!(job.place(&job.locator(row)), Some(row));
        }
        for wrong in ["null", "", "MTAwMDA", &QueryJob { salt: 78 << 20, ..self::job(100) }.locator(5)] {
            assert_eq!(job.place(wrong), None, "{wrong}");
        }
        assert_eq!(job.place(&job.locator(100)), None);
    }

    #[test]
    fn values_are_written_as_the_platform_does() {
        for (value, instant, text) in [
            (Json::Null, false, ""),
            (json!(true), false, "true"),
            (json!(5), false, "5"),
            (json!("2026-03-01T12:00:00.000+0000"), true, "2026-03-01T12:00:00.000Z"),
            (json!("a+0000"), false, "a+0000"),
        ] {
            assert_eq!(cell(&value, instant), text);
        }
    }
}
