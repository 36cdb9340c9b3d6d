//! Custom fields that come to an object, or change their type, while the org is running: its events get a new schema
//! (streaming-pubsub.md section 3, streaming-cometd.md sections 12 and 14).

use std::sync::Arc;

use serde_json::Value as Json;

use super::check::coerce;
use super::event::ChangeType;
use super::person::account_field;
use super::save::set;
use super::schema::{Field, FieldIndex, Kind, ObjectIndex};
use super::table::Row;
use super::{Id, Org};

/// Fields of one object, for which there are ids.
const MOST: usize = 1_000;

impl Org {
    /// Custom fields come to an object, in events at a place of the org's choice among the others: so positions move.
    /// Those of contacts come to person accounts as well. Their indexes are behind all others.
    ///
    /// # Errors
    /// Why an object cannot get one of them; then it has got none.
    pub fn add_fields(&mut self, object: ObjectIndex, fields: Vec<Field>, now: i64) -> Result<(), String> {
        for field in &fields {
            self.may_come(object, field)?;
        }
        let accounts = self.person_accounts_of(object);
        let of_accounts: Vec<Field> = fields.iter().filter(|_| accounts.is_some()).filter_map(account_field).collect();
        let known =
            |field: &&Field| accounts.is_some_and(|index| self.schema.object(index).find(&field.name).is_some());
        if let Some(known) = of_accounts.iter().find(known) {
            return Err(format!("{}: Account has a field of this name", known.name));
        }
        if self.schema.object(object).fields().count() + fields.len() > MOST {
            return Err(format!("an object has at most {MOST} fields"));
        }
        self.insert_fields(object, fields)?;
        if let Some(accounts) = accounts {
            self.insert_fields(accounts, of_accounts)?;
            self.pair_person_fields();
        }
        self.note_setup_change(now);
        Ok(())
    }

    fn may_come(&self, object: ObjectIndex, field: &Field) -> Result<(), String> {
        let definition = self.schema.object(object);
        let refused = |why: &str| Err(format!("{}: {why}", field.name));
        let unknown = field.reference().and_then(|to| to.to.iter().find(|name| self.schema.find(name).is_none()));
        if !field.custom() || field.name.ends_with("__pc") {
            return refused("the name of a custom field ends in __c");
        }
        if definition.find(&field.name).is_some() {
            return refused("there is a field of this name");
        }
        if let Some(name) = unknown {
            return refused(&format!("there is no object {name}"));
        }
        match &field.kind {
            Kind::Reference(to) if to.master => refused("the records that are there have no master"),
            Kind::RollUp(_) => refused("roll-ups come with the scenario only"),
            _ => Ok(()),
        }
    }

    fn insert_fields(&mut self, object: ObjectIndex, fields: Vec<Field>) -> Result<(), String> {
        let order: Vec<bool> = self.schema.object(object).fields_of_events().map(|(_, field)| field.custom()).collect();
        let custom: Vec<usize> = (0..order.len()).filter(|place| order.get(*place) == Some(&true)).collect();
        let drawn = self.rng.usize(..=custom.len());
        let first = custom.get(drawn).copied().unwrap_or(order.len());
        for (n, field) in fields.into_iter().enumerate() {
            let default = field.default.clone().filter(|_| field.kind == Kind::Boolean);
            self.schema.add_field(object, field, first + n)?;
            // A new checkbox is there in the old records as well.
            if let Some(default) = default {
                self.rewrite(object, |row| set(row, Some(order.len() + n), default.clone()));
            }
        }
        self.renew_schema(object);
        Ok(())
    }

