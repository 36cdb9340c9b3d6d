//! An expression, compiled: only what can be evaluated.

use std::collections::BTreeSet;

use regex::Regex;

use super::functions::Function;
use super::val::Val;
use crate::event::FieldPath;

pub(super) enum Node {
    Const(Val),
    /// With its place among the fields that the expression reads.
    Field(FieldPath, usize),
    Header(HeaderPart),
    HasHeader,
    /// The variable of the n-th enclosing `map`, `filter` and the like, counted from the outside.
    Local(usize),
    Has(Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    /// `&&` and `||`: what settles it, and both sides.
    Logic(bool, Box<[Node; 2]>),
    If(Box<[Node; 3]>),
    Binary(Operator, Box<[Node; 2]>),
    /// `table[key]`, `list[0]`, `table.key`
    Index(Box<[Node; 2]>),
    List(Vec<Node>),
    Table(Vec<[Node; 2]>),
    Coalesce(Vec<Node>),
    Matches(Box<Node>, Regex),
    Call(&'static Function, Vec<Node>),
    Fold(Box<Fold>),
}

/// `list.filter(x, test)` and its like. `test` and `make` see one local more.
pub(super) struct Fold {
    pub kind: FoldKind,
    pub list: Node,
    pub test: Option<Node>,
    pub make: Option<Node>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FoldKind {
    All,
    Exists,
    ExistsOne,
    Collect,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderPart {
    User,
    Client,
    Kind,
    Time,
}

impl HeaderPart {
    pub const ALL: [(&'static str, Self); 4] =
        [("user", Self::User), ("client", Self::Client), ("kind", Self::Kind), ("time", Self::Time)];
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Plus,
    Minus,
    Times,
    By,
    Rest,
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    In,
}

impl Operator {
    pub fn sign(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "*",
            Self::By => "/",
            Self::Rest => "%",
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::In => "in",
        }
    }
}

impl FoldKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Exists => "exists",
            Self::ExistsOne => "exists_one",
            Self::Collect => "map or filter",
        }
    }
}

impl Node {
    pub fn is_const(&self) -> bool {
        matches!(self, Self::Const(_))
    }

    /// It gives a date or a moment, as far as its name tells: an expression does not know the types of fields.
    pub fn is_of_time(&self) -> bool {
        match self {
            Self::Header(part) => *part == HeaderPart::Time,
            Self::Const(val) => matches!(val, Val::Date(_) | Val::Moment(_)),
            Self::Call(function, _) => ["date", "datetime", "add_days", "add_months"].contains(&function.name),
            // Of the standard fields: who names one of his own so may well keep text in it.
            Self::Field(path, _) => {
                let name = path.part().unwrap_or(path.top());
                ["Date", "date", "SystemModstamp"].iter().any(|end| name.ends_with(end))
            }
            _ => false,
        }
    }

    /// The source fields that it or a part of it reads.
    pub fn fields(&self, into: &mut BTreeSet<FieldPath>) {
        match self {
            Self::Field(path, _) => {
                into.insert(path.clone());
            }
            Self::Const(_) | Self::Header(_) | Self::HasHeader | Self::Local(_) => {}
            Self::Has(node) | Self::Not(node) | Self::Negate(node) | Self::Matches(node, _) => node.fields(into),
            Self::Logic(_, nodes) | Self::Binary(_, nodes) | Self::Index(nodes) => {
                nodes.iter().for_each(|node| node.fields(into));
            }
            Self::If(nodes) => nodes.iter().for_each(|node| node.fields(into)),
            Self::List(nodes) | Self::Coalesce(nodes) | Self::Call(_, nodes) => {
                nodes.iter().for_each(|node| node.fields(into));
            }
            Self::Table(entries) => entries.iter().flatten().for_each(|node| node.fields(into)),
            Self::Fold(fold) => {
                fold.list.fields(into);
                fold.test.iter().chain(&fold.make).for_each(|node| node.fields(into));
            }
        }
    }

    /// What it always gives, where that is plain to see.
    pub fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Const(val) => Some(val.kind()),
            Self::Has(_) | Self::HasHeader | Self::Not(_) | Self::Logic(..) | Self::Matches(..) => {
                Some("true or false")
            }
            Self::List(_) => Some("a list"),
            Self::Table(_) => Some("a table"),
            Self::Negate(_) => Some("a number"),
            Self::Binary(operator, _) => match operator {
                Operator::Plus => None,
                Operator::Minus | Operator::Times | Operator::By | Operator::Rest => Some("a number"),
                _ => Some("true or false"),
            },
            Self::Header(HeaderPart::Time) => Some("a date and time"),
            Self::Header(_) => Some("text"),
            Self::Fold(fold) => Some(if fold.kind == FoldKind::Collect { "a list" } else { "true or false" }),
            Self::Field(..) | Self::Local(_) | Self::If(_) | Self::Index(_) | Self::Coalesce(_) | Self::Call(..) => {
                None
            }
        }
    }
}
