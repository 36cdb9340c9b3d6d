//! One org: its records, its rules and its event bus.
//!
//! A state machine without sockets and without a clock: times come in as microseconds since 1970. Endpoints
//! translate requests into [`Write`]s; each request is one transaction ([`Org::transact`]).

mod access;
mod action;
mod automation;
mod bus;
mod channel;
mod check;
mod compare;
mod condition;
mod decimal;
mod delete;
mod error;
mod event;
mod fields;
mod id;
mod lock;
mod managed;
mod people;
pub mod person;
mod prepare;
mod publish;
mod push;
mod query;
pub mod rules;
mod save;
pub mod schema;
mod setup;
mod table;
#[cfg(test)]
mod tests;
pub mod text;
pub mod time;
mod transaction;
mod user;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value as Json};

pub use access::{Access, FieldLevel, ObjectAccess};
pub use action::{Action, ActionCall, ActionKind, Input};
pub use bus::{InvalidReplayId, Start};
pub use channel::{STANDARD_CHANNEL, check_enriched};
pub use condition::Condition;
pub use error::SaveError;
pub use event::{
    ChangeKind, ChangeType, Delivery, EVENT_LIMIT, EventSchema, Feed, Filter, Layout, Mishaps, NotAnEvent, OVERFLOWN,
    Position, StreamForms, View,
};
pub use id::Id;
pub use managed::{CommitProblem, ManagedSpec, Replay};
pub use prepare::Values;
pub use publish::Published;
pub use push::PushFeed;
pub use query::Asked;
pub use schema::{FieldIndex, Kind, Object, ObjectIndex, ObjectKind, Schema, Sharing};
pub use setup::{Channel, Identity, Member, OVERFLOW, Setup};
pub use table::{Row, Table, key_form};
pub use transaction::{Options, Unit};
pub use user::User;

/// What a request wants done to one record. Field names and values are still as the request had them.
#[derive(Debug, Clone)]
pub enum Write {
    Create {
        object: ObjectIndex,
        fields: Map<String, Json>,
    },
    Update {
        object: ObjectIndex,
        id: Id,
        fields: Map<String, Json>,
    },
    /// By a lookup key whose value is among the fields.
    Upsert {
        object: ObjectIndex,
        key: FieldIndex,
        fields: Map<String, Json>,
    },
    Delete {
        id: Id,
    },
    Undelete {
        id: Id,
    },
}

/// Who writes, and how.
#[derive(Debug, Clone)]
pub struct Caller {
    pub user: Id,
    /// The `changeOrigin` of the events.
    pub origin: String,
    /// The org itself: no permission limits it.
    pub system: bool,
    /// Assignment rules give new records their owner.
    pub auto_assign: bool,
    /// Duplicate rules that only alert let records pass.
    pub allow_duplicates: bool,
    /// The parent of a master-detail may be among the fields of an update, as long as it stays the same.
    pub unchanged_masters: bool,
    /// How many flows led to this one.
    pub depth: u32,
}

impl Caller {
    /// Somebody whose permissions are checked.
    pub fn new(user: Id, origin: impl Into<String>) -> Self {
        Self {
            user,
            origin: origin.into(),
            system: false,
            auto_assign: false,
            allow_duplicates: false,
            unchanged_masters: false,
            depth: 0,
        }
    }

