//! What one change, or one record that was read, becomes in the target. Pure: all that it needs to know is handed in.
//!
//! A CREATE, an UNDELETE and a read are whole: every mapped field is written, empty ones as null. An UPDATE is partial:
//! only what changed. What cannot be judged on the part alone is answered with [`Mapped::Needs`].
//!
//! `expression` is the language of conditions and computed fields, `rule` one field's rule, `types` what the target's fields
//! take, `view` what is known of a record at the moment; `parents` are records that other pipelines write, `lookup` finds all
//! others by asking. `person` is what is special about accounts that are contacts, too.

mod compile;
pub mod expression;
mod inputs;
mod known;
mod lookup;
mod parents;
pub mod person;
mod rule;
mod stored;
mod trace;
mod types;
mod view;

use std::collections::BTreeMap;

pub use compile::Mapping;
use expression::Unevaluated;
pub use expression::{Expression, ExpressionProblem};
pub use inputs::{EVENT_HIDDEN, Fired, Gives, Inputs};
pub use known::{Known, LinkState};
pub use lookup::{Ask, Asked, Only, Replies, Reply};
use parents::Parents;
pub use rule::Left;
use rule::{Fill, Given, Rule, Writing};
pub use trace::{Gave, Traced, WhyRead};
pub use types::{Kind, Types};
use view::View;

use crate::config::{IfMissing, NoLongerMatching, OnDelete, OnUndelete};
use crate::event::{ChangeKind, FieldName, Header, Part, Record, RecordId};
use crate::publish::{Body, Cell, Cover, Key, Manner, Write};
use crate::store::Parent;

/// What mapping says of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapped {
    Write(Box<Write>),
    /// It cannot be judged yet.
    Needs(Needs),
    /// Nothing is to be written, and why.
    Skipped(Skip),
    /// It can never be written as it is: a failed record.
    Failed(Failure),
    /// It is not to be written before what a lookup leads to is there.
    Waits(Failure),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// The whole record as the source has it now.
    Record,
    /// What lookups lead to. It is asked together with the whole record, as the source has it then.
    Lookups,
    /// The target record that holds this key value, if any: a delete without a link.
    TargetOf { key: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// None of the fields that changed is mapped.
    NothingMapped,
    /// It does not match `when`.
    Filtered,
    /// `on_delete: ignore`.
    DeleteIgnored,
    /// `on_undelete: ignore`.
    UndeleteIgnored,
    /// A delete of a record that never had a counterpart, and whose key does not follow from its id.
    NeverLinked,
    /// A delete of a record without a link: whatever holds its key in the target was not created by the bridge, as far as it
    /// knows, and only what it created may go (`may_delete: created`).
    NotCreated,
    /// The event names no record; it is a gap.
    NoRecord,
}

impl Skip {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NothingMapped,
        Self::Filtered,
        Self::DeleteIgnored,
        Self::UndeleteIgnored,
        Self::NeverLinked,
        Self::NotCreated,
        Self::NoRecord,
    ];

    /// As the history of a record keeps it.
    pub fn code(self) -> &'static str {
        match self {
            Self::NothingMapped => "NOTHING_MAPPED",
            Self::Filtered => "FILTERED",
            Self::DeleteIgnored => "DELETE_IGNORED",
            Self::UndeleteIgnored => "UNDELETE_IGNORED",
            Self::NeverLinked => "NEVER_LINKED",
            Self::NotCreated => "NOT_CREATED",
            Self::NoRecord => "NO_RECORD",
        }
    }
}

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NothingMapped => "nothing that is mapped changed",
            Self::Filtered => "it does not match `when`",
            Self::DeleteIgnored => "deletes are ignored (on_delete: ignore)",
            Self::UndeleteIgnored => "what comes back is left deleted (on_undelete: ignore)",
            Self::NeverLinked => "it was never written, so there is nothing to delete",
            Self::NotCreated => {
                "a record with its key in the target is kept, for the bridge is not known to have created it \
                 (may_delete: created)"
            }
            Self::NoRecord => "the event names no record: it is a gap",
        })
    }
}

/// Why a record cannot be written as it is mapped. Names fields and expressions, never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: &'static str,
    /// None: the pipeline's `when`.
    pub field: Option<FieldName>,
    pub reason: String,
}

