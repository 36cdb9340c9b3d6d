//! What a subscriber to a channel gets of the events on the bus.
//!
//! The bus has each event once. Who reads it decides what comes of it: whether the channel has it at all, what the
//! reader may see, and which unchanged fields the channel adds (streaming-cometd.md sections 11 and 13,
//! setup-metadata.md section 2).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::bitmap::{self, Places};
use super::cell::Cell;
use super::filter::Filter;
use super::header::{ChangeType, Header};
use super::layout::{Form, Part};
use super::schema::{EventSchema, Source};
use super::uuid_text;
use crate::org::access::FieldLevel;
use crate::org::bus::BusEvent;
use crate::org::schema::{FieldIndex, Kind, Object, ObjectIndex, System};
use crate::org::table::Row;
use crate::org::time::SECOND;
use crate::org::{Id, Member, ObjectKind, Org, STANDARD_CHANNEL};

/// A channel that exists: what a subscriber names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// `/data/AccountChangeEvent`, with exact case.
    pub name: String,
    scope: Scope,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    /// Changes of one object.
    Changes(ObjectIndex),
    /// Changes of every object that is selected.
    AllChanges,
    /// Changes of the members of a custom channel.
    Custom(String),
    Event(ObjectIndex),
    /// Platform events that are members of a custom channel.
    CustomEvents(String),
}

impl Feed {
    /// The object, where events of one only come.
    pub fn object(&self) -> Option<ObjectIndex> {
        match self.scope {
            Scope::Changes(object) | Scope::Event(object) => Some(object),
            _ => None,
        }
    }

    /// Its events are platform events, which can be published.
    pub fn is_platform_event(&self) -> bool {
        matches!(self.scope, Scope::Event(_))
    }
}

/// What a user may see of events, at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// By object: all of its records; of a platform event: the event.
    objects: Vec<bool>,
    hidden: BTreeMap<ObjectIndex, Vec<FieldIndex>>,
}

/// How far a subscriber has read. Several events may have one replay id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Everything up to this id was handed out.
    pub replay_id: i64,
    /// And so many of the events that have the next one.
    within: usize,
}

impl From<i64> for Position {
    fn from(replay_id: i64) -> Self {
        Self { replay_id, within: 0 }
    }
}

/// One event for one subscriber.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub replay_id: i64,
    pub schema: Arc<EventSchema>,
    pub payload: Bytes,
    uuid: u128,
}

impl Delivery {
    pub fn uuid(&self) -> String {
        uuid_text(self.uuid)
    }

    #[cfg(test)]
    pub fn new(replay_id: i64, schema: Arc<EventSchema>, payload: Bytes, uuid: u128) -> Self {
        Self { replay_id, schema, payload, uuid }
    }

    fn of(event: &BusEvent) -> Self {
        Self {
            replay_id: event.replay_id,
            schema: event.schema.clone(),
            payload: event.payload.clone(),
            uuid: event.uuid,
        }
    }
}

impl Org {
    /// Finds a channel by its name, with exact case.
    pub fn feed(&self, name: &str) -> Option<Feed> {
        let entity = |name: &str| self.schema.entity(name).filter(|(_, object)| object.event_name() == name);
        let custom = |name: &str, events: bool| {
            let found = self.channels.iter().find(|channel| channel.name == name && channel.events == events);
            found.filter(|channel| channel.name != STANDARD_CHANNEL).map(|channel| channel.name.clone())
        };
        let scope = match name.split_at_checked(6)? {
            ("/data/", STANDARD_CHANNEL) => Scope::AllChanges,
            ("/data/", channel) if channel.ends_with("__chn") => Scope::Custom(custom(channel, false)?),
            ("/data/", name) => Scope::Changes(entity(name).filter(|(_, object)| object.change_events)?.0),
            _ => match name.split_at_checked(7)? {
                ("/event/", channel) if channel.ends_with("__chn") => Scope::CustomEvents(custom(channel, true)?),
                ("/event/", name) => Scope::Event(entity(name).filter(|(_, o)| o.kind == ObjectKind::Event)?.0),
                _ => return None,
            },
        };
        Some(Feed { name: name.to_owned(), scope })
    }

