//! Records that are being read, and the queue of those that want to be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use crate::event::{ChangeKind, Header, Part, RecordChange, RecordId, Seq};
use crate::publish::{Counterpart, Cover, Source};
use crate::store::{PipelineId, Through};

/// Records in one question to an org.
const READ_MAX: usize = 200;
/// Records that wait to be read above which no more pages are taken.
const WANTED_MAX: usize = 5_000;

/// A record between the wish to read it and the answer.
#[derive(Debug)]
pub struct Reading {
    /// The oldest part that the read will settle; zero: whatever is tracked.
    pub from: Seq,
    pub clears_suspect: bool,
    /// The record has a row in `parked`, which holds the parts that join before the question goes out.
    pub parked: bool,
    /// It had one, which may hold parts that joined: the read stands for them.
    pub has_row: bool,
    /// It was woken when the question was out already: the row may reach further than the answer, so it is read once more.
    pub again: bool,
    /// Of a look-up: why.
    pub why: LookUp,
    pub stage: Stage,
    /// Those that name it as parent must be known first; and the counterpart that is gone, if it is.
    pub children: Option<Option<RecordId>>,
    /// They were asked for.
    pub knows_children: bool,
    pub because: Because,
    /// Of a record that was merged into another: those that are written before its counterpart is deleted.
    pub moved: Moved,
    /// An undelete is among the changes: its counterpart is looked for by its key, whatever the link says.
    pub revives: bool,
    /// One of the changes gives the key another value.
    pub rekeys: bool,
    /// It was read for a job, not for itself.
    pub past: Option<Past>,
    /// The org's log of deletions says that it is gone, if nothing else tells.
    pub is_gone: bool,
    /// Parts that came since, in order.
    pub joined: Vec<Part>,
}

/// A record that was read for a job: a backfill or a repair.
#[derive(Debug)]
pub struct Past {
    /// What the target was seen to hold of it.
    pub there: Option<Counterpart>,
    /// The kind of job.
    pub through: Through,
}

/// The changes that a read stands for, as conditions on who or what made a change need to know them.
#[derive(Debug, Default)]
pub enum Because {
    /// None that is known: a retry, a lost answer, a parent that came.
    #[default]
    Nothing,
    One(Arc<RecordChange>),
    Several,
}

impl Because {
    pub fn also(&mut self, part: &Part) {
        *self = match std::mem::take(self) {
            Self::Nothing => Self::One(part.change.clone()),
            Self::One(change) if Arc::ptr_eq(&change, &part.change) => Self::One(change),
            Self::One(_) | Self::Several => Self::Several,
        };
    }

    /// Who and what, where it was one change.
    pub fn header(&self) -> Option<&Header> {
        match self {
            Self::One(change) => Some(&change.header),
            Self::Nothing | Self::Several => None,
        }
    }
}

/// Why it is asked which record of the target holds a key. Of two reasons the later one here holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LookUp {
    /// The record is gone: as `on_delete` says.
    Gone,
    /// The record does not match: as `when_no_longer_matching` says.
    Unmatched,
    /// For a write that deletes, whatever they say.
    Removal,
}

#[derive(Debug)]
pub enum Stage {
    Wanted {
        at: Instant,
    },
    /// The answer will stand for the journal up to here.
    Asked {
        at: Seq,
    },
    /// A delete up to `to` wants to know who holds the key in the target.
    KeyWanted {
        key: String,
        to: Seq,
    },
    KeyAsked {
        key: String,
        to: Seq,
    },
    /// Its counterpart is gone. Before it is made anew, those that name it as parent must be known.
    ChildrenWanted,
    ChildrenAsked,
    /// It was merged into this one. Before its counterpart is deleted, who names that one as parent must be known.
    MovedWanted {
        winner: RecordId,
    },
    MovedAsked {
        winner: RecordId,
    },
    Answered,
}

/// What referred to the loser of a merge refers to its winner. In the target it would go with the loser.
#[derive(Debug, Default)]
pub enum Moved {
    #[default]
    NotAsked,
    /// These are on their way.
    After(Vec<Source>),
}

impl Reading {
    pub fn wanted(from: Seq, clears_suspect: bool, parked: bool, at: Instant, joined: Vec<Part>) -> Self {
        Self {
            from,
            clears_suspect,
            parked,
            has_row: parked,
            again: false,
            why: LookUp::Gone,
            stage: Stage::Wanted { at },
            children: None,
            knows_children: false,
            moved: Moved::NotAsked,
            because: Because::Nothing,
            revives: joined.iter().any(is_undelete),
            rekeys: false,
            past: None,
            is_gone: false,
            joined,
        }
    }