/// A whole write without a value for the key field cannot find its counterpart.
pub const KEY_EMPTY: &str = "KEY_EMPTY";
/// A compound field was mapped as one; only its parts can be written.
pub const COMPOUND_VALUE: &str = "COMPOUND_VALUE";
/// A table has neither an entry for the value nor a default.
pub const NO_TABLE_ENTRY: &str = "NO_TABLE_ENTRY";
/// A value that cannot become what the target's field takes.
pub const TYPE_MISMATCH: &str = "TYPE_MISMATCH";
/// An expression has no result for this record.
pub const EXPRESSION_FAILED: &str = "EXPRESSION_FAILED";

/// A lookup leads to several records of the target.
pub const LOOKUP_AMBIGUOUS: &str = "LOOKUP_AMBIGUOUS";

/// Whether a record is one of those that the pipeline writes.
enum Matching {
    Yes,
    No,
    /// Only the whole record can tell.
    Unknown,
    Failed(Failure),
}

impl Mapping {
    /// What a journaled part becomes. `cover` is what the write will settle.
    pub fn apply(&self, part: &Part, known: &Known<'_>, cover: Cover) -> Mapped {
        match part.kind() {
            ChangeKind::Undelete | ChangeKind::GapUndelete if self.publishing.on_undelete == OnUndelete::Ignore => {
                Mapped::Skipped(Skip::UndeleteIgnored)
            }
            ChangeKind::Undelete if self.publishing.on_undelete == OnUndelete::Restore => {
                let view = self.view(View::whole(part));
                match self.matching(&view) {
                    Matching::No => self.not_matching(&view, &known.unlinked(), cover),
                    // Beside the read its counterpart is looked for in the bin.
                    Matching::Yes | Matching::Unknown | Matching::Failed(_) => Mapped::Needs(Needs::Record),
                }
            }
            ChangeKind::Create => self.whole(&self.view(View::whole(part)), known, cover),
            // The old counterpart is gone, or goes soon: the link is renewed by the key.
            ChangeKind::Undelete => self.whole(&self.view(View::whole(part)), &known.unlinked(), cover),
            ChangeKind::Update => self.partial(&self.view(View::partial(part)), known, cover),
            ChangeKind::Delete | ChangeKind::GapDelete => self.delete(part.record, known, cover),
            ChangeKind::GapCreate | ChangeKind::GapUpdate | ChangeKind::GapUndelete => Mapped::Needs(Needs::Record),
            ChangeKind::GapOverflow => Mapped::Skipped(Skip::NoRecord),
        }
    }

    /// What a record that was read becomes. `header` is of the event that it was read for; none where it was read for
    /// several, or for none: then no condition on who or what made the change leaves it out.
    pub fn apply_read(&self, record: &Record, header: Option<&Header>, known: &Known<'_>, cover: Cover) -> Mapped {
        self.whole(&self.view(View::read(record, header)), known, cover)
    }

    /// What a record becomes that a read found deleted.
    pub fn apply_deleted(&self, record: RecordId, known: &Known<'_>, cover: Cover) -> Mapped {
        self.delete(record, known, cover)
    }

    /// The deletion of a counterpart that was looked up for a write which deletes it.
    pub fn apply_removed(&self, target: RecordId, cover: Cover) -> Mapped {
        Draft::default().write(self, self.by_link(target), cover, |_| Body::Delete)
    }

    /// What becomes of a counterpart that was looked up for a record which does not match any more.
    pub fn apply_unmatched(&self, target: RecordId, cover: Cover) -> Mapped {
        self.unmatched(self.by_link(target), cover)
    }

    /// The key of a record that does not match, where a counterpart of it would have to go, or be flagged.
    pub fn unmatched_key(&self, record: &Record) -> Option<String> {
        let view = self.view(View::read(record, None));
        if self.when_no_longer_matching == NoLongerMatching::Keep || !self.unmatches(&view) {
            return None;
        }
        self.key_in(&view)
    }

    /// The key of a record, where it is one of those that are written.
    pub fn matching_key(&self, record: &Record) -> Option<String> {
        let view = self.view(View::read(record, None));
        match self.matching(&view.of_nobody()) {
            Matching::Yes => self.key_in(&view),
            Matching::No | Matching::Unknown | Matching::Failed(_) => None,
        }
    }

