//! `orgbridge failed export`: one JSON document a line, or CSV.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

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

/// What holds values of records is for its owner alone.
const PRIVATE: u32 = 0o600;

pub async fn run(mut pages: Pages<'_>, csv: bool, output: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut out: Box<dyn Write> = match output {
        Some(path) => {
            let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path);
            Box::new(BufWriter::new(file.with_context(|| path.display().to_string())?))
        }
        None => Box::new(io::stdout().lock()),
    };
    let mut records = 0;
    let mut write = async || {
        if csv {
            writeln!(out, "{}", COLUMNS.join(","))?;
        }
        while let Some(page) = pages.next().await? {
            for record in &page {
                let line = if csv { row(record) } else { serde_json::to_string(record)? };
                writeln!(out, "{line}")?;
            }
            records += page.len();
        }
        anyhow::Ok(out.flush()?)
    };
    match write().await {
        // Whoever stopped reading has what it wanted.
        Err(error) if is_broken_pipe(&error) && output.is_none() => {}
        done => done?,
    }
    if let Some(path) = output {
        let what = if records == 1 { "1 record".to_owned() } else { format!("{records} records") };
        println!("{what} in {}.", path.display());
    }
    Ok(if records == 0 { ExitCode::from(NOBODY) } else { ExitCode::SUCCESS })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn row(record: &Record) -> String {
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
    cells.map(quoted).join(",")
}

/// As RFC 4180 has it. A text that a spreadsheet would take for a formula is made one that it does not.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    }
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
            assert_eq!(quoted(cell), written);
        }
    }
}