    pub fn look_up(cover: Cover, key: String, joined: Vec<Part>) -> Self {
        Self {
            from: cover.from,
            clears_suspect: cover.clears_suspect,
            parked: false,
            has_row: false,
            again: false,
            why: LookUp::Gone,
            stage: Stage::KeyWanted { key, to: cover.to },
            children: None,
            knows_children: false,
            moved: Moved::NotAsked,
            because: Because::Nothing,
            revives: joined.iter().any(is_undelete),
            rekeys: false,
            past: None,
            is_gone: false,
            joined,
        }
    }

    /// The question that will be answered may be older than the parked row.
    pub fn is_out(&self) -> bool {
        match self.stage {
            Stage::Asked { .. } | Stage::KeyWanted { .. } | Stage::KeyAsked { .. } => true,
            // These still become a read, or are being used just now.
            Stage::Wanted { .. }
            | Stage::ChildrenWanted
            | Stage::ChildrenAsked
            | Stage::MovedWanted { .. }
            | Stage::MovedAsked { .. }
            | Stage::Answered => false,
        }
    }

    /// Takes a part that came meanwhile. True: the parked row must hold it, and it need not be tracked.
    pub fn join(&mut self, part: Part) -> bool {
        // A read that was wanted for no change stays one: nothing may leave its record out.
        if matches!(self.stage, Stage::Wanted { .. }) && !matches!(self.because, Because::Nothing) {
            self.because.also(&part);
        }
        self.revives |= is_undelete(&part);
        self.joined.push(part);
        self.parked && matches!(self.stage, Stage::Wanted { .. })
    }

    /// Up to where a look-up speaks.
    pub fn to(&self) -> Seq {
        match &self.stage {
            Stage::KeyWanted { to, .. } | Stage::KeyAsked { to, .. } => *to,
            Stage::Asked { at } => *at,
            Stage::Wanted { .. }
            | Stage::ChildrenWanted
            | Stage::ChildrenAsked
            | Stage::MovedWanted { .. }
            | Stage::MovedAsked { .. }
            | Stage::Answered => Seq::ZERO,
        }
    }

    /// The question was not answered.
    pub fn want_again(&mut self, at: Instant) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Answered) {
            Stage::KeyAsked { key, to } | Stage::KeyWanted { key, to } => Stage::KeyWanted { key, to },
            Stage::ChildrenAsked | Stage::ChildrenWanted => Stage::ChildrenWanted,
            Stage::MovedAsked { winner } | Stage::MovedWanted { winner } => Stage::MovedWanted { winner },
            Stage::Asked { .. } | Stage::Wanted { .. } | Stage::Answered => Stage::Wanted { at },
        };
    }
}

pub fn is_undelete(part: &Part) -> bool {
    matches!(part.kind(), ChangeKind::Undelete | ChangeKind::GapUndelete)
}

/// Who wants to be read, by pipeline and time.
#[derive(Debug, Default)]
pub struct Readings {
    wanted: BTreeMap<PipelineId, BTreeSet<(Instant, Source)>>,
}

impl Readings {
    pub fn want(&mut self, at: Instant, source: Source) {
        self.wanted.entry(source.pipeline).or_default().insert((at, source));
    }

    pub fn forget(&mut self, at: Instant, source: Source) {
        if let Some(sources) = self.wanted.get_mut(&source.pipeline) {
            sources.remove(&(at, source));
        }
    }

    /// The one that has waited longest and is due.
    pub fn next(&self, now: Instant) -> Option<Source> {
        let first = self.wanted.values().filter_map(|sources| sources.first()).min()?;
        (first.0 <= now).then_some(first.1)
    }

    /// Up to a question's worth of due records of a pipeline.
    pub fn take(&mut self, pipeline: PipelineId, now: Instant) -> Vec<Source> {
        let mut taken = Vec::new();
        let Some(sources) = self.wanted.get_mut(&pipeline) else { return taken };
        while taken.len() < READ_MAX {
            match sources.first() {
                Some((at, _)) if *at <= now => taken.extend(sources.pop_first().map(|(_, source)| source)),
                _ => break,
            }
        }
        if sources.is_empty() {
            self.wanted.remove(&pipeline);
        }
        taken
    }

    pub fn wakeup(&self) -> Option<Instant> {
        self.wanted.values().filter_map(|sources| sources.first()).map(|(at, _)| *at).min()
    }

    pub fn has_room(&self) -> bool {
        self.wanted.values().map(BTreeSet::len).sum::<usize>() < WANTED_MAX
    }
}
