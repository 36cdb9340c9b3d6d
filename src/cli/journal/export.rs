//! `orgbridge journal export`: one JSON document a line.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::super::output;
use super::{NOBODY, Pages};

pub async fn run(pages: Pages<'_>, to: Option<&Path>) -> anyhow::Result<ExitCode> {
    let out = output::open(to)?;
    let events = output::close(lines(pages, out).await, to, "event")?;
    Ok(if events == Some(0) { ExitCode::from(NOBODY) } else { ExitCode::SUCCESS })
}

async fn lines(mut pages: Pages<'_>, mut out: impl Write) -> anyhow::Result<u64> {
    let mut events = 0;
    while let Some(page) = pages.next().await? {
        for event in &page {
            writeln!(out, "{}", serde_json::to_string(event)?)?;
            events += 1;
        }
    }
    out.flush()?;
    Ok(events)
}
