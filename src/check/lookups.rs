//! What lookups, record types and owners lead to: that it is there in the target, and that both orgs can be asked.

use super::{Findings, KnownOrg};
use crate::config::{FieldRule, Fill, IfMissing, OwnerKey, OwnerName, PipelineConfig};
use crate::event::{FieldName, ObjectName};
use crate::org::describe::{FieldDescribe, FieldKind, ObjectDescribe};
use crate::org::setup::{Asked, Queue, Users};
use crate::text::closest;

/// Both sides of a pipeline, as far as they could be asked.
pub(super) struct Sides<'k> {
    pub pipeline: &'k PipelineConfig,
    pub source: Option<&'k KnownOrg>,
    pub target: Option<&'k KnownOrg>,
}

impl<'k> Sides<'k> {
    fn from(&self) -> Option<&'k ObjectDescribe> {
        self.source?.objects.get(&self.pipeline.from.object).map(AsRef::as_ref)
    }

    fn to(&self) -> Option<&'k ObjectDescribe> {
        self.target?.objects.get(&self.pipeline.to.object).map(AsRef::as_ref)
    }
}

pub(super) fn judge(findings: &mut Findings<'_>, (name, rule): (&FieldName, &FieldRule), sides: &Sides<'_>) {
    let at = &["fields", name.as_str()];
    let (Some(target), Some(to)) = (sides.target, sides.to()) else { return };
    let field = to.field(name);
    if let Some(field) = field.filter(|_| rule.fill.is_lookup()) {
        without(findings, at, rule, field);
    }
    let leads = |findings: &mut Findings<'_>, object: &str| {
        if let Some(field) = field {
            leads_to(findings, at, field, object);
        }
    };
    match &rule.fill {
        Fill::Source(_) | Fill::Constant(_) | Fill::Table { .. } | Fill::Expression(_) | Fill::Parent { .. } => {}
        Fill::Find { object, by, .. } => {
            leads(findings, object.as_str());
            find(findings, at, target, object, by);
        }
        Fill::RecordType(_) | Fill::RecordTypeOf { .. } => {
            leads(findings, "RecordType");
            record_types(findings, at, rule, to, sides);
        }
        Fill::Owner(_) | Fill::OwnerOf { .. } => {
            for owner in owners(&rule.fill) {
                match owner {
                    OwnerName::User(name) => {
                        leads(findings, "User");
                        user(findings, at, target, name);
                    }
                    OwnerName::Queue(name) => {
                        leads(findings, "Group");
                        queue(findings, at, target, name, &sides.pipeline.to.object);
                    }
                }
            }
            if let Fill::OwnerOf { by, table, .. } = &rule.fill {
                leads(findings, "User");
                asked_for_users(findings, at, sides, *by, !table.is_empty());
                known_in_source(findings, at, sides, table.keys().map(String::as_str));
            }
        }
    }
}

/// The owners of the target that a rule names.
pub(super) fn owners(fill: &Fill) -> Vec<&OwnerName> {
    match fill {
        Fill::Owner(name) => vec![name],
        Fill::OwnerOf { table, fallback, .. } => table.values().chain(fallback).collect(),
        Fill::Source(_)
        | Fill::Constant(_)
        | Fill::Table { .. }
        | Fill::Expression(_)
        | Fill::Parent { .. }
        | Fill::Find { .. }
        | Fill::RecordType(_)
        | Fill::RecordTypeOf { .. } => Vec::new(),
    }
}

/// A field that no record can be without is not left for later.
fn without(findings: &mut Findings<'_>, at: &[&str], rule: &FieldRule, field: &FieldDescribe) {
    let word = match rule.if_missing {
        Some(IfMissing::FillLater) => "fill_later",
        Some(IfMissing::Skip) => "skip",
        Some(IfMissing::Wait | IfMissing::Fail) | None => return,
    };
    if field.is_required_on_create() || field.is_master_detail() {
        let message = format!("{} is required, so no record is written without it (if_missing: {word})", field.name);
        findings.error(at, message, "write `if_missing: wait`, or `fail`");
    }
}

