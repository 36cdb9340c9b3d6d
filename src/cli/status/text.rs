//! A report as text for people: what stands in a line is said in words, and nothing is wider than the terminal.

use crate::status::report::{Gap, Org, Paused, Pipeline, Report, Subscription};
use crate::text::{amount, counted, grouped, span};

use super::super::{job, table, verify};

/// What belongs to the line above it.
const INDENT: &str = "    ";
/// Narrower than this nothing can be read.
const WIDTH_MIN: usize = 40;
/// A space at which no line is broken.
const TIED: &str = "\u{a0}";

/// Wrapped at this width; without one (no terminal) a line is as long as it is, so that it can be searched.
pub fn shown(report: &Report, width: Option<usize>) -> String {
    let mut page = Page { lines: Vec::new(), width: width.map(|width| width.max(WIDTH_MIN)) };
    page.line(
        "",
        &match report.running {
            true => format!("The bridge is running; this is as of {}.", report.at),
            false => format!("The bridge is not running; this is from its state file, at {}.", report.at),
        },
    );
    orgs(&mut page, report);
    subscriptions(&mut page, report);
    journal(&mut page, report);
    pipelines(&mut page, report);
    actions(&mut page, report);
    jobs(&mut page, report);
    verifications(&mut page, report);
    gaps(&mut page, report);
    if let Some(trouble) = report.digest.as_ref().and_then(|digest| digest.trouble.as_ref()) {
        page.line("", &format!("! The digest's webhook was not told what failed: {trouble}"));
    }
    page.lines.join("\n")
}

struct Page {
    lines: Vec<String>,
    width: Option<usize>,
}

impl Page {
    /// One line, and more behind it that are indented further, where it is too long.
    fn line(&mut self, indent: &str, text: &str) {
        let mut line = indent.to_owned();
        let mut begun = false;
        for word in text.split(' ') {
            let full = |width| line.chars().count() + 1 + word.chars().count() > width;
            if begun && self.width.is_some_and(full) {
                self.lines.push(std::mem::replace(&mut line, format!("{indent}{INDENT}")));
                begun = false;
            }
            if begun {
                line.push(' ');
            }
            line.push_str(&word.replace(TIED, " "));
            begun = true;
        }
        self.lines.push(line);
    }

    fn heading(&mut self, text: &str) {
        self.lines.push(String::new());
        self.lines.push(text.to_owned());
    }

    fn table(&mut self, table: &comfy_table::Table) {
        self.lines.push(String::new());
        self.lines.extend(table.lines().map(|line| line.trim_end().to_owned()));
    }
}

fn orgs(page: &mut Page, report: &Report) {
    let mut table = table::plain_list();
    table.set_header(["ORG", "ID"]);
    for org in &report.orgs {
        table.add_row([org.name.as_str(), org.org_id.as_deref().unwrap_or("not logged in yet")]);
    }
    page.table(&table);
    for org in &report.orgs {
        let said = budgets(org);
        if !said.is_empty() {
            page.line("", &format!(" {}: {}", org.name, said.join("; ")));
        }
    }
    for org in &report.orgs {
        let told_below = report.pipelines.iter().any(|line| line.target == org.name && line.trouble.is_some());
        if let Some(why) = org.api.as_ref().and_then(|api| api.why.as_ref()).filter(|_| !told_below) {
            page.line("", &format!("! {}: {why}", org.name));
        }
    }
    for org in &report.orgs {
        if let Some(trouble) = &org.trouble {
            page.line("", &format!("! {}: {trouble}", org.name));
        }
        if let Some(paused) = &org.paused {
            page.line(
                "",
                &format!("! {} is {}: nothing is written into it: orgbridge resume {0}", org.name, since(paused)),
            );
        }
        for clear in &org.in_clear {
            page.line("", &format!("! {}: {}", org.name, clear.text));
        }
    }
}

/// What the org may still be asked for, and what it delivered.
fn budgets(org: &Org) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(api) = &org.api {
        let mut calls = format!("{} of {} API calls used in 24 h", grouped(api.used), grouped(api.limit));
        if let (Some(kept), Some(forecast)) = (api.kept, &api.forecast) {
            calls.push_str(&format!(", {} kept for others, {forecast}", grouped(kept)));
        }
        said.push(calls);
    }
    match (org.deliveries.used.zip(org.deliveries.limit), org.deliveries.own) {
        // It is no source, or nothing happens there.
        (Some((0, _)) | None, 0) => {}
        (Some((used, limit)), own) => said.push(format!(
            "{} of {} events delivered in 24 h, {} of them to this bridge",
            grouped(used),
            grouped(limit),
            grouped(own)
        )),
        (None, own) => said.push(format!("{} events delivered to this bridge in 24 h", grouped(own))),
    }
    said
}

