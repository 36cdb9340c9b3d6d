//! Platform events: published and never kept as records (rest.md section 11).

use serde_json::{Map, Value as Json};

use super::error::SaveError;
use super::event::{Cell, EVENT_LIMIT, Source, uuid_text};
use super::prepare::{Ready, Values};
use super::schema::{FieldIndex, ObjectIndex};
use super::time::HOUR;
use super::{Caller, Id, Org, Write};

/// What the publisher is told of its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Of no use: no request finds anything by it.
    pub id: Id,
    /// Which the delivered event has too.
    pub uuid: String,
    /// Its place on the bus.
    pub replay_id: i64,
}

impl Org {
    /// Publishes a platform event.
    ///
    /// # Errors
    /// What is wrong with its fields, or that too many were published in this hour.
    pub fn publish_event(
        &mut self,
        caller: &Caller,
        object: ObjectIndex,
        fields: &Map<String, Json>,
        now: i64,
    ) -> Result<Published, SaveError> {
        let values = self.check_event(caller, object, fields)?;
        let hour = now.div_euclid(HOUR);
        if self.events_this_hour.0 != hour {
            self.events_this_hour = (hour, 0);
        }
        if self.events_this_hour.1 >= self.hourly_events {
            return Err(SaveError::new("LIMIT_EXCEEDED", "Hourly limit for publishing platform events exceeded."));
        }
        self.events_this_hour.1 += 1;
        let schema = self.schema_of(object).cloned().ok_or_else(SaveError::unknown_id)?;
        let definition = self.schema.object(object);
        let default = |field: FieldIndex| definition.field(field).default.as_ref();
        let value = |field: FieldIndex| values.get(&field).filter(|value| !value.is_null()).or_else(|| default(field));
        let slots = schema.layout.slots.iter().zip(&schema.sources);
        let cells: Vec<Cell<'_>> = slots
            .map(|(slot, source)| match source {
                Source::CreatedDate => Cell::Long(now.div_euclid(1_000)),
                Source::CreatedById => Cell::Text(caller.user.as_str().into()),
                Source::Field(field) => Cell::of(&slot.form, value(*field)),
                _ => Cell::Null,
            })
            .collect();
        let payload = schema.layout.encode(&cells).map_err(|_| SaveError::unknown_id())?; // its own cells fit
        if payload.len() > EVENT_LIMIT {
            return Err(SaveError::new("LIMIT_EXCEEDED", "The event message is larger than 1 MB."));
        }
        let (id, n) = (self.new_id(object), self.rng.u128(..));
        let replay_id = if self.mishaps.lose > 0 {
            self.mishaps.lose -= 1;
            self.bus.skip()
        } else {
            self.bus.publish(schema, payload, None, true, n, now)
        };
        Ok(Published { id, uuid: uuid_text(n), replay_id })
    }

    /// The values of an event that could be published.
    ///
    /// # Errors
    /// What is wrong with its fields.
    pub fn check_event(
        &self,
        caller: &Caller,
        object: ObjectIndex,
        fields: &Map<String, Json>,
    ) -> Result<Values, SaveError> {
        let write = Write::Create { object, fields: fields.clone() };
        let Ready::Create { values, .. } = self.prepare(caller, write)? else {
            return Err(SaveError::unknown_id()); // a create stays one
        };
        if !caller.system && !self.object_access(&caller.user, object).create {
            return Err(SaveError::no_access());
        }
        let given = |index: usize| values.get(&index).is_some_and(|value| !value.is_null());
        let required =
            self.schema.object(object).fields().filter(|(_, field)| field.required && field.default.is_none());
        let missing: Vec<String> =
            required.filter(|(index, _)| !given(*index)).map(|(_, field)| field.name.clone()).collect();
        if missing.is_empty() { Ok(values) } else { Err(SaveError::missing(missing)) }
    }

    /// Platform events that may still be published in this hour.
    pub fn events_left(&self, now: i64) -> u64 {
        let (hour, count) = self.events_this_hour;
        self.hourly_events.saturating_sub(if hour == now.div_euclid(HOUR) { count } else { 0 })
    }
}
