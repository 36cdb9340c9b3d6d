//! The objects of a scenario, and how a file builds upon another.

use std::collections::BTreeMap;

use super::Problem;
use super::fields::{fields, master_record, owner, record_type};
use super::spec::{ObjectSpec, OwnerKind, RecordTypeSpec, Spec};
use crate::org::person::{self, PERSON_TYPE};
use crate::org::schema::{Field, Object, ObjectKind, Schema, Sharing};

/// Kept by Setup: not to be mixed with other records in one request.
const SETUP: [&str; 7] =
    ["User", "Group", "QueueSobject", "RecordType", "Organization", "PushTopic", "StreamingChannel"];

impl Spec {
    /// This scenario with another one built upon it.
    pub(super) fn with(mut self, own: Self) -> Self {
        for object in own.objects {
            match self.objects.iter_mut().find(|known| known.name.value.eq_ignore_ascii_case(&object.name.value)) {
                Some(known) => known.extend(object),
                None => self.objects.push(object),
            }
        }
        for user in own.users {
            self.users.retain(|known| known.username.value != user.username.value);
            self.users.push(user);
        }
        self.queues.extend(own.queues);
        self.triggers.extend(own.triggers);
        self.flows.extend(own.flows);
        for rules in own.assignment_rules {
            self.assignment_rules.retain(|known| known.object.value != rules.object.value);
            self.assignment_rules.push(rules);
        }
        for action in own.actions {
            self.actions.retain(|known| known.name.value != action.name.value);
            self.actions.push(action);
        }
        for channel in own.channels {
            self.channels.retain(|known| known.name.value != channel.name.value);
            self.channels.push(channel);
        }
        self.limits.daily_api_requests = own.limits.daily_api_requests.or(self.limits.daily_api_requests);
        self.limits.data_storage_mb = own.limits.data_storage_mb.or(self.limits.data_storage_mb);
        self.limits.hourly_published_events =
            own.limits.hourly_published_events.or(self.limits.hourly_published_events);
        self.limits.daily_delivered_events = own.limits.daily_delivered_events.or(self.limits.daily_delivered_events);
        self.limits.concurrent_clients = own.limits.concurrent_clients.or(self.limits.concurrent_clients);
        self.faults.extend(own.faults);
        if !own.apps.is_empty() {
            self.apps = own.apps;
        }
        self.records.extend(own.records);
        self.person_accounts |= own.person_accounts;
        let mut accounts = self.objects.iter_mut().filter(|object| object.name.value == "Account");
        if let Some(account) = accounts.next().filter(|_| self.person_accounts) {
            account.add_person_type();
        }
        self
    }

    pub(super) fn schema(&self) -> Result<Schema, Problem> {
        let mut objects = Vec::with_capacity(self.objects.len());
        for (place, spec) in self.objects.iter().enumerate() {
            objects.push(object(spec, place, self.person_fields(spec)?)?);
        }
        let schema = Schema::new(objects)?;
        self.check_relationships(&schema)?;
        Ok(schema)
    }

    /// What person accounts add to an object.
    fn person_fields(&self, spec: &ObjectSpec) -> Result<Vec<Field>, Problem> {
        let mut added = Vec::new();
        match spec.name.value.as_str() {
            _ if !self.person_accounts => {}
            "Account" => {
                let contacts = self.objects.iter().filter(|object| object.name.value == "Contact");
                for field in contacts.flat_map(|contact| &contact.fields) {
                    added.extend(fields(field)?.iter().filter_map(person::account_field));
                }
                added.extend(person::own_account_fields());
            }
            "Contact" => added.push(person::flag("IsPersonAccount", "Is Person Account")),
            "RecordType" => added.push(person::flag("IsPersonType", "Is Person Type")),
            _ => {}
        }
        Ok(added)
    }

