//! Queries over a small world, straight from their definition: no plan, no index, own values.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use chrono::NaiveDate;

use crate::soql::{Comparison, Condition, Expression, Literal, PatternPart, Set, Value};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    Null,
    Text(String),
    /// Text with case.
    Exact(String),
    /// In hundredths.
    Number(i64),
    Bool(bool),
    Date(NaiveDate),
    Many(BTreeSet<String>),
}

#[derive(Debug, Clone)]
pub struct Account {
    pub name: String,
    pub employees: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct Invoice {
    pub ext: String,
    pub text: Option<String>,
    pub quantity: Option<i64>,
    /// In hundredths.
    pub amount: Option<i64>,
    pub paid: bool,
    pub due: Option<NaiveDate>,
    pub tags: BTreeSet<String>,
    pub account: Option<usize>,
    pub deleted: bool,
}

#[derive(Debug)]
pub struct Data {
    pub accounts: Vec<Account>,
    pub invoices: Vec<Invoice>,
}

fn or_null<T>(value: Option<T>, given: impl Fn(T) -> Given) -> Given {
    value.map_or(Given::Null, given)
}

fn path(expression: &Expression) -> String {
    expression.path().unwrap().names.join(".")
}

impl Data {
    pub fn field(&self, invoice: &Invoice, name: &str) -> Given {
        let account = invoice.account.map(|account| &self.accounts[account]);
        match name {
            "Ext__c" => Given::Exact(invoice.ext.clone()),
            "Text__c" => or_null(invoice.text.clone(), Given::Text),
            "Quantity__c" => or_null(invoice.quantity, |n| Given::Number(n * 100)),
            "Amount__c" => or_null(invoice.amount, Given::Number),
            "Paid__c" => Given::Bool(invoice.paid),
            "Due__c" => or_null(invoice.due, Given::Date),
            "Tags__c" if invoice.tags.is_empty() => Given::Null,
            "Tags__c" => Given::Many(invoice.tags.clone()),
            "Account__r.Name" => or_null(account, |account| Given::Text(account.name.clone())),
            "Account__r.NumberOfEmployees" => {
                or_null(account.and_then(|account| account.employees), |n| Given::Number(n * 100))
            }
            other => panic!("{other}"),
        }
    }

    pub fn holds(&self, condition: &Condition, invoice: &Invoice) -> bool {
        match condition {
            Condition::All(parts) => parts.iter().all(|part| self.holds(part, invoice)),
            Condition::Any(parts) => parts.iter().any(|part| self.holds(part, invoice)),
            Condition::Not(inner) => !self.holds(inner, invoice),
            Condition::Compare { left, comparison, right } => {
                compare(&self.field(invoice, &path(left)), *comparison, &right.value)
            }
            Condition::In { left, negated, set: Set::List(list) } => {
                let value = self.field(invoice, &path(left));
                list.iter().any(|literal| compare(&value, Comparison::Equal, &literal.value)) != *negated
            }
            Condition::In { left, negated, set: Set::Query(query) } => {
                assert_eq!(path(left), "Account__c");
                let filter = query.filter.as_ref();
                let chosen = |account: usize| {
                    self.invoices.iter().any(|other| {
                        !other.deleted && other.account == Some(account) && filter.is_none_or(|f| self.holds(f, other))
                    })
                };
                invoice.account.is_some_and(chosen) != *negated
            }
            Condition::Includes { left, negated, values } => {
                let value = self.field(invoice, &path(left));
                values.iter().any(|literal| has(&value, literal)) != *negated
            }
        }
    }
}

fn has(value: &Given, literal: &Literal) -> bool {
    match (value, &literal.value) {
        (Given::Many(all), Value::Text(text)) => text.split(';').all(|part| all.contains(part)),
        (value, Value::Null) => *value == Given::Null,
        _ => false,
    }
}

fn compare(value: &Given, comparison: Comparison, literal: &Value) -> bool {
    if comparison == Comparison::Like {
        return match (value, literal) {
            (Given::Text(text) | Given::Exact(text), Value::Pattern(pattern)) => {
                let text: Vec<char> = text.to_lowercase().chars().collect();
                like(&pattern.0, &text)
            }
            _ => false,
        };
    }
    let null = matches!(literal, Value::Null) || matches!(literal, Value::Text(text) if text.is_empty());
    if null || *value == Given::Null {
        let equal = null && *value == Given::Null;
        return match comparison {
            Comparison::Equal => equal,
            Comparison::NotEqual => !equal,
            _ => false,
        };
    }
    let order = match (value, literal) {
        (Given::Text(a), Value::Text(b)) => a.to_lowercase().cmp(&b.to_lowercase()),
        (Given::Exact(a), Value::Text(b)) => a.cmp(b),
        (Given::Number(a), Value::Number(b)) => {
            // The numbers of this world have at most two digits behind the point.
            #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
            let b = (b.parse::<f64>().unwrap() * 100.0).round() as i64;
            a.cmp(&b)
        }
        (Given::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Given::Date(a), Value::Date(b)) => a.cmp(b),
        (Given::Many(a), Value::Text(b)) => {
            let b: BTreeSet<String> = b.split(';').map(str::to_owned).collect();
            if *a == b { Ordering::Equal } else { Ordering::Less }
        }
        other => panic!("{other:?}"),
    };
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
        Comparison::Like => unreachable!(),
    }
}

fn like(pattern: &[PatternPart], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((PatternPart::Many, rest)) => (0..=text.len()).any(|n| like(rest, &text[n..])),
        Some((PatternPart::One, rest)) => text.split_first().is_some_and(|(_, tail)| like(rest, tail)),
        Some((PatternPart::Char(c), rest)) => text
            .split_first()
            .is_some_and(|(given, tail)| c.to_lowercase().eq(given.to_lowercase()) && like(rest, tail)),
    }
}

/// How two values sort, nulls apart.
pub fn order(a: &Given, b: &Given) -> Ordering {
    match (a, b) {
        (Given::Text(a), Given::Text(b)) => a.to_lowercase().cmp(&b.to_lowercase()),
        (Given::Exact(a), Given::Exact(b)) => a.cmp(b),
        (Given::Number(a), Given::Number(b)) => a.cmp(b),
        (Given::Bool(a), Given::Bool(b)) => a.cmp(b),
        (Given::Date(a), Given::Date(b)) => a.cmp(b),
        other => panic!("{other:?}"),
    }
}
