//! One request is one transaction: its writes, what they drag along, and the events of all of it.
//!
//! Each record is touched at most once in the events of a transaction: several changes collapse into one, of the
//! first kind and with the final data (streaming-cometd.md section 15).

use std::collections::{BTreeSet, HashMap};

use serde_json::Value as Json;

use super::error::SaveError;
use super::event::{ChangeKind, Touch};
use super::prepare::{Ready, Values};
use super::schema::{FieldIndex, Kind, ObjectIndex};
use super::table::folded;
use super::time::SECOND;
use super::{Caller, Id, Org, Row, Saved, Write};

/// How a request wants its records treated.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Any error takes back everything.
    pub all_or_none: bool,
    /// A record that is malformed (unknown field, wrong JSON type) fails alone instead of failing the request.
    pub malformed_fails_alone: bool,
    /// Records, by their place, whose lock is not to be had.
    pub locked: Vec<bool>,
}

pub(super) struct Transaction<'a> {
    pub(super) org: &'a mut Org,
    pub(super) caller: &'a Caller,
    now: i64,
    number: u64,
    touched: Vec<Touch>,
    by_id: HashMap<Id, usize>,
    before: Vec<(ObjectIndex, Id, Option<Row>)>,
}

impl Org {
    /// Does the writes in order, as one transaction, and publishes its events.
    ///
    /// Writes that the caller already found wrong come as `Err` and keep their place in the answer.
    ///
    /// # Errors
    /// When one write is malformed and that fails the request: then nothing was done.
    pub fn transact(
        &mut self,
        caller: &Caller,
        writes: Vec<Result<Write, SaveError>>,
        options: &Options,
        now: i64,
    ) -> Result<Vec<Result<Saved, SaveError>>, SaveError> {
        let writes = self.without_doubles(writes);
        let mut ready = Vec::with_capacity(writes.len());
        for (place, write) in writes.into_iter().enumerate() {
            let prepared = write.and_then(|write| self.prepare(&write));
            if let Err(error) = &prepared
                && error.malformed
                && !options.malformed_fails_alone
            {
                return Err(error.clone());
            }
            let locked = options.locked.get(place) == Some(&true);
            ready.push(prepared.and_then(|write| if locked { Err(locked_error(&write)) } else { Ok(write) }));
        }
        self.transactions += 1;
        let counted = (self.rows_written, self.duplicate_rows);
        let number = self.transactions;
        let mut transaction = Transaction {
            org: self,
            caller,
            now,
            number,
            touched: Vec::new(),
            by_id: HashMap::new(),
            before: Vec::new(),
        };
        let mut results: Vec<_> =
            ready.into_iter().map(|write| write.and_then(|write| transaction.apply(write))).collect();
        if options.all_or_none && results.iter().any(Result::is_err) {
            transaction.roll_back();
            (self.rows_written, self.duplicate_rows) = counted;
            for result in &mut results {
                if result.is_ok() {
                    *result = Err(SaveError::rolled_back());
                }
            }
        } else {
            let touched = std::mem::take(&mut transaction.touched);
            self.publish(caller, touched, now);
        }
        Ok(results)
    }

    /// The same external id, or the same id, twice in one request fails every record that has it.
    fn without_doubles(&self, writes: Vec<Result<Write, SaveError>>) -> Vec<Result<Write, SaveError>> {
        let names: Vec<Option<String>> = writes
            .iter()
            .map(|write| match write.as_ref().ok()? {
                write @ Write::Upsert { .. } => {
                    self.key_of(write).filter(|key| !key.is_empty()).map(|key| folded(&key))
                }
                Write::Update { id, .. } => Some(id.as_str().to_owned()),
                _ => None,
            })
            .collect();
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for name in names.iter().flatten() {
            *seen.entry(name).or_default() += 1;
        }
        let double = |name: &Option<String>| name.as_ref().is_some_and(|name| seen.get(name.as_str()) > Some(&1));
        let judge = |(write, name): (Result<Write, SaveError>, &Option<String>)| match write {
            Ok(write) if double(name) => {
                let message = match self.key_of(&write) {
                    Some(key) => format!("Duplicate external id specified: {key}"),
                    None => "duplicate id in list".into(),
                };
                Err(SaveError::new("DUPLICATE_VALUE", message))
            }
            other => other,
        };
        writes.into_iter().zip(&names).map(judge).collect()
    }
}

fn locked_error(write: &Ready) -> SaveError {
    match write {
        Ready::Create { .. } => SaveError::locked(None),
        Ready::Update { id, .. } | Ready::Delete { id, .. } | Ready::Undelete { id, .. } => {
            SaveError::locked(Some(id.as_str()))
        }
    }
}