    /// Roll-ups lead to a child's reference and to a field that can be summed up.
    fn check_relationships(&self, schema: &Schema) -> Result<(), Problem> {
        for spec in &self.objects {
            for field in &spec.fields {
                let Some(summary) = &field.summary else { continue };
                let wrong = |text: String| Problem::at(&field.name, text);
                let (child, by) = summary.of.split_once('.').unwrap_or_default();
                let (_, child) =
                    schema.find(child).ok_or_else(|| wrong(format!("`of`: there is no object {child}")))?;
                let to = child.find(by).and_then(|(_, field)| field.reference());
                if !to.is_some_and(|to| to.to.iter().any(|name| name.eq_ignore_ascii_case(&spec.name.value))) {
                    return Err(wrong(format!("`of`: {} does not refer to {}", summary.of, spec.name.value)));
                }
                if let Some(field) = summary.field.as_ref().filter(|field| child.find(field).is_none()) {
                    return Err(wrong(format!("`field`: {} has no field {field}", child.name)));
                }
            }
        }
        Ok(())
    }
}

impl ObjectSpec {
    fn add_person_type(&mut self) {
        if self.record_types.iter().all(|known| known.developer_name != PERSON_TYPE) {
            let (developer_name, label) = (PERSON_TYPE.to_owned(), Some("Person Account".to_owned()));
            let picklists = BTreeMap::new();
            self.record_types.push(RecordTypeSpec { developer_name, label, default: false, active: true, picklists });
        }
    }

    fn extend(&mut self, own: Self) {
        self.prefix = own.prefix.or_else(|| self.prefix.take());
        self.label = own.label.or_else(|| self.label.take());
        self.plural = own.plural.or_else(|| self.plural.take());
        self.owner = own.owner.or(self.owner);
        self.sharing = own.sharing.or(self.sharing);
        self.change_events = own.change_events.or(self.change_events);
        self.mergeable = own.mergeable.or(self.mergeable);
        for field in own.fields {
            match self.fields.iter_mut().find(|known| known.name.value == field.name.value) {
                Some(known) => *known = field,
                None => self.fields.push(field),
            }
        }
        for own in own.record_types {
            match self.record_types.iter_mut().find(|known| known.developer_name == own.developer_name) {
                Some(known) => *known = own,
                None => self.record_types.push(own),
            }
        }
        self.validation_rules.extend(own.validation_rules);
        self.duplicate_rules.extend(own.duplicate_rules);
    }
}

fn object(spec: &ObjectSpec, place: usize, added: Vec<Field>) -> Result<Object, Problem> {
    let name = spec.name.value.as_str();
    let kind = match name {
        _ if name.ends_with("__e") => ObjectKind::Event,
        _ if SETUP.contains(&name) => ObjectKind::Setup,
        _ => ObjectKind::Record,
    };
    let mut all = Vec::new();
    for field in &spec.fields {
        all.extend(fields(field)?);
    }
    if kind == ObjectKind::Record {
        all.extend(owner(spec.owner.unwrap_or(OwnerKind::User)));
    }
    if spec.mergeable == Some(true) {
        all.push(master_record(name));
    }
    if !spec.record_types.is_empty() {
        all.push(record_type());
    }
    all.extend(added);
    let prefix = match &spec.prefix {
        Some(prefix) if prefix.len() == 3 && prefix.bytes().all(|b| b.is_ascii_alphanumeric()) => prefix.clone(),
        Some(_) => return Err(Problem::at(&spec.name, "its `prefix` has three letters or digits")),
        None => drawn_prefix(kind, place),
    };
    let mut object = Object::new(name, &prefix, kind, all).map_err(|text| Problem::at(&spec.name, text))?;
    object.label = spec.label.clone().unwrap_or_else(|| name.to_owned());
    object.label_plural = spec.plural.clone().unwrap_or_else(|| format!("{}s", object.label));
    object.sharing = spec.sharing.unwrap_or(Sharing::PublicReadWrite);
    object.change_events = spec.change_events.unwrap_or(false);
    object.mergeable = spec.mergeable.unwrap_or(false);
    Ok(object)
}

/// `aXX` for records and `eXX` for events, by the object's place.
fn drawn_prefix(kind: ObjectKind, place: usize) -> String {
    let digit = |n: usize| char::from_digit((n % 36) as u32, 36).unwrap_or('0');
    let first = if kind == ObjectKind::Event { 'e' } else { 'a' };
    [first, digit(place / 36 + 10), digit(place)].iter().collect()
}