fn subscriptions(page: &mut Page, report: &Report) {
    page.heading("SUBSCRIPTIONS");
    for one in &report.subscriptions {
        let state = match (&one.state, &one.why) {
            // The reason begins with the time until which.
            (Some(state), Some(why)) if state == "waiting" => format!(": waiting {why}"),
            (Some(state), Some(why)) => format!(": {}: {why}", state.replace('_', " ")),
            (Some(state), None) => format!(": {}", state.replace('_', " ")),
            (None, _) if report.running => ": not subscribed".to_owned(),
            (None, _) => String::new(),
        };
        let by = if is_polled(one) { String::new() } else { format!(" by {}", one.transport) };
        page.line(" ", &format!("{} {}{by}{state}", one.org, one.channel));
        page.line(INDENT, &figures(one, &report.at));
    }
}

/// How much is kept of what came.
fn journal(page: &mut Page, report: &Report) {
    if let Some(since) = &report.journal.whole_since {
        let (events, size) = (grouped(report.journal.events), amount(report.journal.bytes));
        page.line(" ", &format!("The journal holds {events} events (about {size}) and reaches back to {since}."));
    }
}

/// Of what is asked for nothing is retained, and nothing delivers it.
fn is_polled(one: &Subscription) -> bool {
    one.channel.starts_with("/poll/")
}

fn figures(one: &Subscription, now: &str) -> String {
    let mut said = vec![match &one.last_event {
        Some(at) => format!("last event {}", ago(at, now)),
        None => "no event yet".to_owned(),
    }];
    if let Some(at) = &one.last_frame {
        said.push(format!("last sign of life {}", ago(at, now)));
    }
    match one.retention_left_seconds {
        _ if is_polled(one) => {}
        Some(0) => said.push("no retention left: events may be lost".to_owned()),
        Some(left) => said.push(format!("{} of retention left", span(left))),
        None => {}
    }
    said.push(match one.deliveries_today {
        1 => "1 event today".to_owned(),
        events => format!("{events} events today"),
    });
    said.push(match one.open_gaps {
        1 => "1 open gap".to_owned(),
        gaps => format!("{gaps} open gaps"),
    });
    if one.undecodable > 0 {
        said.push(format!("{} could not be read", one.undecodable));
    }
    said.push(match &one.replay_id {
        Some(id) => format!("position {id}"),
        None => "no position".to_owned(),
    });
    said.join(", ").replace(' ', TIED).replace(&format!(",{TIED}"), ", ")
}

fn pipelines(page: &mut Page, report: &Report) {
    let mut table = table::plain_list();
    table.set_header([
        "PIPELINE",
        "WAITING",
        "IN FLIGHT",
        "LAG",
        "WAITING FOR\nANOTHER",
        "FAILED\nRECORDS",
        "CALLS PER\n1,000",
    ]);
    for line in &report.pipelines {
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        table.add_row([
            line.name.clone(),
            number(line.waiting),
            number(line.in_flight),
            span(line.lag_seconds),
            line.parked.to_string(),
            line.failed.to_string(),
            line.api_calls.zip(line.changes).map_or_else(|| "-".to_owned(), |(calls, changes)| price(calls, changes)),
        ]);
    }
    page.table(&table);
    for line in &report.pipelines {
        if !line.causes.is_empty() {
            page.line(INDENT, &format!("{}: {}", line.name, causes(line)));
        }
        if line.unfilled > 0 {
            let records = counted(line.unfilled, "record");
            let rest = "written without a lookup that leads to nothing yet; filled when it comes";
            page.line(INDENT, &format!("{}: {records} {rest}", line.name));
        }
    }
    for line in &report.pipelines {
        if let Some(kept @ 1..) = line.kept {
            let records = counted(kept, "delete");
            let why = "the bridge is not known to have created what is there (may_delete)";
            page.line(INDENT, &format!("{}: {records} not made in the target: {why}", line.name));
        }
        if let Some((refused, code)) =
            line.feedback.as_ref().and_then(|feedback| Some((feedback.refused, feedback.code.as_ref()?)))
        {
            let records = counted(refused, "record");
            let what = "of the source could not be told how they are doing, the last with";
            page.line(INDENT, &format!("{}: {records} {what} {code}", line.name));
        }
    }
    for line in &report.pipelines {
        let name = &line.name;
        if let Some(paused) = &line.paused {
            page.line("", &format!("! {name} is {}: orgbridge resume {name}", since(paused)));
        } else if let Some(halted) = &line.halted {
            page.line("", &format!("! {name} is halted: {halted}. If that is meant: orgbridge resume {name}"));
        }
    }
    for line in &report.pipelines {
        if let Some(trouble) = line.feedback.as_ref().and_then(|feedback| feedback.trouble.as_ref()) {
            let what = "its source records cannot be told how they are doing";
            page.line("", &format!("! {}: {what}: {trouble}", line.name));
        }
    }
    // Pipelines into the same target share its trouble.
    let mut said = Vec::new();
    for line in &report.pipelines {
        if let Some(trouble) = &line.trouble
            && !said.contains(&&line.target)
        {
            said.push(&line.target);
            page.line("", &format!("! {}: {trouble}", line.target));
        }
    }
}

