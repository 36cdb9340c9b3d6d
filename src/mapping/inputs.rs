//! What one event hands over to an action, or why it triggers none. Pure, like the mapping of records, and by the same rules;
//! but each event stands for itself: nothing is merged, and a record is read only for what its event does not say.

use std::collections::{BTreeMap, BTreeSet};

use super::compile;
use super::expression::Unevaluated;
use super::lookup::Replies;
use super::rule::{self, Given, Rule, Writing};
use super::view::View;
use super::{EXPRESSION_FAILED, Expression, Failure, Skip};
use crate::config::{ActionConfig, AnswerTo, Config, FireOn, OrderBy};
use crate::event::{ChangeKind, FieldName, FieldPath, ObjectName, Part, Record, Value};
use crate::privacy::ObjectPrivacy;

/// The code of a failed action: its event says that something changed, and not what.
pub const EVENT_HIDDEN: &str = "EVENT_HIDDEN";

/// The rules of one action. Made from a checked config.
#[derive(Debug, Clone)]
pub struct Inputs {
    pub source_object: ObjectName,
    /// What must be applied to whatever is read of the source object, before anything else sees it.
    pub privacy: ObjectPrivacy,
    when: Option<Expression>,
    fire_on: FireOn,
    rules: Vec<(FieldName, Rule)>,
    order_by: OrderBy,
    /// The field that names the record to which the answer goes.
    answers: Option<FieldPath>,
}

/// What comes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gives {
    Fires(Box<Fired>),
    Skipped(Skip),
    /// It is read what the event does not say.
    Needs,
    Failed(Failure),
}

/// What one event hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    pub inputs: BTreeMap<FieldName, Value>,
    /// Those of the same text are done one after the other.
    pub order: String,
    /// The value that names the record for the answer, where it is to be written.
    pub answers: Option<String>,
}

impl Inputs {
    pub fn new(action: &ActionConfig, config: &Config) -> Self {
        let rules = action.fields.iter().filter_map(|(name, rule)| Some((name.clone(), compile::asking_nobody(rule)?)));
        let rules: Vec<(FieldName, Rule)> = rules.collect();
        let org = config.orgs.get(&action.from.org);
        Self {
            source_object: action.from.object.clone(),
            privacy: org.map(|org| org.privacy.of(&action.from.object)).unwrap_or_default(),
            when: action.when.clone(),
            fire_on: action.fire_on.unwrap_or_else(|| unsaid(action.when.as_ref(), &rules)),
            rules,
            order_by: action.order_by.clone(),
            answers: match &action.answer {
                Some(AnswerTo::Record { id, .. }) => Some(id.clone()),
                Some(AnswerTo::Event { .. }) | None => None,
            },
        }
    }

    /// The source fields that a read must ask for.
    pub fn reads(&self) -> Vec<FieldPath> {
        let filter = self.when.iter().flat_map(Expression::reads);
        let rules = self.rules.iter().flat_map(|(_, rule)| rule.reads());
        let order = match &self.order_by {
            OrderBy::Field(path) => Some(path),
            OrderBy::Record | OrderBy::Channel => None,
        };
        let all = filter.chain(rules).chain(order).chain(&self.answers).filter(|path| path.as_str() != "Id");
        all.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// Of a platform event.
    pub fn of_event(&self, fields: &BTreeMap<String, Value>) -> Gives {
        self.judge(View::event(fields), None)
    }

    /// Of a change. `read`: its record, where that was read for what the change does not say.
    pub fn of_part(&self, part: &Part, read: Option<&Record>) -> Gives {
        let view = match (part.kind(), read) {
            (ChangeKind::GapOverflow, _) => return Gives::Skipped(Skip::NoRecord),
            // What is gone cannot be read: what its event does not say is empty.
            (ChangeKind::Delete | ChangeKind::GapDelete, _) => View::whole(part),
            (_, Some(record)) => View::over(part, record),
            (ChangeKind::GapCreate | ChangeKind::GapUpdate | ChangeKind::GapUndelete, None) => return Gives::Needs,
            (ChangeKind::Create | ChangeKind::Undelete, None) => View::whole(part),
            (ChangeKind::Update, None) => View::partial(part),
        };
        if part.kind() == ChangeKind::Update && !self.counts(&view) {
            return Gives::Skipped(Skip::NothingMapped);
        }
        self.judge(view, Some(part))
    }

    /// Whether the change says itself what changed, where it matters: else nobody can tell whether it is one that triggers.
    pub fn is_hidden(&self, part: &Part) -> bool {
        let hides = matches!(part.kind(), ChangeKind::GapUpdate);
        hides && self.fire_on != FireOn::Any
    }

    fn counts(&self, view: &View<'_>) -> bool {
        let mut condition = self.when.iter().flat_map(Expression::reads);
        let mut fields = self.rules.iter().flat_map(|(_, rule)| rule.reads());
        match self.fire_on {
            FireOn::Any => true,
            FireOn::Condition => condition.any(|path| view.changed(path)),
            FireOn::Fields => fields.any(|path| view.changed(path)),
        }
    }

    fn judge(&self, view: View<'_>, part: Option<&Part>) -> Gives {
        let view = view.hashing(self.privacy.hash_key());
        if let Some(when) = &self.when {
            match when.holds(&view) {
                Ok(true) | Err(Unevaluated::NoHeader) => {}
                Ok(false) => return Gives::Skipped(Skip::Filtered),
                Err(Unevaluated::Unknown(_)) => return Gives::Needs,
                Err(Unevaluated::Failed { reason, inputs }) => {
                    let reason = rule::failure(when, &reason, &inputs);
                    return Gives::Failed(Failure { code: EXPRESSION_FAILED, field: None, reason });
                }
            }
        }
        let mut inputs = BTreeMap::new();
        for (name, rule) in &self.rules {
            match rule.give(name, &view, Writing::Create, &Replies::new()) {
                Given::Value(value) => drop(inputs.insert(name.clone(), value)),
                Given::Unknown => return Gives::Needs,
                Given::Failed(failure) => return Gives::Failed(failure),
                // No rule of an action asks an org.
                Given::Left(_) | Given::Parents(_) | Given::Asks(_) | Given::Missing(_) => {}
            }
        }
        let order = match (&self.order_by, part) {
            (OrderBy::Channel, _) | (OrderBy::Record, None) => String::new(),
            (OrderBy::Record, Some(part)) => part.record.to_string(),
            (OrderBy::Field(path), _) => match view.value(path) {
                Some(value) => text(&value),
                None => return Gives::Needs,
            },
        };
        let answers = match self.answers.as_ref().map(|path| view.value(path)) {
            Some(None) => return Gives::Needs,
            Some(Some(value)) => Some(text(&value)),
            None => None,
        };
        Gives::Fires(Box::new(Fired { inputs, order, answers }))
    }
}

/// Which updates count where the config does not say.
fn unsaid(when: Option<&Expression>, rules: &[(FieldName, Rule)]) -> FireOn {
    let mut read = rules.iter().flat_map(|(_, rule)| rule.reads()).filter(|path| path.as_str() != "Id");
    match when {
        Some(when) if when.reads().iter().any(|path| path.as_str() != "Id") => FireOn::Condition,
        Some(_) | None if read.next().is_some() => FireOn::Fields,
        Some(_) | None => FireOn::Any,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null | Value::Compound(_) => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests;