    /// A custom field becomes another one of the same name, as `to` has it: its type, and what belongs to that. Values
    /// that do not fit are lost, without a change of their records.
    ///
    /// It is told of all records at once; a picklist that becomes a checkbox or has several values is a gap.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn convert_field(
        &mut self,
        object: ObjectIndex,
        field: FieldIndex,
        to: Field,
        now: i64,
    ) -> Result<ChangeType, String> {
        let definition = self.schema.object(object);
        let old = definition.field(field);
        if !old.name.ends_with("__c") {
            return Err(format!("{}: only custom fields can become another type", old.name));
        }
        if !is_plain(&old.kind) || !is_plain(&to.kind) {
            return Err(format!("{}: no field becomes a {} of a {}", old.name, to.type_name(), old.type_name()));
        }
        if self.is_filtered(object, field) {
            return Err(format!("{}: the filter of a channel reads it", old.name));
        }
        let gap = matches!((&old.kind, &to.kind), (Kind::Picklist(_), Kind::Boolean | Kind::MultiPicklist(_)));
        let (name, prefix) = (old.name.clone(), definition.prefix.clone());
        let of_account = self.person_accounts_of(object).zip(account_field(old));
        self.replace_kind(object, field, &to);
        if let Some((accounts, known)) = of_account
            && let Some((index, _)) = self.schema.object(accounts).find(&known.name)
            && let Some(like) = account_field(&Field { name, ..to })
        {
            self.replace_kind(accounts, index, &like);
            self.pair_person_fields();
        }
        self.note_setup_change(now);
        let kind = if gap { ChangeType::GapUpdate } else { ChangeType::Update };
        self.announce(object, kind, vec![format!("{prefix}*")], now);
        Ok(kind)
    }

    fn replace_kind(&mut self, object: ObjectIndex, index: FieldIndex, to: &Field) {
        let old = self.schema.object(object).field(index).clone();
        let kind = match (&old.kind, &to.kind) {
            (Kind::Picklist(list) | Kind::MultiPicklist(list), Kind::Picklist(own)) if own.values.is_empty() => {
                Kind::Picklist(list.clone())
            }
            (Kind::Picklist(list) | Kind::MultiPicklist(list), Kind::MultiPicklist(own)) if own.values.is_empty() => {
                Kind::MultiPicklist(list.clone())
            }
            (_, kind) => kind.clone(),
        };
        let checkbox = |kind: &Kind| *kind == Kind::Boolean;
        let required = to.required || (old.required && !checkbox(&old.kind));
        let mut field = Field { kind, required, default: None, ..old.clone() };
        field.default = to.default.clone().or_else(|| self.converted(&field, old.default.as_ref()?));
        let filled = field.default.clone().filter(|_| checkbox(&field.kind));
        // Out of the indexes as they are, and into those of the new type.
        let rows = self.take_rows(object);
        self.schema.replace_field(object, index, field.clone());
        for row in rows {
            let mut row = Row::clone(&row);
            let value = row.values.get(&index).and_then(|value| self.converted(&field, value));
            set(&mut row, Some(index), value.or_else(|| filled.clone()).unwrap_or_default());
            self.put(object, Arc::new(row));
        }
        self.renew_schema(object);
    }

    /// Changes the rows of an object without a change of its records.
    fn rewrite(&mut self, object: ObjectIndex, change: impl Fn(&mut Row)) {
        for row in self.take_rows(object) {
            let mut row = Row::clone(&row);
            change(&mut row);
            self.put(object, Arc::new(row));
        }
    }

    fn take_rows(&mut self, object: ObjectIndex) -> Vec<Arc<Row>> {
        let ids: Vec<Id> = self.table(object).rows().map(|row| row.id.clone()).collect();
        let rows = ids.iter().filter_map(|id| self.table(object).share(id)).collect();
        ids.iter().for_each(|id| self.remove(object, id));
        rows
    }

    fn converted(&self, to: &Field, value: &Json) -> Option<Json> {
        let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let given = match &to.kind {
            Kind::Boolean | Kind::Int(_) | Kind::Number(..) => value.clone(),
            _ => Json::String(text(value)),
        };
        coerce(&self.schema, to, &given).ok().filter(|value| !value.is_null())
    }
}

/// A type that a field can change from and to.
fn is_plain(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Text(_)
            | Kind::TextArea { .. }
            | Kind::Email(_)
            | Kind::Phone(_)
            | Kind::Url(_)
            | Kind::Picklist(_)
            | Kind::MultiPicklist(_)
            | Kind::Boolean
            | Kind::Int(_)
            | Kind::Number(..)
            | Kind::Date
            | Kind::DateTime
    )
}
