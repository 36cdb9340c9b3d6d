//! A condition of a rule: the WHERE part of a query about one record, before and after a change.
//!
//! Beside the record's own fields it knows `Old.Phone` (null on create), `Changed.Phone = true` and `IsNew = true`. One
//! about an event knows `ChangeEventHeader.changeType` and the parts of compounds (`BillingAddress.City`) instead.

use serde_json::{Value as Json, json};

use super::compare::{Domain, Key, Wanted};
use super::event::Header;
use super::schema::{Field, FieldIndex, Object};
use super::table::Row;
use super::time::SECOND;
use crate::soql::{self, Comparison, Expression, Literal, Set, Value};

#[derive(Debug, Clone)]
pub struct Condition(Node);

#[derive(Debug, Clone)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Compare(Operand, Comparison, Right),
    In(Operand, Vec<Right>),
    Includes(Operand, Vec<Right>),
}

/// What a literal asks for; date literals ask for something else every day.
#[derive(Debug, Clone)]
enum Right {
    Wanted(Wanted),
    Dates(Value),
}

#[derive(Debug, Clone, Copy)]
struct Operand {
    side: Side,
    domain: Domain,
}

#[derive(Debug, Clone, Copy)]
enum Side {
    New(FieldIndex),
    Old(FieldIndex),
    Changed(FieldIndex),
    IsNew,
    Header(HeaderField),
}

/// The fields of a change event's header that are no arrays.
#[derive(Debug, Clone, Copy)]
enum HeaderField {
    EntityName,
    ChangeType,
    ChangeOrigin,
    TransactionKey,
    SequenceNumber,
    CommitTimestamp,
    CommitNumber,
    CommitUser,
}

impl HeaderField {
    fn named(name: &str) -> Option<(Self, Domain)> {
        let known = [
            ("entityName", Self::EntityName, Domain::Text),
            ("changeType", Self::ChangeType, Domain::Text),
            ("changeOrigin", Self::ChangeOrigin, Domain::Text),
            ("transactionKey", Self::TransactionKey, Domain::Text),
            ("sequenceNumber", Self::SequenceNumber, Domain::Int),
            ("commitTimestamp", Self::CommitTimestamp, Domain::Int),
            ("commitNumber", Self::CommitNumber, Domain::Int),
            ("commitUser", Self::CommitUser, Domain::Text),
        ];
        let found = known.into_iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
        found.map(|(_, field, domain)| (field, domain))
    }

    fn read(self, header: &Header) -> Json {
        match self {
            Self::EntityName => json!(header.entity),
            Self::ChangeType => json!(header.kind.name()),
            Self::ChangeOrigin => json!(header.origin),
            Self::TransactionKey => json!(header.transaction_key),
            Self::SequenceNumber => json!(header.sequence),
            Self::CommitTimestamp => json!(header.commit_timestamp),
            Self::CommitNumber => json!(header.commit_number),
            Self::CommitUser => json!(header.commit_user),
        }
    }
}

/// What a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Change,
    Event,
}

impl Condition {
    /// # Errors
    /// What cannot be read, or a field that the object does not have.
    pub fn compile(text: &str, object: &Object) -> Result<Self, String> {
        let condition = soql::parse_condition(text).map_err(|error| error.to_string())?;
        Ok(Self(node(&condition, object, About::Change)?))
    }

    /// # Errors
    /// As [`Self::compile`].
    pub fn of(condition: &soql::Condition, object: &Object) -> Result<Self, String> {
        Ok(Self(node(condition, object, About::Change)?))
    }

    /// # Errors
    /// As [`Self::compile`].
    pub fn about_event(condition: &soql::Condition, object: &Object) -> Result<Self, String> {
        Ok(Self(node(condition, object, About::Event)?))
    }

    /// Whether it holds for an event, whose values are in the row.
    pub fn holds_for_event(&self, object: &Object, event: &Row, header: Option<&Header>) -> bool {
        holds(&self.0, &Record { object, new: event, old: None, header })
    }

    /// The fields of the object that it reads, once each.
    pub fn fields(&self) -> Vec<FieldIndex> {
        let mut fields = Vec::new();
        fields_of(&self.0, &mut fields);
        fields.sort_unstable();
        fields.dedup();
        fields
    }

    /// Whether it holds for a record as it is now; `old`: as it was before, if it was there.
    pub fn holds(&self, object: &Object, new: &Row, old: Option<&Row>) -> bool {
        holds(&self.0, &Record { object, new, old, header: None })
    }
}

fn node(condition: &soql::Condition, object: &Object, about: About) -> Result<Node, String> {
    let all =
        |parts: &[soql::Condition]| parts.iter().map(|part| node(part, object, about)).collect::<Result<Vec<_>, _>>();
    let not = |negated: bool, node: Node| if negated { Node::Not(Box::new(node)) } else { node };
    Ok(match condition {
        soql::Condition::All(parts) => Node::All(all(parts)?),
        soql::Condition::Any(parts) => Node::Any(all(parts)?),
        soql::Condition::Not(inner) => Node::Not(Box::new(node(inner, object, about)?)),
        soql::Condition::Compare { left, comparison, right } => {
            let operand = operand(left, object, about)?;
            Node::Compare(operand, *comparison, wanted(operand, left, *comparison, right)?)
        }
        soql::Condition::In { left, negated, set: Set::List(list) } => {
            not(*negated, Node::In(operand(left, object, about)?, rights(operand(left, object, about)?, left, list)?))
        }
        soql::Condition::In { .. } => return Err("a rule sees one record: no queries in it".into()),
        soql::Condition::Includes { left, negated, values } => not(
            *negated,
            Node::Includes(operand(left, object, about)?, rights(operand(left, object, about)?, left, values)?),
        ),
    })
}

