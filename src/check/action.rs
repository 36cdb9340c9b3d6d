//! One action against the orgs: what triggers it, what it calls or publishes, and where its answer goes. Of Apex REST and
//! webhooks no org tells what they take.

use super::{Finding, Findings, Known, KnownOrg, fields, pipeline, rights};
use crate::config::{ActionConfig, AnswerTo, Does, FireOn, KeyPlace, NoLongerMatching, OrderBy};
use crate::event::{FieldName, FieldPath, ObjectName, OrgName, Value};
use crate::mapping::{Expression, Kind};
use crate::org::describe::{FieldKind, ObjectDescribe};
use crate::org::setup::Asked;
use crate::org::{ActionKind, Parameter, Signature};
use crate::text::closest;

/// An idempotency key has so many characters, all of them ASCII.
const KEY_LENGTH: u32 = 36;

/// Beside the fields of an event, and not among what is handed over.
const NOT_CARRIED: &[&str] = &["ReplayId", "EventUuid"];

/// What each flow gives, whatever its variables are.
const OF_ALL_FLOWS: &[&str] = &["Flow__InterviewGuid", "Flow__InterviewStatus"];

pub(super) fn judge(action: &ActionConfig, known: &Known) -> Vec<Finding> {
    let mut findings = Findings { pipeline: &action.name, found: Vec::new() };
    let source = known.orgs.get(&action.from.org);
    let from = source.and_then(|org| org.objects.get(&action.from.object)).map(AsRef::as_ref);
    if let Some(org) = source {
        trigger(&mut findings, action, org, from);
    }
    match &action.does {
        Does::Flow { org, name } => called(&mut findings, action, known, (org, ActionKind::Flow, name)),
        Does::Apex { org, name } => called(&mut findings, action, known, (org, ActionKind::Apex, name)),
        Does::Event { org, event, .. } => {
            if let Some(org) = known.orgs.get(org) {
                published(&mut findings, action, org, event, from);
            }
        }
        Does::ApexRest { .. } | Does::Webhook(_) => {}
    }
    match (&action.answer, source) {
        (Some(AnswerTo::Record { object, id, fields }), Some(org)) => {
            answered_record(&mut findings, action, (org, from), (object, id), fields);
        }
        (Some(AnswerTo::Event { event, fields }), Some(org)) => answered_event(&mut findings, org, event, fields),
        (None, _) | (_, None) => {}
    }
    findings.found
}

/// The events come, and have what is read of them.
fn trigger(findings: &mut Findings<'_>, action: &ActionConfig, org: &KnownOrg, from: Option<&ObjectDescribe>) {
    let of_events = action.is_of_events();
    let key = if of_events { "channel" } else { "object" };
    pipeline::there(findings, org, &["from", key], &action.from.object);
    let Some(from) = from else { return };
    if !of_events {
        pipeline::capture(findings, org, (&action.from, action.when.as_ref()), NoLongerMatching::Keep);
        rights::reading(findings, org, &action.from);
    }
    let polled = action.from.poll.is_some();
    let mut read = |at: &[&str], path: &FieldPath, decides: bool| {
        if of_events && NOT_CARRIED.contains(&path.as_str()) {
            let remedy = "give the event a field of its own for it (Setup > Platform Events)";
            findings.warn(at, format!("{path} is no field of what an event says: here it is always empty"), remedy);
            return;
        }
        // That no event tells of its changes matters only where these trigger.
        if decides {
            fields::read(findings, at, path, from, polled);
        } else {
            fields::readable(findings, at, path, from, polled);
        }
    };
    for path in action.when.iter().flat_map(Expression::reads) {
        read(&["when"], path, true);
    }
    let fields_decide = fields_decide(action);
    for (name, rule) in &action.fields {
        for path in rule.fill.reads() {
            read(&["fields", name.as_str()], path, fields_decide);
        }
    }
    if let OrderBy::Field(path) = &action.order_by {
        read(&["action", "order_by"], path, false);
    }
    if let Some(AnswerTo::Record { id, .. }) = &action.answer {
        read(&["action", "answer", "record"], id, false);
    }
}

