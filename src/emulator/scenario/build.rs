//! A scenario becomes what an org is set up with: names become indexes, conditions are read, ids are given.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value as Json, json};

use super::spec::{
    AccessSpec, ActionSpec, ActionType, Assigned, ChannelType, Computed, DuplicateAction, FieldAccess, InputSpec, Name,
    ObjectSpec, On, OwnerKind, QueueSpec, RecordTypeSpec, Right, TriggerSpec, UserSpec,
};
use super::{Problem, Scenario, ScenarioError};
use crate::org::person::{PERSON_TYPE, PersonAccounts};
use crate::org::schema::{FieldIndex, Kind, Object, ObjectIndex, Schema};
use crate::org::{
    Access, Action, ActionKind, Channel, Condition, FieldLevel, Filter, Id, Input, Member, ObjectAccess, Setup, User,
    check_enriched, rules,
};

/// Setup objects get the first serial numbers of their prefix; records start behind them.
const FIRST: u64 = 1_000_001;
/// What the larger editions may publish in an hour.
pub const HOURLY_EVENTS: u64 = 250_000;

/// Ids of users and queues by the names that a scenario knows them by.
struct People {
    users: HashMap<String, Id>,
    queues: HashMap<String, Id>,
}

impl Scenario {
    /// What the org of this name is set up with, in its pod.
    ///
    /// # Errors
    /// A name that leads nowhere or a condition that cannot be read, with its place.
    pub fn build(&self, org: &str, pod: &str) -> Result<Setup, ScenarioError> {
        self.try_build(org, pod).map_err(|problem| self.error(problem))
    }

    fn try_build(&self, org: &str, pod: &str) -> Result<Setup, Problem> {
        let schema = self.spec.schema()?;
        let mut rows = Vec::new();
        let users = self.users(org, &schema, pod, &mut rows)?;
        let people = People {
            users: self
                .spec
                .users
                .iter()
                .zip(&users)
                .map(|(spec, user)| (spec.username.value.clone(), user.id.clone()))
                .collect(),
            queues: self.queues(&schema, pod, &mut rows)?,
        };
        let mut all_rules = vec![rules::Rules::default(); schema.len()];
        let person_type = self.record_types(&schema, pod, &mut rows, &mut all_rules)?;
        let persons = match person_type {
            _ if !self.spec.person_accounts => None,
            Some(record_type) => Some(PersonAccounts::find(&schema, record_type)?),
            None => return Err(Problem::from("person accounts need the object Account".to_owned())),
        };
        self.object_rules(&schema, &mut all_rules)?;
        self.automation(org, &schema, &people, &mut all_rules)?;
        roll_ups(&schema, &mut all_rules);
        let mut records = Vec::new();
        for record in self.spec.records.iter().filter(|record| concerns(&record.orgs, org)) {
            records.push((object(&schema, &record.object)?.0, record.fields.clone()));
        }
        let channels = self.channels(&schema, pod)?;
        let actions = self.spec.actions.iter().map(action).collect();
        let hourly_events = self.spec.limits.hourly_published_events.unwrap_or(HOURLY_EVENTS);
        Ok(Setup { schema, rules: all_rules, persons, users, rows, records, channels, actions, hourly_events })
    }

    fn users(
        &self,
        org: &str,
        schema: &Schema,
        pod: &str,
        rows: &mut Vec<(ObjectIndex, Id, Map<String, Json>)>,
    ) -> Result<Vec<User>, Problem> {
        let table = schema.find("User").map(|(index, _)| index).unwrap_or_default();
        let automated = json!({"Username": format!("autoproc@{pod}.example.com"), "LastName": "Automated Process",
            "Name": "Automated Process", "Alias": "autoproc", "Email": "noreply@example.com", "IsActive": true,
            "UserType": "AutomatedProcess"});
        rows.push((table, Id::new("005", pod, FIRST - 1), automated.as_object().cloned().unwrap_or_default()));
        let mut users = Vec::new();
        for (serial, spec) in (FIRST..).zip(&self.spec.users) {
            let id = Id::new("005", pod, serial);
            let user = user(org, schema, spec, id.clone())?;
            let alias: String = user.last_name.chars().take(8).collect();
            let fields = json!({"Username": user.username, "LastName": user.last_name, "FirstName": user.first_name,
                "Alias": spec.alias.as_deref().unwrap_or(&alias), "Email": user.email, "IsActive": user.active,
                "FederationIdentifier": spec.federation_id, "UserType": "Standard"});
            rows.push((table, id, fields.as_object().cloned().unwrap_or_default()));
            users.push(user);
        }
        Ok(users)
    }

