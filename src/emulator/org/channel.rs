//! Channels of events and what belongs to them (setup-metadata.md section 2).
//!
//! An object that is selected for Change Data Capture is a member of the standard channel `ChangeEvents`. That
//! channel is only among [`Org::channels`] where one of its members has a filter or enriched fields.

use super::error::SaveError;
use super::schema::{FieldIndex, Object, ObjectIndex};
use super::setup::FIRST_ID;
use super::{Channel, Filter, Id, Member, ObjectKind, Org};

pub const STANDARD_CHANNEL: &str = "ChangeEvents";
/// Fields that one member can be enriched with.
const ENRICHED: usize = 10;
/// Members and channels made at run time are numbered behind those of the scenario, and behind them comes what the
/// selection of an object makes.
const MADE: u64 = FIRST_ID + 500_000;
const SELECTED: u64 = FIRST_ID + 900_000;

impl Org {
    /// Whether changes of an object's records become events, for whichever channel.
    pub(super) fn is_captured(&self, object: ObjectIndex) -> bool {
        let definition = self.schema.object(object);
        definition.change_events || {
            let custom = self.channels.iter().filter(|channel| !channel.events);
            custom.flat_map(|channel| &channel.members).any(|member| member.entity == definition.event_name())
        }
    }

    /// Every member with the name of its channel, those of the standard channel first.
    pub fn members(&self) -> Vec<(String, Member)> {
        let named = |entity: &str| {
            let mut standard = self.channels.iter().filter(|channel| channel.name == STANDARD_CHANNEL);
            standard.any(|channel| channel.members.iter().any(|member| member.entity == entity))
        };
        let mut members = Vec::new();
        for (index, object) in self.schema.objects().filter(|(_, object)| object.change_events) {
            let entity = object.event_name();
            if !named(&entity) {
                let id = Id::new("0v8", &self.pod, SELECTED + index as u64);
                let member = Member { id, entity, enriched_fields: Vec::new(), filter: None };
                members.push((STANDARD_CHANNEL.to_owned(), member));
            }
        }
        for channel in &self.channels {
            members.extend(channel.members.iter().map(|member| (channel.name.clone(), member.clone())));
        }
        members
    }

