//! Platform events: published and never kept as records (rest.md section 11).

use serde_json::{Map, Value as Json};

use super::error::SaveError;
use super::event::{uuid, write_fields};
use super::prepare::{Ready, Values};
use super::schema::ObjectIndex;
use super::time::{self, HOUR, SECOND};
use super::{Caller, Id, Org, Write, text};

/// What the publisher is told of its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Of no use: no request finds anything by it.
    pub id: Id,
    /// Which the delivered event has too.
    pub uuid: String,
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
        let mut payload = String::from("{");
        for (name, value) in
            [("CreatedDate", time::event(now.div_euclid(SECOND)).as_str()), ("CreatedById", caller.user.as_str())]
        {
            text::name(&mut payload, name);
            text::string(&mut payload, value);
        }
        let own = self.schema.object(object).fields().filter(|(_, field)| field.stored() && field.writable());
        let values = own.map(|(index, field)| {
            (field, values.get(&index).filter(|value| !value.is_null()).or(field.default.as_ref()))
        });
        write_fields(&mut payload, values);
        payload.push('}');
        let (id, uuid) = (self.new_id(object), uuid(&mut self.rng));
        let schema = self.schema_ids.get(object).map(String::as_str).unwrap_or_default();
        self.bus.publish(object, schema, &payload, Some(&uuid), now);
        Ok(Published { id, uuid })
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
