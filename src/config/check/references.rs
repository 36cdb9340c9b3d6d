//! What the parts of a config say about each other: orgs, parents, channels, and who writes which field.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::super::tree::Finding;
use super::super::walk::{At, Walk};
use super::super::{FieldRule, Fill, NoLongerMatching, OnDelete, OnNull, OnUndelete, OrgConfig, OwnerKey, WriteOn};
use super::actions::{Action, agree};
use super::orgs::Orgs;
use super::pipelines::{Entries, Pipeline};
use super::rules::Mapped;
use super::{compounds, feedback};
use crate::event::{Channel, FieldName, FieldPath, ObjectName, OrgName, PipelineName};
use crate::mapping::Expression;
use crate::privacy::{ObjectPrivacy, Treatment};
use crate::text::closest;

/// `orgs` is None if they could not be read at all: then nothing is said about references to them.
pub(super) fn check(walk: &mut Walk<'_>, orgs: Option<&Orgs>, entries: &Entries) {
    let Entries { pipelines, actions } = entries;
    unique_names(walk, entries);
    for (index, pipeline) in pipelines.iter().enumerate() {
        let reading = Reading::of(pipeline);
        if let Some(orgs) = orgs {
            known_org(walk, orgs, pipeline.from_org.as_ref());
            known_org(walk, orgs, pipeline.to_org.as_ref());
            privacy(walk, orgs, &reading);
        }
        if let (Some(from), Some(to)) = (&pipeline.from_org, &pipeline.to_org)
            && from.value == to.value
        {
            walk.find(&to.span, "source org and target org are the same", "name another org under `to`");
        }
        // One that is polled was made from its object.
        if let Some(at) = pipeline.channel.as_ref().filter(|_| pipeline.poll.is_none()) {
            channel(walk, at, pipeline.from_object.as_ref());
        }
        key(walk, pipeline);
        parents(walk, entries, pipeline);
        // What is polled is read by its names in SOQL, and either name finds it there.
        if pipeline.poll.is_none() {
            compounds::check(walk, &reading);
        }
        flag(walk, pipeline);
        undelete(walk, pipeline);
        may_delete(walk, pipeline);
        feedback::agrees(walk, &pipelines[..index], pipeline);
    }
    one_writer_for_each_field(walk, pipelines);
    for action in actions {
        agree::check(walk, orgs, action);
    }
}

/// What is read of the source, by a pipeline or an action.
pub(super) struct Reading<'p> {
    pub org: Option<&'p At<OrgName>>,
    pub object: Option<&'p At<ObjectName>>,
    pub when: Option<&'p At<Expression>>,
    pub fields: &'p [Mapped],
    /// The field of the target by which records are found again.
    pub key: Option<&'p At<FieldName>>,
}

impl<'p> Reading<'p> {
    fn of(pipeline: &'p Pipeline) -> Self {
        Self {
            org: pipeline.from_org.as_ref(),
            object: pipeline.from_object.as_ref(),
            when: pipeline.when.as_ref().and_then(Option::as_ref),
            fields: pipeline.fields.as_deref().unwrap_or_default(),
            key: pipeline.key.as_ref(),
        }
    }
}

pub(super) fn known_org(walk: &mut Walk<'_>, orgs: &Orgs, org: Option<&At<OrgName>>) {
    let Some(org) = org.filter(|org| !orgs.contains_key(org.value.as_str())) else { return };
    let remedy = match closest(org.value.as_str(), orgs.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "add it under `orgs`".to_owned(),
    };
    walk.find(&org.span, "there is no such org under `orgs`", remedy);
}

