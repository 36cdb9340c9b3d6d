//! What is to be remembered of a decision: a row for whoever asks later why a record looks as it does. Names and codes alone.
//!
//! What is left out leaves a row only where the record has a counterpart, or had something parked: of the many that a condition
//! leaves out for good nobody asks, and the mapping tells it at any time.

use super::*;
use crate::mapping::Skip;
use crate::store::Happened;

impl Machine {
    fn remember(&mut self, cover: Cover, what: What, through: Through) -> &mut Happened {
        let Cover { source, from, to, .. } = cover;
        let row = Happened { from, to, through, ..Happened::of((source.pipeline, source.record), self.wall, what) };
        let history = &mut self.settlement.history;
        history.push(row);
        let last = history.len() - 1;
        &mut history[last]
    }

    /// Up to where a read of the record stands that may be written now, and what it was made for.
    pub(super) fn was_read(&mut self, source: Source, at: Seq, through: Through) {
        if let Some(active) = self.active.get_mut(&source) {
            active.reads.push((at, through));
        }
    }

    /// What this cover came from. It is settled, parked or left out, so nobody asks again.
    pub(super) fn through(&mut self, cover: Cover) -> Through {
        let Some(active) = self.active.get_mut(&cover.source) else { return Through::Events };
        let mut through = Through::Events;
        active.reads.retain(|(at, of)| {
            let is_done = *at <= cover.to;
            if is_done {
                through = *of;
            }
            !is_done
        });
        through
    }

    pub(super) fn remember_write(
        &mut self,
        cover: Cover,
        write: &Write,
        id: Option<RecordId>,
        created: Option<bool>,
        flagged: bool,
    ) {
        let what = match (&write.body, created) {
            (Body::Delete, _) => What::Deleted,
            _ if flagged => What::Flagged,
            (Body::Whole(_) | Body::Partial(_), _) if write.key.linked().is_some() => What::Updated,
            (Body::Whole(_) | Body::Partial(_), Some(true)) => What::Created,
            (Body::Whole(_) | Body::Partial(_), Some(false)) => What::Matched,
            (Body::Whole(_) | Body::Partial(_), None) => What::Saved,
        };
        let is_written = |cell: &Cell| !matches!(cell, Cell::Unfilled { emptied: false, .. });
        let fields = write.fields().into_iter().flatten().filter(|(_, cell)| is_written(cell));
        let fields = fields.map(|(name, _)| name.to_string()).collect();
        let through = self.through(cover);
        let row = self.remember(cover, what, through);
        (row.target, row.fields) = (id.or(write.key.linked()), fields);
    }

    pub(super) fn remember_parked(&mut self, cover: Cover, refusal: &Refusal) {
        let what = match refusal.state {
            ParkedState::Waiting => What::Waiting,
            ParkedState::Failed => What::Failed,
        };
        let through = self.through(cover);
        let row = self.remember(cover, what, through);
        row.code = Some(refusal.code.clone());
        row.fields.clone_from(&refusal.fields);
        row.parent.clone_from(&refusal.waits_for);
    }

    /// Nothing is written, by this rule. `link`: its counterpart, as far as it has one.
    pub(super) fn remember_left_out(&mut self, cover: Cover, skip: Skip, link: &LinkState) {
        // That a change has nothing in it which is mapped is no decision on the record.
        if skip == Skip::NothingMapped || (*link == LinkState::None && !self.had_row(cover)) {
            return;
        }
        let through = self.through(cover);
        let row = self.remember(cover, What::LeftOut, through);
        row.code = Some(skip.code().to_owned());
        if let LinkState::Linked(target) = link {
            row.target = Some(*target);
        }
    }

    /// It was deleted in the target too, and nothing that comes of it since is written.
    pub(super) fn remember_stays_deleted(&mut self, cover: Cover) {
        let through = self.through(cover);
        self.remember(cover, What::LeftOut, through).code = Some(Skip::UndeleteIgnored.code().to_owned());
    }

    /// A delete of what never was in the target is no news.
    pub(super) fn remember_nothing_there(&mut self, cover: Cover, link: Option<RecordId>) {
        if link.is_some() || cover.clears_suspect || self.had_row(cover) {
            self.remember_target(cover, What::NothingThere, link);
        }
    }

    /// Whether what was read last of the record was another try of what was parked.
    fn had_row(&self, cover: Cover) -> bool {
        self.active.get(&cover.source).is_some_and(|active| active.had_row)
    }

    /// Something else that was found out about the counterpart.
    pub(super) fn remember_target(&mut self, cover: Cover, what: What, target: Option<RecordId>) {
        let through = self.through(cover);
        self.remember(cover, what, through).target = target;
    }

    /// A job found the counterpart by its key. What the job makes of it comes behind.
    pub(super) fn remember_link(&mut self, cover: Cover, target: RecordId, through: Through) {
        self.remember(cover, What::Linked, through).target = Some(target);
    }

    pub(super) fn remember_lost(&mut self, source: Source) {
        let active = self.active.get(&source);
        let from = active.and_then(|active| active.tracked.first()).copied().unwrap_or_default();
        let to = active.map_or(Seq::ZERO, |active| active.covered).max(from);
        self.remember(Cover { source, from, to, clears_suspect: false }, What::AnswerLost, Through::Hand);
    }
}