impl Transaction<'_> {
    fn apply(&mut self, write: Ready) -> Result<Saved, SaveError> {
        let saved = match write {
            Ready::Create { object, values } => self.create(object, values),
            Ready::Update { object, id, values } => self.update(object, id, values),
            Ready::Delete { object, id } => self.delete(object, id),
            Ready::Undelete { object, id } => self.undelete(object, id),
        }?;
        self.org.rows_written += 1;
        Ok(saved)
    }

    fn create(&mut self, object: ObjectIndex, mut values: Values) -> Result<Saved, SaveError> {
        let owner = self.org.schema.object(object).find("OwnerId").map(|(index, _)| index);
        if let Some(owner) = owner {
            values.entry(owner).or_insert_with(|| Json::String(self.caller.user.as_str().to_owned()));
        }
        values.retain(|_, value| !value.is_null());
        let missing: Vec<String> = {
            let fields = self.org.schema.object(object).fields();
            fields.filter(|(i, f)| f.required && !values.contains_key(i)).map(|(_, f)| f.name.clone()).collect()
        };
        require(missing)?;
        self.check_references(object, &values)?;
        self.check_unique(object, None, &values)?;
        let id = self.org.new_id(object);
        let (second, user) = (self.now.div_euclid(SECOND), self.caller.user.clone());
        let row = Row {
            id: id.clone(),
            values,
            created: second,
            created_by: user.clone(),
            modified: second,
            modified_by: user,
            deleted_in: None,
        };
        self.save(object, row, ChangeKind::Create, BTreeSet::new());
        Ok(Saved { id, created: true })
    }

    fn update(&mut self, object: ObjectIndex, id: Id, values: Values) -> Result<Saved, SaveError> {
        let mut row = self.live(object, &id)?;
        let missing = {
            let definition = self.org.schema.object(object);
            let cleared = values.iter().filter(|(_, value)| value.is_null()).map(|(i, _)| definition.field(*i));
            cleared.filter(|field| field.required).map(|field| field.name.clone()).collect()
        };
        require(missing)?;
        let changed: Values =
            values.into_iter().filter(|(field, value)| row.values.get(field).unwrap_or(&Json::Null) != value).collect();
        self.check_references(object, &changed)?;
        self.check_unique(object, Some(&id), &changed)?;
        if changed.is_empty() {
            self.org.duplicate_rows += 1;
        }
        let fields = changed.keys().copied().collect();
        for (field, value) in changed {
            set(&mut row, field, value);
        }
        self.save(object, row, ChangeKind::Update, fields);
        Ok(Saved { id, created: false })
    }

    /// Contacts go with their account; child accounts lose their parent.
    fn delete(&mut self, object: ObjectIndex, id: Id) -> Result<Saved, SaveError> {
        let mut row = self.live(object, &id)?;
        row.deleted_in = Some(self.number);
        self.save(object, row, ChangeKind::Delete, BTreeSet::new());
        for (child, field, cascades) in self.references_to(object) {
            for child_id in self.org.table(child).children(field, &id) {
                let Some(mut row) = self.org.table(child).live_row(&child_id).cloned() else { continue };
                if cascades {
                    row.deleted_in = Some(self.number);
                    self.save(child, row, ChangeKind::Delete, BTreeSet::new());
                } else {
                    set(&mut row, field, Json::Null);
                    self.save(child, row, ChangeKind::Update, BTreeSet::from([field]));
                }
            }
        }
        Ok(Saved { id, created: false })
    }

    /// Brings a record back, with what went with it; a parent that is still deleted is not referred to any more.
    fn undelete(&mut self, object: ObjectIndex, id: Id) -> Result<Saved, SaveError> {
        let Some(row) = self.org.table(object).get(&id).cloned() else { return Err(SaveError::unknown_id()) };
        let Some(deleted_in) = row.deleted_in else {
            return Err(SaveError::new("UNDELETE_FAILED", "entity is not in the recycle bin"));
        };
        let mut back = vec![(object, row)];
        for (child, field, cascades) in self.references_to(object) {
            let went_with =
                |row: &&Row| row.deleted_in == Some(deleted_in) && row.reference(field).as_ref() == Some(&id);
            if cascades {
                back.extend(self.org.table(child).rows().filter(went_with).cloned().map(|row| (child, row)));
            }
        }
        for (object, row) in &back {
            self.check_unique(*object, Some(&row.id), &row.values)?;
        }
        for (object, mut row) in back {
            row.deleted_in = None;
            let gone: Vec<FieldIndex> =
                row.values.keys().copied().filter(|field| self.refers_to_deleted(object, &row, *field)).collect();
            gone.into_iter().for_each(|field| set(&mut row, field, Json::Null));
            self.save(object, row, ChangeKind::Undelete, BTreeSet::new());
        }
        Ok(Saved { id, created: false })
    }

    fn live(&self, object: ObjectIndex, id: &Id) -> Result<Row, SaveError> {
        match self.org.table(object).get(id) {
            None => Err(SaveError::unknown_id()),
            Some(row) if row.deleted_in.is_some() => Err(SaveError::is_deleted()),
            Some(row) => Ok(row.clone()),
        }
    }

    /// Fields that refer to an object, and whether deleting the one deletes the other.
    fn references_to(&self, object: ObjectIndex) -> Vec<(ObjectIndex, FieldIndex, bool)> {
        let name = &self.org.schema.object(object).name;
        let mut found = Vec::new();
        for (child, definition) in self.org.schema.objects() {
            for (field, _) in
                definition.fields().filter(|(_, f)| matches!(&f.kind, Kind::Reference(to, _) if to == name))
            {
                found.push((child, field, child != object));
            }
        }
        found
    }

    fn refers_to_deleted(&self, object: ObjectIndex, row: &Row, field: FieldIndex) -> bool {
        let Kind::Reference(to, _) = &self.org.schema.object(object).field(field).kind else { return false };
        let Some((parent, _)) = self.org.schema.find(to) else { return false };
        row.reference(field).is_some_and(|id| self.org.table(parent).live_row(&id).is_none())
    }

    fn check_references(&self, object: ObjectIndex, values: &Values) -> Result<(), SaveError> {
        for (field, value) in values {
            let definition = self.org.schema.object(object).field(*field);
            let Kind::Reference(to, _) = &definition.kind else { continue };
            let Some(id) = value.as_str().and_then(Id::parse) else { continue };
            match self.org.schema.find(to) {
                None if self.org.user(&id).is_some() => {}
                None => return Err(SaveError::unknown_id().on(&definition.name)),
                Some((parent, _)) => match self.org.table(parent).get(&id) {
                    None => return Err(SaveError::unknown_id().on(&definition.name)),
                    Some(row) if row.deleted_in.is_some() => return Err(SaveError::is_deleted().on(&definition.name)),
                    Some(_) => {}
                },
            }
        }
        Ok(())
    }

    fn check_unique(&self, object: ObjectIndex, own: Option<&Id>, values: &Values) -> Result<(), SaveError> {
        for (field, value) in values {
            let definition = self.org.schema.object(object).field(*field);
            let Some(text) = value.as_str().filter(|_| definition.unique) else { continue };
            if let Some(other) = self.org.table(object).by_key(*field, text).into_iter().find(|id| Some(id) != own) {
                let name = &definition.name;
                let message =
                    format!("duplicate value found: {name} duplicates value on record with id: {}", other.short());
                return Err(SaveError::new("DUPLICATE_VALUE", message).on(name));
            }
        }
        Ok(())
    }

    /// Stores a row and notes what happened to it.
    fn save(&mut self, object: ObjectIndex, mut row: Row, kind: ChangeKind, fields: BTreeSet<FieldIndex>) {
        let before = self.org.table(object).get(&row.id).cloned();
        let user_changed = before.as_ref().is_some_and(|old| old.modified_by != self.caller.user);
        row.modified = self.now.div_euclid(SECOND);
        row.modified_by = self.caller.user.clone();
        match self.by_id.get(&row.id).and_then(|place| self.touched.get_mut(*place)) {
            Some(touch) => touch.join(kind, fields),
            None => {
                self.by_id.insert(row.id.clone(), self.touched.len());
                self.touched.push(Touch { object, id: row.id.clone(), kind: Some(kind), fields, user_changed });
                self.before.push((object, row.id.clone(), before));
            }
        }
        self.org.put(object, row);
    }

    fn roll_back(&mut self) {
        for (object, id, row) in std::mem::take(&mut self.before) {
            match row {
                Some(row) => self.org.put(object, row),
                None => self.org.remove(object, &id),
            }
        }
    }
}

fn set(row: &mut Row, field: FieldIndex, value: Json) {
    if value.is_null() {
        row.values.remove(&field);
    } else {
        row.values.insert(field, value);
    }
}

fn require(missing: Vec<String>) -> Result<(), SaveError> {
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("Required fields are missing: [{}]", missing.join(", "));
    Err(SaveError { fields: missing, ..SaveError::new("REQUIRED_FIELD_MISSING", message) })
}