fn leads_to(findings: &mut Findings<'_>, at: &[&str], field: &FieldDescribe, object: &str) {
    match field.kind.reference() {
        Some(reference) if reference.leads_to(object) => {}
        Some(reference) => {
            let leads: Vec<&str> = reference.targets.iter().map(ObjectName::as_str).collect();
            let message = format!("{} leads to {}, and {object} is looked for", field.name, leads.join(", "));
            findings.error(at, message, "look for such a record, or name another field of the target");
        }
        None => {
            let message = format!("{} is no lookup: it gets the id of the record as text", field.name);
            findings.warn(at, message, "name a lookup field of the target, unless ids are what it holds");
        }
    }
}

fn find(findings: &mut Findings<'_>, at: &[&str], target: &KnownOrg, object: &ObjectName, by: &FieldName) {
    let Some(found) = target.objects.get(object) else {
        let remedy = match target.all.closest(object.as_str()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                "look at its API name in Setup > Object Manager, and at the object permissions of the bridge's user"
                    .to_owned()
            }
        };
        findings.error(at, format!("the org shows no object {object}"), remedy);
        return;
    };
    let Some(field) = found.field(by) else {
        findings.error(at, format!("{object} has no field {by}"), super::fields::meant(found, by));
        return;
    };
    if !field.filterable {
        let message = format!("{object} cannot be searched by {by}: queries take no condition on it");
        findings.error(at, message, "look for a short text field, best one with External ID and Unique ticked");
        return;
    }
    if !holds_text(&field.kind) {
        let message = format!("{object}.{by} holds no text, and what is looked for is compared as text");
        findings.error(at, message, "keep the value in a text field of the target as well, and look for that one");
        return;
    }
    if !(field.external_id || field.unique || field.id_lookup || matches!(field.kind, FieldKind::Id)) {
        let message =
            format!("{object}.{by} is neither an External ID nor unique: the org reads all records to find one");
        let remedy = format!(
            "tick External ID at the field (Setup > Object Manager > {object} > Fields), which gives it an index"
        );
        findings.warn(at, message, remedy);
    }
}

fn holds_text(kind: &FieldKind) -> bool {
    matches!(
        kind,
        FieldKind::Id
            | FieldKind::Text
            | FieldKind::TextArea
            | FieldKind::Picklist(_)
            | FieldKind::ComboBox(_)
            | FieldKind::Reference(_)
            | FieldKind::Email
            | FieldKind::Phone
            | FieldKind::Url
            | FieldKind::AutoNumber
    )
}

