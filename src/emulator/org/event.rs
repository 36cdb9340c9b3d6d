//! What changed in a transaction becomes change events (streaming-cometd.md sections 12 to 15).
//!
//! Records of one object that changed in the same way share one event; the others get one each, with rising
//! sequence numbers and a common transaction key. An event is encoded once, as Avro; whoever reads it decides what
//! becomes of it ([`delivery`]).

mod bitmap;
mod cell;
mod delivery;
mod diff;
mod filter;
mod header;
mod layout;
mod schema;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value as Json;

use super::schema::{FieldIndex, Kind, Object, ObjectIndex};
use super::table::{Row, key_form};
use super::time::SECOND;
use super::{Caller, Commit, Id, ObjectKind, Org};
use bitmap::Places;
use layout::{Encoder, Form, Part};

pub use cell::Cell;
pub use delivery::{Delivery, Feed, Position, View};
pub use filter::Filter;
pub use header::{ChangeType, Header};
pub use layout::{Layout, NotAnEvent};
pub use schema::{EventSchema, Source, in_events};
pub use stream::StreamForms;

/// A larger event is only told as a gap, in bytes.
pub const EVENT_LIMIT: usize = 1 << 20;
/// The id in place of all those of an overflow.
pub const OVERFLOWN: &str = "000000000000000AAA";

/// What goes wrong with the next events, on command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mishaps {
    /// So many are never published.
    pub lose: u64,
    /// So many have their header only.
    pub gap: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    Create,
    Update,
    Delete,
    Undelete,
}

impl ChangeKind {
    pub fn name(self) -> &'static str {
        ChangeType::from(self).name()
    }
}

impl From<ChangeKind> for ChangeType {
    fn from(kind: ChangeKind) -> Self {
        match kind {
            ChangeKind::Create => Self::Create,
            ChangeKind::Update => Self::Update,
            ChangeKind::Delete => Self::Delete,
            ChangeKind::Undelete => Self::Undelete,
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
    schema: Arc<EventSchema>,
    kind: ChangeType,
    content: Content,
    sequence: i32,
    ids: Vec<Id>,
}

/// What the records of one event have in common.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Content {
    /// The record behind the header; empty where the event has its header only.
    body: Vec<u8>,
    changed: Vec<String>,
    nulled: Vec<String>,
    diffed: Vec<String>,
}

impl Org {
    /// Numbers the commits of a transaction and puts its events on the bus.
    pub(super) fn publish(&mut self, caller: &Caller, touched: Vec<Touch>, now: i64) {
        let mut events: Vec<Event> = Vec::with_capacity(touched.len());
        let mut alike: HashMap<(ObjectIndex, ChangeType, Content), usize> = HashMap::new();
        let (mut sequence, mut changes, mut overflown) = (0, 0, Vec::new());
        let single = touched.len() == 1;
        self.notify_topics(&touched, now);
        let mut schemas: Vec<Arc<EventSchema>> = Vec::new();
        for touch in &touched {
            if !schemas.iter().any(|known| known.object == touch.object) && self.is_captured(touch.object) {
                schemas.extend(self.schema_of(touch.object).cloned());
            }
        }
        // Made once for all the records of an object.
        let encoders: Vec<(&Arc<EventSchema>, Encoder<'_>)> =
            schemas.iter().filter_map(|schema| Some((schema, schema.layout.encoder().ok()?))).collect();
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
            let Some((schema, encoder)) = encoders.iter().find(|(schema, _)| schema.object == touch.object) else {
                sequence += 1; // its number is missed by those who read the others
                continue;
            };
            let schema = Arc::clone(schema);
            changes += if kind == ChangeKind::Update { touch.fields.len().max(1) as u64 } else { 1 };
            if changes > self.overflow_after {
                if !overflown.iter().any(|known: &Arc<EventSchema>| known.object == touch.object) {
                    overflown.push(schema);
                }
                continue;
            }
            for content in self.contents((&schema, encoder), object, row, kind, &touch) {
                let ids = vec![touch.id.clone()];
                let kind = ChangeType::from(kind);
                if !single {
                    match alike.entry((touch.object, kind, content.clone())) {
                        Entry::Occupied(known) => {
                            if let Some(known) = events.get_mut(*known.get()) {
                                known.ids.extend(ids);
                            }
                            continue;
                        }
                        Entry::Vacant(place) => drop(place.insert(events.len())),
                    }
                }
                sequence += 1;
                events.push(Event { schema: schema.clone(), kind, content, sequence, ids });
            }
        }
        for schema in overflown {
            sequence += 1;
            let (kind, content) = (ChangeType::GapOverflow, Content::default());
            events.push(Event { schema, kind, content, sequence, ids: Vec::new() });
        }
        if events.is_empty() {
            return;
        }
        let key = uuid_text(self.rng.u128(..));
        self.commit_number += self.rng.i64(1..5_000);
        for event in events {
            let record_ids = if event.kind == ChangeType::GapOverflow {
                vec![OVERFLOWN.to_owned()]
            } else {
                event.ids.iter().map(|id| id.as_str().to_owned()).collect()
            };
            let header = Header {
                entity: self.schema.object(event.schema.object).name.clone(),
                record_ids,
                kind: event.kind,
                origin: caller.origin.clone(),
                transaction_key: key.clone(),
                sequence: event.sequence,
                commit_timestamp: now.div_euclid(SECOND) * 1_000,
                commit_number: self.commit_number,
                commit_user: caller.user.as_str().to_owned(),
                nulled: event.content.nulled,
                diffed: event.content.diffed,
                changed: event.content.changed,
            };
            self.put_on_bus(event.schema, header, &event.content.body, now);
        }
    }

