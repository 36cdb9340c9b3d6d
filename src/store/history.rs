//! What happened to a record in a pipeline, as far as the journal does not tell it.

use super::{Parent, PipelineId, RowId};
use crate::event::{ObjectName, OrgName, PipelineName, RecordId, Seq, Timestamp};

/// One thing that happened to a record of the source in a pipeline. It names fields and codes, and never holds a value: those
/// are in the journal, if anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    pub pipeline: PipelineId,
    pub record: RecordId,
    /// By our clock.
    pub at: Timestamp,
    pub what: What,
    /// Entries of the journal that it is about; zero: of none that is known.
    pub from: Seq,
    pub to: Seq,
    pub through: Through,
    /// The record of the target, where it is known.
    pub target: Option<RecordId>,
    pub fields: Vec<String>,
    pub code: Option<String>,
    /// Whom it waits for.
    pub parent: Option<Parent>,
}

impl Happened {
    /// With nothing more to say.
    pub fn of((pipeline, record): RowId, at: Timestamp, what: What) -> Self {
        Self {
            pipeline,
            record,
            at,
            what,
            from: Seq::ZERO,
            to: Seq::ZERO,
            through: Through::Hand,
            target: None,
            fields: Vec::new(),
            code: None,
            parent: None,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// The bridge made the counterpart.
    Created,
    /// A counterpart that was found by its key was written.
    Matched,
    /// Written by its key; the org did not say whether that made a new record.
    Saved,
    /// Written by its link.
    Updated,
    /// Written to say that the record is gone or does not match any more.
    Flagged,
    Deleted,
    /// A job found that the target holds it as it is.
    Equal,
    /// Nothing is written, by the rule that `code` names.
    LeftOut,
    /// Not deleted, because the bridge is not known to have created it.
    Kept,
    /// A delete found nothing to delete.
    NothingThere,
    /// The counterpart was gone, so the record is read and made anew.
    Gone,
    /// The counterpart was gone, and stays so.
    LeftGone,
    /// A counterpart that was there before was found by its key.
    Linked,
    Waiting,
    Failed,
    /// An answer did not come: the write may have been done, and is made again.
    AnswerLost,
    /// A person wanted it tried again.
    Redriven,
    /// It had failed and does not any more; `code` is why it had.
    Healed,
    /// A person gave it up.
    Discarded,
}

/// What something came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Through {
    /// What change events said.
    #[default]
    Events,
    /// The record was read whole.
    Read,
    /// It was read for another try of what was parked.
    Retry,
    /// The same, because a person wanted it.
    Redrive,
    /// It was read because an answer was lost before.
    LostAnswer,
    Backfill,
    Repair,
    /// A person wanted what events named to be applied once more.
    Reapply,
    /// A comparison found that the two sides differed.
    Verify,
    /// A person named the pair.
    Import,
    /// Nothing was on its way: a person or the time did it.
    Hand,
}

impl What {
    pub const ALL: [Self; 19] = [
        Self::Created,
        Self::Matched,
        Self::Saved,
        Self::Updated,
        Self::Flagged,
        Self::Deleted,
        Self::Equal,
        Self::LeftOut,
        Self::Kept,
        Self::NothingThere,
        Self::Gone,
        Self::LeftGone,
        Self::Linked,
        Self::Waiting,
        Self::Failed,
        Self::AnswerLost,
        Self::Redriven,
        Self::Healed,
        Self::Discarded,
    ];

    /// As the store and programs read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Matched => "matched",
            Self::Saved => "saved",
            Self::Updated => "updated",
            Self::Flagged => "flagged",
            Self::Deleted => "deleted",
            Self::Equal => "equal",
            Self::LeftOut => "left_out",
            Self::Kept => "kept",
            Self::NothingThere => "nothing_there",
            Self::Gone => "gone",
            Self::LeftGone => "left_gone",
            Self::Linked => "linked",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::AnswerLost => "answer_lost",
            Self::Redriven => "redriven",
            Self::Healed => "healed",
            Self::Discarded => "discarded",
        }
    }

    /// The target confirmed a write.
    pub fn is_write(self) -> bool {
        matches!(self, Self::Created | Self::Matched | Self::Saved | Self::Updated | Self::Flagged | Self::Deleted)
    }

    /// Whether it says nothing new where it happened last, too: then one row stands for all, or a pipeline whose condition
    /// leaves most out would fill the state file with what nobody needs.
    pub fn repeats(self) -> bool {
        matches!(self, Self::Equal | Self::LeftOut | Self::Kept | Self::LeftGone)
    }
}

impl std::str::FromStr for What {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|what| what.as_str() == text).ok_or(())
    }
}

impl Through {
    const ALL: [Self; 11] = [
        Self::Events,
        Self::Read,
        Self::Retry,
        Self::Redrive,
        Self::LostAnswer,
        Self::Backfill,
        Self::Repair,
        Self::Reapply,
        Self::Verify,
        Self::Import,
        Self::Hand,
    ];

    /// As the store and programs read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Read => "read",
            Self::Retry => "retry",
            Self::Redrive => "redrive",
            Self::LostAnswer => "lost_answer",
            Self::Backfill => "backfill",
            Self::Repair => "repair",
            Self::Reapply => "reapply",
            Self::Verify => "verify",
            Self::Import => "import",
            Self::Hand => "hand",
        }
    }
}

impl std::str::FromStr for Through {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|through| through.as_str() == text).ok_or(())
    }
}

/// A row of `history` with what a person needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    pub pipeline: PipelineName,
    /// The same happened again and again from then on.
    pub since: Option<Timestamp>,
    pub happened: Happened,
}

/// A pair of records, as a link names it or a row of `history` remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    pub source_org: OrgName,
    pub source: RecordId,
    pub target_org: OrgName,
    pub target_object: ObjectName,
    pub target: RecordId,
    /// Whether the bridge created it, where that is known.
    pub created: Option<bool>,
    /// No link names it any more.
    pub past: bool,
}

/// What one stretch of trimming `history` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryTrimmed {
    /// So many rows are gone.
    pub rows: u64,
    /// The last old row that was looked at. What is left up to there is what happened to its record last.
    pub last: i64,
    /// No row behind it is old enough.
    pub done: bool,
}