/// A change of what is handed over triggers.
fn fields_decide(action: &ActionConfig) -> bool {
    let of_condition = || action.when.iter().flat_map(Expression::reads).any(|path| path.as_str() != "Id");
    match action.fire_on {
        Some(fire_on) => fire_on == FireOn::Fields,
        None => !of_condition(),
    }
}

/// The flow or the Apex method is there, and takes and gives what the config says.
fn called(
    findings: &mut Findings<'_>,
    action: &ActionConfig,
    known: &Known,
    (org, kind, name): (&OrgName, ActionKind, &FieldName),
) {
    let Some(answer) = known.orgs.get(org).and_then(|org| org.called.get(&(kind, name.clone()))) else { return };
    let key = match kind {
        ActionKind::Flow => "flow",
        ActionKind::Apex => "apex",
    };
    let at = &["action", key];
    let signature = match answer {
        Asked::Known(Some(signature)) => signature,
        Asked::Known(None) => {
            let (what, remedy) = match kind {
                ActionKind::Flow => (
                    "flow",
                    "look at its API name in Setup > Flows; it must be autolaunched and active, and the bridge's user needs \
                     Run Flows (Setup > Permission Sets > System Permissions)",
                ),
                ActionKind::Apex => (
                    "Apex class with an invocable method",
                    "look at its name in Setup > Apex Classes; it needs a method with @InvocableMethod, and the bridge's user \
                     access to the class (Setup > Permission Sets > Apex Class Access)",
                ),
            };
            findings.error(at, format!("the org shows no {what} {name}"), remedy);
            return;
        }
        Asked::Unknown(reason) => {
            let message = format!("whether {name} takes what is handed over is not known: {reason}");
            findings.note(at, message, "grant it, for this check and for the calls");
            return;
        }
    };
    if let Some(inputs) = &signature.inputs {
        taken(findings, action, (at, name), inputs);
    }
    given(findings, action, kind, name, signature);
}

/// The input that a key of the config names. Whether the org tells capitals apart is not known.
fn named<'p>(all: &'p [Parameter], name: &str) -> Option<&'p Parameter> {
    let exactly = all.iter().find(|one| one.name == name);
    exactly.or_else(|| all.iter().find(|one| one.name.eq_ignore_ascii_case(name)))
}

fn taken(
    findings: &mut Findings<'_>,
    action: &ActionConfig,
    (of, called): (&[&str], &FieldName),
    inputs: &[Parameter],
) {
    let for_input = match of.last() {
        Some(&"flow") => "make a variable of that name Available for input in the flow",
        _ => "make a variable of that name an @InvocableVariable of the method's input",
    };
    let mut input = |at: &[&str], name: &FieldName| match named(inputs, name.as_str()) {
        None => {
            let remedy = match closest(name.as_str(), inputs.iter().map(|one| one.name.as_str())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => for_input.to_owned(),
            };
            findings.error(at, format!("{called} has no input {name}"), remedy);
            None
        }
        Some(found) => {
            if found.name != name.as_str() {
                let remedy = format!("write `{}`", found.name);
                findings.warn(at, format!("the org writes the input {name} with other capitals"), remedy);
            }
            Some(found)
        }
    };
    let found: Vec<_> =
        action.fields.iter().map(|(name, rule)| (name, rule, input(&["fields", name.as_str()], name))).collect();
    let key = key_input(action);
    let key_found = key.and_then(|name| input(&["action", "idempotency_key"], name));
    for (name, rule, found) in found {
        let Some(found) = found else { continue };
        for value in fields::constants(rule) {
            constant_fits(findings, &["fields", name.as_str()], kind_of(found), value);
        }
    }
    if let Some(found) = key_found {
        let kind = kind_of(found);
        let holds_text = matches!(kind, Kind::Text | Kind::Other);
        key_fits(findings, &found.name, holds_text, found.length.filter(|_| kind == Kind::Text));
    }
    let filled = |name: &str| {
        let mut all = action.fields.iter().map(|(field, _)| field).chain(key);
        all.any(|field| field.as_str().eq_ignore_ascii_case(name))
    };
    for missing in inputs.iter().filter(|one| one.required && !filled(&one.name)) {
        let remedy = format!("add `{}: …` to the fields: a field of the source, or {{ value: … }}", missing.name);
        findings.error(&["fields"], format!("{called} needs {}, and nothing fills it", missing.name), remedy);
    }
}