    fn queues(
        &self,
        schema: &Schema,
        pod: &str,
        rows: &mut Vec<(ObjectIndex, Id, Map<String, Json>)>,
    ) -> Result<HashMap<String, Id>, Problem> {
        let places = schema.find("QueueSobject").map(|(index, _)| index).unwrap_or_default();
        let mut place_serials = FIRST..;
        let table = schema.find("Group").map(|(index, _)| index).unwrap_or_default();
        let mut queues = HashMap::new();
        for (serial, spec) in (FIRST..).zip(&self.spec.queues) {
            let id = Id::new("00G", pod, serial);
            let fields = json!({"Name": spec.name, "DeveloperName": spec.developer_name, "Type": "Queue"});
            rows.push((table, id.clone(), fields.as_object().cloned().unwrap_or_default()));
            for object in self.owned_by(schema, spec)? {
                let place = Id::new("03g", pod, place_serials.next().unwrap_or_default());
                let fields = json!({"QueueId": id.as_str(), "SobjectType": object});
                rows.push((places, place, fields.as_object().cloned().unwrap_or_default()));
            }
            queues.insert(spec.developer_name.clone(), id);
        }
        Ok(queues)
    }

    /// The objects whose records a queue may own.
    fn owned_by(&self, schema: &Schema, queue: &QueueSpec) -> Result<Vec<String>, Problem> {
        let of_queues = |object: &&ObjectSpec| object.owner == Some(OwnerKind::UserOrQueue);
        let all = || self.spec.objects.iter().filter(of_queues).map(|object| object.name.value.clone());
        let Some(wanted) = &queue.objects else { return Ok(all().collect()) };
        let unknown = |name: &&String| schema.find(name).is_none() || !all().any(|known| known == **name);
        match wanted.iter().find(unknown) {
            Some(name) => Err(format!("queue {}: it cannot own records of {name}", queue.developer_name).into()),
            None => Ok(wanted.clone()),
        }
    }

    /// The record type of person accounts, if there is one.
    fn record_types(
        &self,
        schema: &Schema,
        pod: &str,
        rows: &mut Vec<(ObjectIndex, Id, Map<String, Json>)>,
        all_rules: &mut [rules::Rules],
    ) -> Result<Option<Id>, Problem> {
        let mut person_type = None;
        let table = schema.find("RecordType").map(|(index, _)| index).unwrap_or_default();
        let mut serials = FIRST..;
        for object in &self.spec.objects {
            for spec in &object.record_types {
                let serial = serials.next().unwrap_or_default();
                let id = Id::new("012", pod, serial);
                let is_person = spec.developer_name == PERSON_TYPE && object.name.value == "Account";
                if is_person {
                    person_type = Some(id.clone());
                }
                let label = spec.label.as_deref().unwrap_or(&spec.developer_name);
                let fields = json!({"Name": label, "DeveloperName": spec.developer_name,
                    "SobjectType": object.name.value, "IsActive": spec.active, "IsPersonType": is_person});
                rows.push((table, id.clone(), fields.as_object().cloned().unwrap_or_default()));
                let (place, definition) = named_object(schema, &object.name, &object.name.value)?;
                let picklists = picklists(definition, spec, &object.name)?;
                let Some(rules) = all_rules.get_mut(place) else { continue };
                if spec.default {
                    rules.default_record_type = Some(id.clone());
                }
                rules.picklists.insert(id, picklists);
            }
        }
        Ok(person_type)
    }

