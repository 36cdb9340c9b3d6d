//! The state file of a bridge in another process.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::time::{Instant, sleep};

use crate::support::PATIENCE;

/// What the state file tells a reader while the bridge runs, or after it was killed.
pub struct State(Connection);

impl State {
    pub fn open(path: &Path) -> Option<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).ok()?;
        connection.busy_timeout(Duration::from_secs(5)).ok()?;
        Some(Self(connection))
    }

    /// None while the tables are not there yet.
    pub fn number(&self, sql: &str) -> Option<i64> {
        self.0.query_row(sql, [], |row| row.get(0)).ok()
    }

    pub fn text(&self, sql: &str) -> Option<String> {
        self.0.query_row(sql, [], |row| row.get(0)).ok()
    }

    pub fn journaled(&self) -> i64 {
        self.number("SELECT count(*) FROM journal").unwrap_or(0)
    }

    /// Entries above the watermark of a pipeline that wants them, and requests without an answer.
    pub fn unsettled(&self) -> i64 {
        let above = "SELECT count(*) FROM journal j JOIN pipelines p ON j.entity = p.source_object
                     WHERE j.seq > p.watermark";
        self.number(above).unwrap_or(0) + self.sent()
    }

    pub fn sent(&self) -> i64 {
        self.number("SELECT count(*) FROM sent").unwrap_or(0)
    }

    pub fn parked(&self) -> i64 {
        self.number("SELECT count(*) FROM parked").unwrap_or(0)
    }
}

/// Polls, for the other process does not tell us when.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
