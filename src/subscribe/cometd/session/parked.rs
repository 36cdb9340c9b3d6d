//! What came and was not fetched yet. How much it may become is judged here; who heeds it is the session.

use std::collections::VecDeque;

use super::Event;
use crate::event::{Change, Field, Happening, Value};

/// Past one of these nothing more is asked for; what was asked for before still comes on top.
const MAX_EVENTS: usize = 5_000;
const MAX_BYTES: usize = 32 << 20;

/// Of a node of a tree of values, about.
const NODE: usize = 96;

#[derive(Debug, Default)]
pub(super) struct Parked {
    events: VecDeque<(usize, Event)>,
    bytes: usize,
}

impl Parked {
    pub(super) fn push(&mut self, event: Event) {
        let weight = weight(&event);
        self.bytes += weight;
        self.events.push_back((weight, event));
    }

    pub(super) fn extend(&mut self, events: impl IntoIterator<Item = Event>) {
        events.into_iter().for_each(|event| self.push(event));
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        let (weight, event) = self.events.pop_front()?;
        self.bytes -= weight;
        Some(event)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= MAX_EVENTS || self.bytes >= MAX_BYTES
    }
}

/// In memory, in bytes, about.
fn weight(event: &Event) -> usize {
    let content = match event {
        Event::Change(change) => of_change(change),
        Event::Undecodable(_)
        | Event::Passed { .. }
        | Event::Live { .. }
        | Event::Skipped { .. }
        | Event::PositionRefused { .. } => 0,
    };
    size_of::<Event>() + content
}

fn of_change(change: &Change) -> usize {
    let content = match &change.happening {
        Happening::Record(record) => {
            let fields = record.fields.iter().map(|(name, field)| NODE + name.len() + of_field(field));
            record.header.record_ids.len() * NODE + fields.sum::<usize>()
        }
        Happening::Event { fields, .. } => fields.iter().map(|(name, value)| NODE + name.len() + of_value(value)).sum(),
        Happening::Notification { body } => of_value(body),
    };
    size_of::<Change>() + content
}

fn of_field(field: &Field) -> usize {
    match field {
        Field::New(value) | Field::Same(value) => of_value(value),
        Field::Patch(diff) => diff.len(),
        Field::Diff => 0,
    }
}

fn of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 0,
        Value::Number(number) => number.as_str().len(),
        Value::Text(text) => text.len(),
        Value::Compound(parts) => parts.iter().map(|(name, part)| NODE + name.len() + of_value(part)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ReplayId;

    fn notification(bytes: usize) -> Event {
        Event::Change(Box::new(Change {
            channel: "/u/x".parse().unwrap(),
            replay_id: ReplayId(b"1".to_vec()),
            happening: Happening::Notification { body: Value::text("x".repeat(bytes)) },
        }))
    }

    #[test]
    fn it_is_full_by_number_or_by_size_and_has_room_again_when_fetched() {
        let mut parked = Parked::default();
        (0..MAX_EVENTS - 1).for_each(|_| parked.push(notification(1)));
        assert!(!parked.is_full());
        parked.push(notification(1));
        assert!(parked.is_full());
        while parked.pop().is_some() {}
        assert!(parked.is_empty() && !parked.is_full() && parked.bytes == 0);
        (0..32).for_each(|_| parked.push(notification(1 << 20)));
        assert!(parked.is_full());
        parked.pop();
        assert!(!parked.is_full());
    }
}