    /// Validation rules and duplicate rules.
    fn object_rules(&self, schema: &Schema, all_rules: &mut [rules::Rules]) -> Result<(), Problem> {
        for spec in &self.spec.objects {
            let (index, definition) = object(schema, &spec.name)?;
            let Some(rules) = all_rules.get_mut(index) else { continue };
            for rule in &spec.validation_rules {
                let field = rule.field.as_ref().map(|field| field_index(definition, &rule.name, field)).transpose()?;
                rules.validations.push(rules::Validation {
                    name: rule.name.value.clone(),
                    when: condition(definition, &rule.name, &rule.when)?,
                    message: rule.message.clone(),
                    field,
                });
            }
            for rule in &spec.duplicate_rules {
                let fields = rule.fields.iter().map(|field| field_index(definition, &rule.name, field));
                rules.duplicates.push(rules::DuplicateRule {
                    name: rule.name.value.clone(),
                    when: optional_condition(definition, &rule.name, rule.when.as_ref())?,
                    fields: fields.collect::<Result<_, _>>()?,
                    blocks: rule.action == DuplicateAction::Block,
                    message: rule.message.clone().unwrap_or_else(|| "Use one of these records?".into()),
                });
            }
        }
        Ok(())
    }

    fn automation(
        &self,
        org: &str,
        schema: &Schema,
        people: &People,
        all_rules: &mut [rules::Rules],
    ) -> Result<(), Problem> {
        for spec in self.spec.triggers.iter().filter(|spec| concerns(&spec.orgs, org)) {
            let (index, definition) = named_object(schema, &spec.name, &spec.object)?;
            let trigger = trigger(definition, spec)?;
            if let Some(rules) = all_rules.get_mut(index) {
                rules.triggers.push(trigger);
            }
        }
        for spec in self.spec.flows.iter().filter(|spec| concerns(&spec.orgs, org)) {
            let (index, definition) = named_object(schema, &spec.name, &spec.object)?;
            let flow = rules::Flow {
                name: spec.name.value.clone(),
                on: on(&spec.on),
                when: optional_condition(definition, &spec.name, spec.when.as_ref())?,
                after: spec.after,
                set: assigned(definition, &spec.name, &spec.set)?,
            };
            if let Some(rules) = all_rules.get_mut(index) {
                rules.flows.push(flow);
            }
        }
        for spec in &self.spec.assignment_rules {
            let (index, definition) = object(schema, &spec.object)?;
            for entry in &spec.entries {
                let owner = people.queues.get(&entry.owner).or_else(|| people.users.get(&entry.owner));
                let owner = owner
                    .ok_or_else(|| Problem::at(&spec.object, format!("there is no queue or user {}", entry.owner)))?;
                let when = optional_condition(definition, &spec.object, entry.when.as_ref())?;
                if let Some(rules) = all_rules.get_mut(index) {
                    rules.assignments.push(rules::Assignment { when, owner: owner.clone() });
                }
            }
        }
        Ok(())
    }

    fn channels(&self, schema: &Schema, pod: &str) -> Result<Vec<Channel>, Problem> {
        let mut channels = Vec::new();
        let mut member_serials = FIRST..;
        for (serial, spec) in (FIRST..).zip(&self.spec.channels) {
            let mut members = Vec::new();
            for member in &spec.members {
                let of_member = |text: String| Problem::at(&spec.name, format!("{}: {text}", member.entity));
                let unknown = || Problem::at(&spec.name, format!("there is no entity {}", member.entity));
                let (_, object) = schema.entity(&member.entity).ok_or_else(unknown)?;
                check_enriched(object, &member.enriched_fields).map_err(of_member)?;
                let filter = member.filter.as_ref().map(|filter| Filter::compile(filter, object)).transpose();
                members.push(Member {
                    id: Id::new("0v8", pod, member_serials.next().unwrap_or_default()),
                    entity: member.entity.clone(),
                    enriched_fields: member.enriched_fields.clone(),
                    filter: filter.map_err(|text| of_member(format!("filter: {text}")))?,
                });
            }
            channels.push(Channel {
                id: Id::new("0YL", pod, serial),
                name: spec.name.value.clone(),
                label: spec.label.clone().unwrap_or_else(|| spec.name.value.clone()),
                events: spec.kind == ChannelType::Event,
                members,
            });
        }
        Ok(channels)
    }
}

