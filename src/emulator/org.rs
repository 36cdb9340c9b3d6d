//! One org: its records, its rules and its event bus.
//!
//! A state machine without sockets and without a clock: times come in as microseconds since 1970. Endpoints
//! translate requests into [`Write`]s; each request is one transaction ([`Org::transact`]).

mod bus;
mod check;
mod error;
mod event;
mod id;
mod prepare;
mod schema;
mod table;
#[cfg(test)]
mod tests;
pub mod time;
mod transaction;
mod user;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value as Json};

pub use bus::{InvalidReplayId, Start};
pub use error::SaveError;
pub use event::ChangeKind;
pub use id::Id;
pub use schema::{FieldIndex, Kind, Object, ObjectIndex, Schema, System};
pub use table::{Row, Table, folded};
pub use transaction::Options;
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

/// Who writes.
#[derive(Debug, Clone)]
pub struct Caller {
    pub user: Id,
    /// The `changeOrigin` of the events.
    pub origin: String,
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
    users: Vec<User>,
    pub schema: Schema,
    pub bus: bus::Bus,
    tables: Vec<Table>,
    serials: Vec<u64>,
    pod: String,
    schema_ids: Vec<String>,
    rng: fastrand::Rng,
    transactions: u64,
    commit_number: i64,
    commits: Vec<Commit>,
    rows_written: u64,
    duplicate_rows: u64,
}

impl Org {
    /// An empty org. The same seed gives the same ids.
    pub fn new(seed: u64, bus_delay: RangeInclusive<Duration>) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let schema = Schema::standard();
        let pod: String = [rng.alphanumeric(), rng.alphanumeric(), '0'].iter().collect();
        let schema_ids = (0..schema.len()).map(|_| (0..22).map(|_| rng.alphanumeric()).collect()).collect();
        Self {
            id: Id::new("00D", &pod, rng.u64(1_000_000..1_000_000_000)),
            users: User::standard(&pod),
            bus: bus::Bus::new(rng.fork(), bus_delay),
            tables: schema.objects().map(|_| Table::default()).collect(),
            serials: vec![1_000_000; schema.len()],
            commit_number: 1_725_000_000_000_000_000 + rng.i64(0..1_000_000_000),
            schema,
            pod,
            schema_ids,
            rng,
            transactions: 0,
            commits: Vec::new(),
            rows_written: 0,
            duplicate_rows: 0,
        }
    }

    /// # Panics
    /// Never for an index of this org's schema: there is a table for each object.
    pub fn table(&self, object: ObjectIndex) -> &Table {
        &self.tables[object]
    }

    fn put(&mut self, object: ObjectIndex, row: Row) {
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

    /// Live records by object name.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.schema.objects().map(|(index, object)| (object.name.clone(), self.table(index).live())).collect()
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