    /// The org itself, in the name of a user.
    pub fn system(user: Id, origin: impl Into<String>) -> Self {
        Self { system: true, ..Self::new(user, origin) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    pub id: Id,
    pub created: bool,
}

/// One change of one record, with its exact instant.
#[derive(Debug, Clone)]
pub struct Commit {
    pub n: u64,
    pub at: i64,
    pub object: ObjectIndex,
    pub id: Id,
    pub kind: ChangeKind,
    /// The lookup keys that the record had then.
    pub external: Vec<(FieldIndex, String)>,
}

#[derive(Debug)]
pub struct Org {
    pub id: Id,
    pub schema: Schema,
    pub bus: bus::Bus,
    /// PushTopics and generic channels.
    pub pushed: push::Streams,
    pub locks: lock::Locks,
    /// How long what a transaction touched stays locked, in microseconds.
    pub transaction_time: i64,
    /// Roll-ups travel in change events.
    pub roll_ups_in_events: bool,
    /// An update comes as two events: when it was made, and what it changed.
    pub split_updates: bool,
    /// Fields that are hidden from a subscriber are left out of change events.
    pub field_security_in_events: bool,
    /// Changes of one transaction behind so many are only told as an overflow.
    pub overflow_after: u64,
    pub mishaps: Mishaps,
    pub channels: Vec<Channel>,
    channels_made: u64,
    members_made: u64,
    managed: Vec<managed::ManagedSubscription>,
    managed_made: u64,
    pub actions: Vec<Action>,
    action_calls: VecDeque<ActionCall>,
    action_calls_made: u64,
    /// Platform events that may be published in an hour.
    pub hourly_events: u64,
    /// The hour since 1970, and the platform events that were published in it.
    events_this_hour: (i64, u64),
    setup_changed: i64,
    users: Vec<User>,
    /// The user whom flows run as.
    automated_process: Id,
    rules: Vec<Arc<rules::Rules>>,
    /// Absent: the org has no person accounts.
    persons: Option<Arc<person::PersonAccounts>>,
    tables: Vec<Table>,
    serials: Vec<u64>,
    auto_numbers: HashMap<(ObjectIndex, FieldIndex), u64>,
    /// By when they are due and how many started before.
    waiting_flows: BTreeMap<(i64, u64), automation::Waiting>,
    flows_started: u64,
    pod: String,
    schema_ids: Vec<String>,
    /// By object, each made when it is first needed.
    event_schemas: Vec<OnceLock<Arc<EventSchema>>>,
    /// Those that were replaced, which older events have.
    old_schemas: Vec<Arc<EventSchema>>,
    rng: fastrand::Rng,
    transactions: u64,
    commit_number: i64,
    commits: Vec<Commit>,
    rows_written: u64,
    duplicate_rows: u64,
    /// The latest deletion that the log of deletions does not know any more, in seconds.
    forgotten: Option<i64>,
}

impl Org {
    /// # Panics
    /// Never for an index of this org's schema: there is a table for each object.
    pub fn table(&self, object: ObjectIndex) -> &Table {
        &self.tables[object]
    }

    /// # Panics
    /// Never for an index of this org's schema: there are rules for each object.
    pub fn rules(&self, object: ObjectIndex) -> &Arc<rules::Rules> {
        &self.rules[object]
    }

    /// The id of the part of Setup with this number, which is no record.
    pub fn setup_id(&self, prefix: &str, serial: usize) -> Id {
        Id::new(prefix, &self.pod, setup::FIRST_ID + serial as u64)
    }

    /// When an object, a field or a permission last changed, in microseconds.
    pub fn setup_changed(&self) -> i64 {
        self.setup_changed
    }

    /// Notes such a change. Two changes never fall into one second, so that a client's date tells them apart.
    pub fn note_setup_change(&mut self, now: i64) {
        self.setup_changed = now.max(self.setup_changed.saturating_add(time::SECOND));
    }

    /// What a new record without a record type gets.
    pub fn default_record_type(&self, object: ObjectIndex) -> Option<&Id> {
        self.rules(object).default_record_type.as_ref()
    }

    /// The values of a picklist that a record type has, where it does not have all.
    pub fn values_of(&self, object: ObjectIndex, record_type: &Id, field: FieldIndex) -> Option<&Vec<String>> {
        self.rules(object).picklists.get(record_type)?.get(&field)
    }

    fn put(&mut self, object: ObjectIndex, row: Arc<Row>) {
        if let Some(table) = self.tables.get_mut(object) {
            table.put(self.schema.object(object), row);
        }
    }

    fn remove(&mut self, object: ObjectIndex, id: &Id) {
        if let Some(table) = self.tables.get_mut(object) {
            table.remove(self.schema.object(object), id);
        }
    }

    fn new_id(&mut self, object: ObjectIndex) -> Id {
        let serial = self.serials.get_mut(object).map_or(0, |serial| {
            *serial += 1;
            *serial
        });
        Id::new(&self.schema.object(object).prefix, &self.pod, serial)
    }

    /// Live records by object name; what Setup keeps does not count.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let records = self.schema.objects().filter(|(_, object)| object.kind == ObjectKind::Record);
        records.map(|(index, object)| (object.name.clone(), self.table(index).live())).collect()
    }

    /// Changes behind number `n`, oldest first.
    pub fn commits_after(&self, n: u64) -> &[Commit] {
        let from = self.commits.partition_point(|commit| commit.n <= n);
        self.commits.get(from..).unwrap_or_default()
    }

    pub fn last_commit(&self) -> u64 {
        self.commits.last().map_or(0, |commit| commit.n)
    }

    /// Records written with success, and how many of those writes changed no value.
    pub fn written(&self) -> (u64, u64) {
        (self.rows_written, self.duplicate_rows)
    }
}
