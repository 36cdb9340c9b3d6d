//! Which objects a channel carries, and what of them (facts: setup-metadata.md section 2).

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::super::error::CallError;
use super::super::{Org, soql};
use super::setup::{Asked, VIEW_SETUP, custom_field_name};
use crate::event::{Channel, ObjectName, RecordId};

/// An object on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub object: ObjectName,
    /// Only changes for which it holds are sent.
    pub filter: Option<String>,
    /// Fields that are added: standard ones by name, custom ones by id, or by name in a [`Capture`].
    pub enriched: BTreeSet<String>,
}

/// How many objects can be selected over all channels of an org that has not bought more.
pub const FREE_ENTITIES: usize = 5;

/// What is selected for Change Data Capture in an org.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capture {
    /// The standard channel first.
    pub channels: Vec<CapturedChannel>,
}

/// A channel of change events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedChannel {
    pub channel: Channel,
    pub members: Vec<Member>,
}

impl Capture {
    /// The objects that count against [`FREE_ENTITIES`], each once.
    pub fn objects(&self) -> BTreeSet<&ObjectName> {
        self.channels.iter().flat_map(|channel| &channel.members).map(|member| &member.object).collect()
    }

    /// The member that brings the changes of an object to a channel: for a channel of one object, that of the standard
    /// channel. `None`: they do not come there.
    pub fn member(&self, channel: &Channel, object: &ObjectName) -> Option<&Member> {
        let alone = channel.object().is_some();
        let carries = |known: &&CapturedChannel| match alone {
            true => known.channel.as_str() == STANDARD,
            false => known.channel.as_str().eq_ignore_ascii_case(channel.as_str()),
        };
        let members = &self.channels.iter().find(carries)?.members;
        members.iter().find(|member| member.object.as_str().eq_ignore_ascii_case(object.as_str()))
    }

    pub fn channel(&self, channel: &Channel) -> Option<&CapturedChannel> {
        self.channels.iter().find(|known| known.channel.as_str().eq_ignore_ascii_case(channel.as_str()))
    }
}

const STANDARD: &str = "/data/ChangeEvents";

/// A custom channel as Setup knows it.
struct Custom {
    id: String,
    /// Without its ending.
    name: String,
}

impl Org {
    /// The members of a channel of several objects, or of the standard channel for that of one object. Needs the
    /// permission View Setup and Configuration; whoever has it not gets an error.
    pub async fn members(&self, channel: &Channel) -> Result<Vec<Member>, CallError> {
        let channels = match channel.as_str().strip_prefix("/data/").and_then(|name| name.strip_suffix("__chn")) {
            None => vec!["ChangeEvents".to_owned()],
            Some(name) => {
                let customs = self.custom_channels().await?;
                let ids = customs.into_iter().filter(|custom| custom.name == name).map(|custom| custom.id);
                ids.chain([format!("{name}__chn")]).collect()
            }
        };
        let members = self.all_members().await?.into_iter();
        let ours = members.filter(|(place, _)| channels.iter().any(|known| same_id(known, place)));
        Ok(ours.map(|(_, member)| member).collect())
    }

    /// What is selected for Change Data Capture, in all channels. Enriched fields have their names.
    pub async fn capture(&self) -> Result<Asked<Capture>, CallError> {
        Asked::of(self.ask_capture().await, VIEW_SETUP)
    }

    async fn ask_capture(&self) -> Result<Capture, CallError> {
        let standard = Custom { id: "ChangeEvents".to_owned(), name: "ChangeEvents".to_owned() };
        let customs = self.custom_channels().await?;
        let mut members = self.all_members().await?;
        self.name_enriched(&mut members).await?;
        let captured = |(i, custom): (usize, Custom)| {
            let ending = if i == 0 { "" } else { "__chn" };
            let full = format!("{}{ending}", custom.name);
            let here = |(place, _): &&(String, Member)| same_id(&custom.id, place) || full == *place;
            Some(CapturedChannel {
                channel: format!("/data/{full}").parse().ok()?,
                members: members.iter().filter(here).map(|(_, member)| member.clone()).collect(),
            })
        };
        Ok(Capture { channels: [standard].into_iter().chain(customs).enumerate().filter_map(captured).collect() })
    }

    /// The custom channels of change events.
    async fn custom_channels(&self) -> Result<Vec<Custom>, CallError> {
        let rows =
            self.pages("tooling/query", "SELECT Id, DeveloperName, ChannelType FROM PlatformEventChannel").await?;
        let custom = |row: &Map<String, Value>| {
            let name = text(row, "DeveloperName")?;
            // UNSURE whether the name has its ending here.
            let name = name.strip_suffix("__chn").unwrap_or(&name).to_owned();
            let of_events = text(row, "ChannelType").is_some_and(|kind| kind.eq_ignore_ascii_case("event"));
            (!of_events).then_some(Custom { id: text(row, "Id")?, name })
        };
        Ok(rows.iter().filter_map(custom).collect())
    }

    /// All objects that are selected, each with its channel: `ChangeEvents`, or the name or id of a custom one.
    async fn all_members(&self) -> Result<Vec<(String, Member)>, CallError> {
        let members = "SELECT Id, EventChannel, FilterExpression, SelectedEntity FROM PlatformEventChannelMember";
        let members = self.pages("tooling/query", members).await?;
        let enriched = self.pages("tooling/query", "SELECT ChannelMemberId, Field FROM EnrichedField").await?;
        let member = |row: &Map<String, Value>| {
            let id = text(row, "Id")?;
            let of_it = |field: &&Map<String, Value>| {
                text(field, "ChannelMemberId").is_some_and(|member| same_id(&member, &id))
            };
            let member = Member {
                object: object_of(&text(row, "SelectedEntity")?)?,
                filter: text(row, "FilterExpression").filter(|filter| !filter.trim().is_empty()),
                enriched: enriched.iter().filter(of_it).filter_map(|field| text(field, "Field")).collect(),
            };
            Some((text(row, "EventChannel")?, member))
        };
        Ok(members.iter().filter_map(member).collect())
    }

    /// Custom fields are known by their ids there; those get their names.
    async fn name_enriched(&self, members: &mut [(String, Member)]) -> Result<(), CallError> {
        let is_id = |field: &&String| field.starts_with("00N") && field.parse::<RecordId>().is_ok();
        let ids: BTreeSet<String> =
            members.iter().flat_map(|(_, member)| member.enriched.iter().filter(is_id).cloned()).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let mut names = HashMap::new();
        for ids in ids.chunks(soql::IN_MAX) {
            let list = soql::list(ids.iter().map(String::as_str));
            let soql = format!("SELECT Id, DeveloperName, NamespacePrefix FROM CustomField WHERE Id IN {list}");
            for row in self.pages("tooling/query", &soql).await? {
                if let (Some(id), Some(name)) = (text(&row, "Id"), custom_field_name(&row)) {
                    names.insert(id.get(..15).unwrap_or(&id).to_owned(), name.as_str().to_owned());
                }
            }
        }
        for (_, member) in members {
            let named = |field: String| field.get(..15).and_then(|id| names.get(id)).cloned().unwrap_or(field);
            member.enriched = std::mem::take(&mut member.enriched).into_iter().map(named).collect();
        }
        Ok(())
    }
}

fn text(row: &Map<String, Value>, name: &str) -> Option<String> {
    row.get(name).and_then(Value::as_str).map(str::to_owned)
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