pub(super) fn concerns(orgs: &[String], org: &str) -> bool {
    orgs.is_empty() || orgs.iter().any(|name| name == org)
}

/// Usernames are unique over all orgs, so `{org}` in them is the org's name.
fn user(org: &str, schema: &Schema, spec: &UserSpec, id: Id) -> Result<User, Problem> {
    let username = spec.username.value.replace("{org}", org);
    Ok(User {
        id,
        first_name: spec.first_name.clone(),
        last_name: spec.last_name.clone(),
        email: spec.email.clone().unwrap_or_else(|| username.clone()),
        username,
        active: spec.active,
        api_enabled: spec.api_enabled,
        password: spec.password.clone(),
        security_token: spec.security_token.clone(),
        access: access(schema, &spec.username, &spec.access)?,
    })
}

fn access(schema: &Schema, name: &Name, spec: &AccessSpec) -> Result<Access, Problem> {
    let mut objects = HashMap::new();
    for (object, rights) in &spec.objects {
        let has = |right: Right| rights.contains(&right);
        let (index, _) = named_object(schema, name, object)?;
        let access = ObjectAccess {
            create: has(Right::Create),
            read: has(Right::Read),
            edit: has(Right::Edit),
            delete: has(Right::Delete),
            view_all: has(Right::ViewAll),
            modify_all: has(Right::ModifyAll),
        };
        objects.insert(index, access);
    }
    let mut fields = HashMap::new();
    for (path, level) in &spec.fields {
        let (object, field) =
            path.split_once('.').ok_or_else(|| Problem::at(name, format!("{path} is not of the form Object.Field")))?;
        let (index, definition) = named_object(schema, name, object)?;
        let level = match level {
            FieldAccess::None => FieldLevel::Hidden,
            FieldAccess::Read => FieldLevel::ReadOnly,
            FieldAccess::Edit => FieldLevel::Editable,
        };
        fields.insert((index, field_index(definition, name, field)?), level);
    }
    let objects = (!spec.objects.is_empty()).then_some(objects);
    let AccessSpec { view_all_data, modify_all_data, view_setup, bulk_hard_delete, .. } = *spec;
    Ok(Access { view_all_data, modify_all_data, view_setup, bulk_hard_delete, objects, fields })
}

fn action(spec: &ActionSpec) -> Action {
    let input = |(name, input): (&String, &InputSpec)| {
        (name.clone(), Input { kind: input.kind.clone(), required: input.required })
    };
    Action {
        name: spec.name.value.clone(),
        kind: match spec.kind {
            ActionType::Flow => ActionKind::Flow,
            ActionType::Apex => ActionKind::Apex,
        },
        label: spec.label.clone().unwrap_or_else(|| spec.name.value.clone()),
        inputs: spec.inputs.iter().map(input).collect(),
        outputs: spec.outputs.clone(),
        fails_when: spec.fails_when.clone(),
        fault: spec.fault.clone().unwrap_or_else(|| "An error occurred when executing a flow interview.".into()),
    }
}

fn trigger(definition: &Object, spec: &TriggerSpec) -> Result<rules::Trigger, Problem> {
    Ok(rules::Trigger {
        name: spec.name.value.clone(),
        on: on(&spec.on),
        when: optional_condition(definition, &spec.name, spec.when.as_ref())?,
        set: assigned(definition, &spec.name, &spec.set)?,
        error: spec.error.clone(),
        exception: spec.exception.clone(),
    })
}