/// What an input takes. UNSURE which names of types there are: of others than these nothing is said.
fn kind_of(input: &Parameter) -> Kind {
    match input.kind.as_deref() {
        Some("BOOLEAN") => Kind::Bool,
        Some("NUMBER" | "DOUBLE" | "INT" | "INTEGER" | "LONG" | "CURRENCY") => Kind::Number,
        Some("DATE") => Kind::Date,
        Some("DATETIME") => Kind::DateTime,
        Some("STRING" | "TEXT" | "TEXTAREA") => Kind::Text,
        Some(_) | None => Kind::Other,
    }
}

/// Inputs go out as the config writes them: nobody makes a number of a text. Whether the org does is not known, so only what
/// nobody could make of it is wrong. The value is not shown, for a variable may have brought it.
fn constant_fits(findings: &mut Findings<'_>, at: &[&str], kind: Kind, value: &Value) {
    match kind.fit(value.clone()) {
        Ok(fitted) if fitted == *value => {}
        Ok(_) => {
            let remedy = match kind {
                Kind::Text => "write the value in quotes",
                Kind::Number | Kind::Bool => "write the value without quotes; what a variable brings is text",
                Kind::Date => "write it as 2026-12-31",
                _ => "write it as 2026-12-31T08:30:00Z",
            };
            findings.warn(at, format!("the input takes {kind}, and the org may refuse this"), remedy);
        }
        Err(_) => findings.error(at, format!("the input takes {kind}"), "write a value that the input takes"),
    }
}

fn key_input(action: &ActionConfig) -> Option<&FieldName> {
    match &action.idempotency {
        Some(KeyPlace::Input(name)) => Some(name),
        Some(KeyPlace::Header(_)) | None => None,
    }
}

fn key_fits(findings: &mut Findings<'_>, name: &str, holds_text: bool, length: Option<u64>) {
    let at = &["action", "idempotency_key"];
    if !holds_text {
        findings.error(at, format!("{name} holds no text, and the key is one"), "name one that holds text");
    } else if length.is_some_and(|length| length < u64::from(KEY_LENGTH)) {
        let message = format!("{name} is too short for an idempotency key of {KEY_LENGTH} characters");
        findings.error(at, message, format!("make it at least {KEY_LENGTH} characters long"));
    }
}

