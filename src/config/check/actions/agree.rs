//! What the parts of an action say about each other, and what the orgs say of them.

use std::ops::Range;

use super::super::super::walk::{At, Walk};
use super::super::super::{Delivery, Does, FireOn, KeyPlace, OnRead, OrderBy, Truncate, WriteOn};
use super::super::orgs::Orgs;
use super::super::references::{self, Reading};
use super::super::{compounds, rules::Mapped};
use super::Action;
use super::does::{Answer, names_in};
use crate::event::FieldPath;

/// `orgs` is None if they could not be read at all: then nothing is said about references to them.
pub(in super::super) fn check(walk: &mut Walk<'_>, orgs: Option<&Orgs>, action: &Action) {
    let reading = Reading {
        org: action.from_org.as_ref(),
        object: action.object.as_ref(),
        when: action.when.as_ref().and_then(Option::as_ref),
        fields: action.fields.as_deref().unwrap_or_default(),
        key: None,
    };
    if let Some(orgs) = orgs {
        references::known_org(walk, orgs, action.from_org.as_ref());
        references::known_org(walk, orgs, action.org.as_ref().and_then(Option::as_ref));
        references::privacy(walk, orgs, &reading);
        hidden(walk, orgs, action);
    }
    if action.is_of_events() == Some(false) {
        channel(walk, action);
        if action.poll.is_none() {
            compounds::check(walk, &reading);
        }
    }
    for field in action.fields.iter().flatten() {
        rule(walk, field);
    }
    order(walk, action);
    triggers(walk, action);
    polled(walk, action);
    idempotency(walk, action);
    path(walk, action);
    answer(walk, action);
    itself(walk, action);
}

fn channel(walk: &mut Walk<'_>, action: &Action) {
    let Some(channel) = action.channel.as_ref().filter(|_| action.poll.is_none()) else { return };
    if !channel.value.as_str().starts_with("/data/") {
        let remedy = "write /data/CaseChangeEvent for changes, /event/Name__e for a platform event";
        walk.find(&channel.span, "no action is triggered by this kind of channel", remedy);
        return;
    }
    references::channel(walk, channel, action.object.as_ref());
}

/// What an action hands over comes from its event or its record; nobody else is asked.
fn rule(walk: &mut Walk<'_>, field: &Mapped) {
    let Some(At { value: rule, span, .. }) = &field.rule else { return };
    if rule.fill.is_lookup() {
        let remedy = "hand over the id or the value of the source, and look it up in the flow or in Apex";
        walk.find(span, "an action has no counterpart, so nothing is looked up for it", remedy);
        return;
    }
    let refused = [
        (rule.write_on != WriteOn::Both, "`write_on`", "remove it"),
        (rule.truncate == Some(Truncate::Field), "`truncate: true`", "write how many characters are kept"),
    ];
    for (_, key, remedy) in refused.into_iter().filter(|(is, ..)| *is) {
        walk.find(span, format!("{key} is for fields of records"), remedy);
    }
}

fn order(walk: &mut Walk<'_>, action: &Action) {
    let Some(Some(order)) = &action.order_by else { return };
    if order.value == OrderBy::Record && action.is_of_events() == Some(true) {
        let remedy = "write `channel`, or a field of the event";
        walk.find(&order.span, "a platform event has no record", remedy);
    }
}

fn triggers(walk: &mut Walk<'_>, action: &Action) {
    let Some(Some(fire_on)) = &action.fire_on else { return };
    if action.is_of_events() == Some(true) {
        let remedy = "remove `fire_on`; `when` says which ones count";
        walk.find(&fire_on.span, "each platform event is one of its own: nothing in it is changed", remedy);
        return;
    }
    let reads = |path: &FieldPath| path.as_str() != "Id";
    let condition = || action.when.as_ref().map(|when| when.iter().flat_map(|when| when.value.reads()).any(reads));
    let fields = || action.fields.as_deref().map(|fields| handed_over(fields).any(reads));
    let (nothing, remedy) = match fire_on.value {
        FireOn::Condition => (condition() == Some(false), "add `when:` with a field in it, or write `fields` or `any`"),
        FireOn::Fields => (fields() == Some(false), "add a field of the record under `fields`, or write `any`"),
        FireOn::Any => (false, ""),
    };
    if nothing {
        walk.find(&fire_on.span, "no update could trigger it: nothing of the record is read there", remedy);
    }
}

/// The source fields that are handed over.
fn handed_over(fields: &[Mapped]) -> impl Iterator<Item = &FieldPath> {
    fields.iter().filter_map(|field| field.rule.as_ref()).flat_map(|rule| rule.value.fill.reads())
}

fn polled(walk: &mut Walk<'_>, action: &Action) {
    if let Some(on_read) = action.on_read.as_ref().filter(|on| action.poll.is_some() && on.value == OnRead::Skip) {
        let place = if on_read.span.is_empty() { action.place.clone() } else { on_read.span.clone() };
        let remedy = "add `on_read: fire`: it triggers by each record that is read, as it is by then";
        walk.find(&place, "what is polled has no events that could trigger an action", remedy);
    }
}

