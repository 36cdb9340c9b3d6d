//! Asks the orgs what lookups lead to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};
use tracing::warn;

use crate::event::Record;
use crate::mapping::{Ask, Asked, Mapping, Only, Replies, Reply};
use crate::org::{CallError, Disposition, Org, soql};

/// A question can follow from the answer to another: the user of the source, that of the target, and what stands in for it.
const ROUNDS: usize = 5;
/// Characters in one literal of a query (facts: rest.md section 9). No field that can be looked into holds more.
const LITERAL_MAX: usize = 4_000;

/// What these records' lookups lead to, as far as `known` does not say it. Each question gets a reply.
///
/// # Errors
/// When an org cannot be asked.
pub async fn ask(orgs: &[&Org], mapping: &Mapping, records: &[&Record], known: &Replies) -> Result<Replies, CallError> {
    let mut fresh = Replies::new();
    let wanted = |replies: &Replies| -> BTreeSet<Ask> {
        records.iter().flat_map(|record| mapping.asks(record, replies)).collect()
    };
    let mut asks = wanted(known);
    if asks.is_empty() {
        return Ok(fresh);
    }
    let mut all = known.clone();
    for _ in 0..ROUNDS {
        let mut grouped: BTreeMap<Asked, Vec<String>> = BTreeMap::new();
        for Ask { of, value } in asks {
            grouped.entry(of).or_default().push(value);
        }
        for (asked, values) in grouped {
            let Some(org) = orgs.iter().find(|org| *org.name() == asked.org) else { continue };
            fresh.extend(each(org, &asked, values).await?);
        }
        all.extend(fresh.iter().map(|(ask, reply)| (ask.clone(), reply.clone())));
        asks = wanted(&all);
        if asks.is_empty() {
            break;
        }
    }
    Ok(fresh)
}

/// A value that the org refuses to look for counts as not found: it must not keep the others from their answers.
async fn each(org: &Org, asked: &Asked, values: Vec<String>) -> Result<Replies, CallError> {
    let (values, long): (Vec<_>, Vec<_>) = values.into_iter().partition(|value| value.chars().count() <= LITERAL_MAX);
    let nothing = |value: String| (Ask { of: asked.clone(), value }, Reply::Nothing);
    let mut found: Replies = long.into_iter().map(nothing).collect();
    let mut groups: Vec<&[String]> = soql::in_urls(&values).collect();
    while let Some(group) = groups.pop() {
        match replies(org, asked, group).await {
            Ok(replies) => found.extend(replies),
            Err(error) if error.disposition() != Disposition::Split => return Err(error),
            Err(error) => match group {
                [one] => {
                    let Asked { object, by, .. } = asked;
                    warn!(org = %org.name(), %object, %by, %error, "a value cannot be looked for, and counts as not found");
                    found.extend([nothing(one.clone())]);
                }
                several => {
                    let (some, others) = several.split_at(several.len() / 2);
                    groups.extend([some, others]);
                }
            },
        }
    }
    Ok(found)
}

async fn replies(org: &Org, asked: &Asked, values: &[String]) -> Result<Replies, CallError> {
    let Asked { object, by, want, only, .. } = asked;
    let columns = if by == want { by.to_string() } else { format!("{want}, {by}") };
    let only = match only {
        Only::All => String::new(),
        Only::RecordTypesOf(object) => {
            format!(" AND SobjectType = {} AND IsActive = true", soql::literal(object.as_str()))
        }
        Only::ActiveUsers => " AND IsActive = true".to_owned(),
        Only::Queues => " AND Type = 'Queue'".to_owned(),
    };
    let list = soql::list(values.iter().map(String::as_str));
    let rows = org.query(&format!("SELECT {columns} FROM {object} WHERE {by} IN {list}{only}")).await?;
    let reply = |value: &String| (Ask { of: asked.clone(), value: value.clone() }, judge(value, &held(&rows, asked)));
    Ok(values.iter().map(reply).collect())
}

/// What is wanted of each row, by the value that it was found by.
fn held<'r>(rows: &'r [Map<String, Json>], asked: &Asked) -> Vec<(&'r str, &'r str)> {
    let text = |row: &'r Map<String, Json>, name: &str| row.get(name).and_then(Json::as_str);
    rows.iter().filter_map(|row| Some((text(row, asked.by.as_str())?, text(row, asked.want.as_str())?))).collect()
}

/// An org compares most text without regard to case. A row that holds the value just as it is goes before those that do not.
fn judge(value: &str, held: &[(&str, &str)]) -> Reply {
    let mut found: BTreeSet<&str> = held.iter().filter(|(by, _)| *by == value).map(|(_, want)| *want).collect();
    if found.is_empty() {
        let lower = value.to_lowercase();
        found = held.iter().filter(|(by, _)| by.to_lowercase() == lower).map(|(_, want)| *want).collect();
    }
    match (found.pop_first(), found.is_empty()) {
        (None, _) => Reply::Nothing,
        (Some(one), true) => Reply::One(one.to_owned()),
        (Some(_), false) => Reply::Several,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_counts_only_where_it_decides() {
        let held = [
            ("a@x.example", "1"),
            ("A@X.example", "2"),
            ("b@x.example", "3"),
            ("c", "4"),
            ("c", "4"),
            ("d", "5"),
            ("d", "6"),
        ];
        let cases = [
            ("a@x.example", Reply::One("1".to_owned())),
            ("A@x.example", Reply::Several),
            ("B@X.example", Reply::One("3".to_owned())),
            ("c", Reply::One("4".to_owned())),
            ("d", Reply::Several),
            ("e", Reply::Nothing),
        ];
        for (value, expected) in cases {
            assert!(judge(value, &held) == expected, "{value}");
        }
    }
}
