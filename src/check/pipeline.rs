//! One pipeline against the two orgs: its objects, channel, key, and what runs in the target by itself.

use super::lookups::{self, Sides};
use super::{Finding, Findings, Known, KnownOrg, dependents, feedback, fields, money, persons, record_types, rights};
use crate::config::{Config, Fill, From, NoLongerMatching, PipelineConfig, WriteOn};
use crate::event::{FieldName, ObjectName};
use crate::mapping::Expression;
use crate::org::FREE_ENTITIES;
use crate::org::describe::{FieldDescribe, FieldKind, ObjectDescribe};
use crate::org::setup::{Asked, AutomationKind};

/// A record id has so many characters.
const ID_LENGTH: u32 = 18;

pub(super) fn judge(pipeline: &PipelineConfig, config: &Config, known: &Known) -> Vec<Finding> {
    let mut findings = Findings { pipeline: &pipeline.name, found: Vec::new() };
    let source = known.orgs.get(&pipeline.from.org);
    let target = known.orgs.get(&pipeline.to.org);
    let of = |org: Option<&KnownOrg>, object: &ObjectName| org.and_then(|org| org.objects.get(object)).cloned();
    let (from, to) = (of(source, &pipeline.from.object), of(target, &pipeline.to.object));
    if let Some(org) = source {
        there(&mut findings, org, &["from", "object"], &pipeline.from.object);
        if from.is_some() {
            let policy = pipeline.when_no_longer_matching;
            capture(&mut findings, org, (&pipeline.from, pipeline.when.as_ref()), policy);
            rights::reading(&mut findings, org, &pipeline.from);
        }
    }
    if let Some(org) = target {
        there(&mut findings, org, &["to", "object"], &pipeline.to.object);
        automation(&mut findings, org, &pipeline.to.object);
    }
    if let Some(to) = &to {
        if let Some(org) = target {
            rights::writing(&mut findings, org, pipeline, to);
            record_types::judge(&mut findings, pipeline, source, org, to);
        }
        key(&mut findings, pipeline, to);
        let filled = |name: &FieldName| {
            pipeline.fields.iter().any(|(field, rule)| {
                field.as_str().eq_ignore_ascii_case(name.as_str()) && rule.write_on != WriteOn::Update
            })
        };
        required(&mut findings, &["fields"], to, filled);
        flag(&mut findings, pipeline, to);
        dependents::judge(&mut findings, pipeline, to);
    }
    for (name, rule) in &pipeline.fields {
        fields::judge(
            &mut findings,
            (name, rule),
            pipeline.from.poll.is_some(),
            config,
            from.as_deref(),
            to.as_deref(),
        );
        lookups::judge(&mut findings, (name, rule), &Sides { pipeline, source, target });
    }
    if let (Some(source), Some(target), Some(from), Some(to)) = (source, target, &from, &to) {
        money::judge(&mut findings, pipeline, (source, from), (target, to));
    }
    if let (Some(source), Some(from)) = (source, &from) {
        persons::judge(&mut findings, pipeline, config, source, from);
    }
    if let Some(from) = &from {
        for path in pipeline.when.iter().flat_map(Expression::reads) {
            fields::read(&mut findings, &["when"], path, from, pipeline.from.poll.is_some());
        }
        feedback::judge(&mut findings, pipeline, from);
    }
    findings.found
}

/// The org shows an object, or a platform event.
pub(super) fn there(findings: &mut Findings<'_>, org: &KnownOrg, at: &[&str], object: &ObjectName) {
    let is_event = object.as_str().ends_with("__e");
    let (what, place) = if is_event { ("event", "Platform Events") } else { ("object", "Object Manager") };
    match org.all.object(object.as_str()) {
        None => {
            let remedy = match org.all.closest(object.as_str()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "look at its API name in Setup > {place}, and at the object permissions of the bridge's user: what a \
                     user may not read is not there for him"
                ),
            };
            findings.error(at, format!("the org shows no {what} {object}"), remedy);
        }
        Some(found) if found.name != *object => {
            let remedy = format!("write `{}`", found.name);
            findings.error(at, format!("the org writes this {what} with other capitals"), remedy);
        }
        Some(_) => {}
    }
}

