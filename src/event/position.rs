//! Where something stands: in the bus of a source org, in our journal, and in time.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A position on the bus of a source org. Opaque: stored, sent back, compared for equality, never ordered and
/// never computed with. May be empty.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReplayId(pub Vec<u8>);

impl fmt::Debug for ReplayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok(text) if text.chars().all(|c| c.is_ascii_graphic()) => f.write_str(text),
            _ => self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

/// Where a subscription asks the org to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayFrom {
    /// New events only (`-1`, LATEST).
    Tip,
    /// All that the org still keeps, then new ones (`-2`, EARLIEST).
    Earliest,
    /// What came after this id, then new ones.
    After(ReplayId),
}

/// A place in the journal: entries are numbered from 1 in the order in which they arrived. 0 is before the first.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Seq(pub u64);

impl Seq {
    pub const ZERO: Self = Self(0);

    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Wall-clock time in milliseconds since 1970, UTC. Shown to people and used to choose windows; it orders nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The local clock.
    pub fn now() -> Self {
        Self(chrono::Utc::now().timestamp_millis())
    }

    /// From the text of an ISO date-time with an offset; None for any other.
    pub fn read(text: &str) -> Option<Self> {
        chrono::DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z").ok().map(|at| Self(at.timestamp_millis()))
    }

    pub fn minus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    pub fn plus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Timestamp {
    /// The beginning of its second, as orgs stamp records.
    pub fn second(self) -> Self {
        Self(self.0.div_euclid(1_000).saturating_mul(1_000))
    }

    /// The end of its minute: a time that people read should not change with every look at it.
    pub fn minute(self) -> Self {
        Self(self.0.saturating_add(59_999).div_euclid(60_000).saturating_mul(60_000))
    }

    /// The time of the day: `14:05`.
    pub fn clock(self) -> String {
        let text = self.to_string();
        text.get(11..16).unwrap_or(&text).to_owned()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(time) => write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%S%.3fZ")),
            None => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_in_every_form_in_which_orgs_write_it() {
        for text in ["2024-04-26T18:38:23.517Z", "2024-04-26T18:38:23.517+0000", "2024-04-26T20:38:23.517+02:00"] {
            assert_eq!(Timestamp::read(text), Some(Timestamp(1_714_156_703_517)), "{text}");
        }
        assert_eq!(Timestamp::read("2024-04-26T18:38:23Z"), Some(Timestamp(1_714_156_703_000)));
        assert_eq!(Timestamp::read("yesterday"), None);
    }

    #[test]
    fn a_time_of_the_day_is_the_end_of_its_minute() {
        let shown = |text| Timestamp::read(text).unwrap().minute().clock();
        assert_eq!(shown("2026-01-02T14:04:05.678Z"), "14:05");
        assert_eq!(shown("2026-01-02T14:05:00Z"), "14:05");
        assert_eq!(shown("2026-01-02T23:59:59.999Z"), "00:00");
    }
}
