//! A trace as text for people: what belongs together, what happened, how things stand.

use crate::trace::{Event, Link, MOST, Trace};

/// Everything, one thing that happened on a line, and how things stand in the last ones.
pub fn shown(trace: &Trace) -> String {
    if trace.is_empty() {
        return format!("Nothing is known of {}.", trace.record);
    }
    let mut lines: Vec<String> = trace.links.iter().map(link).collect();
    if !lines.is_empty() {
        lines.push(String::new());
    }
    if trace.more {
        lines.push(format!("There is more, and older; of each kind only the last {MOST} are told, fewer with values."));
    }
    let several = trace.outlook.len() > 1;
    for told in &trace.events {
        lines.extend(event(told, several));
    }
    if trace.events.is_empty() {
        lines.push("Nothing that happened to it is known.".to_owned());
    }
    lines.push(String::new());
    for outlook in &trace.outlook {
        lines.push(match several {
            true => format!("{}: {}", outlook.pipeline, stopped(&outlook.text)),
            false => sentence(&outlook.text),
        });
    }
    if !trace.asked {
        lines.push("The orgs were not asked how the records are now (--offline).".to_owned());
    }
    lines.join("\n")
}

fn link(link: &Link) -> String {
    let created = match (link.past, link.created) {
        (true, _) => ", which it was once",
        (false, Some(true)) => ", which the bridge created",
        (false, Some(false)) => ", which was there before",
        (false, None) => "",
    };
    let Link { source_org, source, target_org, target_object, target, .. } = link;
    format!("{source} in {source_org} is {target_object} {target} in {target_org}{created}.")
}

fn event(event: &Event, several: bool) -> Vec<String> {
    let pipeline = event.pipeline.as_ref().filter(|_| several).map(|name| format!("{name}: ")).unwrap_or_default();
    let mut lines = vec![format!("{}  {pipeline}{}", event.at, event.text)];
    if let Some(json) = &event.event {
        // A value of `serde_json` can always be written.
        let text = serde_json::to_string_pretty(json).unwrap_or_default();
        lines.extend(text.lines().map(|line| format!("    {line}")));
    }
    lines
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}", stopped(letters.as_str()))
}

/// With a full stop.
fn stopped(text: &str) -> String {
    let stop = if text.ends_with('.') { "" } else { "." };
    format!("{text}{stop}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::eventful_trace;

    #[test]
    fn of_a_record_that_nobody_knows_it_is_said_so() {
        let trace = Trace {
            record: "001000000000001AAA".to_owned(),
            links: Vec::new(),
            events: Vec::new(),
            more: false,
            asked: true,
            silent: std::collections::BTreeMap::new(),
            outlook: Vec::new(),
        };
        assert_eq!(shown(&trace), "Nothing is known of 001000000000001AAA.");
    }

    #[test]
    fn a_trace_is_a_page_that_a_person_reads() {
        let mut trace = eventful_trace();
        assert_eq!(
            shown(&trace),
            "\
001000000000001AAA in a is Account 001T00000000001IAA in b, which the bridge created.

2026-01-02T03:04:05.000Z  created in a: Name, BillingAddress (change 3, by user 005000000000001AAA)
2026-01-02T03:04:06.000Z  created in b as Account 001T00000000001IAA: Key__c, Name (change 3)
2026-01-02T03:04:15.000Z  changed in a: Name (change 5, by user 005000000000001AAA)
2026-01-02T03:04:16.000Z  changed in a: Fax (change 6, by user 005000000000001AAA)
2026-01-02T03:04:16.000Z  failed: TOO_LONG on Name (change 5)
2026-01-02T03:04:25.000Z  changed in a: Name (change 7, by user 005000000000001AAA)
2026-01-02T03:04:35.000Z  somebody wanted it tried again
2026-01-02T03:04:36.000Z  written to 001T00000000001IAA in b: Key__c, Name, City (tried again by hand, changes 5 to 7)
2026-01-02T03:04:36.000Z  it had failed (TOO_LONG) and does not any more
2026-01-02T03:04:45.000Z  changed in a: Industry (change 9, by user 005000000000001AAA)
2026-01-02T03:04:46.000Z  left out: it does not match `when` (change 9)
2026-01-02T03:04:55.000Z  changed in b by Ada at 2026-01-02T03:04:55.000Z, after the bridge's last write

Left out by the condition (`when`); 001T00000000001IAA in b is as it was written before; changed in b by Ada at \
2026-01-02T03:04:55.000Z, after the bridge's last write."
        );
        trace.events.truncate(1);
        trace.events[0].event = Some(serde_json::json!({"Name": "Ada"}));
        trace.outlook[0].text = "in step".to_owned();
        let mut other = trace.outlook[0].clone();
        other.pipeline = "copies".to_owned();
        trace.outlook.push(other);
        trace.asked = false;
        assert_eq!(
            shown(&trace),
            "\
001000000000001AAA in a is Account 001T00000000001IAA in b, which the bridge created.

2026-01-02T03:04:05.000Z  created in a: Name, BillingAddress (change 3, by user 005000000000001AAA)
    {
      \"Name\": \"Ada\"
    }

accounts: in step.
copies: in step.
The orgs were not asked how the records are now (--offline)."
        );
    }

    #[test]
    fn a_sentence_begins_with_a_capital_and_ends_once() {
        assert_eq!(sentence("in step"), "In step.");
        assert_eq!(sentence("failed. Look."), "Failed. Look.");
        assert_eq!(sentence(""), ".");
    }
}
