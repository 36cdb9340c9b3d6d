//! `orgbridge failed export`: one JSON document a line, or CSV.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::super::output;
use super::{NOBODY, Pages};
use crate::failed::Record;

const COLUMNS: [&str; 15] = [
    "pipeline",
    "record",
    "source_org",
    "source_object",
    "target_org",
    "target_object",
    "state",
    "code",
    "fields",
    "answer",
    "request",
    "attempts",
    "first_at",
    "last_at",
    "remedy",
];

pub async fn run(pages: Pages<'_>, as_csv: bool, to: Option<&Path>) -> anyhow::Result<ExitCode> {
    let out = output::open(to)?;
    let written = if as_csv { sheet(pages, out).await } else { lines(pages, out).await };
    let records = output::close(written, to, "record")?;
    Ok(if records == Some(0) { ExitCode::from(NOBODY) } else { ExitCode::SUCCESS })
}

async fn lines(mut pages: Pages<'_>, mut out: impl Write) -> anyhow::Result<u64> {
    let mut records = 0;
    while let Some(page) = pages.next().await? {
        for record in &page {
            writeln!(out, "{}", serde_json::to_string(record)?)?;
            records += 1;
        }
    }
    out.flush()?;
    Ok(records)
}

async fn sheet(mut pages: Pages<'_>, out: impl Write) -> anyhow::Result<u64> {
    let mut sheet = csv::Writer::from_writer(out);
    // As errors of writing, which they are.
    sheet.write_record(COLUMNS).map_err(io::Error::from)?;
    let mut records = 0;
    while let Some(page) = pages.next().await? {
        for record in &page {
            sheet.write_record(cells(record)).map_err(io::Error::from)?;
            records += 1;
        }
    }
    sheet.flush()?;
    Ok(records)
}

fn cells(record: &Record) -> [String; COLUMNS.len()] {
    let request = record.request.as_ref().map(ToString::to_string).unwrap_or_default();
    let (fields, attempts) = (record.fields.join(" "), record.attempts.to_string());
    let cells: [&str; COLUMNS.len()] = [
        &record.pipeline,
        &record.record,
        &record.source_org,
        &record.source_object,
        &record.target_org,
        &record.target_object,
        &record.state,
        &record.code,
        &fields,
        &record.answer,
        &request,
        &attempts,
        &record.first_at,
        &record.last_at,
        &record.remedy,
    ];
    cells.map(no_formula)
}

/// A text that a spreadsheet would take for a formula is made one that it does not.
pub(in crate::cli) fn no_formula(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if formula { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_where_it_must_be_and_is_no_formula() {
        for (cell, written) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("it is \"odd\"", "\"it is \"\"odd\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "'=1+1"),
            ("", ""),
        ] {
            let mut sheet = csv::Writer::from_writer(Vec::new());
            sheet.write_record([no_formula(cell), "end".to_owned()]).unwrap();
            let line = String::from_utf8(sheet.into_inner().unwrap()).unwrap();
            assert_eq!(line, format!("{written},end\n"));
        }
    }
}