fn on(list: &[On]) -> rules::On {
    rules::On {
        create: list.contains(&On::Create),
        update: list.contains(&On::Update),
        delete: list.contains(&On::Delete),
    }
}

fn assigned(
    definition: &Object,
    name: &Name,
    spec: &BTreeMap<String, Assigned>,
) -> Result<BTreeMap<usize, rules::Assigned>, Problem> {
    let mut set = BTreeMap::new();
    for (field, assigned) in spec {
        let index = field_index(definition, name, field)?;
        if !definition.field(index).writable() {
            return Err(Problem::at(name, format!("{}.{field} cannot be written", definition.name)));
        }
        let other = |field: &str| field_index(definition, name, field);
        let value = match assigned {
            Assigned::Value(value) => rules::Assigned::Value(value.clone()),
            Assigned::Computed(Computed::From(field)) => rules::Assigned::From(other(field)?),
            Assigned::Computed(Computed::Upper(field)) => rules::Assigned::Upper(other(field)?),
            Assigned::Computed(Computed::Lower(field)) => rules::Assigned::Lower(other(field)?),
            Assigned::Computed(Computed::Text(text)) => rules::Assigned::Text(text.clone()),
            Assigned::Computed(Computed::Now(_)) => rules::Assigned::Now,
        };
        set.insert(index, value);
    }
    Ok(set)
}

fn roll_ups(schema: &Schema, all_rules: &mut [rules::Rules]) {
    for (parent, definition) in schema.objects() {
        for (target, field) in definition.fields() {
            let Kind::RollUp(roll_up) = &field.kind else { continue };
            let Some((child, child_definition)) = schema.find(&roll_up.child) else { continue };
            let Some((by, _)) = child_definition.find(&roll_up.by) else { continue };
            let summed = roll_up.field.as_ref().and_then(|name| child_definition.find(name)).map(|(index, _)| index);
            if let Some(rules) = all_rules.get_mut(child) {
                rules.roll_ups.push(rules::RollUpRule { by, parent, target, summary: roll_up.summary, field: summed });
            }
        }
    }
}

fn object<'a>(schema: &'a Schema, name: &Name) -> Result<(ObjectIndex, &'a Object), Problem> {
    named_object(schema, name, &name.value)
}

fn named_object<'a>(schema: &'a Schema, at: &Name, name: &str) -> Result<(ObjectIndex, &'a Object), Problem> {
    schema.find(name).ok_or_else(|| Problem::at(at, format!("there is no object {name}")))
}

/// What a record type has of picklists of which it does not have every value.
fn picklists(
    definition: &Object,
    spec: &RecordTypeSpec,
    at: &Name,
) -> Result<BTreeMap<FieldIndex, Vec<String>>, Problem> {
    let mut picklists = BTreeMap::new();
    for (name, values) in &spec.picklists {
        let wrong = |text: String| Problem::at(at, format!("record type {}: {text}", spec.developer_name));
        let index = field_index(definition, at, name)?;
        let (Kind::Picklist(list) | Kind::MultiPicklist(list)) = &definition.field(index).kind else {
            return Err(wrong(format!("{name} is no picklist")));
        };
        if let Some(value) = values.iter().find(|value| !list.values.contains(value)) {
            return Err(wrong(format!("{name} has no value {value}")));
        }
        picklists.insert(index, values.clone());
    }
    Ok(picklists)
}

fn field_index(definition: &Object, at: &Name, field: &str) -> Result<usize, Problem> {
    let found = definition.find(field).map(|(index, _)| index);
    found.ok_or_else(|| Problem::at(at, format!("{} has no field {field}", definition.name)))
}

fn condition(definition: &Object, at: &Name, text: &str) -> Result<Condition, Problem> {
    Condition::compile(text, definition).map_err(|problem| Problem::at(at, format!("`when`: {problem}")))
}

fn optional_condition(definition: &Object, at: &Name, text: Option<&String>) -> Result<Option<Condition>, Problem> {
    text.map(|text| condition(definition, at, text)).transpose()
}
