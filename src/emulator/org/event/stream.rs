//! Events as the Streaming API writes them: JSON, from the same bytes that the Pub/Sub API sends.
//!
//! (streaming-cometd.md sections 12, 13 and 17)

use std::fmt::Write as _;

use super::bitmap::{self, Places};
use super::cell::Cell;
use super::delivery::Delivery;
use super::header::Header;
use super::layout::{Form, Layout};
use crate::org::text;

/// What documents and captures leave open.
#[derive(Debug, Clone, Copy)]
pub struct StreamForms {
    /// Change events have an `EventUuid` too; platform events always have one.
    pub uuid_in_changes: bool,
    /// Gap events have an empty `changedFields`.
    pub changed_fields_in_gaps: bool,
    /// Empty fields of platform events are there, as null.
    pub nulls_in_events: bool,
}

impl Delivery {
    /// The `data` object of a message.
    pub fn to_stream(&self, forms: StreamForms) -> String {
        let mut out = format!(r#"{{"schema":"{}","payload":"#, self.schema.id);
        let layout = &self.schema.layout;
        let is_change = match layout.decode(&self.payload) {
            Ok((Some(header), cells)) => {
                change(&mut out, layout, &header, &cells, forms);
                true
            }
            Ok((None, cells)) => {
                event(&mut out, layout, &cells, forms);
                false
            }
            // The org has encoded it with this schema.
            Err(_) => {
                out.push_str("{}");
                false
            }
        };
        out.push_str(r#","event":{"#);
        // Writing into a string never fails.
        if !is_change || forms.uuid_in_changes {
            let _ = write!(out, r#""EventUuid":"{}","#, self.uuid());
        }
        let _ = write!(out, r#""replayId":{}}}}}"#, self.replay_id);
        out
    }
}

fn change(out: &mut String, layout: &Layout, header: &Header, cells: &[Cell<'_>], forms: StreamForms) {
    let changed = bitmap::read(&header.changed).unwrap_or_default();
    let diffed = bitmap::read(&header.diffed).unwrap_or_default();
    out.push('{');
    text::name(out, "ChangeEventHeader");
    out.push('{');
    let strings = |out: &mut String, name: &str, values: &mut dyn Iterator<Item = String>| {
        text::name(out, name);
        out.push('[');
        for (place, value) in values.enumerate() {
            if place > 0 {
                out.push(',');
            }
            text::string(out, &value);
        }
        out.push(']');
    };
    let string = |out: &mut String, name: &str, value: &str| {
        text::name(out, name);
        text::string(out, value);
    };
    string(out, "entityName", &header.entity);
    strings(out, "recordIds", &mut header.record_ids.iter().cloned());
    string(out, "changeType", header.kind.name());
    string(out, "changeOrigin", &header.origin);
    string(out, "transactionKey", &header.transaction_key);
    let _ = write!(
        out,
        r#","sequenceNumber":{},"commitTimestamp":{},"commitNumber":{}"#,
        header.sequence, header.commit_timestamp, header.commit_number
    );
    string(out, "commitUser", &header.commit_user);
    if !header.kind.is_gap() || forms.changed_fields_in_gaps {
        // Whole fields first, then parts, as the bitmaps have them.
        let whole = changed.iter().filter(|(_, part)| part.is_none());
        let parts = changed.iter().filter(|(_, part)| part.is_some());
        strings(out, "changedFields", &mut whole.chain(parts).filter_map(|place| layout.name(*place)));
    }
    out.push('}');
    body(out, layout, cells, &changed, &diffed);
    out.push('}');
}

/// Fields that changed, null where they are empty now, and whatever else has a value.
fn body(out: &mut String, layout: &Layout, cells: &[Cell<'_>], changed: &Places, diffed: &Places) {
    for (position, slot, cell) in layout.cells(cells) {
        let Form::Parts { parts, .. } = &slot.form else {
            if changed.contains(&(position, None)) || !cell.is_null() {
                text::name(out, &slot.name);
                value(out, cell, &slot.form, diffed.contains(&(position, None)));
            }
            continue;
        };
        let own: &[Cell<'_>] = match cell {
            Cell::Parts(own) => own,
            Cell::Text(_) => {
                text::name(out, &slot.name);
                cell.write(&Form::Text, out);
                continue;
            }
            _ => &[],
        };
        let cell_of = |part: usize| own.get(part).unwrap_or(&Cell::Null);
        let told = |part: usize| changed.contains(&(position, Some(part))) || !cell_of(part).is_null();
        if changed.contains(&(position, None)) && cell.is_null() {
            text::name(out, &slot.name);
            out.push_str("null");
        } else if (0..parts.len()).any(told) {
            text::name(out, &slot.name);
            out.push('{');
            for (place, part) in parts.iter().enumerate().filter(|(place, _)| told(*place)) {
                text::name(out, &part.name);
                cell_of(place).write(&part.form, out);
            }
            out.push('}');
        }
    }
}

fn value(out: &mut String, cell: &Cell<'_>, form: &Form, is_diff: bool) {
    if is_diff {
        out.push_str(r#"{"diff":"#);
        cell.write(form, out);
        out.push('}');
    } else {
        cell.write(form, out);
    }
}

fn event(out: &mut String, layout: &Layout, cells: &[Cell<'_>], forms: StreamForms) {
    let all: Places = layout.cells(cells).map(|(position, ..)| (position, None)).collect();
    let changed = if forms.nulls_in_events { all } else { Places::new() };
    out.push('{');
    body(out, layout, cells, &changed, &Places::new());
    out.push('}');
}
