//! What the orgs say of a record and its counterpart now.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::{Standing, Told};
use crate::event::{ObjectName, OrgName, RecordId, Timestamp};
use crate::hydrate;
use crate::org::{CallError, Org, OrgError};

/// What was asked, and what came of it. Empty where no org was asked.
#[derive(Debug, Clone, Default)]
pub struct Now {
    pub asked: bool,
    pub seen: BTreeMap<(OrgName, RecordId), Seen>,
    /// Orgs that could not be asked, and why.
    pub silent: BTreeMap<OrgName, String>,
}

/// A record as its org shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub there: There,
    /// By the org's clock.
    pub modified: Option<Timestamp>,
    /// The id and the name of who changed it last.
    pub by: Option<(RecordId, String)>,
    /// That was the bridge's own user.
    pub by_bridge: bool,
    /// How far the org's clock is ahead of ours, in milliseconds.
    pub ahead: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    Yes,
    /// In the recycle bin.
    Binned,
    /// Not there, or not for the bridge's user.
    No,
}

/// Why an org tells nothing.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("{0}. {remedy}", remedy = .0.remedy())]
    Login(#[from] OrgError),
    #[error("{0}")]
    Call(#[from] CallError),
}

/// Asks the orgs for all records of a trace. One that does not answer is named; the others are asked all the same.
pub async fn ask_orgs(orgs: &BTreeMap<OrgName, Org>, told: &Told) -> Now {
    let mut now = Now { asked: true, ..Now::default() };
    for (place, object) in places(told) {
        let (name, record) = &place;
        if now.silent.contains_key(name) {
            continue;
        }
        let Some(org) = orgs.get(name) else {
            now.silent.insert(name.clone(), "the config does not name it any more".to_owned());
            continue;
        };
        if let Some(id) = told.orgs.get(name) {
            org.pin(id);
        }
        match ask(org, &object, *record).await {
            Ok(seen) => drop(now.seen.insert(place, seen)),
            Err(error) => drop(now.silent.insert(name.clone(), error.to_string())),
        }
    }
    now
}

/// Each source record, and each counterpart that a link names or that was the last one known.
fn places(told: &Told) -> BTreeMap<(OrgName, RecordId), ObjectName> {
    let mut places = BTreeMap::new();
    for line in &told.lines {
        places.insert((line.source_org.clone(), line.record), line.source_object.clone());
        if let Some(target) = counterpart(told, line) {
            places.insert((line.target_org.clone(), target), line.target_object.clone());
        }
    }
    places
}

/// The counterpart that a link names, or else the last one that is remembered.
pub(super) fn counterpart(told: &Told, line: &Standing) -> Option<RecordId> {
    let own = told.deeds.iter().rev().filter(|deed| deed.pipeline == line.pipeline && deed.record == line.record);
    let remembered = || own.into_iter().find_map(|deed| deed.target);
    line.target.or_else(remembered)
}

async fn ask(org: &Org, object: &ObjectName, record: RecordId) -> Result<Seen, AskError> {
    let session = org.session().await?;
    let described = org.describe(object).await?;
    let mut fields = vec!["Id"];
    fields.extend(["IsDeleted", "LastModifiedDate"].into_iter().filter(|field| described.has(field)));
    if described.has("LastModifiedById") {
        fields.extend(["LastModifiedById", "LastModifiedBy.Name"]);
    }
    let soql = format!("SELECT {} FROM {object} WHERE Id = '{record}'", fields.join(", "));
    let row = org.query_all(&soql).await?.pop();
    let ahead = org.server_time().0 - Timestamp::now().0;
    Ok(seen(row, &session.user_id, ahead))
}

fn seen(row: Option<Map<String, Json>>, bridge: &str, ahead: i64) -> Seen {
    let Some(row) = row else { return Seen { there: There::No, modified: None, by: None, by_bridge: false, ahead } };
    let is_deleted = row.get("IsDeleted").and_then(Json::as_bool) == Some(true);
    let by = hydrate::id_of(&row, "LastModifiedById");
    let name = row.get("LastModifiedBy").and_then(|user| user.get("Name")).and_then(Json::as_str);
    Seen {
        there: if is_deleted { There::Binned } else { There::Yes },
        modified: row.get("LastModifiedDate").and_then(Json::as_str).and_then(Timestamp::read),
        by_bridge: by.is_some_and(|by| bridge.parse() == Ok(by)),
        by: by.map(|by| (by, name.map_or_else(|| by.to_string(), str::to_owned))),
        ahead,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(row: Json) -> Option<Map<String, Json>> {
        row.as_object().cloned()
    }

    #[test]
    fn who_changed_a_record_last_is_told_by_name_and_whether_it_was_the_bridge() {
        let modified = json!({
            "Id": "001000000000001AAA", "IsDeleted": false, "LastModifiedDate": "2026-01-02T03:04:05.000+0000",
            "LastModifiedById": "005000000000007AAA", "LastModifiedBy": {"Name": "Ada Lovelace"},
        });
        let other = seen(row(modified.clone()), "005000000000001AAA", 0);
        assert_eq!((other.there, other.by_bridge), (There::Yes, false));
        assert_eq!(other.by.unwrap().1, "Ada Lovelace");
        assert_eq!(other.modified, Timestamp::read("2026-01-02T03:04:05Z"));
        assert!(seen(row(modified), "005000000000007AAA", 0).by_bridge);
    }

    #[test]
    fn what_is_in_the_bin_is_not_there_and_what_is_not_shown_neither() {
        assert_eq!(seen(row(json!({"Id": "001000000000001AAA", "IsDeleted": true})), "", 0).there, There::Binned);
        assert_eq!(seen(None, "", 0).there, There::No);
    }
}
