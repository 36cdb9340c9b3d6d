//! Saving a new or a changed record, in the platform's order: triggers, what the fields demand, validation rules,
//! duplicate rules, the save, and what follows from it for the parents.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::check::{bad_value, coerce};
use super::error::SaveError;
use super::event::ChangeKind;
use super::prepare::Values;
use super::rules::On;
use super::schema::{FieldIndex, Kind, ObjectIndex, ObjectKind, Summary};
use super::table::{Row, key_form};
use super::time::SECOND;
use super::transaction::Unit;
use super::{Caller, Id, Org, Saved};

const ON_CREATE: On = On { create: true, update: false, delete: false };
const ON_UPDATE: On = On { create: false, update: true, delete: false };

impl Org {
    pub(super) fn create(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        object: ObjectIndex,
        values: Values,
    ) -> Result<Saved, SaveError> {
        if self.schema.object(object).kind == ObjectKind::Event {
            return Err(SaveError::new(
                "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
                "platform events are published, not saved",
            ));
        }
        let mut values = values;
        self.start_person(object, &mut values)?;
        let (second, user) = (unit.now.div_euclid(SECOND), caller.user.clone());
        let mut row = Row {
            id: self.new_id(object),
            values: self.with_defaults(caller, object, values),
            created: second,
            created_by: user.clone(),
            modified: second,
            modified_by: user,
            deleted_in: None,
        };
        self.name_person(object, &mut row)?;
        self.run_triggers(object, &mut row, None, ON_CREATE, unit.now)?;
        self.name_person(object, &mut row)?;
        if caller.auto_assign
            && let Some(owner) = self.assigned_owner(object, &row)
        {
            set(&mut row, self.schema.object(object).owner(), owner.as_str().into());
        }
        let fields: BTreeSet<FieldIndex> = row.values.keys().copied().collect();
        self.check(unit, caller, object, &row, None, &fields)?;
        let id = row.id.clone();
        self.save(unit, caller, object, row, ChangeKind::Create, BTreeSet::new());
        self.create_person_contact(unit, caller, object, &id)?;
        self.roll_up(unit, caller, object, None, &id)?;
        Ok(Saved { id, created: true })
    }

    pub(super) fn update(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        object: ObjectIndex,
        id: &Id,
        values: Values,
    ) -> Result<Saved, SaveError> {
        if let Some((accounts, account)) = self.account_of_person(object, id) {
            return self.update_as_person(unit, caller, id, (accounts, &account), values);
        }
        if !self.update_row(unit, caller, object, id, values)? {
            Self::note_duplicate(unit);
        }
        Ok(Saved { id: id.clone(), created: false })
    }

    /// Whether any field is different now.
    pub(super) fn update_row(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        object: ObjectIndex,
        id: &Id,
        values: Values,
    ) -> Result<bool, SaveError> {
        let old = self.live(caller, object, id)?;
        if !caller.system && !self.can_edit_row(&caller.user, object, &old) {
            return Err(SaveError::no_access());
        }
        self.lock(unit, id)?;
        let definition = self.schema.object(object);
        let converted = definition.converted().and_then(|index| old.values.get(&index));
        if converted == Some(&Json::Bool(true)) && !caller.system {
            return Err(SaveError::new("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead"));
        }
        self.stays_person(object, &old, &values)?;
        let mut row = Row::clone(&old);
        for (field, value) in values {
            set(&mut row, Some(field), value);
        }
        self.name_person(object, &mut row)?;
        self.run_triggers(object, &mut row, Some(&old), ON_UPDATE, unit.now)?;
        self.name_person(object, &mut row)?;
        let changed = changed_fields(&old, &row);
        self.check(unit, caller, object, &row, Some(&old), &changed)?;
        let any = !changed.is_empty();
        self.save(unit, caller, object, row, ChangeKind::Update, changed);
        self.update_person_contact(unit, caller, object, id)?;
        self.roll_up(unit, caller, object, Some(&old), id)?;
        Ok(any)
    }

    /// A live record that the caller may see.
    pub(super) fn live(&self, caller: &Caller, object: ObjectIndex, id: &Id) -> Result<std::sync::Arc<Row>, SaveError> {
        match self.table(object).share(id) {
            Some(row) if row.deleted_in.is_some() => Err(SaveError::is_deleted()),
            Some(row) if caller.system || self.can_see_row(&caller.user, object, &row) => Ok(row),
            _ => Err(SaveError::unknown_id()),
        }
    }

