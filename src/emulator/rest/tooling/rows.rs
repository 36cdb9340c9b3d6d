//! Setup as rows of the Tooling API. They are made anew for each request: there are few.

use serde_json::{Map, Value as Json, json};

use super::{automation, permissions};
use crate::org::{Filter, Object, ObjectIndex, ObjectKind, Org, STANDARD_CHANNEL, Sharing};
use crate::rest::{Context, Request};

/// Values by column; a column of a parent has a point in its name.
pub type Row = Map<String, Json>;

/// All rows of one entity.
pub struct Rows {
    pub name: &'static str,
    columns: &'static [&'static str],
    /// Where its rows have their place below the version.
    place: &'static str,
    pub rows: Vec<Row>,
}

/// Which API is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Tooling,
    Data,
}

const CHANNEL: &[&str] =
    &["Id", "DeveloperName", "ChannelType", "MasterLabel", "Language", "NamespacePrefix", "FullName", "Metadata"];
const MEMBER: &[&str] = &[
    "Id",
    "DeveloperName",
    "EventChannel",
    "FilterExpression",
    "SelectedEntity",
    "MasterLabel",
    "FullName",
    "Metadata",
];
const ENRICHED: &[&str] = &["ChannelMemberId", "Field"];
const SUBSCRIPTION: &[&str] = &[
    "Id",
    "DeveloperName",
    "MasterLabel",
    "TopicName",
    "DefaultReplay",
    "ErrorRecoveryReplay",
    "State",
    "Version",
    "FullName",
    "Metadata",
];
const CUSTOM_FIELD: &[&str] = &["Id", "DeveloperName", "TableEnumOrId", "NamespacePrefix", "FullName"];
const ENTITY: &[&str] =
    &["DurableId", "QualifiedApiName", "DeveloperName", "KeyPrefix", "Label", "PluralLabel", "InternalSharingModel"];
const FIELD: &[&str] = &[
    "DurableId",
    "QualifiedApiName",
    "DeveloperName",
    "Label",
    "EntityDefinitionId",
    "EntityDefinition.QualifiedApiName",
];

/// The rows of an entity, by its name without case. `None`: there is no such entity, or the caller may not see it.
pub fn of(context: &Context, request: &Request, api: Api, name: &str) -> Option<Rows> {
    let (name, columns, rows) = entity(context.org, request, api, &name.to_ascii_lowercase())?;
    let sees_setup = context.org.user(&request.user).is_some_and(|user| user.access.view_setup);
    if !sees_setup && !["EntityDefinition", "FieldDefinition", "UserPermissionAccess"].contains(&name) {
        return None;
    }
    let rows = rows.map(|row| match row {
        Json::Object(row) => row,
        _ => Row::new(),
    });
    let place = if api == Api::Tooling { "tooling/sobjects" } else { "sobjects" };
    Some(Rows { name, columns, place, rows: rows.collect() })
}

type Entity<'a> = (&'static str, &'static [&'static str], Made<'a>);

fn entity<'a>(org: &'a Org, request: &'a Request, api: Api, name: &str) -> Option<Entity<'a>> {
    Some(match (name, api) {
        ("entitydefinition", _) => ("EntityDefinition", ENTITY, entities(org)),
        ("fielddefinition", _) => ("FieldDefinition", FIELD, fields(org)),
        ("apextrigger", _) => ("ApexTrigger", automation::TRIGGER, automation::triggers(org)),
        (_, Api::Tooling) => tooling_entity(org, name)?,
        ("flowdefinitionview", _) => ("FlowDefinitionView", automation::FLOW, automation::flows(org)),
        ("duplicaterule", _) => ("DuplicateRule", automation::DUPLICATE, automation::duplicate_rules(org)),
        ("assignmentrule", _) => ("AssignmentRule", automation::ASSIGNMENT, automation::assignment_rules(org)),
        ("permissionsetassignment", _) => {
            ("PermissionSetAssignment", permissions::ASSIGNMENT, permissions::assignments(org))
        }
        ("objectpermissions", _) => ("ObjectPermissions", permissions::OBJECT, permissions::objects(org)),
        ("fieldpermissions", _) => ("FieldPermissions", permissions::FIELD, permissions::fields(org)),
        ("userpermissionaccess", _) => {
            ("UserPermissionAccess", permissions::USER, permissions::of_user(org, &request.user))
        }
        _ => return None,
    })
}

