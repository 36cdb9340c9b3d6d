//! What is asked of the orgs: logins, objects with their fields, channels, permissions, sharing, currency, automation. A few requests for
//! each org, however many pipelines there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Finding, Known, KnownOrg, Place};
use crate::config::{Config, Severity};
use crate::event::{ObjectName, OrgName};
use crate::org::{CallError, Org};

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
    let wanted: BTreeSet<&ObjectName> = read.clone().chain(&written).collect();
    let all = org.describe_global().await?;
    let mut objects = HashMap::new();
    for object in wanted.iter().filter(|object| all.object(object.as_str()).is_some()) {
        objects.insert((*object).clone(), org.describe_now(object).await?);
    }
    let there: Vec<ObjectName> = objects.keys().cloned().collect();
    let written: Vec<ObjectName> = written.iter().filter(|object| objects.contains_key(*object)).cloned().collect();
    let captured = read.count() > 0;
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
    })
}
