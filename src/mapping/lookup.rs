//! What only an org can tell: which record holds a value, which record type has a name, who a user is in the other org.
//!
//! A rule names one question at a time ([`Ask`]), for the next may depend on the answer. Who applies the mapping asks them
//! in batches and applies it again. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::expression::Unevaluated;
use super::rule::failure;
use super::view::View;
use super::{COMPOUND_VALUE, EXPRESSION_FAILED};
use crate::config::{Fill, OwnerKey, OwnerName, Sought};
use crate::event::{FieldName, FieldPath, ObjectName, OrgName, RecordId, Value};

/// A question to an org: what do the rows of an object, that hold this value in a field, hold in another?
/// `Debug` leaves out the value.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ask {
    pub of: Asked,
    pub value: String,
}

/// What many questions have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asked {
    pub org: OrgName,
    pub object: ObjectName,
    pub by: FieldName,
    pub want: FieldName,
    pub only: Only,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} by {} in {}", self.of.want, self.of.object, self.of.by, self.of.org)
    }
}

/// Which rows count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Only {
    All,
    /// Active record types of this object.
    RecordTypesOf(ObjectName),
    /// An org refuses inactive users as owners.
    ActiveUsers,
    Queues,
}

/// `Debug` leaves out what was found.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    Nothing,
    One(String),
    /// Different rows, so none can be taken.
    Several,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::One(_) => "One",
            Self::Several => "Several",
        })
    }
}

/// The replies that are known.
pub type Replies = HashMap<Ask, Reply>;

/// A rule whose value is found by asking.
#[derive(Debug, Clone)]
pub(super) enum Search {
    Record {
        asked: Asked,
        value: Sought,
    },
    /// Of the target object.
    RecordType {
        asked: Asked,
        of: Named,
    },
    Owner {
        asked: AskedOwners,
        of: NamedOwner,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Named {
    Constant(String),
    From { path: FieldPath, source: Asked, table: BTreeMap<String, String>, default: Option<String> },
}

/// Owners by their names, in the target.
#[derive(Debug, Clone)]
pub(super) struct AskedOwners {
    users: Asked,
    queues: Asked,
}

#[derive(Debug, Clone)]
pub(super) enum NamedOwner {
    Constant(OwnerName),
    From(Box<SourceOwner>),
}

/// The owner of the source record.
#[derive(Debug, Clone)]
pub(super) struct SourceOwner {
    path: FieldPath,
    source: AskedOwners,
    /// What users are known by in both orgs.
    known_by: (Asked, Asked),
    table: BTreeMap<String, OwnerName>,
    fallback: Option<OwnerName>,
}

/// Where a search ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ends {
    /// The id of the record that was found.
    At(RecordId),
    /// There is nothing to look for.
    Null,
    /// The change does not say what to look for.
    Unknown,
    /// This must be known first.
    Asks(Ask),
    /// It is not there, or not yet. Names fields and names of the config, never a value.
    Missing(String),
    /// Several are there.
    Ambiguous(String),
    Failed {
        code: &'static str,
        reason: String,
    },
    NoHeader,
}

/// The record type of records that have none: events may carry it (the facts are silent).
const MASTER: &str = "012000000000000AAA";

impl Search {
    /// What a config's rule looks for; none where it is found without asking.
    pub fn new(fill: &Fill, target_object: &ObjectName, from: &OrgName, to: &OrgName) -> Option<Self> {
        let asked = |org: &OrgName, object: &ObjectName, by: &FieldName, want: &FieldName, only| Asked {
            org: org.clone(),
            object: object.clone(),
            by: by.clone(),
            want: want.clone(),
            only,
        };
        let (id, name) = (FieldName::known("Id"), FieldName::known("DeveloperName"));
        let (user, group) = (ObjectName::known("User"), ObjectName::known("Group"));
        let record_type = ObjectName::known("RecordType");
        let username = OwnerKey::Username.column();
        let record_types = || asked(to, &record_type, &name, &id, Only::RecordTypesOf(target_object.clone()));
        let owners = || AskedOwners {
            users: asked(to, &user, &username, &id, Only::ActiveUsers),
            queues: asked(to, &group, &name, &id, Only::Queues),
        };
        Some(match fill {
            Fill::Source(_) | Fill::Constant(_) | Fill::Table { .. } | Fill::Expression(_) | Fill::Parent { .. } => {
                return None;
            }
            Fill::Find { object, by, value } => {
                Self::Record { asked: asked(to, object, by, &id, Only::All), value: value.clone() }
            }
            Fill::RecordType(name) => Self::RecordType { asked: record_types(), of: Named::Constant(name.clone()) },
            Fill::RecordTypeOf { from: path, table, default } => {
                let source = asked(from, &record_type, &id, &name, Only::All);
                let of = Named::From { path: path.clone(), source, table: table.clone(), default: default.clone() };
                Self::RecordType { asked: record_types(), of }
            }
            Fill::Owner(name) => Self::Owner { asked: owners(), of: NamedOwner::Constant(name.clone()) },
            Fill::OwnerOf { from: path, by, table, fallback } => {
                let column = by.column();
                let of = NamedOwner::From(Box::new(SourceOwner {
                    path: path.clone(),
                    source: AskedOwners {
                        users: asked(from, &user, &id, &username, Only::All),
                        queues: asked(from, &group, &id, &name, Only::Queues),
                    },
                    known_by: (
                        asked(from, &user, &id, &column, Only::All),
                        asked(to, &user, &column, &id, Only::ActiveUsers),
                    ),
                    table: table.clone(),
                    fallback: fallback.clone(),
                }));
                Self::Owner { asked: owners(), of }
            }
        })
    }