/// What must not be taken of the source cannot be mapped.
pub(super) fn privacy(walk: &mut Walk<'_>, orgs: &Orgs, reading: &Reading<'_>) {
    let (Some(org), Some(object)) = (reading.org, reading.object) else { return };
    let Some(Some(config)) = orgs.get(org.value.as_str()) else { return };
    let privacy = config.privacy.of(&object.value);
    let left_out = |path: &FieldPath| privacy.treatment(path) == Some(Treatment::LeaveOut);
    let mut expressions: Vec<(&Expression, &Range<usize>)> = Vec::new();
    if let Some(when) = reading.when {
        expressions.push((&when.value, &when.span));
    }
    for field in reading.fields {
        let Some(At { value: rule, span, .. }) = &field.rule else { continue };
        let is_key = reading.key.is_some_and(|key| key.value.as_str() == field.written);
        if let Some(expression) = rule.fill.expression() {
            let masked = |path: &&FieldPath| privacy.treatment(path) == Some(Treatment::Mask);
            if is_key && expression.reads().iter().any(|path| masked(&path)) {
                walk.find(span, MASKED_KEY, MASKED_KEY_REMEDY);
            }
            // A hash can be what the target holds; what is masked finds a record that is another one.
            if let Some(path) = expression.reads().iter().find(masked).filter(|_| rule.fill.is_lookup()) {
                walk.find(span, HIDDEN, hidden_remedy(path));
            }
            expressions.push((expression, span));
        }
        owners(walk, config, &rule.fill, span);
        let Some(from) = rule.fill.from() else { continue };
        let treatment = privacy.treatment(from);
        if treatment == Some(Treatment::LeaveOut) {
            walk.find(span, LEFT_OUT, LEFT_OUT_REMEDY);
        } else if treatment.is_some() && rule.fill.is_lookup() {
            walk.find(span, HIDDEN, hidden_remedy(from));
        } else if is_key && treatment == Some(Treatment::Mask) && matches!(rule.fill, Fill::Source(_)) {
            walk.find(span, MASKED_KEY, MASKED_KEY_REMEDY);
        }
    }
    for (expression, span) in expressions {
        for path in expression.reads().iter().filter(|path| left_out(path)) {
            let place = walk.place_of(path.as_str(), span);
            walk.find(&place, LEFT_OUT, LEFT_OUT_REMEDY);
        }
        if expression.hashes() && privacy.hash_key().is_none() {
            let remedy = "add `hash_secret: ${NAME}` under `privacy` of the source org, at least 16 bytes";
            walk.find(&walk.place_of("hash", span), "`hash` needs a secret", remedy);
        }
    }
}

/// Users of the source are asked for what they are known by, and the source org's `privacy` holds there, too.
fn owners(walk: &mut Walk<'_>, source: &OrgConfig, fill: &Fill, span: &Range<usize>) {
    let Fill::OwnerOf { by, table, .. } = fill else { return };
    // A table has users by their user names.
    let named = Some(OwnerKey::Username).filter(|named| !table.is_empty() && named != by);
    for column in std::iter::once(*by).chain(named).map(OwnerKey::column) {
        let Ok(path) = column.as_str().parse::<FieldPath>() else { continue };
        if source.privacy.of(&ObjectName::known("User")).treatment(&path).is_none() {
            continue;
        }
        let message = format!("owners are known by the {column} of a user, and the source org's `privacy` hides it");
        let remedy = format!("take `{column}` from `User` there, or write another `match`, and no `table`");
        walk.find(span, message, remedy);
    }
}

const HIDDEN: &str = "a lookup needs the value as it is, and `privacy` hides it";

fn hidden_remedy(path: &FieldPath) -> String {
    format!("take `{path}` from `hash` or `mask` of the source org")
}

const MASKED_KEY: &str = "the key must tell records apart, and `mask` makes them alike";
const MASKED_KEY_REMEDY: &str = "take another field, or `hash` instead of `mask` in the source org's `privacy`";
const LEFT_OUT: &str = "the source org's `privacy` leaves this field out";
const LEFT_OUT_REMEDY: &str = "remove it here, or from `leave_out` of its object there";

fn unique_names(walk: &mut Walk<'_>, entries: &Entries) {
    let pipelines = entries.pipelines.iter().filter_map(|pipeline| pipeline.name.as_ref());
    let mut names: Vec<_> = pipelines.chain(entries.actions.iter().filter_map(|action| action.name.as_ref())).collect();
    names.sort_by_key(|name| name.span.start);
    let mut seen = BTreeSet::new();
    for name in names.into_iter().filter(|name| !seen.insert(&name.value)) {
        walk.find(&name.span, "another pipeline has this name already", "give each pipeline a name of its own");
    }
}

/// A field that is not taken at all cannot be used.
pub(super) fn not_left_out(walk: &mut Walk<'_>, privacy: &ObjectPrivacy, path: &FieldPath, span: &Range<usize>) {
    if privacy.treatment(path) == Some(Treatment::LeaveOut) {
        walk.find(span, LEFT_OUT, LEFT_OUT_REMEDY);
    }
}

/// Both leave the same trace: a counterpart that the bridge deleted.
fn undelete(walk: &mut Walk<'_>, pipeline: &Pipeline) {
    let deletes = pipeline.no_longer_matching.as_ref().is_some_and(|when| when.value == NoLongerMatching::Delete);
    if let Some(undelete) = pipeline.on_undelete.as_ref().filter(|on| deletes && on.value == OnUndelete::Ignore) {
        let message =
            "a record that came back is not told from one that matches again (when_no_longer_matching: delete)";
        let remedy = "write `on_undelete: recreate` or `restore`, or `when_no_longer_matching: keep` or `flag`";
        walk.find(&undelete.span, message, remedy);
    }
}