fn record_types(findings: &mut Findings<'_>, at: &[&str], rule: &FieldRule, to: &ObjectDescribe, sides: &Sides<'_>) {
    let object = to.name();
    let there = match sides.target.and_then(|org| org.record_types.get(&sides.pipeline.to.object)) {
        Some(Asked::Known(types)) => types,
        Some(Asked::Unknown(reason)) => {
            let message = format!("whether {object} has these record types is not known: {reason}");
            findings.note(at, message, "grant it for this check");
            return;
        }
        None => return,
    };
    let is_there = |name: &str| there.iter().any(|known| known.developer_name.eq_ignore_ascii_case(name));
    let named: Vec<&String> = match &rule.fill {
        Fill::RecordType(name) => vec![name],
        Fill::RecordTypeOf { table, default, .. } => table.values().chain(default).collect(),
        _ => Vec::new(),
    };
    for name in named {
        let Some(known) = there.iter().find(|known| known.developer_name.eq_ignore_ascii_case(name)) else {
            let remedy = match closest(name, there.iter().map(|known| known.developer_name.as_str())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    format!("make it in Setup > Object Manager > {object} > Record Types; its developer name counts")
                }
            };
            findings.error(at, format!("{object} has no record type {name}"), remedy);
            continue;
        };
        if !known.active {
            let remedy = format!("activate it in Setup > Object Manager > {object} > Record Types");
            findings.error(at, format!("the record type {name} of {object} is not active"), remedy);
        } else if to.record_types.iter().any(|info| info.id == known.id && !info.available) {
            let remedy = format!(
                "assign it in a permission set of the user (Setup > Permission Sets > Object Settings > {object} > Record \
                 Type Assignments)"
            );
            findings.error(at, format!("the bridge's user may not give records the record type {name}"), remedy);
        }
    }
    let Fill::RecordTypeOf { table, default, .. } = &rule.fill else { return };
    let Some(Asked::Known(here)) = sides.source.and_then(|org| org.record_types.get(&sides.pipeline.from.object))
    else {
        return;
    };
    let from = &sides.pipeline.from.object;
    for name in table.keys().filter(|name| !here.iter().any(|known| known.developer_name == **name)) {
        let remedy = match closest(name, here.iter().map(|known| known.developer_name.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("take the line out of the `table`: {from} has no record type of this developer name"),
        };
        findings.warn(at, format!("{from} of the source has no record type {name}"), remedy);
    }
    let unmapped = here.iter().filter(|known| known.active).map(|known| known.developer_name.as_str());
    let unmapped: Vec<&str> = unmapped.filter(|name| !table.contains_key(*name) && !is_there(name)).collect();
    if !unmapped.is_empty() && default.is_none() && rule.if_missing != Some(IfMissing::Skip) {
        let message = format!("{object} of the target has no record type for {}", unmapped.join(", "));
        findings.warn(at, message, "add them to the `table`, or write a `default`");
    }
}

fn user(findings: &mut Findings<'_>, at: &[&str], target: &KnownOrg, name: &str) {
    let Some(found) = users(findings, at, target.users.as_ref()) else { return };
    match found.get(name) {
        [] => {
            let remedy = "look at the user name in Setup > Users: it is not always the e-mail address";
            findings.error(at, format!("the target has no user {name}"), remedy);
        }
        [user, ..] if !user.active => {
            let remedy = "activate the user in Setup > Users, or name another: an org refuses inactive owners";
            findings.error(at, format!("the user {name} of the target is not active"), remedy);
        }
        [_, ..] => {}
    }
}

fn users<'u>(findings: &mut Findings<'_>, at: &[&str], asked: Option<&'u Asked<Users>>) -> Option<&'u Users> {
    match asked? {
        Asked::Known(users) => Some(users),
        Asked::Unknown(reason) => {
            findings.error(at, format!("users cannot be found: {reason}"), "grant it in a permission set of the user");
            None
        }
    }
}

fn queues<'q>(findings: &mut Findings<'_>, at: &[&str], asked: Option<&'q Asked<Vec<Queue>>>) -> Option<&'q [Queue]> {
    match asked? {
        Asked::Known(queues) => Some(queues),
        Asked::Unknown(reason) => {
            findings.error(at, format!("queues cannot be found: {reason}"), "grant it in a permission set of the user");
            None
        }
    }
}

fn queue(findings: &mut Findings<'_>, at: &[&str], target: &KnownOrg, name: &str, object: &ObjectName) {
    let Some(known) = queues(findings, at, target.queues.as_ref()) else { return };
    match known.iter().find(|queue| queue.developer_name.eq_ignore_ascii_case(name)) {
        None => {
            let remedy = match closest(name, known.iter().map(|queue| queue.developer_name.as_str())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "look at its developer name in Setup > Queues; for a user write the user name".to_owned(),
            };
            findings.error(at, format!("the target has no queue {name}"), remedy);
        }
        Some(queue) if !queue.may_own(object) => {
            let remedy = format!("add {object} to its supported objects in Setup > Queues");
            findings.error(at, format!("the queue {name} of the target may not own {object}"), remedy);
        }
        Some(_) => {}
    }
}