    /// It looks for a record of data, which may come yet.
    pub fn is_record(&self) -> bool {
        matches!(self, Self::Record { .. })
    }

    /// The source fields that it reads.
    pub fn reads(&self) -> (Option<&FieldPath>, Option<&BTreeSet<FieldPath>>) {
        match self {
            Self::Record { value: Sought::Field(path), .. } | Self::RecordType { of: Named::From { path, .. }, .. } => {
                (Some(path), None)
            }
            Self::Owner { of: NamedOwner::From(owner), .. } => (Some(&owner.path), None),
            Self::Record { value: Sought::Expression(expression), .. } => (None, Some(expression.reads())),
            Self::RecordType { of: Named::Constant(_), .. } | Self::Owner { of: NamedOwner::Constant(_), .. } => {
                (None, None)
            }
        }
    }

    /// The next question.
    pub fn asks(&self, view: &View<'_>, replies: &Replies) -> Option<Ask> {
        match self.find(view, replies) {
            Ends::Asks(ask) => Some(ask),
            Ends::At(_)
            | Ends::Null
            | Ends::Unknown
            | Ends::Missing(_)
            | Ends::Ambiguous(_)
            | Ends::Failed { .. }
            | Ends::NoHeader => None,
        }
    }

    pub fn find(&self, view: &View<'_>, replies: &Replies) -> Ends {
        match self {
            Self::Record { asked, value } => match sought(value, view) {
                Ok(value) => id_of(asked, value, replies, || format!("{} with this {}", asked.object, asked.by)),
                Err(ends) => ends,
            },
            Self::RecordType { asked, of } => {
                let by_name = |name: &str| {
                    let what = || format!("active record type {name} of this object");
                    id_of(asked, name.to_owned(), replies, what)
                };
                match of {
                    Named::Constant(name) => by_name(name),
                    Named::From { path, source, table, default } => {
                        let found = match name_of_record_type(path, source, view, replies) {
                            Ok(name) => by_name(table.get(&name).unwrap_or(&name)),
                            Err(ends) => ends,
                        };
                        match (found, default) {
                            (Ends::Missing(_) | Ends::Null, Some(default)) => by_name(default),
                            (found, _) => found,
                        }
                    }
                }
            }
            Self::Owner { asked, of } => match of {
                NamedOwner::Constant(name) => asked.find(name, replies),
                NamedOwner::From(of) => {
                    let found = owner(of, asked, view, replies);
                    match (found, &of.fallback) {
                        (Ends::Missing(_) | Ends::Ambiguous(_) | Ends::Null, Some(name)) => asked.find(name, replies),
                        (found, _) => found,
                    }
                }
            },
        }
    }
}

impl AskedOwners {
    fn find(&self, name: &OwnerName, replies: &Replies) -> Ends {
        match name {
            OwnerName::User(name) => id_of(&self.users, name.clone(), replies, || format!("active user {name}")),
            OwnerName::Queue(name) => id_of(&self.queues, name.clone(), replies, || format!("queue {name}")),
        }
    }
}

/// The text to look for.
fn sought(value: &Sought, view: &View<'_>) -> Result<String, Ends> {
    let value = match value {
        Sought::Field(path) => view.value(path).ok_or(Ends::Unknown)?,
        Sought::Expression(expression) => expression.evaluate(view).map_err(|why| match why {
            Unevaluated::Unknown(_) => Ends::Unknown,
            Unevaluated::NoHeader => Ends::NoHeader,
            Unevaluated::Failed { reason, inputs } => {
                Ends::Failed { code: EXPRESSION_FAILED, reason: failure(expression, &reason, &inputs) }
            }
        })?,
    };
    match value {
        Value::Null => Err(Ends::Null),
        Value::Text(text) if text.trim().is_empty() => Err(Ends::Null),
        Value::Text(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(bool) => Ok(bool.to_string()),
        Value::Compound(_) => Err(Ends::Failed {
            code: COMPOUND_VALUE,
            reason: "it would look for a compound; only a part of one can be looked for".to_owned(),
        }),
    }
}

fn name_of_record_type(path: &FieldPath, source: &Asked, view: &View<'_>, replies: &Replies) -> Result<String, Ends> {
    let id = id_in(path, view)?;
    if id.as_str() == MASTER {
        return Err(Ends::Null);
    }
    let shown = said(source, id, replies)?;
    shown.ok_or_else(|| Ends::Missing(format!("{} does not show the record type in {path}", source.org)))
}

fn owner(of: &SourceOwner, target: &AskedOwners, view: &View<'_>, replies: &Replies) -> Ends {
    let SourceOwner { path, source, known_by, table, fallback: _ } = of;
    let find = || {
        let id = id_in(path, view)?;
        // A queue is a group (facts: rest.md, ids).
        if id.as_str().starts_with("00G") {
            let name = said(&source.queues, id, replies)?;
            let name =
                name.ok_or_else(|| Ends::Missing(format!("{} does not show the queue in {path}", source.queues.org)))?;
            let other = table.get(&name).cloned().unwrap_or(OwnerName::Queue(name));
            return Ok(target.find(&other, replies));
        }
        if !table.is_empty()
            && let Some(name) = said(&source.users, id, replies)?
            // An org does not tell cases in user names.
            && let Some((_, other)) = table.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name))
        {
            return Ok(target.find(other, replies));
        }
        let (here, there) = known_by;
        let column = &here.want;
        let value = said(here, id, replies)?;
        let value =
            value.ok_or_else(|| Ends::Missing(format!("{} shows no {column} of the user in {path}", here.org)))?;
        Ok(id_of(there, value, replies, || format!("active user with the {column} of that in {path}")))
    };
    find().unwrap_or_else(|ends| ends)
}

impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { asked, value } => {
                write!(f, "{} found by {} = ", asked.object, asked.by)?;
                match value {
                    Sought::Field(path) => write!(f, "{path}"),
                    Sought::Expression(expression) => f.write_str(expression.source()),
                }
            }
            Self::RecordType { of: Named::Constant(name), .. } => write!(f, "record type {name}"),
            Self::RecordType { of: Named::From { path, .. }, .. } => write!(f, "record type of {path}"),
            Self::Owner { of: NamedOwner::Constant(_), .. } => f.write_str("owner"),
            Self::Owner { of: NamedOwner::From(owner), .. } => write!(f, "owner of {}", owner.path),
        }
    }
}

/// What a row of the source holds; none where there is no such row, or it holds nothing.
fn said(asked: &Asked, id: RecordId, replies: &Replies) -> Result<Option<String>, Ends> {
    let ask = Ask { of: asked.clone(), value: id.as_str().to_owned() };
    match replies.get(&ask) {
        None => Err(Ends::Asks(ask)),
        Some(Reply::One(value)) => Ok(Some(value.clone())),
        Some(Reply::Nothing | Reply::Several) => Ok(None),
    }
}

/// The id that a question of the target has for an answer. `what` names it without its value.
fn id_of(asked: &Asked, value: String, replies: &Replies, what: impl FnOnce() -> String) -> Ends {
    let org = &asked.org;
    let ask = Ask { of: asked.clone(), value };
    match replies.get(&ask) {
        None => Ends::Asks(ask),
        Some(Reply::Several) => Ends::Ambiguous(format!("{org} has more than one {}", what())),
        Some(Reply::Nothing) => Ends::Missing(format!("{org} has no {}", what())),
        // What an org gives as an id is one.
        Some(Reply::One(id)) => id.parse().map_or_else(|_| Ends::Missing(format!("{org} has no {}", what())), Ends::At),
    }
}

fn id_in(path: &FieldPath, view: &View<'_>) -> Result<RecordId, Ends> {
    match view.value(path) {
        None => Err(Ends::Unknown),
        Some(Value::Text(text)) => text.parse().map_err(|_| Ends::Missing(format!("{path} holds no record id"))),
        Some(Value::Null) => Err(Ends::Null),
        Some(Value::Bool(_) | Value::Number(_) | Value::Compound(_)) => {
            Err(Ends::Missing(format!("{path} holds no record id")))
        }
    }
}

#[cfg(test)]
mod tests;
