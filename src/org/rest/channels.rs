//! Which objects a channel carries, and what of them (facts: setup-metadata.md section 2).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::Org;
use super::super::error::CallError;
use crate::event::{Channel, ObjectName};

/// An object on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub object: ObjectName,
    /// Only changes for which it holds are sent.
    pub filter: Option<String>,
    /// Ids or names of fields that are added.
    pub enriched: BTreeSet<String>,
}

impl Org {
    /// The members of a channel of several objects, or of the standard channel for that of one object. Needs the
    /// permission View Setup and Configuration; whoever has it not gets an error.
    pub async fn members(&self, channel: &Channel) -> Result<Vec<Member>, CallError> {
        let text = |row: &Map<String, Value>, name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let channels = match channel.as_str().strip_prefix("/data/").and_then(|name| name.strip_suffix("__chn")) {
            None => vec!["ChangeEvents".to_owned()],
            Some(name) => {
                let rows = self.pages("tooling/query", "SELECT Id, DeveloperName FROM PlatformEventChannel").await?;
                // UNSURE whether the name has its ending here.
                let ours = |row: &&Map<String, Value>| {
                    text(row, "DeveloperName")
                        .is_some_and(|known| known.strip_suffix("__chn").unwrap_or(&known) == name)
                };
                let mut ids: Vec<String> = rows.iter().filter(ours).filter_map(|row| text(row, "Id")).collect();
                ids.push(format!("{name}__chn"));
                ids
            }
        };
        let members = "SELECT Id, EventChannel, FilterExpression, SelectedEntity FROM PlatformEventChannelMember";
        let members = self.pages("tooling/query", members).await?;
        let enriched = self.pages("tooling/query", "SELECT ChannelMemberId, Field FROM EnrichedField").await?;
        let ours = members
            .iter()
            .filter(|row| text(row, "EventChannel").is_some_and(|id| channels.iter().any(|known| same_id(known, &id))));
        let member = |row: &Map<String, Value>| {
            let id = text(row, "Id")?;
            let of_it = |field: &&Map<String, Value>| {
                text(field, "ChannelMemberId").is_some_and(|member| same_id(&member, &id))
            };
            Some(Member {
                object: object_of(&text(row, "SelectedEntity")?)?,
                filter: text(row, "FilterExpression").filter(|filter| !filter.trim().is_empty()),
                enriched: enriched.iter().filter(of_it).filter_map(|field| text(field, "Field")).collect(),
            })
        };
        Ok(ours.filter_map(member).collect())
    }
}

/// `AccountChangeEvent` is Account, `Employee__ChangeEvent` is `Employee__c`.
fn object_of(entity: &str) -> Option<ObjectName> {
    format!("/data/{entity}").parse::<Channel>().ok()?.object()
}

/// Ids come with 15 or with 18 characters.
fn same_id(one: &str, other: &str) -> bool {
    one == other || (one.len() >= 15 && one.get(..15) == other.get(..15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_is_the_changes_of_an_object() {
        for (entity, object) in [("AccountChangeEvent", "Account"), ("Employee__ChangeEvent", "Employee__c")] {
            assert_eq!(object_of(entity).unwrap().as_str(), object);
        }
        assert_eq!(object_of("Order__e"), None);
        assert!(same_id("0YLRM000000004m", "0YLRM000000004m4AA") && !same_id("ChangeEvents", "0YLRM000000004m"));
    }
}
