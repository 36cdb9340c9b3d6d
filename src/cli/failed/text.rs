//! Failed records as text for people.

use serde_json::Value as Json;

use super::super::table;
use crate::failed::{Cause, EVENTS_MAX, HEALED_MAX, Healed, Record};
use crate::text::grouped;

/// By cause, each with its remedy below.
pub fn causes(causes: &[Cause]) -> String {
    let mut lines = Vec::new();
    for cause in causes {
        let records = match (cause.state.as_str(), cause.records) {
            ("waiting", 1) => "1 waits".to_owned(),
            ("waiting", records) => format!("{records} wait"),
            (_, records) => format!("{records} failed"),
        };
        let fields = if cause.fields.is_empty() { String::new() } else { format!(" on {}", cause.fields.join(", ")) };
        let more = if cause.records > cause.examples.len() as u64 { ", ..." } else { "" };
        lines.push(format!("{}: {records}: {}{fields}", cause.pipeline, cause.code));
        lines.push(format!("    since {}: {}{more}", cause.oldest, cause.examples.join(", ")));
        lines.push(format!("    {}", cause.remedy));
    }
    lines.join("\n")
}

pub fn each(records: &[Record]) -> String {
    let mut table = table::plain_list();
    table.set_header(["PIPELINE", "RECORD", "STATE", "CODE", "FIELDS", "TRIES", "SINCE", "LAST"]);
    for record in records {
        let state = if record.redrive_at.is_some() { "to be tried again" } else { &record.state };
        table.add_row([
            &record.pipeline,
            &record.record,
            state,
            &record.code,
            &record.fields.join(", "),
            &record.attempts.to_string(),
            &record.first_at,
            &record.last_at,
        ]);
    }
    trimmed(&table)
}

/// `more`: these are only the last ones.
pub fn healed(records: &[Healed], more: bool) -> String {
    let mut table = table::plain_list();
    table.set_header(["PIPELINE", "RECORD", "CODE", "TRIES", "FAILED", "CLOSED", "HOW"]);
    for record in records {
        table.add_row([
            &record.pipeline,
            &record.record,
            &record.code,
            &record.attempts.to_string(),
            &record.first_at,
            &record.closed_at,
            &record.how,
        ]);
    }
    let table = trimmed(&table);
    match more {
        true => format!("{table}\nOnly the last {} are shown.", grouped(HEALED_MAX as u64)),
        false => table,
    }
}

fn trimmed(table: &comfy_table::Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Everything of each.
pub fn whole(records: &[Record]) -> String {
    records.iter().map(one).collect::<Vec<_>>().join("\n\n")
}

fn one(record: &Record) -> String {
    let mut lines = vec![format!("{} of pipeline {}: {}", record.record, record.pipeline, record.state)];
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<10}{text}"));
    line("from", format!("{} {}", record.source_org, record.source_object));
    line("to", format!("{} {}", record.target_org, record.target_object));
    line("code", record.code.clone());
    if !record.fields.is_empty() {
        line("fields", record.fields.join(", "));
    }
    if !record.answer.is_empty() {
        line("answer", record.answer.clone());
    }
    if let Some(parent) = &record.waits_for {
        line("waits for", format!("{} of the source as {} of the target", parent.record, parent.object));
    }
    line("tries", format!("{}, first at {}, last at {}", record.attempts, record.first_at, record.last_at));
    if let Some(at) = &record.redrive_at {
        line("redrive", format!("it is to be tried again, since {at}"));
    }
    line("to do", record.remedy.clone());
    match &record.request {
        Some(request) => {
            lines.push("  sent last:".to_owned());
            lines.push(indented(request));
        }
        None => lines.push("  nothing is kept of what was sent".to_owned()),
    }
    for event in &record.events {
        lines.push(format!("  event {} of the journal, received {}:", event.seq, event.received));
        lines.push(indented(&event.event));
    }
    if record.more_events {
        lines.push(format!("  Only the first {EVENTS_MAX} events are shown."));
    }
    lines.join("\n")
}

fn indented(json: &Json) -> String {
    // A value of `serde_json` can always be written.
    let text = serde_json::to_string_pretty(json).unwrap_or_default();
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