    pub(super) fn with_defaults(&mut self, caller: &Caller, object: ObjectIndex, mut values: Values) -> Values {
        values.retain(|_, value| !value.is_null());
        let definition = self.schema.object(object);
        let mut numbered = Vec::new();
        for (index, field) in definition.fields() {
            if let Kind::AutoNumber { prefix, digits } = &field.kind {
                numbered.push((index, prefix.clone(), *digits));
            } else if let Kind::RollUp(roll_up) = &field.kind {
                // There is nothing yet to count or to sum up.
                match roll_up.summary {
                    Summary::Count => drop(values.insert(index, 0.into())),
                    Summary::Sum => drop(values.insert(index, 0.0.into())),
                    Summary::Min | Summary::Max => {}
                }
            } else if let Some(default) = field.default.as_ref().filter(|_| !values.contains_key(&index)) {
                values.insert(index, default.clone());
            }
        }
        if let Some(owner) = definition.owner() {
            values.entry(owner).or_insert_with(|| caller.user.as_str().into());
        }
        if let Some(index) = definition.record_type()
            && let Some(default) = self.rules(object).default_record_type.clone()
        {
            values.entry(index).or_insert_with(|| default.as_str().into());
        }
        for (index, prefix, digits) in numbered {
            let number = self.auto_numbers.entry((object, index)).or_default();
            *number += 1;
            values.insert(index, format!("{prefix}{number:0digits$}").into());
        }
        values
    }

