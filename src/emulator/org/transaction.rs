//! One request is one transaction: its writes, what they drag along, and the events of all of it.
//!
//! Each record is touched at most once in the events of a transaction: several changes collapse into one, of the
//! first kind and with the final data (streaming-cometd.md section 15). A [`Unit`] can span several requests, as a
//! composite with `allOrNone` does: it is committed or rolled back as a whole.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::error::SaveError;
use super::event::{ChangeKind, Touch};
use super::prepare::Ready;
use super::schema::{FieldIndex, ObjectIndex, ObjectKind, Schema};
use super::{Caller, Id, Org, Row, Saved, Write};

/// Records of one type that Apex sees together.
const CHUNK: usize = 200;

/// How a request wants its records treated.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Any error takes back everything.
    pub all_or_none: bool,
    /// A record that is malformed (unknown field, wrong JSON type) fails alone instead of failing the request.
    pub malformed_fails_alone: bool,
    /// External ids that differ in case are two, whatever their field says.
    pub doubles_by_case: bool,
    /// Records, by their place, whose lock is not to be had.
    pub locked: Vec<bool>,
}

/// What a transaction has done so far, and how to take it back.
#[derive(Debug, Default)]
pub struct Unit {
    pub(super) number: u64,
    pub(super) now: i64,
    pub(super) touched: Vec<Touch>,
    by_id: HashMap<Id, usize>,
    undo: Vec<Undo>,
    /// Records whose lock this transaction has.
    locked: HashSet<Id>,
    rows: u64,
    duplicates: u64,
}

#[derive(Debug)]
struct Undo {
    object: ObjectIndex,
    id: Id,
    row: Option<Arc<Row>>,
    /// What was known of the record before; `None`: nothing.
    touch: Option<Touch>,
}