    /// The write that gives a counterpart the key of its record, and nothing else. None: the record is not one of those that are
    /// written, or has no key.
    pub fn stamp(&self, record: &Record, target: RecordId, cover: Cover) -> Option<Write> {
        self.matching_key(record)?;
        let key = self.key_cell(&self.view(View::read(record, None)))?;
        let draft = Draft { fields: [(self.key.clone(), key)].into(), ..Draft::default() };
        match draft.write(self, self.by_link(target), cover, Body::Partial) {
            Mapped::Write(write) => Some(*write),
            Mapped::Needs(_) | Mapped::Skipped(_) | Mapped::Failed(_) | Mapped::Waits(_) => None,
        }
    }

    /// The parents whose links a part asks for.
    pub fn parents_of(&self, part: &Part) -> Vec<Parent> {
        match part.kind() {
            ChangeKind::Create | ChangeKind::Undelete => self.parents(&View::whole(part)),
            _ => self.parents(&View::partial(part)),
        }
    }

    /// The parents whose links a whole record asks for.
    pub fn parents_of_read(&self, record: &Record) -> Vec<Parent> {
        self.parents(&View::read(record, None))
    }

    fn view<'v>(&'v self, view: View<'v>) -> View<'v> {
        view.hashing(self.privacy.hash_key())
    }

    fn parents(&self, view: &View<'_>) -> Vec<Parent> {
        let named = |(_, rule): &(FieldName, Rule)| match &rule.fill {
            Fill::Parent(parents) => view.value(&parents.from).map(|value| parents.named_by(&value)),
            Fill::Source(_) | Fill::Constant(_) | Fill::Table { .. } | Fill::Expression(_) | Fill::Search(_) => None,
        };
        self.rules.iter().filter_map(named).flatten().collect()
    }

    /// What must be asked before a record that was read can be mapped, as far as that can be told: what is asked next may
    /// depend on the answers.
    pub fn asks(&self, record: &Record, replies: &Replies) -> Vec<Ask> {
        let view = self.view(View::read(record, None));
        let searches = self.rules.iter().filter_map(|(_, rule)| match &rule.fill {
            Fill::Search(search) => Some(search),
            Fill::Source(_) | Fill::Constant(_) | Fill::Table { .. } | Fill::Expression(_) | Fill::Parent(_) => None,
        });
        searches.filter_map(|search| search.asks(&view, replies)).collect()
    }

    fn matching(&self, view: &View<'_>) -> Matching {
        let Some(when) = &self.when else { return Matching::Yes };
        match when.holds(view) {
            Ok(true) => Matching::Yes,
            Ok(false) => Matching::No,
            Err(Unevaluated::Unknown(_)) => Matching::Unknown,
            // What repeats no single change is not left out because of who made one.
            Err(Unevaluated::NoHeader) => Matching::Yes,
            Err(Unevaluated::Failed { reason, inputs }) => Matching::Failed(Failure {
                code: EXPRESSION_FAILED,
                field: None,
                reason: rule::failure(when, &reason, &inputs),
            }),
        }
    }

    fn whole(&self, view: &View<'_>, known: &Known<'_>, cover: Cover) -> Mapped {
        match self.matching(view) {
            Matching::Yes => {}
            Matching::No => return self.not_matching(view, known, cover),
            Matching::Unknown => return Mapped::Needs(Needs::Record),
            Matching::Failed(failure) => return Mapped::Failed(failure),
        }
        let writing = match known.link {
            LinkState::Linked(_) => Writing::Renew,
            LinkState::None | LinkState::Coming(_) => Writing::Create,
        };
        let mut draft = Draft::default();
        let (mut asks, mut waits) = (false, None);
        for (name, rule) in &self.rules {
            match draft.take(name, rule, rule.give(name, view, writing, known.replies), known) {
                Taken::Yes => {}
                Taken::Unknown => return Mapped::Needs(Needs::Record),
                Taken::Asks => asks = true,
                Taken::Failed(failure) => return Mapped::Failed(failure),
                Taken::Waits(failure) => waits = Some(failure),
            }
        }
        match waits {
            _ if asks => return Mapped::Needs(Needs::Lookups),
            Some(failure) => return Mapped::Waits(failure),
            None => {}
        }
        if let Some(flag) = &self.flag {
            draft.fields.insert(flag.field.clone(), Cell::Value(flag.clear.clone()));
        }
        let Some(value) = draft.fields.get(&self.key).and_then(Cell::key_text) else {
            let reason = "the key is empty, so its counterpart cannot be found".to_owned();
            return Mapped::Failed(Failure { code: KEY_EMPTY, field: Some(self.key.clone()), reason });
        };
        let key = match &known.link {
            LinkState::Linked(id) => self.by_link(*id),
            LinkState::None | LinkState::Coming(_) => {
                Key::External { object: self.target_object.clone(), field: self.key.clone(), value }
            }
        };
        draft.write(self, key, cover, Body::Whole)
    }