fn operand(left: &Expression, object: &Object, about: About) -> Result<Operand, String> {
    let Expression::Path(path) = left else { return Err("a rule knows no functions".into()) };
    let field = |name: &str| {
        let found = object.find(name).map(|(index, field)| (index, Domain::of(field)));
        found.ok_or_else(|| format!("{} has no field {name}", object.name))
    };
    let names: Vec<&str> = path.names.iter().map(String::as_str).collect();
    let (side, domain) = match names.as_slice() {
        [name] if about == About::Change && name.eq_ignore_ascii_case("IsNew") => (Side::IsNew, Domain::Bool),
        [name] => {
            let (index, domain) = field(name)?;
            (Side::New(index), domain)
        }
        [header, name] if about == About::Event && header.eq_ignore_ascii_case("ChangeEventHeader") => {
            let found = HeaderField::named(name).ok_or_else(|| format!("{path}: no filter can have this"))?;
            (Side::Header(found.0), found.1)
        }
        [compound, part] if about == About::Event => {
            let is_it = |field: &Field| {
                field
                    .compound
                    .as_ref()
                    .is_some_and(|(c, p)| c.eq_ignore_ascii_case(compound) && p.eq_ignore_ascii_case(part))
            };
            let found = object.fields().find(|(_, field)| is_it(field));
            let (index, field) = found.ok_or_else(|| format!("{} has no field {path}", object.name))?;
            (Side::New(index), Domain::of(field))
        }
        [old, name] if old.eq_ignore_ascii_case("Old") => {
            let (index, domain) = field(name)?;
            (Side::Old(index), domain)
        }
        [changed, name] if changed.eq_ignore_ascii_case("Changed") => (Side::Changed(field(name)?.0), Domain::Bool),
        _ => return Err(format!("{path}: a rule sees the record's own fields only")),
    };
    Ok(Operand { side, domain })
}

fn rights(operand: Operand, left: &Expression, list: &[Literal]) -> Result<Vec<Right>, String> {
    list.iter().map(|literal| wanted(operand, left, Comparison::Equal, literal)).collect()
}

fn wanted(operand: Operand, left: &Expression, comparison: Comparison, literal: &Literal) -> Result<Right, String> {
    let name = left.path().map(ToString::to_string).unwrap_or_default();
    let wanted = operand.domain.wanted(comparison, &literal.value, 0).map_err(|unfit| unfit.error(&name).1)?;
    Ok(match &literal.value {
        dates @ Value::Dates(_) => Right::Dates(dates.clone()),
        _ => Right::Wanted(wanted),
    })
}

fn fields_of(node: &Node, out: &mut Vec<FieldIndex>) {
    match node {
        Node::All(parts) | Node::Any(parts) => parts.iter().for_each(|part| fields_of(part, out)),
        Node::Not(inner) => fields_of(inner, out),
        Node::Compare(operand, ..) | Node::In(operand, _) | Node::Includes(operand, _) => match operand.side {
            Side::New(field) | Side::Old(field) | Side::Changed(field) => out.push(field),
            Side::IsNew | Side::Header(_) => {}
        },
    }
}

struct Record<'a> {
    object: &'a Object,
    new: &'a Row,
    old: Option<&'a Row>,
    header: Option<&'a Header>,
}

impl Record<'_> {
    fn read(&self, operand: Operand) -> Option<Key> {
        match operand.side {
            Side::New(field) => operand.domain.key(&self.new.peek(self.object, field)),
            Side::Old(field) => operand.domain.key(&self.old?.peek(self.object, field)),
            Side::Changed(field) => {
                let before = self.old.and_then(|old| old.values.get(&field));
                Some(Key::Bool(self.new.values.get(&field) != before))
            }
            Side::IsNew => Some(Key::Bool(self.old.is_none())),
            Side::Header(field) => operand.domain.key(&field.read(self.header?)),
        }
    }

    fn compare(&self, operand: Operand, key: Option<&Key>, comparison: Comparison, right: &Right) -> bool {
        match right {
            Right::Wanted(wanted) => wanted.holds(comparison, key),
            Right::Dates(dates) => {
                let wanted = operand.domain.wanted(comparison, dates, self.new.modified.saturating_mul(SECOND));
                wanted.is_ok_and(|wanted| wanted.holds(comparison, key))
            }
        }
    }
}

fn holds(node: &Node, record: &Record<'_>) -> bool {
    match node {
        Node::All(parts) => parts.iter().all(|part| holds(part, record)),
        Node::Any(parts) => parts.iter().any(|part| holds(part, record)),
        Node::Not(inner) => !holds(inner, record),
        Node::Compare(operand, comparison, right) => {
            record.compare(*operand, record.read(*operand).as_ref(), *comparison, right)
        }
        Node::In(operand, list) => {
            let key = record.read(*operand);
            list.iter().any(|right| record.compare(*operand, key.as_ref(), Comparison::Equal, right))
        }
        Node::Includes(operand, list) => {
            let key = record.read(*operand);
            list.iter().any(|right| matches!(right, Right::Wanted(wanted) if wanted.included(key.as_ref())))
        }
    }
}
