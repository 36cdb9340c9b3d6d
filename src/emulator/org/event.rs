//! What changed in a transaction becomes change events (streaming-cometd.md sections 12, 13 and 15).
//!
//! Records of one object that changed in the same way share one event; the others get one each, with rising
//! sequence numbers and a common transaction key.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::schema::{Field, FieldIndex, Kind, Object, ObjectIndex};
use super::table::{Row, key_form};
use super::time::{self, SECOND};
use super::{Caller, Commit, Id, ObjectKind, Org};

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
    changed: Vec<String>,
    body: Map<String, Json>,
    ids: Vec<Id>,
}

impl Org {
    /// Numbers the commits of a transaction and puts its events on the bus.
    pub(super) fn publish(&mut self, caller: &Caller, touched: Vec<Touch>, now: i64) {
        let mut events: Vec<Event> = Vec::new();
        let mut alike: HashMap<(ObjectIndex, ChangeKind, String), usize> = HashMap::new();
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
            let (changed, body) = content(object, row, kind, &touch);
            let likeness = (touch.object, kind, format!("{changed:?}{}", Json::Object(body.clone())));
            match alike.get(&likeness).and_then(|place| events.get_mut(*place)) {
                Some(event) => event.ids.push(touch.id),
                None => {
                    alike.insert(likeness, events.len());
                    events.push(Event { object: touch.object, kind, changed, body, ids: vec![touch.id] });
                }
            }
        }
        if events.is_empty() {
            return;
        }
        self.commit_number += self.rng.i64(1..5_000);
        let key = uuid(&mut self.rng);
        for (place, event) in events.into_iter().enumerate() {
            let header = json!({
                "entityName": self.schema.object(event.object).name,
                "recordIds": event.ids.iter().map(Id::as_str).collect::<Vec<_>>(),
                "changeType": event.kind.name(),
                "changeOrigin": caller.origin,
                "transactionKey": key,
                "sequenceNumber": place + 1,
                "commitTimestamp": now.div_euclid(SECOND) * 1_000,
                "commitNumber": self.commit_number,
                "commitUser": caller.user.as_str(),
                "changedFields": event.changed,
            });
            let mut payload = event.body;
            payload.insert("ChangeEventHeader".into(), header);
            let schema = self.schema_ids.get(event.object).cloned().unwrap_or_default();
            self.bus.publish(event.object, &schema, &Json::Object(payload).to_string(), None, now);
        }
    }
}

/// `changedFields` and the body's fields.
fn content(object: &Object, row: &Row, kind: ChangeKind, touch: &Touch) -> (Vec<String>, Map<String, Json>) {
    let mut body = Map::new();
    let mut changed = Vec::new();
    match kind {
        ChangeKind::Delete => {}
        ChangeKind::Create | ChangeKind::Undelete => {
            for (field, value) in row.values.iter().filter(|(field, _)| in_events(object.field(**field))) {
                insert(&mut body, object.field(*field), value.clone());
            }
            body.insert("CreatedDate".into(), json!(time::event(row.created)));
            body.insert("CreatedById".into(), json!(row.created_by.as_str()));
            body.insert("LastModifiedDate".into(), json!(time::event(row.modified)));
            body.insert("LastModifiedById".into(), json!(row.modified_by.as_str()));
        }
        ChangeKind::Update => {
            for &index in &touch.fields {
                let field = object.field(index);
                if in_events(field) {
                    changed.push(path(field));
                    insert(&mut body, field, row.values.get(&index).cloned().unwrap_or(Json::Null));
                }
            }
            changed.push("LastModifiedDate".into());
            body.insert("LastModifiedDate".into(), json!(time::event(row.modified)));
            if touch.user_changed {
                changed.push("LastModifiedById".into());
                body.insert("LastModifiedById".into(), json!(row.modified_by.as_str()));
            }
        }
    }
    (changed, body)
}

/// `MasterRecordId` tells of a merge only to those who ask.
pub(super) fn in_events(field: &Field) -> bool {
    field.stored() && field.name != "MasterRecordId"
}

/// The name of a field in `changedFields`.
fn path(field: &Field) -> String {
    match &field.compound {
        Some((compound, part)) => format!("{compound}.{part}"),
        None => field.name.clone(),
    }
}

pub(super) fn insert(body: &mut Map<String, Json>, field: &Field, value: Json) {
    // Moments have another form of the zone here than in REST answers.
    let value = match (&field.kind, value) {
        (Kind::DateTime, Json::String(text)) => Json::String(text.replace("+0000", "Z")),
        (_, value) => value,
    };
    match &field.compound {
        Some((compound, part)) => {
            let parts = body.entry(compound.clone()).or_insert_with(|| json!({}));
            if let Some(parts) = parts.as_object_mut() {
                parts.insert(part.clone(), value);
            }
        }
        None => {
            body.insert(field.name.clone(), value);
        }
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
