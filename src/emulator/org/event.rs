//! What changed in a transaction becomes change events (streaming-cometd.md sections 12, 13 and 15).
//!
//! Records of one object that changed in the same way share one event; the others get one each, with rising
//! sequence numbers and a common transaction key.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value as Json;

use super::schema::{Field, FieldIndex, Kind, Object, ObjectIndex};
use super::table::{Row, key_form};
use super::time::{self, SECOND};
use super::{Caller, Commit, Id, ObjectKind, Org, text};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    Create,
    Update,
    Delete,
    Undelete,
}

impl ChangeKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Undelete => "UNDELETE",
        }
    }
}

/// What one transaction did to one record.
#[derive(Debug, Clone)]
pub(super) struct Touch {
    pub object: ObjectIndex,
    pub id: Id,
    /// `None`: it came and went within the transaction.
    pub kind: Option<ChangeKind>,
    /// The fields that an update changed.
    pub fields: BTreeSet<FieldIndex>,
    /// Another user than before changed it.
    pub user_changed: bool,
    /// The record before the transaction.
    pub before: Option<Arc<Row>>,
}

impl Touch {
    pub fn join(&mut self, kind: ChangeKind, fields: BTreeSet<FieldIndex>) {
        use ChangeKind::{Create, Delete, Undelete, Update};
        self.fields.extend(fields);
        self.kind = match (self.kind, kind) {
            (Some(Create | Undelete), Delete) => None,
            (Some(Update), Delete) => Some(Delete),
            (Some(Delete), Undelete) => Some(Update),
            (first, _) => first,
        };
    }
}

struct Event {
    object: ObjectIndex,
    kind: ChangeKind,
    content: Content,
    ids: Vec<Id>,
}

/// What the records of one event have in common, as JSON text.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Content {
    /// `changedFields`, without the brackets.
    changed: Arc<str>,
    /// The body's fields, without the braces.
    body: Arc<str>,
}

/// Times of records as events write them; most records of a transaction have the same.
#[derive(Default)]
struct Stamps(Option<(i64, String)>);

impl Stamps {
    fn of(&mut self, second: i64) -> &str {
        if self.0.as_ref().is_none_or(|(known, _)| *known != second) {
            self.0 = Some((second, time::event(second)));
        }
        self.0.as_ref().map(|(_, text)| text.as_str()).unwrap_or_default()
    }
}