    fn partial(&self, view: &View<'_>, known: &Known<'_>, cover: Cover) -> Mapped {
        let changed = |rule: &Rule| rule.reads().any(|path| view.changed(path));
        let filter_changed = self.when.iter().flat_map(Expression::reads).any(|path| view.changed(path));
        let person = self.may_leave_out(view);
        if !filter_changed && !person && !self.rules.iter().any(|(_, rule)| changed(rule)) {
            return Mapped::Skipped(Skip::NothingMapped);
        }
        match self.matching(view) {
            // It may not have matched before, and then what changed meanwhile was left out.
            Matching::Yes if filter_changed || person => return Mapped::Needs(Needs::Record),
            Matching::Yes => {}
            Matching::No => return self.not_matching(view, known, cover),
            Matching::Unknown => return Mapped::Needs(Needs::Record),
            Matching::Failed(failure) => return Mapped::Failed(failure),
        }
        let mut draft = Draft::default();
        let (mut unread, mut asks, mut waits) = (false, false, None);
        for (name, rule) in self.rules.iter().filter(|(_, rule)| !rule.is_companion()) {
            match draft.take(name, rule, rule.give(name, view, Writing::Update, known.replies), known) {
                Taken::Yes => {}
                Taken::Unknown => unread = true,
                Taken::Asks => asks = true,
                Taken::Failed(failure) => return Mapped::Failed(failure),
                Taken::Waits(failure) => waits = Some(failure),
            }
        }
        if draft.fields.is_empty() && !unread && !asks && waits.is_none() {
            return Mapped::Skipped(Skip::NothingMapped);
        }
        let key = match (&known.link, waits) {
            _ if unread => return Mapped::Needs(Needs::Record),
            _ if asks => return Mapped::Needs(Needs::Lookups),
            (_, Some(failure)) => return Mapped::Waits(failure),
            (LinkState::None, None) => return Mapped::Needs(Needs::Record),
            (LinkState::Coming(key), None) => key.clone(),
            (LinkState::Linked(id), None) => self.by_link(*id),
        };
        // What only says who made the change goes along with what changed.
        for (name, rule) in self.rules.iter().filter(|(_, rule)| rule.is_companion()) {
            let given = rule.give(name, view, Writing::Update, known.replies);
            if let Taken::Failed(failure) = draft.take(name, rule, given, known) {
                return Mapped::Failed(failure);
            }
        }
        draft.write(self, key, cover, Body::Partial)
    }

    /// An update of an account that may be a person, with fields of the person mapped, which it may not tell.
    fn may_leave_out(&self, view: &View<'_>) -> bool {
        self.persons && view.part().is_some_and(person::may_leave_out)
    }

    /// The record is not one of those that are written. Its counterpart, if it has one, is from before.
    fn not_matching(&self, view: &View<'_>, known: &Known<'_>, cover: Cover) -> Mapped {
        let key = match &known.link {
            LinkState::Linked(id) => self.by_link(*id),
            LinkState::Coming(key) => key.clone(),
            LinkState::None => return Mapped::Skipped(Skip::Filtered),
        };
        if self.unmatches(view) { self.unmatched(key, cover) } else { Mapped::Skipped(Skip::Filtered) }
    }

    /// Whether the record itself does not match: who made a change says nothing of it, only that the change is left out.
    fn unmatches(&self, view: &View<'_>) -> bool {
        match self.matching(&view.of_nobody()) {
            Matching::No => self.when.as_ref().is_some_and(|when| !when.reads().is_empty()),
            Matching::Yes | Matching::Unknown | Matching::Failed(_) => false,
        }
    }

    fn unmatched(&self, key: Key, cover: Cover) -> Mapped {
        match self.when_no_longer_matching {
            NoLongerMatching::Flag => self.flagged(key, cover),
            NoLongerMatching::Delete => Draft::default().write(self, key, cover, |_| Body::Delete),
            NoLongerMatching::Keep => Mapped::Skipped(Skip::Filtered),
        }
    }