    pub fn view(&self, user: &Id) -> View {
        let all = |(index, kind)| {
            let access = self.object_access(user, index);
            if kind == ObjectKind::Event { access.read } else { access.read && access.view_all }
        };
        let mut hidden: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (&(object, field), _) in
            self.user(user).into_iter().flat_map(|user| &user.access.fields).filter(|(_, l)| **l == FieldLevel::Hidden)
        {
            hidden.entry(object).or_default().push(field);
        }
        View { objects: self.schema.objects().map(|(index, object)| all((index, object.kind))).collect(), hidden }
    }

    /// Whether a subscription to a channel is refused: only those to one object ever are.
    pub fn may_subscribe(&self, view: &View, feed: &Feed) -> bool {
        feed.object().is_none_or(|object| view.sees(object))
    }

    /// What is visible behind a position, at most so many; moves the position.
    pub fn deliver(&self, feed: &Feed, view: &View, position: &mut Position, most: usize, now: i64) -> Vec<Delivery> {
        let (mut out, mut of_one) = (Vec::new(), Vec::new());
        for event in self.bus.after(position.replay_id, now) {
            if out.len() >= most {
                break;
            }
            self.deliveries(feed, view, event, &mut of_one);
            let room = most - out.len();
            let left = of_one.len().saturating_sub(position.within);
            out.extend(of_one.drain(..).skip(position.within).take(room));
            if left > room {
                position.within += room;
                break;
            }
            *position = event.replay_id.into();
        }
        out
    }

    /// Every event on the bus, as it was published.
    #[cfg(test)]
    pub fn everything(&self, now: i64) -> Vec<Delivery> {
        self.bus.after(0, now).map(Delivery::of).collect()
    }

    /// What one event becomes for a subscriber.
    pub fn deliveries(&self, feed: &Feed, view: &View, event: &BusEvent, out: &mut Vec<Delivery>) {
        let object = event.schema.object;
        let (selected, member) = match &feed.scope {
            Scope::Changes(own) => (*own == object && event.selected, None),
            Scope::Event(own) => (*own == object, None),
            Scope::AllChanges => (event.selected && event.change.is_some(), self.member(STANDARD_CHANNEL, object)),
            Scope::Custom(channel) | Scope::CustomEvents(channel) => {
                let member = self.member(channel, object);
                (member.is_some(), member)
            }
        };
        if !selected || !view.sees(object) {
            return;
        }
        let hidden = view.hidden.get(&object).map(Vec::as_slice).unwrap_or_default();
        // Platform events come with all their fields.
        let hidden = if event.change.is_none() || !self.field_security_in_events { &[] } else { hidden };
        let member = member.filter(|member| member.filter.is_some() || !member.enriched_fields.is_empty());
        if hidden.is_empty() && member.is_none() {
            out.push(Delivery::of(event));
            return;
        }
        let Ok((header, cells)) = event.schema.layout.decode(&event.payload) else { return };
        let Some(header) = header else {
            let filter = member.and_then(|member| member.filter.as_ref());
            let row = self.as_row(event, &cells, &Places::new(), None);
            if filter.is_none_or(|filter| filter.holds(self.schema.object(object), &row, None)) {
                out.push(Delivery::of(event));
            }
            return;
        };
        match member {
            Some(member) => self.enriched(event, member, hidden, &header, &cells, out),
            None => out.extend(without(hidden, event, header, cells)),
        }
    }

    fn member(&self, channel: &str, object: ObjectIndex) -> Option<&Member> {
        let channel = self.channels.iter().find(|known| known.name == channel)?;
        channel.members.iter().find(|member| self.schema.entity(&member.entity).is_some_and(|(own, _)| own == object))
    }

