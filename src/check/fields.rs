//! One field's rule against the two objects: that both sides are there, and that the value fits.

use super::Findings;
use crate::config::{Config, FieldRule, Fill, OnNull, Truncate, WriteOn};
use crate::event::{FieldName, FieldPath, Value};
use crate::mapping::Kind;
use crate::org::describe::{Computed, FieldDescribe, FieldKind, ObjectDescribe};

/// Fields of every object of which no event tells, or which no bridge can write.
const AUDIT: &[&str] = &["CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp"];

pub(super) fn judge(
    findings: &mut Findings<'_>,
    (name, rule): (&FieldName, &FieldRule),
    polled: bool,
    config: &Config,
    from: Option<&ObjectDescribe>,
    to: Option<&ObjectDescribe>,
) {
    let at = &["fields", name.as_str()];
    if let (Some(expression), Some(from)) = (rule.fill.expression(), from) {
        for path in expression.reads() {
            read(findings, at, path, from, polled);
        }
    }
    let source = rule.fill.from().zip(from).and_then(|(path, from)| read(findings, at, path, from, polled));
    let Some(to) = to else { return };
    let Some(target) = written(findings, at, name, to) else { return };
    let (creates, updates) = (rule.write_on != WriteOn::Update, rule.write_on != WriteOn::Create);
    if creates && !target.createable {
        let remedy = if updates && target.updateable {
            "write it at updates only: { …, write_on: update }".to_owned()
        } else {
            not_writable(to, target)
        };
        findings.error(at, format!("{name} cannot be written when a record is made"), remedy);
    } else if updates && !target.updateable {
        let remedy = if creates && target.createable {
            "write it at creates only: { …, write_on: create }".to_owned()
        } else {
            not_writable(to, target)
        };
        findings.error(at, format!("{name} cannot be changed once the record is there"), remedy);
    }
    if rule.truncate == Some(Truncate::Field) && Kind::of(&target.kind) != Kind::Text {
        findings.warn(at, format!("{name} is no text, so `truncate: true` cuts nothing"), "remove `truncate` here");
    }
    values(findings, at, rule, source, target);
    if let Fill::Parent { pipelines, .. } = &rule.fill {
        lookup(findings, at, target, source);
        let parents = config.pipelines.iter().filter(|other| pipelines.contains(&other.name));
        for parent in parents {
            let Some(reference) = target.kind.reference() else { continue };
            if reference.leads_to(parent.to.object.as_str()) {
                continue;
            }
            let leads: Vec<&str> = reference.targets.iter().map(|object| object.as_str()).collect();
            let message = format!(
                "{name} leads to {}, and the pipeline {} writes {}",
                leads.join(", "),
                parent.name,
                parent.to.object
            );
            findings.error(at, message, "name the pipeline that writes such records");
        }
    }
}

/// A field of an object that is to be written: it is there, and is no compound.
pub(super) fn written<'d>(
    findings: &mut Findings<'_>,
    at: &[&str],
    name: &FieldName,
    to: &'d ObjectDescribe,
) -> Option<&'d FieldDescribe> {
    let Some(target) = to.field(name) else {
        findings.error(at, format!("{} has no field {name}", to.name()), meant(to, name));
        return None;
    };
    if target.kind.is_compound() {
        let parts: Vec<&str> = to.components_of(&target.name).iter().map(|part| part.name.as_str()).collect();
        let remedy = format!("fill its parts: {}", parts.join(", "));
        findings.error(at, format!("{name} is a compound field, and can only be read"), remedy);
        return None;
    }
    Some(target)
}

/// A field of a platform event that is to be published: it is there, and can be given.
pub(super) fn published<'d>(
    findings: &mut Findings<'_>,
    at: &[&str],
    name: &FieldName,
    event: &'d ObjectDescribe,
) -> Option<&'d FieldDescribe> {
    let target = written(findings, at, name, event)?;
    if !target.createable {
        // Fields of events have no field-level security.
        let remedy = "the org gives it to each event by itself: remove the field here";
        findings.error(at, format!("{name} cannot be written when an event is published"), remedy);
    }
    Some(target)
}

/// A field of a record that is there is to be changed.
pub(super) fn changed<'d>(
    findings: &mut Findings<'_>,
    at: &[&str],
    name: &FieldName,
    object: &'d ObjectDescribe,
) -> Option<&'d FieldDescribe> {
    let target = written(findings, at, name, object)?;
    if !target.updateable {
        findings.error(at, format!("{name} cannot be written"), not_writable(object, target));
    }
    Some(target)
}

