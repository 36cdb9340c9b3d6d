//! Events as text for people.

use serde_json::Value as Json;

use super::super::table;
use crate::entries::Event;
use crate::event::{Field, Happening, Header, Value};

/// Names of fields in a line.
const NAMES_MAX: usize = 8;

/// One a line, without values.
pub fn list(events: &[Event]) -> String {
    let mut table = table::plain_list();
    table.set_header(["NUMBER", "COMMITTED", "ORG", "CHANNEL", "OBJECT", "KIND", "RECORDS", "FIELDS"]);
    for event in events {
        table.add_row([
            &event.number.to_string(),
            event.committed.as_deref().unwrap_or("-"),
            &event.org,
            &event.channel,
            event.object.as_deref().unwrap_or("-"),
            &event.kind,
            &records(event),
            &names(&event.changed),
        ]);
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// The first record, and how many there are beside it.
fn records(event: &Event) -> String {
    match (event.records.as_slice(), event.wildcard) {
        ([], true) => "not named".to_owned(),
        ([], false) => "-".to_owned(),
        ([first, rest @ ..], wildcard) => {
            let more = if rest.is_empty() { String::new() } else { format!(" +{}", rest.len()) };
            let unnamed = if wildcard { " and unnamed ones" } else { "" };
            format!("{first}{more}{unnamed}")
        }
    }
}

fn names(changed: &[String]) -> String {
    match changed.len().saturating_sub(NAMES_MAX) {
        0 => changed.join(", "),
        more => format!("{} +{more}", changed[..NAMES_MAX].join(", ")),
    }
}

/// Everything of one.
pub fn whole(event: &Event) -> String {
    let object = event.object.as_ref().map_or(String::new(), |object| format!(" of {object}"));
    let mut lines = vec![format!("Event {}: {}{object}", event.number, event.kind)];
    let mut line = |name: &str, text: &str| lines.push(format!("  {name:<12}{text}"));
    line("from", &format!("{} {}", event.org, event.channel));
    line("committed", event.committed.as_deref().unwrap_or("the event does not say"));
    line("received", &event.received);
    if event.found {
        line("found", "by the bridge, which asked the org; no event told of it");
    }
    // What an older or newer release has written is shown as it is.
    let happening = event.event.as_ref().and_then(|event| serde_json::from_value::<Happening>(event.clone()).ok());
    match happening {
        Some(Happening::Record(record)) => {
            let Header { transaction_key, sequence_number, change_origin, commit_user, .. } = &record.header;
            line("by", &format!("{commit_user} with {change_origin}"));
            line("transaction", &format!("{transaction_key}, {sequence_number}"));
            line("position", &event.replay_id);
            line("records", &if event.records.is_empty() { records(event) } else { event.records.join(", ") });
            if event.wildcard && !event.records.is_empty() {
                line("", "and others that it does not name");
            }
            lines.push(if record.fields.is_empty() { "  no fields".to_owned() } else { "  fields:".to_owned() });
            lines.extend(record.fields.iter().map(|(name, field)| format!("    {name}: {}", said(field))));
        }
        Some(Happening::Event { uuid, fields }) => {
            line("position", &event.replay_id);
            if let Some(uuid) = uuid {
                line("uuid", &uuid);
            }
            lines.push("  fields:".to_owned());
            lines.extend(fields.iter().map(|(name, value)| format!("    {name}: {}", json(value))));
        }
        Some(Happening::Notification { body }) => {
            line("position", &event.replay_id);
            lines.push("  body:".to_owned());
            lines.push(indented(&serde_json::to_value(&body).unwrap_or(Json::Null)));
        }
        None => lines.extend(event.event.as_ref().map(indented)),
    }
    lines.join("\n")
}

/// What an event says of one field.
fn said(field: &Field) -> String {
    match field {
        Field::New(Value::Null) => "emptied".to_owned(),
        Field::New(value) => json(value),
        Field::Same(value) => format!("{} (unchanged)", json(value)),
        Field::Diff | Field::Patch(_) => "changed; the event does not say to what".to_owned(),
    }
}

fn json(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn indented(json: &Json) -> String {
    // A value of `serde_json` can always be written.
    let text = serde_json::to_string_pretty(json).unwrap_or_default();
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entries::{Ask, told};
    use crate::event::{Arrival, Change, ChangeKind, Seq};
    use crate::store::contract::given::{NOW, account, channel, event, replay_id, subscribed};
    use crate::store::{Sought, Sqlite, Store};

    /// Of each kind one.
    async fn events() -> Vec<Event> {
        let store = Sqlite::in_memory().unwrap();
        let message =
            |number, happening| Arrival::Change(Change { channel: channel(), replay_id: replay_id(number), happening });
        let many = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"].map(|name| (name, Field::New(Value::Null)));
        let fields = [("Number__c".to_owned(), Value::text("7"))].into();
        let group = vec![
            event(1)
                .records(&[account(1), account(2), account(3)])
                .fields([
                    ("Name", Field::New(Value::text("Acme"))),
                    ("Phone", Field::New(Value::Null)),
                    ("Rating", Field::Same(Value::text("Hot"))),
                    ("Body", Field::Diff),
                ])
                .arrives(),
            event(2).kind(ChangeKind::Create).fields(many).arrives(),
            Arrival::Found { change: event(3).kind(ChangeKind::GapDelete).fields([]).0, missed: false },
            event(4).kind(ChangeKind::GapOverflow).wildcard().records(&[]).fields([]).arrives(),
            message(5, Happening::Event { uuid: Some("uuid-5".to_owned()), fields }),
            message(
                6,
                Happening::Notification { body: Value::Compound([("sobject".to_owned(), Value::Bool(true))].into()) },
            ),
        ];
        store.append(subscribed(&store).await, group, NOW).await.unwrap();
        let ask = Ask { which: Sought::default(), after: Seq::ZERO, place: None, at_most: 99, values: true };
        told(&store, ask).await.unwrap().events
    }

    #[tokio::test]
    async fn a_list_has_an_event_a_line_and_no_values() {
        assert_eq!(
            list(&events().await),
            " NUMBER  COMMITTED                 ORG     CHANNEL             OBJECT   KIND          RECORDS                FIELDS
 1       2023-11-14T22:13:20.001Z  source  /data/ChangeEvents  Account  UPDATE        001000000000001AAA +2  Body, Name, Phone
 2       2023-11-14T22:13:20.002Z  source  /data/ChangeEvents  Account  CREATE        001000000000001AAA     A, B, C, D, E, F, G, H +2
 3       2023-11-14T22:13:20.003Z  source  /data/ChangeEvents  Account  GAP_DELETE    001000000000001AAA
 4       2023-11-14T22:13:20.004Z  source  /data/ChangeEvents  Account  GAP_OVERFLOW  not named
 5       -                         source  /data/ChangeEvents  -        EVENT         -                      Number__c
 6       -                         source  /data/ChangeEvents  -        NOTIFICATION  -"
        );
    }

    #[tokio::test]
    async fn one_event_is_shown_with_everything_that_it_says() {
        let events = events().await;
        assert_eq!(
            whole(&events[0]),
            "\
Event 1: UPDATE of Account
  from        source /data/ChangeEvents
  committed   2023-11-14T22:13:20.001Z
  received    2023-11-14T22:13:20.000Z
  by          005000000000001AAA with com/salesforce/api/rest/66.0;client=test
  transaction transaction-1, 1
  position    1
  records     001000000000001AAA, 001000000000002AAA, 001000000000003AAA
  fields:
    Body: changed; the event does not say to what
    Name: \"Acme\"
    Phone: emptied
    Rating: \"Hot\" (unchanged)"
        );
        assert!(
            whole(&events[2]).contains("  found       by the bridge, which asked the org"),
            "{}",
            whole(&events[2])
        );
        assert!(whole(&events[3]).ends_with("  records     not named\n  no fields"), "{}", whole(&events[3]));
        assert!(
            whole(&events[4]).ends_with("  uuid        uuid-5\n  fields:\n    Number__c: \"7\""),
            "{}",
            whole(&events[4])
        );
        assert!(whole(&events[5]).ends_with("  body:\n    {\n      \"sobject\": true\n    }"), "{}", whole(&events[5]));
    }
}
