//! What people are told without asking, as far as it is remembered.

use crate::event::{RecordId, Timestamp};

/// What happened to records of a pipeline in a stretch of `history`, as far as their people should know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// In the order in which each happened first. Several things that happened to one are one.
    pub records: Vec<Told>,
    /// The last row that was looked at; zero: there is none.
    pub to: i64,
    /// There may be more behind it.
    pub more: bool,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub record: RecordId,
    /// When it was written in the target last, if it was in this stretch.
    pub written_at: Option<Timestamp>,
    /// It failed, or does not fail any more.
    pub failed_or_healed: bool,
}

/// The last digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentDigest {
    pub at: Timestamp,
    /// JSON.
    pub said: String,
}