    fn delete(&self, record: RecordId, known: &Known<'_>, cover: Cover) -> Mapped {
        if self.on_delete == OnDelete::Ignore {
            return Mapped::Skipped(Skip::DeleteIgnored);
        }
        let key = match (&known.link, self.key_of(record)) {
            (LinkState::Linked(id), _) => self.by_link(*id),
            (LinkState::Coming(key), _) => key.clone(),
            (LinkState::None, Some(key)) => return Mapped::Needs(Needs::TargetOf { key }),
            (LinkState::None, None) => return Mapped::Skipped(Skip::NeverLinked),
        };
        match self.on_delete {
            OnDelete::Flag => self.flagged(key, cover),
            OnDelete::Delete | OnDelete::Ignore => Draft::default().write(self, key, cover, |_| Body::Delete),
        }
    }

    fn flagged(&self, key: Key, cover: Cover) -> Mapped {
        let flag = self.flag.iter().map(|flag| (flag.field.clone(), Cell::Value(flag.set.clone())));
        let draft = Draft { fields: flag.collect(), ..Draft::default() };
        draft.write(self, key, cover, Body::Partial)
    }

    /// Whether a write says of its record that it is gone or does not match.
    pub fn flags(&self, write: &Write) -> bool {
        self.flag.as_ref().is_some_and(|flag| {
            let cell = write.fields().and_then(|fields| fields.get(&flag.field));
            cell == Some(&Cell::Value(flag.set.clone()))
        })
    }

    fn by_link(&self, id: RecordId) -> Key {
        Key::Record { object: self.target_object.clone(), id }
    }
}

/// A write in the making.
#[derive(Default)]
struct Draft {
    fields: BTreeMap<FieldName, Cell>,
    lock_keys: Vec<Parent>,
    waits_for: Vec<Parent>,
}

enum Taken {
    Yes,
    Unknown,
    Asks,
    Waits(Failure),
    Failed(Failure),
}

impl Draft {
    fn take(&mut self, name: &FieldName, rule: &Rule, given: Given, known: &Known<'_>) -> Taken {
        match (given, &rule.fill) {
            (Given::Value(value), _) => drop(self.fields.insert(name.clone(), Cell::Value(value))),
            (Given::Parents(named), Fill::Parent(parents)) => self.refer(name, (rule, parents), named, known),
            (Given::Unknown, _) => return Taken::Unknown,
            (Given::Asks(_), _) => return Taken::Asks,
            (Given::Missing(failure), _) => match rule.if_missing {
                IfMissing::Wait => return Taken::Waits(failure),
                IfMissing::FillLater => {
                    let unfilled = Cell::Unfilled { parent: None, emptied: rule.can_be_empty() };
                    self.fields.insert(name.clone(), unfilled);
                }
                IfMissing::Skip => {}
                IfMissing::Fail => return Taken::Failed(failure),
            },
            (Given::Failed(failure), _) => return Taken::Failed(failure),
            // Only a rule of that kind gives parents.
            (Given::Left(_) | Given::Parents(_), _) => {}
        }
        Taken::Yes
    }

    /// Of several that it could be, the one that has a counterpart; else the first.
    fn refer(&mut self, name: &FieldName, (rule, parents): (&Rule, &Parents), named: Vec<Parent>, known: &Known<'_>) {
        let linked = named.iter().find_map(|parent| Some((parent.clone(), known.parent_link(parent)?)));
        let Some((parent, link)) = linked
            .map(|(parent, link)| (parent, Some(link)))
            .or_else(|| named.into_iter().next().map(|parent| (parent, None)))
        else {
            return;
        };
        if parents.locks {
            self.lock_keys.push(parent.clone());
        }
        self.waits_for.push(parent.clone());
        self.fields.insert(name.clone(), Cell::Parent(parents.reference(parent, link, rule.if_missing)));
    }

    fn write(
        self,
        mapping: &Mapping,
        key: Key,
        cover: Cover,
        body: impl FnOnce(BTreeMap<FieldName, Cell>) -> Body,
    ) -> Mapped {
        Mapped::Write(Box::new(Write {
            key,
            key_field: mapping.key.clone(),
            body: body(self.fields),
            if_created: false,
            manner: Manner { options: mapping.publishing.options, coalesce: mapping.publishing.coalesce },
            lock_keys: self.lock_keys,
            waits_for: self.waits_for,
            covers: vec![cover],
        }))
    }
}

#[cfg(test)]
mod tests;
