//! What is asked of the orgs: logins, objects with their fields, channels, permissions, sharing, currency, automation. A
//! few requests for each org, however many pipelines there are; and one for each record type whose picklists matter, and
//! for each flow and Apex method that is called.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Finding, Known, KnownOrg, Place, lookups, record_types as given};
use crate::config::{AnswerTo, Config, Does, Fill, OwnerName, Severity};
use crate::event::{FieldName, ObjectName, OrgName};
use crate::org::setup::UserKey;
use crate::org::{ActionKind, CallError, Org};

pub(super) async fn gather(config: &Config, orgs: &BTreeMap<OrgName, Org>) -> (Known, Vec<Finding>) {
    let (mut known, mut findings) = (Known::default(), Vec::new());
    for (name, org) in orgs {
        let mut say = |severity, message: String, remedy: String| {
            findings.push(Finding { severity, place: Place::Org(name.clone()), message, remedy });
        };
        if let Err(error) = org.session().await {
            let remedy = error.remedy().to_string();
            say(Severity::Error, format!("the login fails: {error}"), remedy);
            continue;
        }
        match of_org(config, name, org).await {
            Ok(answers) => {
                known.orgs.insert(name.clone(), answers);
            }
            Err(error) => {
                let remedy = "look at the org's limits and at the rights of the bridge's user, and check again";
                say(Severity::Error, format!("the org could not be asked: {error}"), remedy.to_owned());
            }
        }
    }
    (known, findings)
}

async fn of_org(config: &Config, name: &OrgName, org: &Org) -> Result<KnownOrg, CallError> {
    let read = config.pipelines.iter().filter(|line| line.from.org == *name).map(|line| &line.from.object);
    let written: Vec<ObjectName> =
        config.pipelines.iter().filter(|line| line.to.org == *name).map(|line| line.to.object.clone()).collect();
    let asked = asked(config, name);
    let acting = acting(config, name);
    let wanted: BTreeSet<&ObjectName> =
        read.clone().chain(&written).chain(&asked.objects).chain(acting.objects.iter().copied()).collect();
    let all = org.describe_global().await?;
    let mut objects = HashMap::new();
    for object in wanted.iter().filter(|object| all.object(object.as_str()).is_some()) {
        objects.insert((*object).clone(), org.describe_now(object).await?);
    }
    // Nobody owns or shares an event.
    let there: Vec<ObjectName> = objects.keys().filter(|name| !name.as_str().ends_with("__e")).cloned().collect();
    let mut record_types = BTreeMap::new();
    for object in asked.record_types.into_iter().filter(|object| objects.contains_key(object)) {
        let types = org.record_types(&object).await?;
        record_types.insert(object, types);
    }
    let mut picklists = HashMap::new();
    for pipeline in config.pipelines.iter().filter(|line| line.to.org == *name) {
        let Some(to) = objects.get(&pipeline.to.object) else { continue };
        for id in given::asks(pipeline, to) {
            if let Entry::Vacant(place) = picklists.entry(id) {
                place.insert(org.picklist_values(to.name(), &id).await?);
            }
        }
    }
    let written: Vec<ObjectName> = written.iter().filter(|object| objects.contains_key(*object)).cloned().collect();
    let captured = read.count() > 0 || acting.captured;
    let mut called = HashMap::new();
    for (kind, flow) in acting.called {
        if let Entry::Vacant(place) = called.entry((kind, flow.clone())) {
            place.insert(org.signature(kind, flow).await?);
        }
    }
    let entities = org.entities(&there).await?;
    let sharing =
        entities.known().into_iter().flatten().filter_map(|one| Some((one.name.clone(), one.sharing.clone()?)));
    Ok(KnownOrg {
        all,
        objects,
        capture: if captured { Some(org.capture().await?) } else { None },
        system: org.system_permissions().await?,
        permissions: org.object_permissions(&there).await?,
        sharing: sharing.collect(),
        currency: org.default_currency().await?,
        automation: org.automation(&written).await?,
        record_types,
        picklists,
        queues: if asked.owners { Some(org.queues().await?) } else { None },
        users: if asked.owners {
            Some(org.users(UserKey::Username, asked.users.iter().map(String::as_str)).await?)
        } else {
            None
        },
        called,
    })
}

/// What actions ask of an org.
#[derive(Default)]
struct Acting<'c> {
    /// Events, too.
    objects: Vec<&'c ObjectName>,
    /// Changes of records trigger some.
    captured: bool,
    called: Vec<(ActionKind, &'c FieldName)>,
}

fn acting<'c>(config: &'c Config, name: &OrgName) -> Acting<'c> {
    let mut acting = Acting::default();
    for action in &config.actions {
        if action.from.org == *name {
            acting.objects.push(&action.from.object);
            acting.captured |= !action.is_of_events();
            match &action.answer {
                Some(AnswerTo::Record { object, .. }) => acting.objects.push(object),
                Some(AnswerTo::Event { event, .. }) => acting.objects.push(event),
                None => {}
            }
        }
        match &action.does {
            Does::Flow { org, name: flow } if org == name => acting.called.push((ActionKind::Flow, flow)),
            Does::Apex { org, name: class } if org == name => acting.called.push((ActionKind::Apex, class)),
            Does::Event { org, event, .. } if org == name => acting.objects.push(event),
            // Nothing tells what an Apex REST class or a webhook takes.
            Does::Flow { .. } | Does::Apex { .. } | Does::Event { .. } | Does::ApexRest { .. } | Does::Webhook(_) => {}
        }
    }
    acting
}

/// What lookups ask of an org.
#[derive(Default)]
struct Lookups {
    objects: BTreeSet<ObjectName>,
    /// Of these objects.
    record_types: BTreeSet<ObjectName>,
    owners: bool,
    /// User names.
    users: BTreeSet<String>,
}

fn asked(config: &Config, name: &OrgName) -> Lookups {
    let mut asked = Lookups::default();
    for pipeline in &config.pipelines {
        let (source, target) = (pipeline.from.org == *name, pipeline.to.org == *name);
        for fill in pipeline.fields.iter().map(|(_, rule)| &rule.fill) {
            match fill {
                Fill::Source(_)
                | Fill::Constant(_)
                | Fill::Table { .. }
                | Fill::Expression(_)
                | Fill::Parent { .. } => {}
                Fill::Find { object, .. } => asked.objects.extend(target.then(|| object.clone())),
                Fill::RecordType(_) => asked.record_types.extend(target.then(|| pipeline.to.object.clone())),
                Fill::RecordTypeOf { .. } => {
                    asked.record_types.extend(target.then(|| pipeline.to.object.clone()));
                    asked.record_types.extend(source.then(|| pipeline.from.object.clone()));
                }
                Fill::Owner(_) => asked.owners |= target,
                Fill::OwnerOf { table, .. } => {
                    asked.owners |= source || target;
                    asked.objects.extend((source || target).then(|| ObjectName::known("User")));
                    asked.users.extend(table.keys().filter(|name| source && name.contains('@')).cloned());
                }
            }
            let users = lookups::owners(fill).into_iter().filter_map(|owner| match owner {
                OwnerName::User(name) => Some(name.clone()),
                OwnerName::Queue(_) => None,
            });
            asked.users.extend(users.filter(|_| target));
        }
    }
    asked
}