    /// A change event that no record's change made: of the records of these ids, or of all under a key prefix. There
    /// is none where records have no events.
    pub fn announce(&mut self, object: ObjectIndex, kind: ChangeType, record_ids: Vec<String>, now: i64) {
        let Some(schema) = self.schema_of(object).cloned() else { return };
        if self.schema.object(object).kind != ObjectKind::Record {
            return;
        }
        self.commit_number += self.rng.i64(1..5_000);
        let header = Header {
            entity: self.schema.object(object).name.clone(),
            record_ids,
            kind,
            origin: String::new(),
            transaction_key: uuid_text(self.rng.u128(..)),
            sequence: 1,
            commit_timestamp: now.div_euclid(SECOND) * 1_000,
            commit_number: self.commit_number,
            commit_user: self.automated_process.as_str().to_owned(),
            nulled: Vec::new(),
            diffed: Vec::new(),
            changed: Vec::new(),
        };
        self.put_on_bus(schema, header, &[], now);
    }

    /// Encodes an event; one that is too large becomes a gap.
    fn put_on_bus(&mut self, schema: Arc<EventSchema>, mut header: Header, body: &[u8], now: i64) {
        if self.mishaps.lose > 0 {
            self.mishaps.lose -= 1;
            self.bus.skip();
            return;
        }
        let mishap = self.mishaps.gap > 0 && !header.kind.is_gap();
        self.mishaps.gap -= u64::from(mishap);
        let too_large = body.len() > EVENT_LIMIT;
        if mishap || too_large {
            header.kind = header.kind.gap();
            (header.nulled, header.diffed, header.changed) = Default::default();
        }
        let body = if header.kind.is_gap() || body.is_empty() { &schema.nothing } else { body };
        let Ok(mut payload) = schema.layout.encode_header(&header) else { return }; // every header fits
        payload.extend_from_slice(body);
        let selected = self.schema.object(schema.object).change_events;
        let uuid = self.rng.u128(..);
        self.bus.publish(schema, payload, Some(header.kind), selected, uuid, now);
    }