/// What a rule brings fits the field.
pub(super) fn values(
    findings: &mut Findings<'_>,
    at: &[&str],
    rule: &FieldRule,
    source: Option<&FieldDescribe>,
    target: &FieldDescribe,
) {
    for value in constants(rule) {
        fits(findings, at, target, value);
    }
    if let (Fill::Source(_), Some(source)) = (&rule.fill, source) {
        compare(findings, at, source, target, rule.truncate);
    }
}

/// The values that a rule itself says.
pub(super) fn constants(rule: &FieldRule) -> Vec<&Value> {
    let on_null = match &rule.on_null {
        OnNull::Value(value) => Some(value),
        OnNull::Send | OnNull::Skip => None,
    };
    let mut all: Vec<&Value> = on_null.into_iter().collect();
    match &rule.fill {
        Fill::Constant(value) => all.push(value),
        Fill::Table { entries, default, .. } => all.extend(entries.values().chain(default)),
        Fill::Source(_)
        | Fill::Parent { .. }
        | Fill::Expression(_)
        | Fill::Find { .. }
        | Fill::RecordType(_)
        | Fill::RecordTypeOf { .. }
        | Fill::Owner(_)
        | Fill::OwnerOf { .. } => {}
    }
    all
}

/// The source field of a path, if it is there and tells of its changes.
pub(super) fn read<'d>(
    findings: &mut Findings<'_>,
    at: &[&str],
    path: &FieldPath,
    from: &'d ObjectDescribe,
    polled: bool,
) -> Option<&'d FieldDescribe> {
    let field = readable(findings, at, path, from, polled)?;
    match field.computed {
        Some(Computed::Formula) => {
            let remedy = "map what it is computed from, or compute it here: { cel: … }";
            findings.warn(at, format!("{path} is a formula: when its result changes, no event tells of it"), remedy);
        }
        Some(Computed::RollUp) => {
            let remedy = "map the details and sum them up in the target, or copy it by a flow into a field of its own";
            findings.warn(at, format!("{path} is a roll-up: when it changes, no event tells of it"), remedy);
        }
        None => {}
    }
    Some(field)
}

/// The source field of a path, if it is there and has a value that can be taken.
pub(super) fn readable<'d>(
    findings: &mut Findings<'_>,
    at: &[&str],
    path: &FieldPath,
    from: &'d ObjectDescribe,
    polled: bool,
) -> Option<&'d FieldDescribe> {
    if path.as_str() == "Id" {
        return None;
    }
    let object = from.name();
    let Some(top) = from.named(path.top()).or_else(|| from.field(&path.object_field())) else {
        let remedy = match from.closest(path.top()) {
            Some(near) => {
                format!("did you mean `{near}`? If it is hidden from the bridge's user: field-level security")
            }
            None => {
                "look at its API name in Setup > Object Manager, and at the field-level security of the bridge's user"
                    .to_owned()
            }
        };
        findings.error(at, format!("{object} shows no field {path}"), remedy);
        return None;
    };
    if from.named(path.top()).is_some() && top.name.as_str() != path.top() {
        let remedy = format!("write `{}`: events tell capitals apart", top.name);
        findings.error(at, format!("the org writes {path} with other capitals"), remedy);
        return None;
    }
    let field = from.field(&path.object_field());
    let Some(field) = field else {
        let parts: Vec<&str> = from.components_of(&top.name).iter().map(|part| part.name.as_str()).collect();
        let remedy = if parts.is_empty() {
            format!("{} has no parts: write `{}`", path.top(), path.top())
        } else {
            format!("its parts are stored in {}", parts.join(", "))
        };
        findings.error(at, format!("{object} has no part {path}"), remedy);
        return None;
    };
    // Events have it as a part of its compound, under another name.
    if let Some(compound) = field.compound.as_ref().filter(|compound| **compound != field.name)
        && !polled
        && path.part().is_none()
    {
        let part = field.name.as_str().strip_prefix(compound.as_str().trim_end_matches("Address")).unwrap_or_default();
        let part = if part.is_empty() { "Part" } else { part };
        let remedy = format!("write `{compound}.{part}`, as change events name it");
        findings.error(at, format!("change events carry {path} as a part of {compound}"), remedy);
        return None;
    }
    match field.kind {
        FieldKind::Encrypted => {
            let remedy = "leave it out: what arrives would be the mask";
            findings.error(at, format!("{path} is encrypted, and events carry its mask"), remedy);
        }
        FieldKind::Base64 => {
            findings.error(at, format!("{path} holds a file, and events carry none"), "leave it out");
        }
        // A read has it as one text.
        FieldKind::PersonName if polled => {}
        FieldKind::Address | FieldKind::Location | FieldKind::PersonName if path.part().is_none() => {
            let parts: Vec<&str> = from.components_of(&field.name).iter().map(|part| part.name.as_str()).collect();
            let remedy = format!(
                "name one of its parts, as in {}.City or {}.LastName (stored in {})",
                path,
                path,
                parts.join(", ")
            );
            findings.error(at, format!("{path} is a compound field"), remedy);
            return None;
        }
        _ => {}
    }
    Some(field)
}