/// Said of a pipeline that deletes nothing, it is a mistake: somebody thinks that it does.
fn may_delete(walk: &mut Walk<'_>, pipeline: &Pipeline) {
    let (Some(Some(may)), Some(deleted), Some(unmatched)) =
        (&pipeline.may_delete, &pipeline.on_delete, &pipeline.no_longer_matching)
    else {
        return;
    };
    if deleted.value != OnDelete::Delete && unmatched.value != NoLongerMatching::Delete {
        let remedy = "add `on_delete: delete`, or remove it";
        walk.find(&may.span, "this pipeline deletes nothing in the target", remedy);
    }
}

/// Facts: streaming-cometd.md section 11.
pub(super) fn channel(walk: &mut Walk<'_>, channel: &At<Channel>, object: Option<&At<ObjectName>>) {
    let Some(name) = channel.value.as_str().strip_prefix("/data/") else {
        let remedy = "for the changes of an object write /data/AccountChangeEvent, or /data/ChangeEvents for all";
        walk.find(&channel.span, "this channel carries no changes of records", remedy);
        return;
    };
    if name == "ChangeEvents" || name.strip_suffix("__chn").is_some_and(|name| !name.is_empty()) {
        return;
    }
    let carried = match name.strip_suffix("__ChangeEvent") {
        Some(custom) => Some(format!("{custom}__c")),
        None => name.strip_suffix("ChangeEvent").map(str::to_owned),
    };
    match (carried.and_then(|carried| carried.parse::<ObjectName>().ok()), object) {
        (None, _) => {
            let remedy =
                "write /data/AccountChangeEvent, /data/Employee__ChangeEvent, /data/Name__chn or /data/ChangeEvents";
            walk.find(&channel.span, "there is no channel of this kind", remedy);
        }
        (Some(carried), Some(object)) if carried != object.value => {
            let message = "this channel does not carry the pipeline's object";
            if carried.as_str().eq_ignore_ascii_case(object.value.as_str()) {
                walk.find(
                    &object.span,
                    "the object is not written as its channel writes it",
                    "mind upper and lower case",
                );
                return;
            }
            walk.find(
                &channel.span,
                message,
                format!("the channel of `{}` is {}", object.raw, channel_of(&object.raw)),
            );
        }
        _ => {}
    }
}

fn channel_of(object: &str) -> String {
    match object.strip_suffix("__c") {
        Some(custom) => format!("/data/{custom}__ChangeEvent"),
        None => format!("/data/{object}ChangeEvent"),
    }
}

fn key(walk: &mut Walk<'_>, pipeline: &Pipeline) {
    let (Some(key), Some(fields)) = (&pipeline.key, &pipeline.fields) else { return };
    let name = key.value.as_str();
    if let Some(field) = fields.iter().find(|field| field.written == name) {
        let Some(At { value: rule, span, .. }) = &field.rule else { return };
        let from_source = match &rule.fill {
            Fill::Source(_) => true,
            Fill::Expression(expression) => !expression.reads().is_empty() && !expression.reads_header(),
            Fill::Constant(_)
            | Fill::Table { .. }
            | Fill::Parent { .. }
            | Fill::Find { .. }
            | Fill::RecordType(_)
            | Fill::RecordTypeOf { .. }
            | Fill::Owner(_)
            | Fill::OwnerOf { .. } => false,
        };
        let plain = rule.write_on == WriteOn::Both && rule.on_null == OnNull::Send && rule.truncate.is_none();
        if !from_source {
            let remedy = format!("write `{}: Id`", field.written);
            walk.find(span, "the key must be filled from a field of the source", remedy);
        } else if !plain {
            let remedy = "remove `write_on`, `on_null` and `truncate` here";
            walk.find(span, "the key must be written as it is, each time: it finds the record again", remedy);
        }
        return;
    }
    let remedy = match fields.iter().find(|field| field.written.eq_ignore_ascii_case(name)) {
        Some(field) => format!("write it as under `fields`: {}", field.written),
        None => format!("add `{}: Id` to the pipeline's `fields`", key.raw),
    };
    walk.find(&key.span, "the key is not filled by any of the `fields`", remedy);
}