/// A place in a transaction to go back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(usize);

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
        let mut unit = self.begin(now);
        let results = self.run(&mut unit, caller, writes, options);
        match results {
            Ok(results) => {
                self.commit(unit, caller);
                Ok(results)
            }
            Err(error) => {
                self.roll_back(unit);
                Err(error)
            }
        }
    }

    /// A transaction that is to be committed or rolled back.
    pub fn begin(&mut self, now: i64) -> Unit {
        self.transactions += 1;
        Unit { number: self.transactions, now, ..Unit::default() }
    }

    /// Does writes within a transaction.
    ///
    /// # Errors
    /// When one write is malformed and that fails the request: then nothing of it was done.
    pub fn run(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        writes: Vec<Result<Write, SaveError>>,
        options: &Options,
    ) -> Result<Vec<Result<Saved, SaveError>>, SaveError> {
        let writes = self.without_doubles(writes, options.doubles_by_case);
        let mut ready = Vec::with_capacity(writes.len());
        for (place, write) in writes.into_iter().enumerate() {
            let prepared = write.and_then(|write| {
                self.prepare(caller, write).map_err(|error| if error.malformed { error.within(place) } else { error })
            });
            if let Err(error) = &prepared
                && error.malformed
                && !options.malformed_fails_alone
            {
                return Err(error.clone());
            }
            let locked = options.locked.get(place) == Some(&true);
            ready.push(prepared.and_then(|write| if locked { Err(locked_error(&write)) } else { Ok(write) }));
        }
        let (start, counted) = (unit.mark(), (unit.rows, unit.duplicates));
        let mut results = Vec::with_capacity(ready.len());
        for chunk in chunks(ready) {
            results.extend(self.run_chunk(unit, caller, chunk));
        }
        if options.all_or_none && results.iter().any(Result::is_err) {
            self.back_to(unit, start);
            (unit.rows, unit.duplicates) = counted;
            for result in &mut results {
                if result.is_ok() {
                    *result = Err(SaveError::rolled_back());
                }
            }
        }
        Ok(results)
    }

    /// Publishes what the transaction did, and sets its flows going.
    pub fn commit(&mut self, unit: Unit, caller: &Caller) {
        self.rows_written += unit.rows;
        self.duplicate_rows += unit.duplicates;
        if self.transaction_time > 0 {
            let until = unit.now + self.transaction_time;
            unit.touched
                .iter()
                .map(|touch| &touch.id)
                .chain(&unit.locked)
                .for_each(|id| self.locks.hold_until(id, until));
        }
        self.start_flows(&unit.touched, caller.depth, unit.now);
        self.publish(caller, unit.touched, unit.now);
    }

    /// Takes everything back.
    pub fn roll_back(&mut self, mut unit: Unit) {
        self.back_to(&mut unit, Mark(0));
    }

    fn run_chunk(&mut self, unit: &mut Unit, caller: &Caller, chunk: Chunk) -> Vec<Result<Saved, SaveError>> {
        let (start, counted, size) = (unit.mark(), (unit.rows, unit.duplicates), chunk.len());
        let mut results = Vec::with_capacity(size);
        for write in chunk {
            let mark = unit.mark();
            let result = write.and_then(|write| self.apply(unit, caller, write));
            match &result {
                Ok(_) => unit.rows += 1,
                Err(_) => self.back_to(unit, mark),
            }
            let uncaught = result.as_ref().err().filter(|error| error.whole_chunk).cloned();
            results.push(result);
            if let Some(error) = uncaught {
                // As from an exception that no trigger catches: nobody in the chunk is saved.
                self.back_to(unit, start);
                (unit.rows, unit.duplicates) = counted;
                results.resize(size, Err(error.clone()));
                results.iter_mut().filter(|result| result.is_ok()).for_each(|result| *result = Err(error.clone()));
                break;
            }
        }
        results
    }

    fn apply(&mut self, unit: &mut Unit, caller: &Caller, write: Ready) -> Result<Saved, SaveError> {
        self.may_write(caller, &write)?;
        let object = self.schema.object(write.object());
        if let Some(earlier) = unit.unfit(&self.schema, object.kind).filter(|_| !caller.system) {
            return Err(SaveError::mixed(&object.name, &self.schema.object(earlier).name));
        }
        match write {
            Ready::Create { object, values } => self.create(unit, caller, object, values),
            Ready::Update { object, id, values } => self.update(unit, caller, object, &id, values),
            Ready::Delete { object, id } => self.delete(unit, caller, object, &id),
            Ready::Undelete { object, id } => self.undelete(unit, caller, object, &id),
        }
    }

    /// Object permissions; sharing is checked where the record is found.
    fn may_write(&self, caller: &Caller, write: &Ready) -> Result<(), SaveError> {
        if caller.system {
            return Ok(());
        }
        let access = self.object_access(&caller.user, write.object());
        let allowed = match write {
            Ready::Create { .. } => access.create,
            Ready::Update { .. } => access.edit,
            Ready::Delete { .. } | Ready::Undelete { .. } => access.delete,
        };
        match (allowed, write) {
            (true, _) => Ok(()),
            (false, Ready::Create { object, .. }) => {
                let name = &self.schema.object(*object).name;
                Err(SaveError::new("INSUFFICIENT_ACCESS", format!("insufficient access rights on entity: {name}")))
            }
            (false, _) => Err(SaveError::no_access()),
        }
    }

    /// Takes the lock of a record for the rest of the transaction.
    pub(super) fn lock(&mut self, unit: &mut Unit, id: &Id) -> Result<(), SaveError> {
        if unit.locked.contains(id) {
            return Ok(());
        }
        if self.locks.refuses(id, unit.now) {
            return Err(SaveError::locked(Some(id.as_str())));
        }
        unit.locked.insert(id.clone());
        Ok(())
    }

    /// Stores a row and notes what happened to it.
    pub(super) fn save(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        object: ObjectIndex,
        mut row: Row,
        kind: ChangeKind,
        fields: BTreeSet<FieldIndex>,
    ) {
        let before = self.table(object).share(&row.id);
        row.modified = unit.now.div_euclid(super::time::SECOND);
        row.modified_by = caller.user.clone();
        let known = unit.by_id.get(&row.id).copied();
        let touch = known.and_then(|place| unit.touched.get(place)).cloned();
        unit.undo.push(Undo { object, id: row.id.clone(), row: before.clone(), touch });
        match known.and_then(|place| unit.touched.get_mut(place)) {
            Some(touch) => touch.join(kind, fields),
            None => {
                let user_changed = before.as_ref().is_some_and(|old| old.modified_by != caller.user);
                unit.by_id.insert(row.id.clone(), unit.touched.len());
                unit.touched.push(Touch { object, id: row.id.clone(), kind: Some(kind), fields, user_changed, before });
            }
        }
        if self.schema.object(object).name == "User" {
            self.follow_user(&row);
        }
        self.put(object, Arc::new(row));
    }

    pub(super) fn note_duplicate(unit: &mut Unit) {
        unit.duplicates += 1;
    }

    fn back_to(&mut self, unit: &mut Unit, mark: Mark) {
        while unit.undo.len() > mark.0 {
            let Some(undo) = unit.undo.pop() else { return };
            match undo.touch {
                Some(touch) => {
                    if let Some(known) = unit.by_id.get(&undo.id).and_then(|place| unit.touched.get_mut(*place)) {
                        *known = touch;
                    }
                }
                None => {
                    unit.by_id.remove(&undo.id);
                    unit.touched.pop(); // touches are undone in the reverse order of their coming
                }
            }
            match undo.row {
                Some(row) => self.put(undo.object, row),
                None => self.remove(undo.object, &undo.id),
            }
        }
    }

    /// The same external id, or the same id, twice in one request fails every record that has it.
    fn without_doubles(&self, writes: Vec<Result<Write, SaveError>>, by_case: bool) -> Vec<Result<Write, SaveError>> {
        if writes.len() < 2 {
            return writes;
        }
        let names: Vec<Option<String>> = writes
            .iter()
            .map(|write| match write.as_ref().ok()? {
                Write::Upsert { object, key, fields } => {
                    let folded = self.key_of(*object, *key, fields)?;
                    if by_case { Some(self.given_key(*object, *key, fields).unwrap_or(folded)) } else { Some(folded) }
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
                let message = match &write {
                    Write::Upsert { object, key, fields } => {
                        let given = self.given_key(*object, *key, fields);
                        format!("Duplicate external id specified: {}", given.unwrap_or_default())
                    }
                    _ => "duplicate id in list".into(),
                };
                Err(SaveError::new("DUPLICATE_VALUE", message))
            }
            other => other,
        };
        writes.into_iter().zip(&names).map(judge).collect()
    }
}