/// What somebody who wrote this may have meant.
pub(super) fn meant(object: &ObjectDescribe, name: &FieldName) -> String {
    match object.closest(name.as_str()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "make it in Setup > Object Manager > {} > Fields, and let the bridge's user see it (field-level security)",
            object.name()
        ),
    }
}

pub(super) fn not_writable(object: &ObjectDescribe, field: &FieldDescribe) -> String {
    match (&field.computed, &field.kind) {
        (Some(_), _) => "the org computes it: remove the field here".to_owned(),
        (None, FieldKind::AutoNumber) => "the org numbers it: remove the field here".to_owned(),
        (None, _) if AUDIT.contains(&field.name.as_str()) => {
            "only a user with Set Audit Fields may, and only at creates: remove the field here".to_owned()
        }
        (None, _) => format!(
            "let the bridge's user edit it: Setup > Object Manager > {} > {} > Set Field-Level Security",
            object.name(),
            field.label
        ),
    }
}

/// A constant or a table's value can be written.
fn fits(findings: &mut Findings<'_>, at: &[&str], target: &FieldDescribe, value: &Value) {
    if let Some(wrong) = refuses(target, value) {
        let remedy = match (value, target.kind.picklist()) {
            (Value::Text(text), Some(picklist)) => match picklist.closest(text) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "add the value to the picklist, or write another".to_owned(),
            },
            _ => "write a value that the field takes".to_owned(),
        };
        findings.error(at, wrong, remedy);
    }
}

/// Why the org would not take a value. One of another kind would be converted, and was hardly meant. It is not shown, for a
/// variable may have brought it; the file's line is.
pub(super) fn refuses(target: &FieldDescribe, value: &Value) -> Option<String> {
    let kind = &target.kind;
    match (kind, value) {
        (_, Value::Null | Value::Compound(_)) | (FieldKind::Boolean, Value::Bool(_)) => None,
        (FieldKind::Boolean, _) => Some("the field is a checkbox: only true or false can be written".to_owned()),
        (kind, Value::Number(_)) if Kind::of(kind) == Kind::Number => None,
        (kind, _) if Kind::of(kind) == Kind::Number => Some("the field takes a number".to_owned()),
        (kind, Value::Bool(_) | Value::Number(_)) if Kind::of(kind) != Kind::Other => {
            Some("the field takes text: write the value in quotes".to_owned())
        }
        (FieldKind::Picklist(picklist), Value::Text(text)) if !picklist.takes(text) => {
            Some("the picklist does not take this value".to_owned())
        }
        (FieldKind::MultiPicklist(picklist), Value::Text(text)) if !text.split(';').all(|one| picklist.takes(one)) => {
            Some("the picklist does not take all of these values".to_owned())
        }
        (FieldKind::Reference(_), Value::Text(text)) if text.parse::<crate::event::RecordId>().is_err() => {
            Some("the field is a lookup, and this is no record id".to_owned())
        }
        (kind, Value::Text(_)) if Kind::of(kind).fit(value.clone()).is_err() => {
            Some(format!("the field takes {}, as 2026-12-31 or 2026-12-31T08:30:00Z", Kind::of(kind)))
        }
        (_, Value::Text(text)) => {
            let length = target.length.filter(|length| *length > 0)? as usize;
            (text.chars().count() > length)
                .then(|| format!("it is longer than the {length} characters of {}", target.name))
        }
        (_, Value::Bool(_) | Value::Number(_)) => None,
    }
}