    /// # Errors
    /// A channel of this name is there, or the name is none.
    pub fn add_channel(&mut self, name: &str, label: &str, events: bool) -> Result<Id, SaveError> {
        let plain = name.strip_suffix("__chn").unwrap_or_default();
        if plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(wrong("the name of a channel has letters and digits and ends with __chn", "FullName"));
        }
        if self.channels.iter().any(|channel| channel.name.eq_ignore_ascii_case(name)) {
            return Err(SaveError::new("DUPLICATE_VALUE", format!("there is a channel {name}")).on("FullName"));
        }
        self.channels_made += 1;
        let id = Id::new("0YL", &self.pod, MADE + self.channels_made);
        self.channels.push(Channel {
            id: id.clone(),
            name: name.into(),
            label: label.into(),
            events,
            members: Vec::new(),
        });
        Ok(id)
    }

    /// Adds a member; of the standard channel, it selects the object for Change Data Capture.
    ///
    /// # Errors
    /// A channel or an entity that is not there, a member that is there already, fields that cannot be enriched.
    pub fn add_member(
        &mut self,
        channel: &str,
        entity: &str,
        enriched_fields: Vec<String>,
        filter: Option<String>,
    ) -> Result<Id, SaveError> {
        let standard = channel == STANDARD_CHANNEL;
        let place = self.channels.iter().position(|known| known.name == channel);
        let of_events = place.and_then(|place| self.channels.get(place)).map(|channel| channel.events);
        if of_events.is_none() && !standard {
            return Err(wrong(&format!("there is no channel {channel}"), "eventChannel"));
        }
        let found = self.schema.entity(entity).filter(|(_, object)| object.kind != ObjectKind::Setup);
        let fits = |kind| (kind == ObjectKind::Event) == (of_events == Some(true));
        let Some((object, definition)) = found.filter(|(_, object)| fits(object.kind)) else {
            return Err(wrong(&format!("the entity {entity} cannot be selected for {channel}"), "selectedEntity"));
        };
        let entity = definition.event_name();
        if self.members().iter().any(|(name, member)| name == channel && member.entity == entity) {
            let message = format!("{entity} is a member of {channel} already");
            return Err(SaveError::new("DUPLICATE_VALUE", message).on("selectedEntity"));
        }
        let filter = self.checked(object, &enriched_fields, filter.as_deref())?;
        if standard {
            self.schema.select_for_change_events(object, true);
            if enriched_fields.is_empty() && filter.is_none() {
                return Ok(Id::new("0v8", &self.pod, SELECTED + object as u64));
            }
        }
        self.members_made += 1;
        let id = Id::new("0v8", &self.pod, MADE + self.members_made);
        self.channel_mut(channel).members.push(Member { id: id.clone(), entity, enriched_fields, filter });
        Ok(id)
    }

    /// # Errors
    /// A member that is not there, or fields that cannot be enriched.
    pub fn change_member(
        &mut self,
        id: &Id,
        enriched_fields: Vec<String>,
        filter: Option<String>,
    ) -> Result<(), SaveError> {
        let found = self.members().into_iter().find(|(_, member)| member.id == *id);
        let Some((channel, member)) = found else { return Err(SaveError::unknown_id()) };
        let Some((object, _)) = self.schema.entity(&member.entity) else { return Err(SaveError::unknown_id()) };
        let filter = self.checked(object, &enriched_fields, filter.as_deref())?;
        let members = &mut self.channel_mut(&channel).members;
        match members.iter_mut().find(|member| member.id == *id) {
            Some(member) => (member.enriched_fields, member.filter) = (enriched_fields, filter),
            None => members.push(Member { enriched_fields, filter, ..member }), // was there by selection only
        }
        Ok(())
    }

    /// # Errors
    /// A member that is not there.
    pub fn remove_member(&mut self, id: &Id) -> Result<(), SaveError> {
        let found = self.members().into_iter().find(|(_, member)| member.id == *id);
        let Some((channel, member)) = found else { return Err(SaveError::unknown_id()) };
        self.channels.iter_mut().for_each(|channel| channel.members.retain(|member| member.id != *id));
        if let (STANDARD_CHANNEL, Some((object, _))) = (channel.as_str(), self.schema.entity(&member.entity)) {
            self.schema.select_for_change_events(object, false);
        }
        Ok(())
    }

    fn channel_mut(&mut self, name: &str) -> &mut Channel {
        let place = self.channels.iter().position(|channel| channel.name == name).unwrap_or_else(|| {
            let id = Id::new("0YL", &self.pod, FIRST_ID - 1);
            let members = Vec::new();
            self.channels.push(Channel { id, name: name.into(), label: name.into(), events: false, members });
            self.channels.len() - 1
        });
        &mut self.channels[place] // it was found, or has just been put there
    }

    /// # Errors
    /// Fields that cannot be enriched, a filter that cannot be one.
    fn checked(
        &self,
        object: ObjectIndex,
        enriched_fields: &[String],
        filter: Option<&str>,
    ) -> Result<Option<Filter>, SaveError> {
        let definition = self.schema.object(object);
        check_enriched(definition, enriched_fields).map_err(|problem| wrong(&problem, "enrichedFields"))?;
        let compiled = filter.map(|filter| Filter::compile(filter, definition)).transpose();
        compiled.map_err(|problem| wrong(&format!("the filter expression is not valid: {problem}"), "filterExpression"))
    }

    /// Whether a filter of any channel reads a field.
    pub(super) fn is_filtered(&self, object: ObjectIndex, field: FieldIndex) -> bool {
        let entity = self.schema.object(object).event_name();
        let members = self.channels.iter().flat_map(|channel| &channel.members).filter(|own| own.entity == entity);
        members.filter_map(|member| member.filter.as_ref()).any(|filter| filter.fields().contains(&field))
    }
}

/// # Errors
/// Which of the fields a member cannot be enriched with, or that they are too many.
pub fn check_enriched(object: &Object, fields: &[String]) -> Result<(), String> {
    if fields.len() > ENRICHED {
        return Err(format!("at most {ENRICHED} fields can be enriched"));
    }
    let fits = |name: &String| object.find(name).is_some_and(|(_, field)| field.stored() && field.filterable());
    match fields.iter().find(|name| !fits(name)) {
        Some(name) => Err(format!("the field {name} cannot be enriched")),
        None => Ok(()),
    }
}

fn wrong(text: &str, field: &str) -> SaveError {
    SaveError::new("FIELD_INTEGRITY_EXCEPTION", text).on(field)
}