    /// An event of a member with a filter or with enriched fields: one for each record, if there are any such fields.
    ///
    /// What enriches is read now, so it may be newer than the event.
    fn enriched(
        &self,
        event: &BusEvent,
        member: &Member,
        hidden: &[FieldIndex],
        header: &Header,
        cells: &[Cell<'static>],
        out: &mut Vec<Delivery>,
    ) {
        // Events without a body are of no use to a filter, and a gap must not be filtered away.
        if header.kind.is_gap() {
            out.push(Delivery::of(event));
            return;
        }
        let object = self.schema.object(event.schema.object);
        let filter = member.filter.as_ref();
        let mut fields: Vec<FieldIndex> =
            member.enriched_fields.iter().filter_map(|name| Some(object.find(name)?.0)).collect();
        fields.extend(filter.iter().flat_map(|filter| filter.fields()));
        let enriches = matches!(header.kind, ChangeType::Update | ChangeType::Delete);
        let changed = bitmap::read(&header.changed).unwrap_or_default();
        for id in &header.record_ids {
            let record = Id::parse(id).and_then(|id| self.table(event.schema.object).get(&id)).filter(|_| enriches);
            let mut own = cells.to_vec();
            if let Some(record) = record {
                enrich(&event.schema, object, &fields, &changed, record, &mut own);
            }
            let holds = |filter: &Filter| {
                let mut row = self.as_row(event, &own, &changed, record);
                row.id = Id::parse(id).unwrap_or(row.id);
                filter.holds(object, &row, Some(header))
            };
            if !filter.is_none_or(holds) {
                continue;
            }
            if fields.is_empty() {
                out.extend(without(hidden, event, header.clone(), own));
                return; // the records stay together
            }
            let header = Header { record_ids: vec![id.clone()], ..header.clone() };
            out.extend(without(hidden, event, header, own));
        }
    }

    /// The values of an event as a record, for conditions; what the event leaves open is as in the record.
    fn as_row(&self, event: &BusEvent, cells: &[Cell<'_>], changed: &Places, record: Option<&Row>) -> Row {
        let by = &self.automated_process;
        let second = event.committed.div_euclid(SECOND);
        let mut row = record.cloned().unwrap_or_else(|| Row {
            id: by.clone(),
            values: BTreeMap::new(),
            created: second,
            created_by: by.clone(),
            modified: second,
            modified_by: by.clone(),
            deleted_in: None,
        });
        let schema = &event.schema;
        for (source, part) in changed.iter().filter_map(|(position, part)| {
            let place = position.checked_sub(schema.layout.first())?;
            Some((schema.sources.get(place)?, *part))
        }) {
            source.field(part).map(|field| row.values.remove(&field));
        }
        for ((_, slot, cell), source) in schema.layout.cells(cells).zip(&schema.sources) {
            match (source, &slot.form, cell) {
                (Source::CreatedDate, _, Cell::Long(ms)) => row.created = ms.div_euclid(1_000),
                (Source::LastModifiedDate, _, Cell::Long(ms)) => row.modified = ms.div_euclid(1_000),
                (Source::CreatedById, _, Cell::Text(id)) => row.created_by = Id::parse(id).unwrap_or(row.created_by),
                (Source::LastModifiedById, _, Cell::Text(id)) => {
                    row.modified_by = Id::parse(id).unwrap_or(row.modified_by);
                }
                (Source::Field(field), form, cell) if !cell.is_null() => {
                    row.values.insert(*field, cell.to_json(form));
                }
                (Source::TextOrParts(field, _), _, cell @ Cell::Text(_)) => {
                    row.values.insert(*field, cell.to_json(&Form::Text));
                }
                (
                    Source::Parts(fields) | Source::TextOrParts(_, fields),
                    Form::Parts { parts, .. },
                    Cell::Parts(own),
                ) => {
                    for ((field, part), cell) in fields.iter().zip(parts).zip(own) {
                        if let (Some(field), false) = (field, cell.is_null()) {
                            row.values.insert(*field, cell.to_json(&part.form));
                        }
                    }
                }
                _ => {}
            }
        }
        row
    }
}

impl View {
    fn sees(&self, object: ObjectIndex) -> bool {
        self.objects.get(object).copied().unwrap_or_default()
    }
}

/// Fills unchanged fields from the record.
fn enrich(
    schema: &EventSchema,
    object: &Object,
    fields: &[FieldIndex],
    changed: &Places,
    row: &Row,
    cells: &mut [Cell<'static>],
) {
    for field in fields {
        if let Some((stamp, value)) = stamp(object, *field, row) {
            let place = schema.sources.iter().position(|source| *source == stamp);
            if let Some(cell) = place.and_then(|place| cells.get_mut(place)).filter(|cell| cell.is_null()) {
                *cell = value;
            }
            continue;
        }
        let found = schema.sources.iter().enumerate().find_map(|(place, source)| Some((place, source.finds(*field)?)));
        let Some((place, part)) = found else { continue };
        let position = place + schema.layout.first();
        if changed.contains(&(position, part)) {
            continue;
        }
        let (Some(slot), Some(cell)) = (schema.layout.slots.get(position), cells.get_mut(place)) else { continue };
        match (part, &slot.form) {
            (None, Form::Parts { .. }) => *cell = Cell::of(&Form::Text, row.values.get(field)).into_owned(),
            (None, form) => *cell = Cell::of(form, row.values.get(field)).into_owned(),
            (Some(part), Form::Parts { parts, .. }) => {
                if !matches!(cell, Cell::Parts(_)) {
                    *cell = Cell::Parts(vec![Cell::Null; parts.len()]);
                }
                if let (Cell::Parts(own), Some(Part { form, .. })) = (&mut *cell, parts.get(part))
                    && let Some(own) = own.get_mut(part)
                {
                    *own = Cell::of(form, row.values.get(field)).into_owned();
                }
                if cell.is_null() {
                    *cell = Cell::Null;
                }
            }
            (Some(_), _) => {}
        }
    }
}

/// When or by whom a record was made or changed, where a field says that.
fn stamp(object: &Object, field: FieldIndex, row: &Row) -> Option<(Source, Cell<'static>)> {
    let text = |id: &Id| Cell::Text(id.as_str().to_owned().into());
    Some(match object.field(field).kind {
        Kind::System(System::CreatedDate) => (Source::CreatedDate, Cell::Long(row.created * 1_000)),
        Kind::System(System::CreatedById) => (Source::CreatedById, text(&row.created_by)),
        Kind::System(System::LastModifiedDate) => (Source::LastModifiedDate, Cell::Long(row.modified * 1_000)),
        Kind::System(System::LastModifiedById) => (Source::LastModifiedById, text(&row.modified_by)),
        _ => return None,
    })
}

/// The event without hidden fields: neither their values nor that they changed.
fn without(
    hidden: &[FieldIndex],
    event: &BusEvent,
    mut header: Header,
    mut cells: Vec<Cell<'static>>,
) -> Option<Delivery> {
    let schema = &event.schema;
    let first = schema.layout.first();
    let mut gone = Places::new();
    for (place, source) in schema.sources.iter().enumerate() {
        for part in hidden.iter().filter_map(|field| source.finds(*field)) {
            gone.insert((place + first, part));
            match (part, cells.get_mut(place)) {
                (None, Some(cell)) => *cell = Cell::Null,
                (Some(part), Some(Cell::Parts(own))) => {
                    if let Some(own) = own.get_mut(part) {
                        *own = Cell::Null;
                    }
                }
                _ => {}
            }
        }
    }
    if !gone.is_empty() {
        for texts in [&mut header.changed, &mut header.nulled, &mut header.diffed] {
            let places = bitmap::read(texts).unwrap_or_default();
            *texts = bitmap::write(&(&places - &gone));
        }
    }
    let mut payload = schema.layout.encode_header(&header).ok()?;
    payload.extend(schema.layout.encode(&cells).ok()?);
    Some(Delivery { payload: payload.into(), ..Delivery::of(event) })
}
