//! What the bridge's users may do with the records of an object, also with those of others.
//!
//! A sample of records would prove nothing here: the user's own query shows it only those that it may see.

use super::{Findings, KnownOrg};
use crate::config::{From, NoLongerMatching, OnDelete, OnUndelete, PipelineConfig};
use crate::event::ObjectName;
use crate::org::describe::ObjectDescribe;
use crate::org::setup::{ObjectPermissions, Sharing, SystemPermissions};

/// Objects without permissions of their own: whoever wants all their events needs View All Data.
const ACTIVITIES: &[&str] = &["Task", "Event"];

/// Every record reaches the bridge.
pub(super) fn reading(findings: &mut Findings<'_>, org: &KnownOrg, from: &From) {
    let object = &from.object;
    if from.poll.is_some() {
        polling(findings, org, object);
        return;
    }
    // Events ask for this permission whatever sharing lets the user see (facts: setup-metadata.md section 2).
    let Some(lacks) = lacks_for_events(org, object) else { return };
    let follows = if from.channel.object().is_some() {
        "its channel is refused"
    } else {
        "its events do not come, and nothing says so"
    };
    let message = format!("the bridge's user may not see all records of {object}: {follows}");
    let remedy = format!("grant {lacks} in a permission set of the user (Setup > Permission Sets), or `source: poll`");
    findings.error(&["from", "object"], message, remedy);
}

/// The permission without which an object's events do not come, if the user is known to lack it.
fn lacks_for_events(org: &KnownOrg, object: &ObjectName) -> Option<&'static str> {
    let system = org.system.known().copied().unwrap_or_default();
    let all_data = [system.view_all_data, system.modify_all_data].contains(&Some(true));
    match object.as_str() {
        "User" => (!all_data && system.view_all_users == Some(false)).then_some("View All Users"),
        activity if ACTIVITIES.contains(&activity) => {
            (!all_data && system.view_all_data == Some(false)).then_some("View All Data")
        }
        _ => {
            let mine = mine(org, object, system)?;
            (!mine.view_all).then_some("View All for the object")
        }
    }
}

/// What the user may do; none for objects that such rights are not for, and where the org does not tell.
fn mine(org: &KnownOrg, object: &ObjectName, system: SystemPermissions) -> Option<ObjectPermissions> {
    let mine = org.permissions.known()?.get(object)?.within(system);
    // An object that can be seen without a right to read it is none that such rights are for.
    mine.read.then_some(mine)
}

/// A query shows what sharing shows.
fn polling(findings: &mut Findings<'_>, org: &KnownOrg, object: &ObjectName) {
    let system = org.system.known().copied().unwrap_or_default();
    if mine(org, object, system).is_none_or(|mine| mine.view_all) {
        return;
    }
    let why = match org.sharing.get(object) {
        Some(Sharing::Read | Sharing::ReadWrite) => return,
        Some(Sharing::Private) => "records of others are private",
        Some(Sharing::ControlledByParent) => "it sees those whose parent it sees",
        Some(Sharing::Other(_)) | None => "that its org-wide default lets it see them is not known",
    };
    let message = format!("sharing may hide records of {object}: {why}, and what is hidden is never copied");
    let remedy = "grant View All for the object in a permission set of the user (Setup > Permission Sets)";
    findings.warn(&["from", "object"], message, remedy);
}

