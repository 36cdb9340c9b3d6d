//! Why a field is written or not, for people: the same rules as [`Mapping::apply`], told field by field.

use std::collections::BTreeSet;
use std::fmt;

use super::rule::{Fill, Given, Left, Rule, Writing};
use super::view::View;
use super::{Ask, Expression, Failure, Known, LinkState, Mapping, Matching, Replies};
use crate::event::{ChangeKind, FieldName, FieldPath, Header, Part, Record};

/// One field of the target, and what its rule gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    pub field: FieldName,
    /// The rule in the words of the config: `from Name`, `cel: upper(Name)`.
    pub rule: String,
    pub gave: Gave,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gave {
    Something,
    Nothing(Left),
    /// The change alone does not say it.
    Unknown,
    /// An org must be asked.
    Asks(Ask),
    /// The record that it leads to is not there.
    Missing(Failure),
    Failed(Failure),
}

/// Why a change cannot be judged, or written, without reading its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyRead {
    /// The event says no more than that something changed.
    Hidden,
    /// `when` or a rule reads these, and the change does not carry them.
    Fields(Vec<FieldPath>),
    /// Something that `when` reads changed: what changed before was perhaps left out.
    Condition,
    /// It may be a person account, of which it does not say what belongs to the contact.
    Person,
    /// It has no counterpart yet, which gets all of it.
    Unlinked,
    /// An org must be asked for what a lookup leads to.
    Lookup,
}

impl fmt::Display for WhyRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hidden => f.write_str("the event does not say what changed"),
            Self::Fields(fields) => {
                let names: Vec<&str> = fields.iter().map(FieldPath::as_str).collect();
                write!(f, "the change does not say {}", names.join(", "))
            }
            Self::Condition => f.write_str(
                "something that `when` reads changed, so what changed before may not have been written: all of it is",
            ),
            Self::Person => f.write_str(
                "it may be a person account, and says nothing of the fields that belong to the contact: they may have \
                 changed",
            ),
            Self::Unlinked => f.write_str("it has no counterpart in the target yet, which gets all of it"),
            Self::Lookup => f.write_str("an org is asked for what a lookup leads to, and the record is read with it"),
        }
    }
}

impl Mapping {
    /// Why a change that needs its record needs it.
    pub fn why_read(&self, part: &Part, link: &LinkState) -> WhyRead {
        if part.kind() != ChangeKind::Update {
            return WhyRead::Hidden;
        }
        let view = View::partial(part);
        let unknown = |paths: &mut dyn Iterator<Item = &FieldPath>| -> BTreeSet<FieldPath> {
            paths.filter(|path| view.value(path).is_none()).cloned().collect()
        };
        let condition = || self.when.iter().flat_map(Expression::reads);
        match self.matching(&view) {
            Matching::Unknown => return WhyRead::Fields(unknown(&mut condition()).into_iter().collect()),
            Matching::Yes if condition().any(|path| view.changed(path)) => return WhyRead::Condition,
            Matching::Yes if self.may_leave_out(&view) => return WhyRead::Person,
            Matching::Yes | Matching::No | Matching::Failed(_) => {}
        }
        let none = Replies::new();
        let asking =
            |(name, rule): &&(FieldName, Rule)| rule.give(name, &view, Writing::Update, &none) == Given::Unknown;
        let missing = self.rules.iter().filter(asking).flat_map(|(_, rule)| unknown(&mut rule.reads()));
        let missing: BTreeSet<FieldPath> = missing.collect();
        if !missing.is_empty() {
            return WhyRead::Fields(missing.into_iter().collect());
        }
        if matches!(link, LinkState::None) { WhyRead::Unlinked } else { WhyRead::Lookup }
    }

    /// What each rule gives for a change.
    pub fn trace(&self, part: &Part, known: &Known<'_>) -> Vec<Traced> {
        match part.kind() {
            ChangeKind::Create => self.traced(&self.view(View::whole(part)), whole(&known.link), known.replies),
            ChangeKind::Undelete => self.traced(&self.view(View::whole(part)), Writing::Create, known.replies),
            ChangeKind::Update => self.traced(&self.view(View::partial(part)), Writing::Update, known.replies),
            // Nothing is mapped of these.
            ChangeKind::Delete
            | ChangeKind::GapCreate
            | ChangeKind::GapUpdate
            | ChangeKind::GapDelete
            | ChangeKind::GapUndelete
            | ChangeKind::GapOverflow => Vec::new(),
        }
    }

    /// What each rule gives for a record that was read.
    pub fn trace_read(&self, record: &Record, header: Option<&Header>, known: &Known<'_>) -> Vec<Traced> {
        self.traced(&self.view(View::read(record, header)), whole(&known.link), known.replies)
    }

    fn traced(&self, view: &View<'_>, writing: Writing, replies: &Replies) -> Vec<Traced> {
        let trace = |(field, rule): &(FieldName, Rule)| Traced {
            field: field.clone(),
            rule: rule.to_string(),
            gave: match rule.give(field, view, writing, replies) {
                Given::Value(_) | Given::Parents(_) => Gave::Something,
                Given::Asks(ask) => Gave::Asks(ask),
                Given::Missing(failure) => Gave::Missing(failure),
                Given::Left(left) => Gave::Nothing(left),
                Given::Unknown => Gave::Unknown,
                Given::Failed(failure) => Gave::Failed(failure),
            },
        };
        let mut traced: Vec<Traced> = self.rules.iter().map(trace).collect();
        if let Some(flag) = &self.flag {
            let gave = match writing {
                Writing::Create | Writing::Renew => Gave::Something,
                Writing::Update => Gave::Nothing(Left::Unchanged),
            };
            traced.push(Traced { field: flag.field.clone(), rule: "flag".to_owned(), gave });
        }
        traced
    }
}

fn whole(link: &LinkState) -> Writing {
    match link {
        LinkState::Linked(_) => Writing::Renew,
        LinkState::None | LinkState::Coming(_) => Writing::Create,
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fill {
            Fill::Source(path) => write!(f, "from {path}"),
            Fill::Constant(_) => f.write_str("constant"),
            Fill::Table { from, .. } => write!(f, "table of {from}"),
            Fill::Expression(expression) => write!(f, "cel: {}", expression.source()),
            Fill::Parent(parents) => write!(f, "parent named by {}", parents.from),
            Fill::Search(search) => search.fmt(f),
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unchanged => "did not change",
            Self::NotOnCreate => "written at updates only",
            Self::NotOnUpdate => "written at creates only",
            Self::Null => "empty, and not to be emptied",
            Self::NoHeader => "no single change is being written, so nobody made it",
        })
    }
}