fn idempotency(walk: &mut Walk<'_>, action: &Action) {
    let Some(does) = &action.does else { return };
    let takes_headers = matches!(does.value, Does::ApexRest { .. } | Does::Webhook(_));
    match &action.idempotency {
        Some(Some(At { value: KeyPlace::Header(_), span, .. })) if !takes_headers => {
            let remedy =
                format!("name an input that takes it: `idempotency_key: Request_Key`; `{}` has no headers", does.raw);
            walk.find(span, "the key cannot go along in a header", remedy);
        }
        Some(Some(At { value: KeyPlace::Input(name), span, .. })) => {
            let filled = action.fields.iter().flatten().find(|field| field.written.eq_ignore_ascii_case(name.as_str()));
            if filled.is_some() {
                let remedy = "remove it from `fields`, or name another input";
                walk.find(span, "`fields` fills this input, too", remedy);
            }
        }
        Some(None) if !matches!(does.value, Does::Webhook(_)) => {
            let twice = action.delivery.as_ref().filter(|delivery| delivery.value == Delivery::AtLeastOnce);
            if let Some(delivery) = twice {
                let remedy = "add `idempotency_key:` with the input that takes it, or write at_most_once";
                let message = "what is done again without a key is done twice: the other side cannot tell";
                walk.find(&delivery.span, message, remedy);
            }
        }
        Some(_) | None => {}
    }
}

/// What a path names must be filled.
fn path(walk: &mut Walk<'_>, action: &Action) {
    let Some(At { value: Does::ApexRest { path, .. }, span, .. }) = &action.does else { return };
    let Some(fields) = &action.fields else { return };
    let key = match &action.idempotency {
        Some(Some(At { value: KeyPlace::Input(name), .. })) => Some(name),
        Some(_) | None => None,
    };
    for name in names_in(path).unwrap_or_default() {
        let filled = fields.iter().any(|field| field.target.as_ref().is_some_and(|target| target.value == name));
        if !filled && key != Some(&name) {
            walk.find(
                span,
                format!("`{{{name}}}` in the path is none of the `fields`"),
                format!("add `{name}:` to `fields`"),
            );
        }
    }
}

fn answer(walk: &mut Walk<'_>, action: &Action) {
    let Some(Some(At { value: Answer::Record { object, id, fields }, span, .. })) = &action.answer else { return };
    match (action.is_of_events(), object, id) {
        (Some(true), None, _) | (Some(true), _, None) => {
            let message = "a platform event has no record to which an answer could go";
            let remedy =
                "add `object:`, and `record:` with the field of the event that holds the id; or write `event:`";
            walk.find(span, message, remedy);
            return;
        }
        (Some(false), Some(object), None) if differs(object, action) => {
            let remedy = "add `record:` with the lookup field that holds its id";
            walk.find(&object.span, "the record that triggers it is none of this object", remedy);
            return;
        }
        (Some(_) | None, _, _) => {}
    }
    // A change that the answer makes must not trigger the same again.
    let same = action.is_of_events() == Some(false) && !object.as_ref().is_some_and(|object| differs(object, action));
    let (Some(handed), Some(when), true) = (&action.fields, &action.when, same) else { return };
    let of_condition = when.iter().any(|when| when.value.reads().iter().any(|path| path.as_str() != "Id"));
    let of_fields = handed_over(handed).any(|path| path.as_str() != "Id");
    let fire_on = action.fire_on.as_ref().and_then(|fire_on| fire_on.as_ref()).map(|fire_on| fire_on.value);
    let remedy = "write `fire_on: condition` and a `when` that does not hold any more then, or answer by `event:`";
    match fire_on {
        Some(FireOn::Condition) => {}
        None if of_condition => {}
        Some(FireOn::Fields) | None if of_fields => {
            let written = |path: &&FieldPath| {
                let names = [path.object_field().as_str().to_owned(), path.top().to_owned()];
                fields.iter().any(|(field, _)| names.iter().any(|name| name.eq_ignore_ascii_case(field.as_str())))
            };
            if let Some(path) = handed_over(handed).find(written) {
                walk.find(
                    span,
                    format!("the answer changes `{path}`, which would trigger it again, without end"),
                    remedy,
                );
            }
        }
        Some(_) | None => {
            walk.find(span, "the answer is a change of the record, which would trigger it again, without end", remedy);
        }
    }
}

fn differs(object: &At<crate::event::ObjectName>, action: &Action) -> bool {
    action.object.as_ref().is_some_and(|own| !own.value.as_str().eq_ignore_ascii_case(object.value.as_str()))
}

/// What `privacy` of the source hides cannot name a record.
fn hidden(walk: &mut Walk<'_>, orgs: &Orgs, action: &Action) {
    let (Some(org), Some(object)) = (&action.from_org, &action.object) else { return };
    let Some(Some(config)) = orgs.get(org.value.as_str()) else { return };
    let privacy = config.privacy.of(&object.value);
    if let Some(Some(At { value: OrderBy::Field(path), span, .. })) = &action.order_by {
        references::not_left_out(walk, &privacy, path, span);
    }
    if let Some(Some(At { value: Answer::Record { id: Some(id), .. }, .. })) = &action.answer
        && privacy.treatment(&id.value).is_some()
    {
        let remedy = format!("take `{}` from `privacy` of the source org", id.value);
        walk.find(&id.span, "the answer needs the id as it is, and `privacy` hides it", remedy);
    }
}

/// An event that triggers its own action would do so without end.
fn itself(walk: &mut Walk<'_>, action: &Action) {
    let (Some(from), Some(object), Some(true)) = (&action.from_org, &action.object, action.is_of_events()) else {
        return;
    };
    let is_own = |event: &str| event.eq_ignore_ascii_case(object.value.as_str());
    let mut find = |span: &Range<usize>| {
        walk.find(span, "this event triggers the action that publishes it, without end", "publish another event");
    };
    if let Some(At { value: Does::Event { org, event, .. }, span, .. }) = &action.does
        && *org == from.value
        && is_own(event.as_str())
    {
        find(span);
    }
    if let Some(Some(At { value: Answer::Event { event, .. }, .. })) = &action.answer
        && is_own(event.value.as_str())
    {
        find(&event.span);
    }
}
