//! Changes of our own making: what the org's tables told, and no event did. Pure.

use crate::event::{Change, ChangeKind, Channel, Fields, Happening, Header, ObjectName, RecordChange, ReplayId};
use crate::org::Changed;

/// Says that a record changed or vanished, and nothing of its fields, so it is read. Its key is of the record and its
/// last change: found again, it is a double. `origin` stands for `changeOrigin`: `orgbridge/probe`.
pub fn change(channel: &Channel, object: &ObjectName, row: &Changed, origin: &str) -> Change {
    let header = Header {
        entity_name: object.clone(),
        record_ids: vec![row.record],
        wildcard: false,
        change_type: if row.deleted { ChangeKind::GapDelete } else { ChangeKind::GapUpdate },
        change_origin: origin.to_owned(),
        transaction_key: format!("{origin}/{}", row.at.0),
        sequence_number: 1,
        commit_timestamp: row.at,
        commit_number: 0,
        commit_user: String::new(),
    };
    Change {
        channel: channel.clone(),
        replay_id: ReplayId(Vec::new()),
        happening: Happening::Record(RecordChange { header, fields: Fields::new() }),
    }
}

/// Whether a change is of our own making.
pub fn is_found(header: &Header) -> bool {
    header.change_origin.starts_with("orgbridge/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Timestamp;

    #[test]
    fn the_same_change_found_twice_has_one_key_and_the_next_one_another() {
        let channel: Channel = "/data/AccountChangeEvent".parse().unwrap();
        let object: ObjectName = "Account".parse().unwrap();
        let record = "001000000000001AAA".parse().unwrap();
        let key = |at, deleted| {
            change(&channel, &object, &Changed { record, at: Timestamp(at), deleted }, "orgbridge/probe").event_key()
        };
        assert_eq!(key(1_000, false), key(1_000, false));
        assert_ne!(key(1_000, false), key(2_000, false));
        assert_ne!(key(1_000, false), key(1_000, true));
    }
}