/// The outputs that the answer names.
fn given(
    findings: &mut Findings<'_>,
    action: &ActionConfig,
    kind: ActionKind,
    called: &FieldName,
    signature: &Signature,
) {
    let (Some(outputs), Some(AnswerTo::Record { fields, .. } | AnswerTo::Event { fields, .. })) =
        (&signature.outputs, &action.answer)
    else {
        return;
    };
    for (field, output) in fields {
        let of_all = kind == ActionKind::Flow && OF_ALL_FLOWS.contains(&output.as_str());
        if of_all || outputs.iter().any(|one| one.name == *output) {
            continue;
        }
        let remedy = match closest(output, outputs.iter().map(|one| one.name.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None if kind == ActionKind::Flow => {
                "make a variable of that name Available for output in the flow".to_owned()
            }
            None => "make a variable of that name an @InvocableVariable of what the method returns".to_owned(),
        };
        let message = format!("{called} has no output {output}: {field} would be emptied");
        findings.warn(&["action", "answer", "fields", field.as_str()], message, remedy);
    }
}

/// The event is there and may be published with these fields.
fn published(
    findings: &mut Findings<'_>,
    action: &ActionConfig,
    org: &KnownOrg,
    event: &ObjectName,
    from: Option<&ObjectDescribe>,
) {
    let at = &["action", "event"];
    let Some(event) = publishable(findings, org, at, event) else { return };
    for (name, rule) in &action.fields {
        let at = &["fields", name.as_str()];
        let Some(target) = fields::published(findings, at, name, event) else { continue };
        let source = rule.fill.from().zip(from).and_then(|(path, from)| from.field(&path.object_field()));
        fields::values(findings, at, rule, source, target);
    }
    let key = key_input(action);
    if let Some(field) = key.and_then(|name| fields::published(findings, &["action", "idempotency_key"], name, event)) {
        let holds_text = matches!(field.kind, FieldKind::Text | FieldKind::TextArea | FieldKind::RichText);
        let length = field.length.filter(|length| *length > 0).map(u64::from);
        key_fits(findings, field.name.as_str(), holds_text, length);
    }
    let filled = |name: &FieldName| {
        let mut all = action.fields.iter().map(|(field, _)| field).chain(key);
        all.any(|field| field.as_str().eq_ignore_ascii_case(name.as_str()))
    };
    pipeline::required(findings, &["fields"], event, filled);
}

fn publishable<'o>(
    findings: &mut Findings<'_>,
    org: &'o KnownOrg,
    at: &[&str],
    event: &ObjectName,
) -> Option<&'o ObjectDescribe> {
    pipeline::there(findings, org, at, event);
    let described = org.objects.get(event)?;
    if !described.object.createable {
        let message = format!("the bridge's user may not publish {event}");
        let remedy =
            "grant Create for the event in a permission set of the user (Setup > Permission Sets > Object Settings)";
        findings.error(at, message, remedy);
    }
    Some(described)
}

/// The record's fields can be changed, and the record is one of this object.
fn answered_record(
    findings: &mut Findings<'_>,
    action: &ActionConfig,
    (org, from): (&KnownOrg, Option<&ObjectDescribe>),
    (object, id): (&ObjectName, &FieldPath),
    answered: &[(FieldName, String)],
) {
    // That the source's own object is not there is said of the source.
    if *object != action.from.object {
        pipeline::there(findings, org, &["action", "answer", "object"], object);
    }
    let Some(described) = org.objects.get(object) else { return };
    if !described.object.updateable {
        let message = format!("the bridge's user may not edit records of {object}");
        let remedy = "grant edit for the object in a permission set of the user (Setup > Permission Sets)";
        findings.error(&["action", "answer"], message, remedy);
    }
    let names = from.and_then(|from| from.field(&id.object_field())).and_then(|field| field.kind.reference());
    if let Some(reference) = names.filter(|reference| !reference.leads_to(object.as_str())) {
        let leads: Vec<&str> = reference.targets.iter().map(|object| object.as_str()).collect();
        let message = format!("{id} leads to {}, and the answer is for {object}", leads.join(", "));
        let remedy = "name the field that holds the id of such a record, or write its object";
        findings.error(&["action", "answer", "record"], message, remedy);
    }
    for (name, _) in answered {
        fields::changed(findings, &["action", "answer", "fields", name.as_str()], name, described);
    }
}

fn answered_event(findings: &mut Findings<'_>, org: &KnownOrg, event: &ObjectName, answered: &[(FieldName, String)]) {
    let Some(event) = publishable(findings, org, &["action", "answer", "event"], event) else { return };
    for (name, _) in answered {
        fields::published(findings, &["action", "answer", "fields", name.as_str()], name, event);
    }
    let filled =
        |name: &FieldName| answered.iter().any(|(field, _)| field.as_str().eq_ignore_ascii_case(name.as_str()));
    pipeline::required(findings, &["action", "answer", "fields"], event, filled);
}

#[cfg(test)]
mod tests;
