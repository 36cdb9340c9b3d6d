//! What an org counts, since it started or since the counters were last reset.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::Host;

#[derive(Debug, Default, Clone)]
pub struct Counters {
    /// Calls of the REST API; getting a token and the Streaming API do not count.
    api_calls: u64,
    by_kind: BTreeMap<&'static str, u64>,
    /// Events that went out to subscribers, each as often as it did.
    delivered: u64,
    /// What the org itself counts and never resets, as it was at the last reset.
    before: OfOrg,
}

/// Counted by the org from its start.
#[derive(Debug, Default, Clone, Copy)]
struct OfOrg {
    published: u64,
    rows_written: u64,
    duplicate_rows: u64,
    locks_refused: u64,
}

impl Host {
    pub fn count(&self, kind: &'static str, api_call: bool) {
        if api_call {
            self.usage().count(self.now(), 1);
        }
        let mut counters = self.counters();
        counters.api_calls += u64::from(api_call);
        *counters.by_kind.entry(kind).or_default() += 1;
    }

    /// So many events went out to a subscriber.
    pub fn delivered(&self, events: u64) {
        self.deliveries().count(self.now(), events);
        self.counters().delivered += events;
    }

    /// Counts everything from nothing again; records, limits and the log of commits stay.
    pub fn reset_counters(&self) {
        let before = self.of_org();
        *self.counters() = super::Counters { before, ..super::Counters::default() };
    }

    /// Records by object name and counters, as `/emulator/stats` shows them.
    pub fn stats(&self) -> Json {
        let super::Counters { api_calls, by_kind, delivered, before } = self.counters().clone();
        let cometd = self.sessions().count(self.now());
        let now = self.of_org();
        let org = self.org();
        json!({
            "org": self.name, "api_calls": api_calls, "calls": by_kind,
            "rows_written": now.rows_written.saturating_sub(before.rows_written),
            "duplicate_rows": now.duplicate_rows.saturating_sub(before.duplicate_rows),
            "locks_refused": now.locks_refused.saturating_sub(before.locks_refused),
            "events": now.published.saturating_sub(before.published), "events_delivered": delivered,
            "records": org.counts(), "commits": org.last_commit(),
            "sessions": cometd, "streams": {"cometd": cometd, "pubsub": self.open_streams()},
        })
    }

    fn of_org(&self) -> OfOrg {
        let org = self.org();
        let (rows_written, duplicate_rows) = org.written();
        OfOrg { published: org.bus.published(), rows_written, duplicate_rows, locks_refused: org.locks.refused() }
    }
}