/// The channel brings the object's changes, and what `when` reads. `policy`: what becomes of records that stop matching.
pub(super) fn capture(
    findings: &mut Findings<'_>,
    org: &KnownOrg,
    (from, when): (&From, Option<&Expression>),
    policy: NoLongerMatching,
) {
    if from.poll.is_some() {
        return;
    }
    let (channel, object) = (&from.channel, &from.object);
    let at = &["from", "channel"];
    let capture = match &org.capture {
        Some(Asked::Known(capture)) => capture,
        Some(Asked::Unknown(reason)) => {
            findings.note(
                at,
                format!("whether {object} is selected is not known: {reason}"),
                "grant it for this check",
            );
            return;
        }
        None => return,
    };
    let alone = channel.object().is_some();
    if !alone && capture.channel(channel).is_none() {
        let remedy = "look at the channels in Setup > Platform Event Channels, or name /data/ChangeEvents";
        findings.error(at, format!("the org has no channel {channel}"), remedy);
        return;
    }
    let Some(member) = capture.member(channel, object) else {
        let selected = capture.objects().len();
        let place = if selected < FREE_ENTITIES {
            format!("{selected} of {FREE_ENTITIES} are selected")
        } else {
            format!("{selected} are selected, and {FREE_ENTITIES} are free; `source: poll` needs no place")
        };
        let remedy = if alone || channel.as_str() == "/data/ChangeEvents" {
            format!("select it in Setup > Change Data Capture ({place})")
        } else {
            format!("add it to the channel as a PlatformEventChannelMember ({place})")
        };
        findings.error(at, format!("changes of {object} do not come to {channel}"), remedy);
        return;
    };
    if member.filter.is_some() && policy != NoLongerMatching::Keep {
        let remedy = "remove the filter of the channel's member, or set `when_no_longer_matching: keep`";
        let message =
            "the channel has a filter: a record that stops matching it sends no event, so nothing tells of it";
        findings.warn(&["when_no_longer_matching"], message.to_owned(), remedy);
    }
    let unread: Vec<&str> = when
        .into_iter()
        .flat_map(Expression::reads)
        .map(|path| path.top())
        .filter(|field| *field != "Id" && !member.enriched.contains(*field))
        .collect();
    if !unread.is_empty() {
        let message =
            format!("each change has to be read, for events do not carry {} unless it changed", unread.join(", "));
        let remedy =
            "enrich a channel of your own (/data/Name__chn) with it, or live with one read for up to 200 changes";
        findings.note(&["when"], message, remedy);
    }
}

fn key(findings: &mut Findings<'_>, pipeline: &PipelineConfig, to: &ObjectDescribe) {
    let at = &["to", "key"];
    let name = &pipeline.to.key;
    // That it is not there is said where it is filled.
    let Some(field) = to.field(name) else { return };
    if !field.external_id && !field.id_lookup {
        let remedy =
            format!("tick External ID and Unique at the field (Setup > Object Manager > {} > Fields)", to.name());
        findings.error(at, format!("{name} is no External ID: records cannot be found by it"), remedy);
    } else if !field.is_unique_key() {
        let remedy = "tick Unique at the field, or two records with one value make every write to them fail";
        findings.warn(at, format!("{name} is not unique"), remedy);
    }
    let by_id = pipeline
        .fields
        .iter()
        .any(|(target, rule)| matches!(&rule.fill, Fill::Source(path) if target == name && path.as_str() == "Id"));
    if by_id && field.length.is_some_and(|length| length > 0 && length < ID_LENGTH) {
        let message = format!("{name} is too short for a record id of {ID_LENGTH} characters");
        findings.error(at, message, format!("make it at least {ID_LENGTH} characters long"));
    }
}

/// What a new record cannot be without.
pub(super) fn required(
    findings: &mut Findings<'_>,
    at: &[&str],
    to: &ObjectDescribe,
    filled: impl Fn(&FieldName) -> bool,
) {
    // The org makes a person's name of its parts.
    let is_named = |field: &FieldDescribe| {
        field.name.as_str() == "Name" && to.named("LastName").is_some_and(|last| filled(&last.name))
    };
    for field in to.required_on_create().filter(|field| !filled(&field.name) && !is_named(field)) {
        let message = format!("{} needs {} ({}), and nothing fills it", to.name(), field.name, field.label);
        let remedy = format!("add `{}: …` to the fields: a field of the source, or {{ value: … }}", field.name);
        findings.error(at, message, remedy);
    }
}