fn tooling_entity<'a>(org: &'a Org, name: &str) -> Option<Entity<'a>> {
    Some(match name {
        "platformeventchannel" => ("PlatformEventChannel", CHANNEL, channels(org)),
        "platformeventchannelmember" => ("PlatformEventChannelMember", MEMBER, members(org)),
        "enrichedfield" => ("EnrichedField", ENRICHED, enriched_fields(org)),
        "managedeventsubscription" => ("ManagedEventSubscription", SUBSCRIPTION, subscriptions(org)),
        "customfield" => ("CustomField", CUSTOM_FIELD, custom_fields(org)),
        "validationrule" => ("ValidationRule", automation::VALIDATION, automation::validation_rules(org)),
        "workflowrule" => ("WorkflowRule", automation::WORKFLOW, Box::new(std::iter::empty())),
        _ => return None,
    })
}

impl Rows {
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|known| known.eq_ignore_ascii_case(column))
    }

    /// A value as text without case; `None` where it is null.
    pub fn value(&self, row: &Row, column: &str) -> Option<String> {
        let name = self.columns.iter().find(|known| known.eq_ignore_ascii_case(column))?;
        row.get(*name).filter(|value| !value.is_null()).map(|value| value.to_string().to_lowercase())
    }

    pub fn show(&self, request: &Request, row: &Row) -> Row {
        let all: Vec<String> =
            self.columns.iter().filter(|name| !name.contains('.')).map(|&name| name.into()).collect();
        self.show_only(request, row, &all)
    }

    pub fn show_only(&self, request: &Request, row: &Row, columns: &[String]) -> Row {
        let id = row.get("Id").or_else(|| row.get("DurableId")).and_then(Json::as_str).unwrap_or_default();
        let url = format!("/services/data/v{}.0/{}/{}/{id}", request.version, self.place, self.name);
        let mut shown = Row::from_iter([("attributes".to_owned(), json!({"type": self.name, "url": url}))]);
        for column in columns {
            let Some(name) = self.columns.iter().find(|known| known.eq_ignore_ascii_case(column)) else { continue };
            let value = row.get(*name).cloned().unwrap_or_default();
            match name.split_once('.') {
                Some((parent, name)) => drop(shown.insert(parent.into(), json!({name: value}))),
                None => drop(shown.insert((*name).into(), value)),
            }
        }
        shown
    }
}

pub(super) type Made<'a> = Box<dyn Iterator<Item = Json> + 'a>;

fn channels(org: &Org) -> Made<'_> {
    let custom = org.channels.iter().filter(|channel| channel.name != STANDARD_CHANNEL);
    Box::new(custom.map(|channel| {
        let kind = if channel.events { "event" } else { "data" };
        json!({"Id": channel.id.as_str(), "DeveloperName": channel.name.trim_end_matches("__chn"), "ChannelType": kind,
            "MasterLabel": channel.label, "Language": "en_US", "FullName": channel.name,
            "Metadata": {"channelType": kind, "label": channel.label}})
    }))
}

fn members(org: &Org) -> Made<'_> {
    Box::new(org.members().into_iter().map(|(channel, member)| {
        let name = format!("{}_{}", channel.replace("__", "_"), member.entity);
        let id = org.channels.iter().find(|known| known.name == channel && channel != STANDARD_CHANNEL);
        let enriched: Vec<Json> = member.enriched_fields.iter().map(|name| json!({"name": name})).collect();
        let filter = member.filter.as_ref().map(Filter::text);
        json!({"Id": member.id.as_str(), "DeveloperName": name,
            "EventChannel": id.map_or(channel.as_str(), |channel| channel.id.as_str()),
            "FilterExpression": filter, "SelectedEntity": member.entity, "MasterLabel": name, "FullName": name,
            "Metadata": {"eventChannel": channel, "selectedEntity": member.entity, "enrichedFields": enriched,
                "filterExpression": filter}})
    }))
}

