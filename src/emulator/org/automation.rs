//! What follows from a save: roll-ups of the parents, owners by assignment rules, duplicates that are found, and
//! flows that run some time later.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::check::coerce;
use super::error::SaveError;
use super::event::{ChangeKind, Touch};
use super::rules::{DuplicateRule, RollUpRule};
use super::save::set;
use super::schema::{FieldIndex, ObjectIndex, Summary};
use super::table::{Row, folded};
use super::transaction::Unit;
use super::{Caller, Id, Org, Values};

/// Flows that set one another going end after so many.
const DEPTH: u32 = 5;

/// A flow that will run.
#[derive(Debug)]
pub(super) struct Waiting {
    object: ObjectIndex,
    flow: usize,
    id: Id,
    depth: u32,
}

impl Org {
    /// Brings the roll-ups of a record's parents up to date: the ones that it had and the ones that it has.
    pub(super) fn roll_up(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        object: ObjectIndex,
        old: Option<&Row>,
        id: &Id,
    ) -> Result<(), SaveError> {
        let rules = self.rules(object).clone();
        if rules.roll_ups.is_empty() {
            return Ok(());
        }
        let new = self.table(object).share(id).filter(|row| row.deleted_in.is_none());
        for rule in &rules.roll_ups {
            let had = old.and_then(|row| row.reference(rule.by));
            let has = new.as_ref().and_then(|row| row.reference(rule.by));
            let value = |row: Option<&Row>| rule.field.and_then(|field| row?.values.get(&field).cloned());
            if had == has && value(old) == value(new.as_deref()) {
                continue;
            }
            let parents: BTreeSet<Id> = had.into_iter().chain(has).collect();
            for parent in parents {
                self.roll_up_into(unit, caller, object, rule, &parent)?;
            }
        }
        Ok(())
    }

    fn roll_up_into(
        &mut self,
        unit: &mut Unit,
        caller: &Caller,
        child: ObjectIndex,
        rule: &RollUpRule,
        parent: &Id,
    ) -> Result<(), SaveError> {
        let Some(row) = self.table(rule.parent).share(parent).filter(|row| row.deleted_in.is_none()) else {
            return Ok(()); // it goes in the same transaction
        };
        self.lock(unit, parent)?;
        let figure = self.figure(child, rule, parent);
        if row.values.get(&rule.target) == Some(&figure) {
            return Ok(());
        }
        let mut row = Row::clone(&row);
        set(&mut row, Some(rule.target), figure);
        self.save(unit, caller, rule.parent, row, ChangeKind::Update, BTreeSet::from([rule.target]));
        Ok(())
    }

    fn figure(&self, child: ObjectIndex, rule: &RollUpRule, parent: &Id) -> Json {
        let table = self.table(child);
        if rule.summary == Summary::Count {
            return json!(table.child_count(rule.by, parent));
        }
        let rows = table.children(rule.by, parent).filter_map(|id| table.get(id));
        let numbers = rows.filter_map(|row| row.values.get(&rule.field?)?.as_f64());
        let figure = match rule.summary {
            Summary::Count => None,
            Summary::Sum => Some(numbers.sum()),
            Summary::Min => numbers.reduce(f64::min),
            Summary::Max => numbers.reduce(f64::max),
        };
        // Two places behind the point, as the fields that are summed up have.
        // The sum of nothing is a negative zero to the machine, and 0 to everybody else.
        figure.map_or(Json::Null, |figure: f64| json!((figure * 100.0).round() / 100.0 + 0.0))
    }

    /// The owner that the object's assignment rules give to a new record.
    pub(super) fn assigned_owner(&self, object: ObjectIndex, row: &Row) -> Option<Id> {
        let definition = self.schema.object(object);
        let holds = |entry: &&super::rules::Assignment| {
            entry.when.as_ref().is_none_or(|when| when.holds(definition, row, None))
        };
        self.rules(object).assignments.iter().find(holds).map(|entry| entry.owner.clone())
    }

    /// Refuses a record that a duplicate rule finds twice, unless the rule only alerts and the caller wants it so.
    pub(super) fn check_duplicates(
        &self,
        caller: &Caller,
        object: ObjectIndex,
        row: &Row,
        old: Option<&Row>,
        changed: &BTreeSet<FieldIndex>,
    ) -> Result<(), SaveError> {
        let definition = self.schema.object(object);
        for rule in &self.rules(object).duplicates {
            let passes = !rule.blocks && (caller.allow_duplicates || caller.system);
            let touched = rule.fields.iter().any(|field| changed.contains(field));
            if passes || !touched || rule.when.as_ref().is_some_and(|when| !when.holds(definition, row, old)) {
                continue;
            }
            let found = self.duplicates(object, rule, row);
            if !found.is_empty() {
                let error = SaveError::new("DUPLICATES_DETECTED", rule.message.as_str());
                let result = self.duplicate_result(object, rule, &found);
                return Err(SaveError { duplicates: Some(Box::new(result)), ..error });
            }
        }
        Ok(())
    }