    fn run_triggers(
        &self,
        object: ObjectIndex,
        row: &mut Row,
        old: Option<&Row>,
        on: On,
        now: i64,
    ) -> Result<(), SaveError> {
        if self.is_person_contact(object, row) {
            return Ok(());
        }
        let definition = self.schema.object(object);
        for trigger in &self.rules(object).triggers {
            let fits = (trigger.on.create && on.create)
                || (trigger.on.update && on.update)
                || (trigger.on.delete && on.delete);
            if !fits || trigger.when.as_ref().is_some_and(|when| !when.holds(definition, row, old)) {
                continue;
            }
            if let Some(text) = &trigger.exception {
                let event = match (on.create, on.update) {
                    (true, _) => "BeforeInsert",
                    (_, true) => "BeforeUpdate",
                    _ => "BeforeDelete",
                };
                let message = format!("{}: execution of {event} caused by: {text}", trigger.name);
                return Err(SaveError::new("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message).whole_chunk());
            }
            if let Some(text) = &trigger.error {
                return Err(SaveError::new("FIELD_CUSTOM_VALIDATION_EXCEPTION", text.as_str()));
            }
            for (field, assigned) in &trigger.set {
                let value = assigned.value(definition, row, now);
                let value = coerce(&self.schema, definition.field(*field), &value)?;
                set(row, Some(*field), value);
            }
        }
        Ok(())
    }

    /// Triggers that object to a deletion.
    pub(super) fn before_delete(&self, object: ObjectIndex, row: &Row, now: i64) -> Result<(), SaveError> {
        self.run_triggers(object, &mut row.clone(), Some(row), On { create: false, update: false, delete: true }, now)
    }

    /// Whether a record may be saved as it is now; `changed`: the fields that are new or different.
    pub(super) fn check(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        object: ObjectIndex,
        row: &Row,
        old: Option<&Row>,
        changed: &BTreeSet<FieldIndex>,
    ) -> Result<(), SaveError> {
        self.check_required(object, row)?;
        self.check_references(caller, object, row, changed)?;
        self.check_unique(object, row, changed)?;
        self.check_record_type(object, row, changed)?;
        if !self.is_person_contact(object, row) {
            self.check_validations(object, row, old)?;
            self.check_duplicates(caller, object, row, old, changed)?;
        }
        self.check_push(object, row)?;
        self.lock_parents(unit, object, row)
    }

    fn check_required(&self, object: ObjectIndex, row: &Row) -> Result<(), SaveError> {
        let fields = self.schema.object(object).fields();
        let missing: Vec<String> = fields
            .filter(|(index, field)| field.required && !row.values.contains_key(index))
            .map(|(_, field)| field.name.clone())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(SaveError::missing(missing))
    }

    fn check_references(
        &self,
        caller: &Caller,
        object: ObjectIndex,
        row: &Row,
        changed: &BTreeSet<FieldIndex>,
    ) -> Result<(), SaveError> {
        for field in changed {
            let definition = self.schema.object(object).field(*field);
            // What the org writes itself may lead to a record that comes next.
            if definition.reference().is_none() || definition.read_only {
                continue;
            }
            let Some(id) = row.reference(*field) else { continue };
            let target = self.schema.of_id(&id).and_then(|(index, _)| Some((index, self.table(index).get(&id)?)));
            match target {
                None => return Err(SaveError::unknown_id().on(&definition.name)),
                Some((index, row)) if !caller.system && !self.can_see_row(&caller.user, index, row) => {
                    return Err(SaveError::no_access_to_parent(&id).on(&definition.name));
                }
                Some((_, row)) if row.deleted_in.is_some() => return Err(SaveError::is_deleted().on(&definition.name)),
                Some(_) => {}
            }
            self.check_account(object, row, *field)?;
            if definition.name == "OwnerId" && self.user(&id).is_some_and(|user| !user.active) {
                let object = self.schema.object(object).name.to_ascii_lowercase();
                let message = format!("operation performed with inactive user [{}] as owner of {object}", id.short());
                return Err(SaveError::new("INACTIVE_OWNER_OR_USER", message).on(&definition.name));
            }
        }
        Ok(())
    }

    pub(super) fn check_unique(
        &self,
        object: ObjectIndex,
        row: &Row,
        changed: &BTreeSet<FieldIndex>,
    ) -> Result<(), SaveError> {
        for field in changed {
            let definition = self.schema.object(object).field(*field);
            let Some(key) = row.values.get(field).filter(|_| definition.unique) else { continue };
            let Some(key) = key_form(definition, key) else { continue };
            if let Some(other) = self.table(object).by_key(*field, &key).into_iter().find(|id| *id != row.id) {
                let name = &definition.name;
                let message =
                    format!("duplicate value found: {name} duplicates value on record with id: {}", other.short());
                return Err(SaveError::new("DUPLICATE_VALUE", message).on(name));
            }
        }
        Ok(())
    }

    /// A restricted picklist takes the values that the record type has; any other takes all of them, from the API. The
    /// facts are silent on it: this is what users of the platform report.
    fn check_record_type(
        &self,
        object: ObjectIndex,
        row: &Row,
        changed: &BTreeSet<FieldIndex>,
    ) -> Result<(), SaveError> {
        let definition = self.schema.object(object);
        let Some(record_type) = definition.record_type().and_then(|field| row.reference(field)) else { return Ok(()) };
        for index in changed {
            let field = definition.field(*index);
            let (Kind::Picklist(list) | Kind::MultiPicklist(list)) = &field.kind else { continue };
            let own = self.values_of(object, &record_type, *index).filter(|_| list.restricted);
            let (Some(own), Some(text)) = (own, row.values.get(index).and_then(Json::as_str)) else { continue };
            let several = matches!(field.kind, Kind::MultiPicklist(_));
            let mut values = text.split(|letter| several && letter == ';');
            if let Some(other) = values.find(|value| !own.iter().any(|known| known == value)) {
                return Err(bad_value(field, other));
            }
        }
        Ok(())
    }

    fn check_validations(&self, object: ObjectIndex, row: &Row, old: Option<&Row>) -> Result<(), SaveError> {
        let definition = self.schema.object(object);
        let mut broken = self.rules(object).validations.iter().filter(|rule| rule.when.holds(definition, row, old));
        let Some(first) = broken.next() else { return Ok(()) };
        let error = |rule: &super::rules::Validation| {
            let error = SaveError::new("FIELD_CUSTOM_VALIDATION_EXCEPTION", rule.message.as_str());
            match rule.field {
                Some(field) => error.on(&definition.field(field).name),
                None => error,
            }
        };
        let others = broken.map(error).collect();
        Err(SaveError { others, ..error(first) })
    }

    fn lock_parents(&mut self, unit: &mut Unit, object: ObjectIndex, row: &Row) -> Result<(), SaveError> {
        let definition = self.schema.object(object);
        let parents: Vec<Id> = definition
            .fields()
            .filter(|(_, field)| field.reference().is_some_and(|to| to.locks))
            .filter_map(|(index, _)| row.reference(index))
            .collect();
        parents.iter().try_for_each(|id| self.lock(unit, id))
    }
}

/// The stored fields in which two states of a record differ.
pub(super) fn changed_fields(old: &Row, new: &Row) -> BTreeSet<FieldIndex> {
    let differs = |(field, value): &(&FieldIndex, &Json)| old.values.get(field) != Some(*value);
    let gone = old.values.keys().filter(|field| !new.values.contains_key(field));
    new.values.iter().filter(differs).map(|(field, _)| field).chain(gone).copied().collect()
}

pub(super) fn set(row: &mut Row, field: Option<FieldIndex>, value: Json) {
    let Some(field) = field else { return };
    if value.is_null() {
        row.values.remove(&field);
    } else {
        row.values.insert(field, value);
    }
}