/// A standard field is known by its name, a custom field by its id.
fn enriched_fields(org: &Org) -> Made<'_> {
    Box::new(org.members().into_iter().flat_map(|(_, member)| {
        let object = org.schema.entity(&member.entity);
        let show = |name: &String| {
            let custom = object.and_then(|(index, object)| Some((index, object.find(name)?)));
            let field = match custom {
                Some((object, (field, definition))) if definition.custom() => {
                    org.custom_field_id(object, field).as_str().to_owned()
                }
                _ => name.clone(),
            };
            json!({"ChannelMemberId": member.id.as_str(), "Field": field})
        };
        member.enriched_fields.iter().map(show).collect::<Vec<_>>()
    }))
}

fn subscriptions(org: &Org) -> Made<'_> {
    Box::new(org.managed_subscriptions().iter().map(|subscription| {
        let (spec, name) = (&subscription.spec, &subscription.name);
        let (default, recovery) = (spec.default_replay.name(), spec.error_recovery_replay.name());
        let state = if spec.runs { "RUN" } else { "STOP" };
        json!({"Id": subscription.id.as_str(), "DeveloperName": name, "FullName": name, "MasterLabel": spec.label,
            "TopicName": spec.topic, "DefaultReplay": default, "ErrorRecoveryReplay": recovery, "State": state,
            "Version": spec.version,
            "Metadata": {"label": spec.label, "topicName": spec.topic, "defaultReplay": default,
                "errorRecoveryReplay": recovery, "state": state, "version": spec.version}})
    }))
}

/// What Setup calls an object: its name, or the id of a custom one.
pub(super) fn durable_id(org: &Org, index: ObjectIndex, object: &Object) -> String {
    if object.custom() { org.custom_object_id(index).as_str().to_owned() } else { object.name.clone() }
}

/// `Bridge_Id__c` is `Bridge_Id`.
fn developer_name(name: &str) -> &str {
    ["__c", "__pc", "__e", "__ChangeEvent"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

fn custom_fields(org: &Org) -> Made<'_> {
    Box::new(org.schema.objects().flat_map(move |(index, object)| {
        let custom = object.fields().filter(|(_, field)| field.name.ends_with("__c"));
        custom.map(move |(place, field)| {
            json!({"Id": org.custom_field_id(index, place).as_str(), "DeveloperName": developer_name(&field.name),
                "TableEnumOrId": durable_id(org, index, object), "FullName": format!("{}.{}", object.name, field.name)})
        })
    }))
}

fn entities(org: &Org) -> Made<'_> {
    Box::new(org.schema.objects().flat_map(move |(index, object)| {
        let show = |name: &str, id: String, prefix: Option<&str>, label: String, plural: String| {
            json!({"DurableId": id, "QualifiedApiName": name, "DeveloperName": developer_name(name), "KeyPrefix": prefix,
                "Label": label, "PluralLabel": plural, "InternalSharingModel": sharing(object)})
        };
        let own = show(
            &object.name,
            durable_id(org, index, object),
            Some(object.prefix.as_str()),
            object.label.clone(),
            object.label_plural.clone(),
        );
        let event = object.event_name();
        let label = format!("{} Change Event", object.label);
        let events = (object.kind == ObjectKind::Record)
            .then(|| show(&event, event.clone(), None, label.clone(), format!("{label}s")));
        std::iter::once(own).chain(events)
    }))
}

/// What users may do with the records of others, as Setup calls it.
fn sharing(object: &Object) -> &'static str {
    if object.fields().any(|(_, field)| field.reference().is_some_and(|to| to.master)) {
        return "ControlledByParent";
    }
    match object.sharing {
        Sharing::PublicReadWrite => "ReadWrite",
        Sharing::PublicRead => "Read",
        Sharing::Private => "Private",
    }
}

fn fields(org: &Org) -> Made<'_> {
    Box::new(org.schema.objects().flat_map(move |(index, object)| {
        object.fields().map(move |(place, field)| {
            let entity = durable_id(org, index, object);
            let id = match field.custom() {
                true => org.custom_field_id(index, place).short().to_owned(),
                false => field.name.clone(),
            };
            json!({"DurableId": format!("{entity}.{id}"), "QualifiedApiName": field.name,
                "DeveloperName": developer_name(&field.name), "Label": field.label, "EntityDefinitionId": entity,
                "EntityDefinition.QualifiedApiName": object.name})
        })
    }))
}