    fn duplicates(&self, object: ObjectIndex, rule: &DuplicateRule, row: &Row) -> Vec<Id> {
        let form = |row: &Row, field: &FieldIndex| match row.values.get(field) {
            Some(Json::String(text)) => Some(folded(text)),
            Some(other) => Some(other.to_string()),
            None => None,
        };
        let wanted: Option<Vec<String>> = rule.fields.iter().map(|field| form(row, field)).collect();
        let Some(wanted) = wanted else { return Vec::new() }; // empty fields match nothing
        let definition = self.schema.object(object);
        let table = self.table(object);
        let same = |other: &&Row| {
            other.deleted_in.is_none()
                && other.id != row.id
                && rule.fields.iter().zip(&wanted).all(|(field, wanted)| form(other, field).as_ref() == Some(wanted))
        };
        // One of the fields may be in an index, as an e-mail address is.
        let indexed = rule.fields.iter().zip(&wanted).find(|(field, _)| definition.field(**field).lookup_key);
        match indexed {
            Some((field, key)) => {
                let ids = table.by_key(*field, key);
                ids.iter().filter_map(|id| table.get(id)).filter(same).map(|row| row.id.clone()).collect()
            }
            None => table.rows().filter(same).map(|row| row.id.clone()).collect(),
        }
    }

    fn duplicate_result(&self, object: ObjectIndex, rule: &DuplicateRule, found: &[Id]) -> Json {
        let name = &self.schema.object(object).name;
        let record = |id: &Id| {
            json!({"additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100.0, "record": {
                "attributes": {"type": name, "url": format!("/services/data/v66.0/sobjects/{name}/{id}")},
                "Id": id.as_str()}})
        };
        json!({"allowSave": !rule.blocks, "duplicateRule": rule.name, "duplicateRuleEntityType": name,
            "errorMessage": rule.message, "matchResults": [{"entityType": name, "errors": [],
            "matchEngine": "ExactMatchEngine", "matchRecords": found.iter().map(record).collect::<Vec<_>>(),
            "rule": format!("{}_Match", rule.name), "size": found.len(), "success": true}]})
    }

    /// Notes the flows that the records of a transaction set going.
    pub(super) fn start_flows(&mut self, touched: &[Touch], depth: u32, now: i64) {
        if depth >= DEPTH {
            return;
        }
        let mut started = Vec::new();
        for touch in touched {
            let flows = &self.rules(touch.object).flows;
            if flows.is_empty() {
                continue;
            }
            let Some(row) = self.table(touch.object).live_row(&touch.id) else { continue };
            if self.is_person_contact(touch.object, row) {
                continue;
            }
            let definition = self.schema.object(touch.object);
            for (place, flow) in flows.iter().enumerate() {
                let fits = match touch.kind {
                    Some(ChangeKind::Create) => flow.on.create,
                    Some(ChangeKind::Update) => flow.on.update,
                    _ => false,
                };
                let old = touch.before.as_deref();
                if fits && flow.when.as_ref().is_none_or(|when| when.holds(definition, row, old)) {
                    let after = i64::try_from(flow.after.as_micros()).unwrap_or(i64::MAX / 4);
                    let waiting = Waiting { object: touch.object, flow: place, id: touch.id.clone(), depth: depth + 1 };
                    started.push((now.saturating_add(after), waiting));
                }
            }
        }
        for (due, waiting) in started {
            self.flows_started += 1;
            self.waiting_flows.insert((due, self.flows_started), waiting);
        }
    }

    /// When the next flow is due.
    pub fn next_flow(&self) -> Option<i64> {
        self.waiting_flows.keys().next().map(|(due, _)| *due)
    }

    /// Runs the flows that are due, each in a transaction of its own; how many ran.
    pub fn run_flows(&mut self, now: i64) -> usize {
        let mut ran = 0;
        while let Some(entry) = self.waiting_flows.first_entry().filter(|entry| entry.key().0 <= now) {
            let waiting = entry.remove();
            self.run_flow(&waiting, now);
            ran += 1;
        }
        ran
    }

    /// Runs all flows that wait, whenever they are due, and those that follow from them.
    pub fn finish_flows(&mut self, now: i64) {
        while let Some((_, waiting)) = self.waiting_flows.pop_first() {
            self.run_flow(&waiting, now);
        }
    }

    fn run_flow(&mut self, waiting: &Waiting, now: i64) {
        let rules = self.rules(waiting.object).clone();
        let Some(flow) = rules.flows.get(waiting.flow) else { return };
        let Some(row) = self.table(waiting.object).share(&waiting.id).filter(|row| row.deleted_in.is_none()) else {
            return;
        };
        let definition = self.schema.object(waiting.object);
        let mut values = Values::new();
        for (field, assigned) in &flow.set {
            let value = assigned.value(definition, &row, now);
            if let Ok(value) = coerce(&self.schema, definition.field(*field), &value) {
                values.insert(*field, value);
            }
        }
        if values.iter().all(|(field, value)| row.values.get(field).unwrap_or(&Json::Null) == value) {
            return;
        }
        let caller = Caller { depth: waiting.depth, ..Caller::system(self.automated_process.clone(), "") };
        let mut unit = self.begin(now);
        match self.update(&mut unit, &caller, waiting.object, &waiting.id, values) {
            Ok(_) => self.commit(unit, &caller),
            // A flow that faults changes nothing; the org would send its admin an e-mail.
            Err(_) => self.roll_back(unit),
        }
    }

    pub(super) fn share_row(&self, id: &Id) -> Option<(ObjectIndex, Arc<Row>)> {
        let (object, _) = self.schema.of_id(id)?;
        Some((object, self.table(object).share(id)?))
    }
}