    /// What a change of a record says; updates may come as two events (streaming-cometd.md section 15).
    fn contents(
        &self,
        (schema, encoder): (&EventSchema, &Encoder<'_>),
        object: &Object,
        row: &Row,
        kind: ChangeKind,
        touch: &Touch,
    ) -> Vec<Content> {
        let told = |field: &FieldIndex| {
            let field = object.field(*field);
            in_events(field) && (self.roll_ups_in_events || !matches!(field.kind, Kind::RollUp(_)))
        };
        // What stems from the contact is left to an event of its own, be it read by anybody or not.
        let persons = self.persons.as_ref().filter(|persons| !self.is_captured(persons.contacts()));
        let of_contact = |field: &FieldIndex| persons.is_some_and(|own| own.is_of_contact(touch.object, *field));
        let fields: BTreeSet<FieldIndex> = match kind {
            ChangeKind::Create | ChangeKind::Undelete => row.values.keys().copied().filter(told).collect(),
            ChangeKind::Update => {
                touch.fields.iter().copied().filter(|field| told(field) && !of_contact(field)).collect()
            }
            ChangeKind::Delete => return vec![Content::default()],
        };
        let whole = kind != ChangeKind::Update;
        let told = Told { schema, encoder, object, row, touch, whole, fields: &fields, stamps: true };
        if self.split_updates && !whole && !fields.is_empty() {
            let (none, stamps) = (BTreeSet::new(), Told { fields: &fields, stamps: false, ..told });
            return vec![Told { fields: &none, ..told }.content(), stamps.content()];
        }
        vec![told.content()]
    }
}

/// Which fields of a record an event tells.
#[derive(Clone, Copy)]
struct Told<'a> {
    schema: &'a EventSchema,
    encoder: &'a Encoder<'a>,
    object: &'a Object,
    row: &'a Row,
    touch: &'a Touch,
    /// Everything that is not empty, instead of what changed.
    whole: bool,
    fields: &'a BTreeSet<FieldIndex>,
    /// When and by whom the record was changed.
    stamps: bool,
}

impl<'a> Told<'a> {
    fn content(&self) -> Content {
        let (mut changed, mut nulled, mut diffed) = (Places::new(), Places::new(), Places::new());
        let layout = &self.schema.layout;
        let mut cells = Vec::with_capacity(self.schema.sources.len());
        let slots = layout.slots.iter().enumerate().skip(layout.first());
        for ((position, slot), source) in slots.zip(&self.schema.sources) {
            let mut single = |cell: Cell<'a>| {
                changed.insert((position, None));
                if cell.is_null() {
                    nulled.insert((position, None));
                }
                cell
            };
            let cell = match (source, &slot.form) {
                (Source::CreatedDate, _) if self.whole => Cell::Long(self.row.created * 1_000),
                (Source::CreatedById, _) if self.whole => Cell::Text(self.row.created_by.as_str().into()),
                (Source::LastModifiedDate, _) if self.stamps => single(Cell::Long(self.row.modified * 1_000)),
                (Source::LastModifiedById, _) if self.stamps && (self.whole || self.touch.user_changed) => {
                    single(Cell::Text(self.row.modified_by.as_str().into()))
                }
                (Source::Field(field), form) if self.fields.contains(field) => match self.difference(*field) {
                    Some(text) => {
                        diffed.insert((position, None));
                        single(Cell::Text(text.into()))
                    }
                    None => single(Cell::of(form, self.row.values.get(field))),
                },
                (Source::TextOrParts(field, own), Form::Parts { parts, .. }) => {
                    if own.iter().flatten().any(|part| self.row.values.contains_key(part)) {
                        self.parts(position, own, parts, &mut changed, &mut nulled)
                    } else if self.fields.contains(field) {
                        single(Cell::of(&Form::Text, self.row.values.get(field)))
                    } else {
                        Cell::Null
                    }
                }
                (Source::Parts(own), Form::Parts { parts, .. }) => {
                    self.parts(position, own, parts, &mut changed, &mut nulled)
                }
                _ => Cell::Null,
            };
            cells.push(cell);
        }
        // A layout takes the cells of its own sources.
        let body = self.encoder.encode(&cells).unwrap_or_else(|_| self.schema.nothing.clone());
        let written = |places| if self.whole { Vec::new() } else { bitmap::write(places) };
        Content { body, changed: written(&changed), nulled: written(&nulled), diffed: written(&diffed) }
    }

    /// The parts of a compound that are told; of a custom object's place always all.
    fn parts(
        &self,
        position: usize,
        fields: &[Option<FieldIndex>],
        parts: &[Part],
        changed: &mut Places,
        nulled: &mut Places,
    ) -> Cell<'a> {
        let is_told = |field: &Option<FieldIndex>| field.is_some_and(|field| self.fields.contains(&field));
        let together = parts.len() == 2 && self.object.custom() && fields.iter().any(is_told);
        let mut cells = Vec::with_capacity(parts.len());
        for (place, (field, part)) in fields.iter().zip(parts).enumerate() {
            let Some(field) = field.filter(|_| together || is_told(field)) else {
                cells.push(Cell::Null);
                continue;
            };
            let cell = Cell::of(&part.form, self.row.values.get(&field));
            changed.insert((position, Some(place)));
            if cell.is_null() {
                nulled.insert((position, Some(place)));
            }
            cells.push(cell);
        }
        // The vectors have null for a compound of which nothing is left.
        if cells.iter().all(Cell::is_null) { Cell::Null } else { Cell::Parts(cells) }
    }

    /// The change of a long text, if it is told as a difference.
    fn difference(&self, field: FieldIndex) -> Option<String> {
        if self.whole || !matches!(self.object.field(field).kind, Kind::TextArea { length, .. } if length > 255) {
            return None;
        }
        let text = |row: &'a Row| row.values.get(&field).and_then(Json::as_str);
        diff::between(text(self.touch.before.as_ref()?)?, text(self.row)?)
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

/// A UUID as it is written.
pub(super) fn uuid_text(n: u128) -> String {
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        (n >> 96) as u32,
        (n >> 80) as u16,
        (n >> 64) as u16,
        (n >> 48) as u16,
        n & 0xffff_ffff_ffff
    )
}