impl Org {
    /// Numbers the commits of a transaction and puts its events on the bus.
    pub(super) fn publish(&mut self, caller: &Caller, touched: Vec<Touch>, now: i64) {
        let mut events: Vec<Event> = Vec::with_capacity(touched.len());
        let mut alike: HashMap<(ObjectIndex, ChangeKind, Content), usize> = HashMap::new();
        let (mut stamps, mut scratch) = (Stamps::default(), (String::new(), String::new()));
        let single = touched.len() == 1;
        for touch in touched {
            let Some(kind) = touch.kind else { continue };
            let Some(row) = self.tables.get(touch.object).and_then(|table| table.get(&touch.id)) else { continue };
            let object = self.schema.object(touch.object);
            if object.kind == ObjectKind::Setup {
                continue;
            }
            let n = self.last_commit() + 1;
            let external = external_ids(object, row);
            self.commits.push(Commit { n, at: now, object: touch.object, id: touch.id.clone(), kind, external });
            if !object.change_events {
                continue;
            }
            let content = content(object, row, kind, &touch, &mut stamps, self.roll_ups_in_events, &mut scratch);
            let event = Event { object: touch.object, kind, content, ids: vec![touch.id] };
            if single {
                events.push(event);
                continue;
            }
            match alike.entry((event.object, kind, event.content.clone())) {
                Entry::Occupied(known) => {
                    if let Some(known) = events.get_mut(*known.get()) {
                        known.ids.extend(event.ids);
                    }
                }
                Entry::Vacant(place) => {
                    place.insert(events.len());
                    events.push(event);
                }
            }
        }
        if events.is_empty() {
            return;
        }
        self.commit_number += self.rng.i64(1..5_000);
        let key = uuid(&mut self.rng);
        let mut payload = String::new();
        for (place, event) in events.into_iter().enumerate() {
            payload.clear();
            payload.push_str(r#"{"ChangeEventHeader":{"entityName":"#);
            text::string(&mut payload, &self.schema.object(event.object).name);
            payload.push_str(r#","recordIds":["#);
            for (place, id) in event.ids.iter().enumerate() {
                payload.push_str(if place > 0 { r#",""# } else { r#"""# });
                payload.push_str(id.as_str());
                payload.push('"');
            }
            payload.push_str(r#"],"changeOrigin":"#);
            text::string(&mut payload, &caller.origin);
            // Writing into a string never fails.
            let _ = write!(
                payload,
                r#","changeType":"{}","transactionKey":"{key}","sequenceNumber":{},"commitTimestamp":{},"commitNumber":{},"commitUser":"{}","changedFields":[{}]}}"#,
                event.kind.name(),
                place + 1,
                now.div_euclid(SECOND) * 1_000,
                self.commit_number,
                caller.user,
                event.content.changed,
            );
            if !event.content.body.is_empty() {
                payload.push(',');
                payload.push_str(&event.content.body);
            }
            payload.push('}');
            let schema = self.schema_ids.get(event.object).map(String::as_str).unwrap_or_default();
            self.bus.publish(event.object, schema, &payload, None, now);
        }
    }
}

fn content(
    object: &Object,
    row: &Row,
    kind: ChangeKind,
    touch: &Touch,
    stamps: &mut Stamps,
    roll_ups: bool,
    (changed, body): &mut (String, String),
) -> Content {
    let travels = |field: &Field| in_events(field) && (roll_ups || !matches!(field.kind, Kind::RollUp(_)));
    changed.clear();
    body.clear();
    let system = |body: &mut String, name: &str, value: &str| {
        text::name(body, name);
        text::string(body, value);
    };
    match kind {
        ChangeKind::Delete => {}
        ChangeKind::Create | ChangeKind::Undelete => {
            let values = row.values.iter().map(|(index, value)| (object.field(*index), Some(value)));
            write_fields(body, values.filter(|(field, _)| travels(field)));
            system(body, "CreatedDate", stamps.of(row.created));
            system(body, "CreatedById", row.created_by.as_str());
            system(body, "LastModifiedDate", stamps.of(row.modified));
            system(body, "LastModifiedById", row.modified_by.as_str());
        }
        ChangeKind::Update => {
            let values = touch.fields.iter().map(|index| (object.field(*index), row.values.get(index)));
            let values = values.filter(|(field, _)| travels(field));
            for (field, _) in values.clone() {
                text::string(changed, &path(field));
                changed.push(',');
            }
            write_fields(body, values);
            changed.push_str(r#""LastModifiedDate""#);
            system(body, "LastModifiedDate", stamps.of(row.modified));
            if touch.user_changed {
                changed.push_str(r#","LastModifiedById""#);
                system(body, "LastModifiedById", row.modified_by.as_str());
            }
        }
    }
    Content { changed: changed.as_str().into(), body: body.as_str().into() }
}

/// Appends fields with their values, the parts of a compound as one object; without a value they are null.
pub(super) fn write_fields<'a>(out: &mut String, fields: impl Iterator<Item = (&'a Field, Option<&'a Json>)> + Clone) {
    let mut written: Vec<&str> = Vec::new();
    for (field, value) in fields.clone() {
        let Some((compound, _)) = &field.compound else {
            text::name(out, &field.name);
            write_value(out, field, value);
            continue;
        };
        if written.contains(&compound.as_str()) {
            continue;
        }
        written.push(compound);
        text::name(out, compound);
        out.push('{');
        for (field, value) in fields.clone() {
            if let Some((_, part)) = field.compound.as_ref().filter(|(own, _)| own == compound) {
                text::name(out, part);
                write_value(out, field, value);
            }
        }
        out.push('}');
    }
}

fn write_value(out: &mut String, field: &Field, value: Option<&Json>) {
    match (&field.kind, value) {
        // Moments have another form of the zone here than in REST answers.
        (Kind::DateTime, Some(Json::String(moment))) => text::string(out, &moment.replace("+0000", "Z")),
        (_, value) => text::value(out, value.unwrap_or(&Json::Null)),
    }
}

/// `MasterRecordId` tells of a merge only to those who ask.
pub(super) fn in_events(field: &Field) -> bool {
    field.stored() && field.name != "MasterRecordId"
}

/// The name of a field in `changedFields`.
fn path(field: &Field) -> Cow<'_, str> {
    match &field.compound {
        Some((compound, part)) => Cow::Owned(format!("{compound}.{part}")),
        None => Cow::Borrowed(&field.name),
    }
}

fn external_ids(object: &Object, row: &Row) -> Vec<(FieldIndex, String)> {
    let keys = object.fields().filter(|(_, field)| field.external_id);
    keys.filter_map(|(index, field)| {
        let value = row.values.get(&index)?;
        Some((index, value.as_str().map(str::to_owned).or_else(|| key_form(field, value))?))
    })
    .collect()
}

pub(super) fn uuid(rng: &mut fastrand::Rng) -> String {
    let n = rng.u128(..);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        (n >> 96) as u32,
        (n >> 80) as u16,
        (n >> 64) as u16,
        (n >> 48) as u16,
        n & 0xffff_ffff_ffff
    )
}