/// Records can be written, also those that others own.
pub(super) fn writing(findings: &mut Findings<'_>, org: &KnownOrg, pipeline: &PipelineConfig, to: &ObjectDescribe) {
    let object = to.name();
    let deletes =
        pipeline.on_delete == OnDelete::Delete || pipeline.when_no_longer_matching == NoLongerMatching::Delete;
    for (may, needed, what) in [
        (to.object.createable, true, "create"),
        (to.object.updateable, true, "edit"),
        (to.object.deletable, deletes, "delete"),
    ] {
        if needed && !may {
            let message = format!("the bridge's user may not {what} records of {object}");
            let remedy =
                format!("grant {what} for the object in a permission set of the user (Setup > Permission Sets)");
            findings.error(&["to", "object"], message, remedy);
        }
    }
    if pipeline.publishing.on_undelete == OnUndelete::Restore && !to.object.undeletable {
        let message = format!("the bridge's user may not take records of {object} out of the recycle bin");
        let remedy = "write `on_undelete: recreate`; or grant delete for the object in a permission set of the user (Setup > \
                      Permission Sets), if the object has a recycle bin at all";
        findings.error(&["on_undelete"], message, remedy);
    }
    let system = org.system.known().copied().unwrap_or_default();
    let Some(mine) = mine(org, object, system).filter(|mine| mine.edit && !mine.modify_all) else { return };
    let remedy = "grant Modify All for the object in a permission set of the user (Setup > Permission Sets), unless \
                  it owns all that it writes";
    let message = match org.sharing.get(object) {
        // Everybody may edit. To delete is the owner's.
        Some(Sharing::ReadWrite) if deletes && mine.delete => {
            format!("the bridge's user may not delete records of {object} that others own")
        }
        Some(Sharing::ReadWrite) => return,
        Some(Sharing::Private | Sharing::Read) => {
            format!("the bridge's user may not change records of {object} that others own, unless they are shared")
        }
        Some(Sharing::ControlledByParent) => {
            format!("the bridge's user may change records of {object} only where it may change their parents")
        }
        Some(Sharing::Other(_)) | None => {
            format!("whether the bridge's user may change records of {object} that others own is not known")
        }
    };
    findings.warn(&["to", "object"], message, remedy);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing;
    use crate::config::testing::between_two_orgs;
    use crate::org::setup::Asked;

    const CONFIG: &str = "pipelines:
  - name: things
    from: { org: a, SOURCE, object: OBJECT }
    to: { org: b, object: Thing__c, key: Key__c }
    fields: { Key__c: Id }
";

    fn org(system: SystemPermissions, mine: Option<ObjectPermissions>, sharing: Option<Sharing>) -> KnownOrg {
        let object: ObjectName = "Thing__c".parse().unwrap();
        KnownOrg {
            system: Asked::Known(system),
            permissions: Asked::Known(mine.map(|mine| (object.clone(), mine)).into_iter().collect()),
            sharing: sharing.map(|sharing| (object, sharing)).into_iter().collect(),
            ..testing::org()
        }
    }

    fn of_reading(source: &str, object: &str, org: &KnownOrg) -> Vec<String> {
        let config = between_two_orgs(&CONFIG.replace("SOURCE", source).replace("OBJECT", object));
        let mut findings = Findings { pipeline: &config.pipelines[0].name, found: Vec::new() };
        reading(&mut findings, org, &config.pipelines[0].from);
        findings.found.into_iter().map(|found| format!("{} {}", found.message, found.remedy)).collect()
    }

    #[test]
    fn objects_without_view_all_of_their_own_need_what_stands_in_for_it() {
        let channel = |object: &str| format!("channel: /data/{object}ChangeEvent");
        for (object, needs) in [("User", "View All Users"), ("Task", "View All Data"), ("Event", "View All Data")] {
            let system = |all_data: Option<bool>| {
                let no = Some(false);
                SystemPermissions { view_all_data: all_data, view_all_users: no, ..SystemPermissions::default() }
            };
            let said = of_reading(&channel(object), object, &org(system(Some(false)), None, None));
            assert!(said.len() == 1 && said[0].contains(&format!("grant {needs} in")), "{said:?}");
            assert_eq!(of_reading(&channel(object), object, &org(system(Some(true)), None, None)), [""; 0]);
        }
        // What the org does not tell is no finding.
        let nothing = org(SystemPermissions::default(), None, None);
        for object in ["User", "Task", "Thing__c"] {
            assert_eq!(of_reading(&channel(object), object, &nothing), [""; 0], "{object}");
        }
    }

    #[test]
    fn a_default_that_lets_everybody_read_is_proof_for_queries_and_not_for_events() {
        let mine = Some(ObjectPermissions { read: true, ..ObjectPermissions::default() });
        for (sharing, proven) in [
            (Some(Sharing::Read), true),
            (Some(Sharing::ReadWrite), true),
            (Some(Sharing::Private), false),
            (Some(Sharing::ControlledByParent), false),
            (Some(Sharing::Other("New".to_owned())), false),
            (None, false),
        ] {
            let org = org(SystemPermissions::default(), mine, sharing.clone());
            assert_eq!(of_reading("source: poll", "Thing__c", &org).is_empty(), proven, "{sharing:?}");
            assert_eq!(of_reading("channel: /data/ChangeEvents", "Thing__c", &org).len(), 1, "{sharing:?}");
        }
    }

    /// What is said of writing, with deletes or without.
    fn of_writing(org: &KnownOrg, deletes: bool) -> Vec<String> {
        let mut text = CONFIG.replace("SOURCE", "source: poll").replace("OBJECT", "Thing__c");
        text.push_str(if deletes { "    on_delete: delete\n" } else { "    on_delete: ignore\n" });
        let config = between_two_orgs(&text);
        let describe = serde_json::json!({"name": "Thing__c", "createable": true, "updateable": true, "deletable": true,
            "fields": []});
        let mut findings = Findings { pipeline: &config.pipelines[0].name, found: Vec::new() };
        writing(&mut findings, org, &config.pipelines[0], &ObjectDescribe::read(&describe).unwrap());
        findings.found.into_iter().map(|found| found.message).collect()
    }

    #[test]
    fn what_is_to_come_out_of_the_bin_must_be_able_to() {
        for (policy, undeletable, found) in [("restore", false, 1), ("restore", true, 0), ("recreate", false, 0)] {
            let text = CONFIG.replace("SOURCE", "source: poll").replace("OBJECT", "Thing__c");
            let config = between_two_orgs(&format!("{text}    on_undelete: {policy}\n"));
            let describe = serde_json::json!({"name": "Thing__c", "createable": true, "updateable": true,
                "undeletable": undeletable, "fields": []});
            let all = ObjectPermissions { read: true, edit: true, modify_all: true, ..ObjectPermissions::default() };
            let org = org(SystemPermissions::default(), Some(all), None);
            let mut findings = Findings { pipeline: &config.pipelines[0].name, found: Vec::new() };
            writing(&mut findings, &org, &config.pipelines[0], &ObjectDescribe::read(&describe).unwrap());
            let said: Vec<_> = findings.found.iter().filter(|it| it.message.contains("recycle bin")).collect();
            assert_eq!(said.len(), found, "{policy} {undeletable}");
        }
    }

    #[test]
    fn without_modify_all_sharing_decides_what_can_be_written() {
        let mine = ObjectPermissions { read: true, edit: true, delete: true, ..ObjectPermissions::default() };
        let all = ObjectPermissions { modify_all: true, ..mine };
        for (mine, sharing, deletes, expected) in [
            (all, Some(Sharing::Private), true, ""),
            (mine, Some(Sharing::ReadWrite), false, ""),
            (mine, Some(Sharing::ReadWrite), true, "may not delete records of Thing__c that others own"),
            (mine, Some(Sharing::Read), false, "that others own, unless they are shared"),
            (mine, Some(Sharing::Private), false, "that others own, unless they are shared"),
            (mine, Some(Sharing::ControlledByParent), false, "only where it may change their parents"),
            (mine, None, false, "is not known"),
        ] {
            let said = of_writing(&org(SystemPermissions::default(), Some(mine), sharing.clone()), deletes);
            match expected {
                "" => assert_eq!(said, [""; 0], "{sharing:?}"),
                _ => assert!(said.len() == 1 && said[0].contains(expected), "{sharing:?} {said:?}"),
            }
        }
        let modify_all_data = SystemPermissions { modify_all_data: Some(true), ..SystemPermissions::default() };
        assert_eq!(of_writing(&org(modify_all_data, Some(mine), None), true), [""; 0]);
    }
}