fn lookup(findings: &mut Findings<'_>, at: &[&str], target: &FieldDescribe, source: Option<&FieldDescribe>) {
    if target.kind.reference().is_none() {
        let message = format!("{} is no lookup, so it can name no parent", target.name);
        findings.error(at, message, "fill it from a field of the source, or name a lookup of the target");
    }
    if let Some(source) = source.filter(|source| source.kind.reference().is_none()) {
        let message = format!("{} of the source is no lookup", source.name);
        findings.warn(at, message, "name a lookup field as `from`, unless it holds ids of the parents in the source");
    }
}

fn compare(
    findings: &mut Findings<'_>,
    at: &[&str],
    source: &FieldDescribe,
    target: &FieldDescribe,
    truncate: Option<Truncate>,
) {
    let (from, to) = (Kind::of(&source.kind), Kind::of(&target.kind));
    match (from, to) {
        (Kind::Other, _) | (_, Kind::Other) => return,
        (Kind::Lookup, Kind::Lookup) => {
            let message = format!("{} holds ids of the source org, which mean nothing in the target", source.name);
            let remedy = match target.kind.reference() {
                Some(to) if to.leads_to("RecordType") => format!("write {{ from: {}, as: record_type }}", source.name),
                Some(to) if to.leads_to("User") => format!("write {{ from: {}, as: owner }}", source.name),
                _ => "write { parent: PIPELINE, from: … } with the pipeline that writes the parents".to_owned(),
            };
            findings.error(at, message, remedy);
            return;
        }
        (from, to) if from == to => {}
        // Dates, times and ids are text on the wire, numbers and checkboxes become it.
        (_, Kind::Text) => {}
        (Kind::Text, Kind::Lookup) => {
            let message = format!("{} is text, and {} a lookup", source.name, target.name);
            findings.warn(at, message, "it must hold ids of the target org; for parents write { parent: …, from: … }");
            return;
        }
        (Kind::Text, _) => {
            let message = format!(
                "{} is text, and {} takes {to}: a record whose text cannot become that fails (TYPE_MISMATCH)",
                source.name, target.name
            );
            findings.warn(at, message, "convert it: { cel: number(…) }, date(…), or a table");
            return;
        }
        (Kind::DateTime, Kind::Date) => {
            let message =
                format!("{} has a time of day, and {} has none: it gets the day in UTC", source.name, target.name);
            findings.note(at, message, "if that is not the day that is meant, compute it: { cel: … }");
            return;
        }
        (Kind::Date, Kind::DateTime) => {
            let message =
                format!("{} has no time of day, and {} has: it gets midnight in UTC", source.name, target.name);
            findings.note(at, message, "if that is not the time that is meant, compute it: { cel: … }");
            return;
        }
        _ => {
            let message = format!("{} and {} are of different kinds", source.name, target.name);
            findings.error(at, message, "convert it: { cel: number(…) }, date(…), text(…), or a table");
            return;
        }
    }
    if let (Some(from), Some(to)) = (source.length, target.length)
        && to > 0
        && from > to
        && is_text(&target.kind)
        && truncate != Some(Truncate::Field)
        && truncate.and_then(Truncate::length).is_none_or(|cut| cut > to as usize)
    {
        let message = format!("{} holds up to {from} characters, and {} takes {to}", source.name, target.name);
        findings.warn(at, message, "cut it: { from: …, truncate: true }, or make the target's field longer");
    }
    if let (Some((whole, scale)), Some((whole_there, scale_there))) = (source.kind.digits(), target.kind.digits())
        && (whole > whole_there || scale > scale_there)
    {
        let message = format!(
            "{} has {whole} digits and {scale} behind the point, {} has {whole_there} and {scale_there}",
            source.name, target.name
        );
        findings.warn(at, message, "make the target's field as wide, or round: { cel: round(…, 2) }");
    }
    if let (Some(here), Some(there)) = (source.kind.picklist(), target.kind.picklist()) {
        let active = here.values.iter().filter(|value| value.active);
        let missing: Vec<&str> = active.map(|value| value.value.as_str()).filter(|value| !there.takes(value)).collect();
        if !missing.is_empty() {
            let message = format!("the target's picklist takes no {}", missing.join(", "));
            findings.warn(at, message, "add the values in the target, or write a `table` with a `default`");
        }
    }
}

/// Its length counts characters.
fn is_text(kind: &FieldKind) -> bool {
    matches!(
        kind,
        FieldKind::Text
            | FieldKind::TextArea
            | FieldKind::RichText
            | FieldKind::Email
            | FieldKind::Phone
            | FieldKind::Url
    )
}