fn parents(walk: &mut Walk<'_>, entries: &Entries, pipeline: &Pipeline) {
    let pipelines = &entries.pipelines;
    let rules = pipeline.fields.iter().flatten().filter_map(|field| field.rule.as_ref());
    let parents = rules.filter_map(|rule| match &rule.value.fill {
        Fill::Parent { pipelines, .. } => Some((rule, pipelines)),
        _ => None,
    });
    let parents: Vec<(&At<FieldRule>, &Vec<PipelineName>)> = parents.collect();
    for (rule, names) in &parents {
        let objects = names.iter().filter_map(|name| source_object(pipelines, name));
        let mut seen = BTreeSet::new();
        if let Some(twice) = objects.into_iter().find(|object| !seen.insert(*object)) {
            let remedy = "keep one of them: which of them wrote the parent could not be told from its id";
            walk.find(&rule.span, format!("two of these pipelines read {twice}"), remedy);
        }
    }
    for (rule, name) in parents.into_iter().flat_map(|(rule, names)| names.iter().map(move |name| (rule, name))) {
        let names = || pipelines.iter().filter_map(|other| Some((&other.name.as_ref()?.value, other)));
        let written = || pipelines.iter().filter_map(|other| Some(other.name.as_ref()?.raw.as_str()));
        let Some((_, parent)) = names().find(|(other, _)| *other == name) else {
            let is_action = |action: &Action| action.name.as_ref().is_some_and(|own| own.value == *name);
            if entries.actions.iter().any(is_action) {
                let remedy = "name the pipeline that writes the parent records";
                walk.find(&rule.span, "this pipeline is an action, and writes no records", remedy);
                continue;
            }
            let remedy = match closest(name.as_str(), written()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name the pipeline that writes the parent records".to_owned(),
            };
            walk.find(&rule.span, "there is no such pipeline", remedy);
            continue;
        };
        let differ = |a: &Option<At<OrgName>>, b: &Option<At<OrgName>>| {
            a.as_ref().zip(b.as_ref()).is_some_and(|(a, b)| a.value != b.value)
        };
        let remedy = "parents and children must go the same way";
        if differ(&parent.to_org, &pipeline.to_org) {
            walk.find(&rule.span, "the parent's pipeline writes to another org than this one", remedy);
        } else if differ(&parent.from_org, &pipeline.from_org) {
            walk.find(&rule.span, "the parent's pipeline reads from another org than this one", remedy);
        }
    }
}

fn source_object<'p>(pipelines: &'p [Pipeline], name: &PipelineName) -> Option<&'p ObjectName> {
    let named = |pipeline: &&Pipeline| pipeline.name.as_ref().is_some_and(|own| own.value == *name);
    pipelines.iter().find(named)?.from_object.as_ref().map(|object| &object.value)
}

/// A flag that is to be set must be named, and nothing else may fill it.
fn flag(walk: &mut Walk<'_>, pipeline: &Pipeline) {
    let Some(flag) = &pipeline.flag else { return };
    let wanted = [
        pipeline.on_delete.as_ref().filter(|at| at.value == OnDelete::Flag).map(|at| &at.span),
        pipeline.no_longer_matching.as_ref().filter(|at| at.value == NoLongerMatching::Flag).map(|at| &at.span),
    ];
    let Some(flag) = flag else {
        for span in wanted.into_iter().flatten() {
            let remedy = "add `flag: Field__c` to the pipeline, a checkbox of the target object";
            walk.find(span, "no field is named that can be set", remedy);
        }
        return;
    };
    if pipeline.fields.iter().flatten().any(|field| field.written.eq_ignore_ascii_case(flag.value.field.as_str())) {
        let remedy = "remove it from `fields`, or name another field as `flag`";
        walk.find(&flag.span, "`fields` fills this field, too", remedy);
    }
}

/// Two pipelines on one field would overwrite each other. The key is the exception, if both fill it alike: it names
/// the record, and several pipelines may each write their own fields of it.
fn one_writer_for_each_field(walk: &mut Walk<'_>, pipelines: &[Pipeline]) {
    let mut writers: BTreeMap<_, (&Pipeline, &Mapped)> = BTreeMap::new();
    let mut found = Vec::new();
    for pipeline in pipelines {
        let (Some(from_org), Some(from), Some(to_org), Some(to)) =
            (&pipeline.from_org, &pipeline.from_object, &pipeline.to_org, &pipeline.to_object)
        else {
            continue;
        };
        for field in pipeline.fields.iter().flatten() {
            let Some(target) = &field.target else { continue };
            let place = (
                (&from_org.value, &from.value, &to_org.value),
                to.value.as_str().to_ascii_lowercase(),
                field.written.to_ascii_lowercase(),
            );
            let Some((first, other)) = writers.get(&place) else {
                writers.insert(place, (pipeline, field));
                continue;
            };
            let is_key = |pipeline: &Pipeline| pipeline.key.as_ref().is_some_and(|key| key.value == target.value);
            let alike = field.rule.as_ref().zip(other.rule.as_ref()).is_some_and(|(a, b)| a.value == b.value);
            if std::ptr::eq(*first, pipeline) || (is_key(first) && is_key(pipeline) && alike) {
                continue;
            }
            let first = first.name.as_ref().map_or("above", |name| name.raw.as_str());
            found.push(Finding {
                span: target.span.clone(),
                message: "another pipeline writes this field of the same records".to_owned(),
                remedy: format!("remove the field here or in the pipeline `{first}`"),
            });
        }
    }
    walk.findings.extend(found);
}
