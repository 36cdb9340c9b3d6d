//! A query as text again.

use super::super::ast::{
    Comparison, Condition, Expression, FieldGroup, Literal, PatternPart, Query, Selected, Set, Value,
};
use super::super::dates::{DateSpan, Unit};

pub fn query(query: &Query) -> String {
    let select: Vec<String> = query.select.iter().map(selected).collect();
    let mut text = format!("SELECT {} FROM {}", select.join(", "), query.from.text);
    if let Some(alias) = &query.alias {
        text += &format!(" {}", alias.text);
    }
    if let Some(filter) = &query.filter {
        text += &format!(" WHERE {}", condition(filter));
    }
    if !query.group.is_empty() {
        let group: Vec<String> = query.group.iter().map(expression).collect();
        text += &format!(" GROUP BY {}", group.join(", "));
    }
    if let Some(having) = &query.having {
        text += &format!(" HAVING {}", condition(having));
    }
    if !query.order.is_empty() {
        let order = query.order.iter().map(|order| {
            let direction = if order.descending { " DESC" } else { "" };
            let nulls = if order.nulls_last { " NULLS LAST" } else { "" };
            format!("{}{direction}{nulls}", expression(&order.by))
        });
        text += &format!(" ORDER BY {}", order.collect::<Vec<_>>().join(", "));
    }
    if let Some(limit) = query.limit {
        text += &format!(" LIMIT {limit}");
    }
    if query.offset > 0 {
        text += &format!(" OFFSET {}", query.offset);
    }
    text
}

fn selected(selected: &Selected) -> String {
    match selected {
        Selected::Value { what, alias } => {
            let alias = alias.as_ref().map(|alias| format!(" {}", alias.text)).unwrap_or_default();
            format!("{}{alias}", expression(what))
        }
        Selected::Fields(FieldGroup::All, _) => "FIELDS(ALL)".into(),
        Selected::Fields(FieldGroup::Custom, _) => "FIELDS(CUSTOM)".into(),
        Selected::Fields(FieldGroup::Standard, _) => "FIELDS(STANDARD)".into(),
        Selected::Children(children) => format!("({})", query(children)),
    }
}

fn expression(expression: &Expression) -> String {
    match expression {
        Expression::Path(path) => path.names.join("."),
        Expression::Call(call) => {
            let argument = call.argument.as_deref().map(self::expression).unwrap_or_default();
            format!("{}({argument})", call.function.name())
        }
    }
}

pub fn condition(condition: &Condition) -> String {
    let joined = |parts: &[Condition], with: &str| parts.iter().map(inner).collect::<Vec<_>>().join(with);
    let values = |values: &[Literal]| values.iter().map(literal).collect::<Vec<_>>().join(", ");
    match condition {
        Condition::All(parts) => joined(parts, " AND "),
        Condition::Any(parts) => joined(parts, " OR "),
        Condition::Not(part) => format!("NOT {}", inner(part)),
        Condition::Compare { left, comparison, right } => {
            let sign = match comparison {
                Comparison::Equal => "=",
                Comparison::NotEqual => "!=",
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
                Comparison::Like => "LIKE",
            };
            format!("{} {sign} {}", expression(left), literal(right))
        }
        Condition::In { left, negated, set } => {
            let not = if *negated { "NOT " } else { "" };
            let set = match set {
                Set::List(list) => values(list),
                Set::Query(inner) => query(inner),
            };
            format!("{} {not}IN ({set})", expression(left))
        }
        Condition::Includes { left, negated, values: list } => {
            let word = if *negated { "EXCLUDES" } else { "INCLUDES" };
            format!("{} {word} ({})", expression(left), values(list))
        }
    }
}

fn inner(part: &Condition) -> String {
    match part {
        Condition::All(_) | Condition::Any(_) | Condition::Not(_) => format!("({})", condition(part)),
        _ => condition(part),
    }
}

fn quoted(text: &str) -> String {
    let escape = |c: char| match c {
        '\'' => "\\'".into(),
        '\\' => "\\\\".into(),
        '\n' => "\\n".into(),
        '\t' => "\\t".into(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

fn literal(literal: &Literal) -> String {
    match &literal.value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Text(text) => format!("'{}'", quoted(text)),
        Value::Pattern(pattern) => {
            let part = |part: &PatternPart| match part {
                PatternPart::Char(c @ ('_' | '%')) => format!("\\{c}"),
                PatternPart::Char(c) => quoted(&c.to_string()),
                PatternPart::One => "_".into(),
                PatternPart::Many => "%".into(),
            };
            format!("'{}'", pattern.0.iter().map(part).collect::<String>())
        }
        Value::Number(text) => text.clone(),
        Value::Date(date) => date.to_string(),
        Value::DateTime(at) => at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Value::Time(time) => time.format("%H:%M:%S%.3fZ").to_string(),
        Value::Dates(DateSpan { unit, from, to }) => {
            let unit = match unit {
                Unit::Day => "DAYS",
                Unit::Week => "WEEKS",
                Unit::Month => "MONTHS",
                Unit::Quarter => "QUARTERS",
                Unit::Year => "YEARS",
            };
            match (from, to) {
                (from, to) if from == to && *from <= 0 => format!("N_{unit}_AGO:{}", -from),
                (1, to) => format!("NEXT_N_{unit}:{to}"),
                (from, _) => format!("LAST_N_{unit}:{}", -from),
            }
        }
    }
}