impl Unit {
    /// The object of a record that this transaction changed and that cannot be changed together with this kind.
    fn unfit(&self, schema: &Schema, kind: ObjectKind) -> Option<ObjectIndex> {
        let setup = kind == ObjectKind::Setup;
        let differs = |touch: &&Touch| (schema.object(touch.object).kind == ObjectKind::Setup) != setup;
        self.touched.iter().find(differs).map(|touch| touch.object)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.undo.len())
    }
}

type Chunk = Vec<Result<Ready, SaveError>>;

/// Runs of one object, at most 200 records each; what is already refused belongs to the run around it.
fn chunks(writes: Vec<Result<Ready, SaveError>>) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut last = None;
    for write in writes {
        let object = write.as_ref().ok().map(Ready::object);
        let fits = object.is_none() || last.is_none() || object == last;
        match chunks.last_mut().filter(|chunk| fits && chunk.len() < CHUNK) {
            Some(chunk) => chunk.push(write),
            None => chunks.push(vec![write]),
        }
        last = object.or(last);
    }
    chunks
}

fn locked_error(write: &Ready) -> SaveError {
    match write {
        Ready::Create { .. } => SaveError::locked(None),
        Ready::Update { id, .. } | Ready::Delete { id, .. } | Ready::Undelete { id, .. } => {
            SaveError::locked(Some(id.as_str()))
        }
    }
}