/// Both orgs show what users are known by.
fn asked_for_users(findings: &mut Findings<'_>, at: &[&str], sides: &Sides<'_>, by: OwnerKey, table: bool) {
    let user = ObjectName::known("User");
    let named = table.then(|| OwnerKey::Username.column());
    for (org, is) in [(sides.source, "source"), (sides.target, "target")] {
        let Some(org) = org else { continue };
        let Some(users) = org.objects.get(&user).filter(|users| users.object.queryable) else {
            let message = format!("the bridge's user may not read users of the {is}, so owners cannot be told");
            findings.error(
                at,
                message,
                "grant View All Users in a permission set of the user (Setup > Permission Sets)",
            );
            continue;
        };
        for column in std::iter::once(by.column()).chain(named.clone().filter(|_| is == "source")) {
            if !users.field(&column).is_some_and(|field| field.filterable) {
                let message = format!("the {is} does not show the {column} of users, so owners cannot be told");
                findings.error(at, message, "let the bridge's user see the field, or write another `match`");
            }
        }
    }
    // A queue is the other thing that owns records.
    let owned_by_queues = sides.from().is_some_and(|from| {
        from.named("OwnerId").and_then(|owner| owner.kind.reference()).is_some_and(|to| to.leads_to("Group"))
    });
    if owned_by_queues && let Some(source) = sides.source {
        queues(findings, at, source.queues.as_ref());
    }
}

/// A name that the source does not have never comes.
fn known_in_source<'n>(
    findings: &mut Findings<'_>,
    at: &[&str],
    sides: &Sides<'_>,
    names: impl Iterator<Item = &'n str>,
) {
    let Some(source) = sides.source else { return };
    for name in names {
        let (what, known) = match OwnerName::of(name) {
            OwnerName::User(name) => {
                let Some(Asked::Known(users)) = &source.users else { continue };
                ("user", !users.get(&name).is_empty())
            }
            OwnerName::Queue(name) => {
                let Some(Asked::Known(queues)) = &source.queues else { continue };
                ("queue", queues.iter().any(|queue| queue.developer_name == name))
            }
        };
        if !known {
            let remedy = "user names and developer names of queues of the source stand at the left of the `table`";
            findings.warn(at, format!("the source has no {what} {name}"), remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::check::testing;
    use crate::config::testing::between_two_orgs;
    use crate::org::setup::RecordType;

    /// What is said of a record type of the target.
    fn said(active: bool, available: bool) -> Vec<String> {
        let config = between_two_orgs(
            "pipelines:
  - name: accounts
    from: { org: a, channel: /data/AccountChangeEvent, object: Account }
    to: { org: b, object: Account, key: Key__c }
    fields: { Key__c: Id, RecordTypeId: { record_type: Partner } }
",
        );
        let describe = json!({"name": "Account",
            "fields": [{"name": "RecordTypeId", "type": "reference", "referenceTo": ["RecordType"]}],
            "recordTypeInfos": [{"active": active, "available": available, "defaultRecordTypeMapping": false,
                "developerName": "Partner", "master": false, "name": "Partner", "recordTypeId": "012000000000001AAA"}]});
        let known = RecordType {
            id: "012000000000001AAA".parse().unwrap(),
            developer_name: "Partner".to_owned(),
            namespace: None,
            name: "Partner".to_owned(),
            active,
        };
        let record_types = BTreeMap::from([(ObjectName::known("Account"), Asked::Known(vec![known]))]);
        let target = KnownOrg { record_types, ..testing::org_with(&[describe]) };
        let pipeline = &config.pipelines[0];
        let mut findings = Findings { pipeline: &pipeline.name, found: Vec::new() };
        let sides = Sides { pipeline, source: None, target: Some(&target) };
        for (name, rule) in &pipeline.fields {
            judge(&mut findings, (name, rule), &sides);
        }
        testing::shown(findings.found)
    }

    #[test]
    fn a_record_type_must_be_active_and_be_the_users_to_give() {
        let at = "error fields.RecordTypeId:";
        assert_eq!(said(true, true), [""; 0]);
        let denied = format!("{at} the bridge's user may not give records the record type Partner");
        assert_eq!(said(true, false), [denied]);
        assert_eq!(said(false, false), [format!("{at} the record type Partner of Account is not active")]);
    }
}