fn actions(page: &mut Page, report: &Report) {
    if report.actions.is_empty() {
        return;
    }
    let mut table = table::plain_list();
    table.set_header(["ACTION", "WAITING", "IN FLIGHT", "LAG", "DONE", "NOT TO BE\nDONE", "FAILED"]);
    for line in &report.actions {
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        table.add_row([
            line.name.clone(),
            number(line.waiting),
            number(line.in_flight),
            span(line.lag_seconds),
            number(line.done),
            number(line.skipped),
            line.failed.to_string(),
        ]);
    }
    page.table(&table);
    for line in &report.actions {
        let name = &line.name;
        if line.failed > 0 {
            page.line("", &format!("! {name}: {} failed: orgbridge actions list", counted(line.failed, "action")));
        }
        if let Some(paused) = &line.paused {
            page.line("", &format!("! {name} is {}: orgbridge resume {name}", since(paused)));
        } else if let Some(halted) = &line.halted {
            page.line("", &format!("! {name} is halted: {halted}: orgbridge resume {name}"));
        }
        if let Some(trouble) = &line.trouble {
            page.line("", &format!("! {name}: {trouble}"));
        }
    }
}

fn since(paused: &Paused) -> String {
    match paused.reason.as_str() {
        "" => format!("paused since {}", paused.since),
        reason => format!("paused since {} ({reason})", paused.since),
    }
}

/// Calls for a thousand changes, with one decimal.
fn price(calls: u64, changes: u64) -> String {
    if changes == 0 {
        return "-".to_owned();
    }
    let tenths = calls.saturating_mul(10_000).saturating_add(changes / 2) / changes;
    format!("{}.{}", grouped(tenths / 10), tenths % 10)
}

fn causes(line: &Pipeline) -> String {
    let each = line.causes.iter().map(|cause| match (cause.failed, cause.records) {
        (true, records) => format!("{records} failed ({})", cause.code),
        (false, 1) => format!("1 waits ({})", cause.code),
        (false, records) => format!("{records} wait ({})", cause.code),
    });
    each.collect::<Vec<_>>().join(", ")
}

fn jobs(page: &mut Page, report: &Report) {
    if report.jobs.is_empty() {
        return;
    }
    page.heading("BACKFILLS AND REPAIRS");
    for one in &report.jobs {
        let mark = if one.state == "failed" { "! " } else { " " };
        page.line("", &format!("{mark}{}: {}, {}", one.pipeline, one.kind, job::told(one)));
    }
}

fn verifications(page: &mut Page, report: &Report) {
    if report.verifications.is_empty() {
        return;
    }
    page.heading("BOTH SIDES COMPARED");
    for one in &report.verifications {
        let (mark, said) = match one.state.as_str() {
            "waiting" => (" ", format!("{}: waits for its turn", one.pipeline)),
            "running" => (" ", verify::progress(one)),
            state if state == "failed" || one.differences > 0 => {
                ("! ", format!("{}: {}: orgbridge verify {0} --last", one.pipeline, verify::summary(one)))
            }
            _ => (" ", format!("{}: {}", one.pipeline, verify::summary(one))),
        };
        page.line("", &format!("{mark}{said}"));
    }
}

fn gaps(page: &mut Page, report: &Report) {
    if report.gaps.is_empty() {
        return;
    }
    page.heading("Open gaps: changes that the source org may have kept from the bridge.");
    for Gap { org, channel, text, remedy, .. } in &report.gaps {
        page.line(" ", &format!("{org} {channel}: {text}"));
        page.line(INDENT, remedy);
    }
}

/// How long before `now`. What is no time is shown as it is.
fn ago(at: &str, now: &str) -> String {
    let time = |text| chrono::DateTime::parse_from_rfc3339(text).ok();
    match (time(at), time(now)) {
        (Some(at), Some(now)) => {
            format!("{} ago", span(u64::try_from((now - at).num_seconds()).unwrap_or(0)))
        }
        _ => at.to_owned(),
    }
}

#[cfg(test)]
mod tests;