fn flag(findings: &mut Findings<'_>, pipeline: &PipelineConfig, to: &ObjectDescribe) {
    let Some(flag) = &pipeline.flag else { return };
    let Some(field) = to.field(&flag.field) else {
        findings.error(&["flag"], format!("{} has no field {}", to.name(), flag.field), fields::meant(to, &flag.field));
        return;
    };
    if !field.updateable {
        findings.error(&["flag"], format!("{} cannot be written", flag.field), fields::not_writable(to, field));
    }
    for value in [&flag.set, &flag.clear] {
        if let Some(wrong) = fields::refuses(field, value) {
            findings.error(
                &["flag"],
                format!("{}: {wrong}", flag.field),
                "write `flag: { field: …, set: …, clear: … }`",
            );
            return;
        }
    }
    if matches!(field.kind, FieldKind::Reference(_)) {
        findings.error(&["flag"], format!("{} is a lookup", flag.field), "name a checkbox, a picklist or a text");
    }
}

/// What runs in the target when the bridge writes: it changes what arrives, or refuses it.
fn automation(findings: &mut Findings<'_>, org: &KnownOrg, object: &ObjectName) {
    for (kind, answer) in &org.automation {
        let Asked::Known(all) = answer else { continue };
        let names: Vec<String> = all.iter().filter(|one| one.object == *object).map(ToString::to_string).collect();
        if names.is_empty() {
            continue;
        }
        let may = if *kind == AutomationKind::WorkflowRule { "may run" } else { "runs" };
        let message = format!("{} {may} when the bridge writes {object}: {}", kind.label(), names.join(", "));
        let remedy =
            "if it should not, let it pass over the bridge's user (a custom permission, or $User in its condition)";
        findings.note(&["to", "object"], message, remedy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing;
    use crate::config::testing::between_two_orgs;
    use crate::org::{Capture, CapturedChannel, Member};

    const CONFIG: &str = r#"pipelines:
  - name: accounts
    from: { org: a, channel: /data/Mine__chn, object: Account }
    to: { org: b, object: Account, key: Key__c }
    when: Industry != "Test"
    when_no_longer_matching: POLICY
    fields: { Key__c: Id }
"#;

    /// What is said of a channel of which Account is a member.
    fn said(policy: &str, filter: Option<&str>, enriched: &[&str]) -> Vec<String> {
        let text = CONFIG.replace("POLICY", policy);
        let config = between_two_orgs(&text);
        let member = Member {
            object: "Account".parse().unwrap(),
            filter: filter.map(str::to_owned),
            enriched: enriched.iter().map(|field| (*field).to_owned()).collect(),
        };
        let channel = CapturedChannel { channel: "/data/Mine__chn".parse().unwrap(), members: vec![member] };
        let capture_of = Capture { channels: vec![channel] };
        let org = KnownOrg { capture: Some(Asked::Known(capture_of)), ..testing::org() };
        let pipeline = &config.pipelines[0];
        let mut findings = Findings { pipeline: &pipeline.name, found: Vec::new() };
        let policy = pipeline.when_no_longer_matching;
        capture(&mut findings, &org, (&pipeline.from, pipeline.when.as_ref()), policy);
        let short = |finding: Finding| format!("{} {}", finding.severity.as_str(), finding.message);
        findings.found.into_iter().map(short).collect()
    }

    #[test]
    fn a_filter_of_the_channel_hides_records_that_stop_matching() {
        let filter = Some("Industry != 'Test'");
        for policy in ["delete", "keep"] {
            let warned =
                said(policy, filter, &["Industry"]).iter().any(|said| said.starts_with("warning the channel has a"));
            assert_eq!(warned, policy == "delete");
            assert_eq!(said(policy, None, &["Industry"]), [""; 0]);
        }
    }

    #[test]
    fn what_a_condition_reads_should_be_enriched() {
        let said = said("keep", None, &["Name"]);
        assert_eq!(said, ["note each change has to be read, for events do not carry Industry unless it changed"]);
    }
}
