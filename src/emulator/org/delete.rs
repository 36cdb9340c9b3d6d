//! Deleting a record, with what goes with it; bringing it back; and emptying the recycle bin.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde_json::Value as Json;

use super::error::SaveError;
use super::event::ChangeKind;
use super::save::set;
use super::schema::{Child, FieldIndex, ObjectIndex};
use super::table::Row;
use super::transaction::Unit;
use super::{Caller, Id, Org, Saved};

impl Org {
    /// Details go with their master; other children lose their parent, or hold it.
    pub(super) fn delete(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        object: ObjectIndex,
        id: &Id,
    ) -> Result<Saved, SaveError> {
        let row = self.live(caller, object, id)?;
        if !caller.system && !self.can_edit_row(&caller.user, object, &row) {
            return Err(SaveError::no_access());
        }
        self.deleted_alone(object, &row)?;
        self.delete_row(unit, caller, object, &row)?;
        Ok(Saved { id: id.clone(), created: false })
    }

    fn delete_row(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        object: ObjectIndex,
        row: &Arc<Row>,
    ) -> Result<(), SaveError> {
        self.lock(unit, &row.id)?;
        self.before_delete(object, row, unit.now)?;
        let children = self.children_of(object, &row.id);
        let holds = |(child, _): &&(Child, Id)| {
            self.schema.object(child.object).field(child.field).reference().is_some_and(|to| to.restricts)
        };
        if let Some((child, _)) = children.iter().find(holds) {
            let same = |(other, _): &&(Child, Id)| (other.object, other.field) == (child.object, child.field);
            let message = format!(
                "Your attempt to delete {} could not be completed because it is associated with the following {}: {}",
                row.id.short(),
                self.schema.object(child.object).label_plural,
                children.iter().filter(same).map(|(_, id)| id.short()).collect::<Vec<_>>().join(", "),
            );
            return Err(SaveError::new("DELETE_FAILED", message));
        }
        let mut gone = Row::clone(row);
        gone.deleted_in = Some(unit.number);
        self.save(unit, caller, object, gone, ChangeKind::Delete, BTreeSet::new());
        for (child, child_id) in children {
            let Some(row) = self.table(child.object).share(&child_id).filter(|row| row.deleted_in.is_none()) else {
                continue; // it went with another child
            };
            if child.cascades {
                self.delete_row(unit, caller, child.object, &row)?;
            } else {
                let mut row = Row::clone(&row);
                set(&mut row, Some(child.field), Json::Null);
                self.save(unit, caller, child.object, row, ChangeKind::Update, BTreeSet::from([child.field]));
            }
        }
        self.roll_up(unit, caller, object, Some(row), &row.id)
    }

    /// Brings a record back, with what went with it; a parent that is still deleted is not referred to any more.
    pub(super) fn undelete(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        object: ObjectIndex,
        id: &Id,
    ) -> Result<Saved, SaveError> {
        if let Some((accounts, account)) = self.account_of_person(object, id) {
            self.undelete(unit, caller, accounts, &account)?;
            return Ok(Saved { id: id.clone(), created: false });
        }
        let Some(row) = self.table(object).share(id) else { return Err(SaveError::unknown_id()) };
        let Some(deleted_in) = row.deleted_in else {
            return Err(SaveError::new("UNDELETE_FAILED", "entity is not in the recycle bin"));
        };
        let mut back = vec![(object, row)];
        // Records can take each other along, or one another by two ways.
        let mut known = HashSet::from([id.clone()]);
        let mut next = 0;
        while let Some((object, row)) = back.get(next).cloned() {
            next += 1;
            for child in self.schema.object(object).children.iter().filter(|child| child.cascades) {
                let went_with = |child_row: &&Row| {
                    child_row.deleted_in == Some(deleted_in)
                        && child_row.reference(child.field).as_ref() == Some(&row.id)
                };
                let found = self.table(child.object).rows().filter(went_with);
                let new: Vec<Row> = found.filter(|row| known.insert(row.id.clone())).cloned().collect();
                back.extend(new.into_iter().map(|row| (child.object, Arc::new(row))));
            }
        }
        for (object, row) in &back {
            self.check_unique(*object, row, &row.values.keys().copied().collect())?;
        }
        let ids: Vec<(ObjectIndex, Id)> = back.iter().map(|(object, row)| (*object, row.id.clone())).collect();
        for (object, row) in back {
            let mut row = Row::clone(&row);
            row.deleted_in = None;
            // Who comes back after a merge is a record of its own again.
            set(&mut row, self.schema.object(object).find("MasterRecordId").map(|(index, _)| index), Json::Null);
            let stays = |field: FieldIndex| row.reference(field).is_some_and(|id| known.contains(&id));
            let gone = row.values.keys().copied().filter(|field| self.refers_to_deleted(object, &row, *field));
            let gone: Vec<FieldIndex> = gone.filter(|field| !stays(*field)).collect();
            gone.into_iter().for_each(|field| set(&mut row, Some(field), Json::Null));
            self.save(unit, caller, object, row, ChangeKind::Undelete, BTreeSet::new());
        }
        for (object, id) in ids {
            self.roll_up(unit, caller, object, None, &id)?;
        }
        Ok(Saved { id: id.clone(), created: false })
    }

    /// Takes a deleted record out for good, without an event; whether it was there.
    pub fn purge(&mut self, id: &Id) -> bool {
        let Some((object, _)) = self.share_row(id).filter(|(_, row)| row.deleted_in.is_some()) else { return false };
        if let Some((contacts, contact)) = self.contact_of_person(object, id) {
            self.remove(contacts, &contact);
        }
        self.remove(object, id);
        true
    }

    /// Takes deleted records out for good, without an event; how many there were.
    pub fn empty_recycle_bin(&mut self) -> usize {
        let mut purged = 0;
        let objects: Vec<ObjectIndex> = self.schema.objects().map(|(index, _)| index).collect();
        for object in objects {
            let rows = self.table(object).rows().filter(|row| row.deleted_in.is_some());
            let gone: Vec<(Id, i64)> = rows.map(|row| (row.id.clone(), row.modified)).collect();
            purged += gone.len();
            for (id, deleted) in gone {
                self.remove(object, &id);
                self.forgotten = self.forgotten.max(Some(deleted));
            }
        }
        purged
    }

    /// The latest deletion, in seconds, that nobody can be told of any more because the recycle bin was emptied.
    pub fn forgotten_deletion(&self) -> Option<i64> {
        self.forgotten
    }

    /// The live records that refer to a record, with how they do it.
    pub(super) fn children_of(&self, object: ObjectIndex, id: &Id) -> Vec<(Child, Id)> {
        let mut found = Vec::new();
        for child in &self.schema.object(object).children {
            found.extend(self.table(child.object).children(child.field, id).map(|id| (child.clone(), id.clone())));
        }
        found
    }

    fn refers_to_deleted(&self, object: ObjectIndex, row: &Row, field: FieldIndex) -> bool {
        if self.schema.object(object).field(field).reference().is_none() {
            return false;
        }
        let Some(id) = row.reference(field) else { return false };
        let found = self.schema.of_id(&id).and_then(|(index, _)| self.table(index).live_row(&id));
        found.is_none()
    }
}
