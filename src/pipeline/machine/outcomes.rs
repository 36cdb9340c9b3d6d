//! What left the outbox, as what is to be remembered of it.

use super::*;

impl Machine {
    /// Takes what left the outbox into the settlement.
    pub(super) fn collect(&mut self, now: Instant) {
        // Handling one thing can make the outbox hand over another.
        loop {
            let handed = self.outbox.take_handed();
            if handed.is_empty() {
                break;
            }
            handed.into_iter().for_each(|handed| self.take_handed(handed, now));
        }
    }

    pub(super) fn take_handed(&mut self, handed: Handed, now: Instant) {
        match handed {
            Handed::Settled { write, id, created } => {
                let whole = matches!(write.body, Body::Whole(_));
                let deleted = matches!(write.body, Body::Delete);
                for cover in &write.covers {
                    let Source { pipeline, record } = cover.source;
                    self.touch(cover.source);
                    let mut flagged = false;
                    if let Some(line) = self.lines.get_mut(&pipeline) {
                        line.counts.applied += 1;
                        line.brake.went_well();
                        flagged = line.mapping.flags(&write);
                    }
                    self.remember_write(*cover, &write, id, created, flagged);
                    self.settlement.applied.push((pipeline, record, Applied { seq: cover.to, tombstone: deleted }));
                    match (id, write.key.linked()) {
                        (Some(target), _) if whole => {
                            let created = self.surely(created, cover.source, target);
                            self.settlement.links.push(LinkChange::Set { pipeline, source: record, target, created });
                        }
                        (None, Some(target)) if deleted => {
                            self.returned.remove(&cover.source);
                            self.settlement.links.push(LinkChange::Drop { pipeline, source: record, target });
                            self.not_coming(cover.source, NotComing::Deleted);
                        }
                        _ => {}
                    }
                    // A flag stands for the record as it was then, whole: it is gone, or does not match.
                    if whole || deleted || flagged {
                        self.close(cover.source, cover.to, now);
                    }
                    self.note_lookups(cover.source, &write);
                    self.settlement.answered.push((pipeline, record));
                    if cover.clears_suspect {
                        self.clear(cover.source);
                    }
                    self.untrack(cover.source, cover.to);
                    self.next_step(cover.source);
                }
            }
            Handed::Parked { covers, refusal, sent, request } => {
                let request = request.map(|write| publish::as_evidence(&write));
                // What waits for its turn joins the row: tried at once and again, a refusal that stays would never rest.
                for cover in covers {
                    let fails = refusal.state == ParkedState::Failed;
                    if fails && self.is_stopped(cover.source.pipeline) {
                        // Most fail, so something else is wrong: it is tried when somebody has looked at that.
                        self.park(cover, &pipeline_halted(), sent, now);
                        continue;
                    }
                    let halts = fails && self.one_more_failed(cover, &refusal.code);
                    self.park(cover, &refusal, sent, now);
                    if let Some(row) = self.settlement.park.last_mut() {
                        row.request.clone_from(&request);
                    }
                    if halts {
                        // Most of what waits would fail as well.
                        self.outbox.withdraw(cover.source.pipeline, &pipeline_halted(), now);
                    }
                }
            }
            Handed::Read { covers, delete, sent } => {
                for cover in covers {
                    if sent {
                        self.settlement.answered.push((cover.source.pipeline, cover.source.record));
                    }
                    match &delete {
                        Some(Key::External { value, .. }) => self.look_up(cover, value.clone(), LookUp::Removal, now),
                        Some(Key::Record { .. }) | None => {
                            self.read(cover.source, cover.from, cover.clears_suspect, false, now);
                        }
                    }
                }
            }
            Handed::Gone { covers, target, revives, alone } => {
                for cover in covers {
                    let Source { pipeline, record } = cover.source;
                    // A lost request may have been what deleted it, and what comes back from the bin is wanted again.
                    let comes_back = revives || self.steps_of(cover.source).any(reading::is_undelete);
                    let recreates = comes_back || cover.clears_suspect || self.is_suspect(cover.source);
                    let policy = self.lines.get(&pipeline).map(|line| line.mapping.publishing.when_target_gone);
                    match policy.filter(|_| !recreates) {
                        Some(WhenTargetGone::Skip) => {
                            self.left_gone(cover, target, now);
                            continue;
                        }
                        Some(WhenTargetGone::Fail) => {
                            self.park(cover, &target_gone(target), true, now);
                            continue;
                        }
                        Some(WhenTargetGone::Recreate) | None => {}
                    }
                    // A flag wants no record made anew. The link stays, so that what comes when it matches again finds that it
                    // is gone, and looks after its children.
                    let line = self.lines.get_mut(&pipeline);
                    if let Some(line) =
                        line.filter(|line| alone.as_ref().is_some_and(|write| line.mapping.flags(write)))
                    {
                        line.counts.skipped += 1;
                        self.remember_target(cover, What::LeftGone, target);
                        self.settlement.answered.push((pipeline, record));
                        self.nothing_to_do(cover, false, now);
                        self.next_step(cover.source);
                        continue;
                    }
                    self.settlement.answered.push((pipeline, record));
                    self.remember_target(cover, What::Gone, target);
                    self.read(cover.source, cover.from, cover.clears_suspect, false, now);
                    match target {
                        _ if self.has_children(pipeline) => self.children_first(cover.source, target, now),
                        Some(target) => {
                            self.settlement.links.push(LinkChange::Drop { pipeline, source: record, target });
                        }
                        None => {}
                    }
                }
            }
            Handed::Lost { sources } => {
                for source in sources {
                    self.lost(source, now);
                }
            }
            Handed::Resized { object, size } => {
                // The size is the object's, whichever of its pipelines tells.
                let pipeline = self.lines.iter().find(|(_, line)| line.mapping.target_object == object);
                self.settlement.batch_sizes.extend(pipeline.map(|(id, _)| (*id, size)));
            }
            Handed::Answered { sources } => {
                self.settlement.answered.extend(sources.into_iter().map(|source| (source.pipeline, source.record)));
            }
        }
    }

    /// Remembers the lookups that a write went without, and forgets those that an update brought.
    pub(super) fn note_lookups(&mut self, source: Source, write: &Write) {
        let Source { pipeline, record } = source;
        let (Some(line), Some(fields)) = (self.lines.get(&pipeline), write.fields()) else { return };
        for field in line.mapping.lookup_fields() {
            match fields.get(field) {
                Some(Cell::Unfilled { parent, .. }) => self.settlement.unfilled.push(Unfilled {
                    pipeline,
                    record,
                    field: field.clone(),
                    parent: parent.clone(),
                    tried_at: self.wall,
                }),
                Some(Cell::Value(_) | Cell::Parent(_)) if matches!(write.body, Body::Partial(_)) => {
                    self.settlement.filled.push((pipeline, record, field.clone()));
                }
                Some(Cell::Value(_) | Cell::Parent(_)) | None => {}
            }
        }
    }

    /// `when_target_gone: skip`. The link stays, so that later changes find the same.
    fn left_gone(&mut self, cover: Cover, target: Option<RecordId>, now: Instant) {
        let Source { pipeline, record } = cover.source;
        if let Some(line) = self.lines.get_mut(&pipeline) {
            line.counts.left_gone += 1;
        }
        self.remember_target(cover, What::LeftGone, target);
        self.settlement.answered.push((pipeline, record));
        self.nothing_to_do(cover, false, now);
        self.next_step(cover.source);
    }

    pub(super) fn lost(&mut self, source: Source, now: Instant) {
        self.remember_lost(source);
        let until = self.wall.plus(self.late_landing);
        self.settlement.suspect.push((source.pipeline, source.record, until));
        let at = now + self.late_landing;
        if let Some(earlier) = self.suspects.insert(source, at) {
            self.due.remove(&(earlier, source));
        }
        self.due.insert((at, source));
        // What was to end an earlier suspicion does not end this one.
        self.unsure.remove(&source);
        if let Some(reading) = self.active.get_mut(&source).and_then(|active| active.reading.as_mut()) {
            reading.clears_suspect = false;
        }
    }

    /// A request whose answer was lost may have done something that nobody has looked at yet.
    pub(super) fn is_suspect(&self, source: Source) -> bool {
        self.suspects.contains_key(&source) || self.unsure.contains(&source)
    }

    pub(super) fn clear(&mut self, source: Source) {
        self.unsure.remove(&source);
        if let Some(at) = self.suspects.remove(&source) {
            self.due.remove(&(at, source));
        }
        self.settlement.cleared.push((source.pipeline, source.record));
    }

    pub(super) fn park(&mut self, cover: Cover, refusal: &Refusal, sent: bool, now: Instant) {
        // What waits for its turn joins the row, as it would if it came now.
        let last = self.steps_of(cover.source).last().map(|part| part.seq);
        let deletes = self.steps_of(cover.source).any(|part| part.kind().is_delete());
        let cover = Cover { to: last.map_or(cover.to, |last| last.max(cover.to)), ..cover };
        self.park_row(cover, refusal);
        // A read that is wanted or out stands for this, too, whoever made the change that it was made for.
        if let Some(reading) = self.active.get_mut(&cover.source).and_then(|active| active.reading.as_mut()) {
            reading.because = Because::Several;
        }
        if self.is_halted(cover.source.pipeline) {
            // The row has them; it is read when the pipeline goes on.
            self.take_steps(cover.source);
        } else if last.is_some() {
            self.read(cover.source, cover.from, false, true, if deletes { now } else { now + TRY_AGAIN });
        }
        if sent {
            self.settlement.answered.push((cover.source.pipeline, cover.source.record));
        }
        if cover.clears_suspect {
            // Nothing was written, so nothing is known of what the lost request did. It can no longer land, and nobody waits for
            // the record; `sent` keeps it.
            if let Some(at) = self.suspects.remove(&cover.source) {
                self.due.remove(&(at, cover.source));
            }
            self.unsure.insert(cover.source);
        }
        self.untrack(cover.source, cover.to);
    }

    pub(super) fn park_row(&mut self, cover: Cover, refusal: &Refusal) {
        let Source { pipeline, record } = cover.source;
        if let Some(line) = self.lines.get_mut(&pipeline) {
            line.counts.parked += 1;
        }
        self.remember_parked(cover, refusal);
        self.just_parked.insert(cover.source);
        self.settlement.park.push(Parked {
            pipeline,
            record,
            from: cover.from,
            to: cover.to,
            state: refusal.state,
            code: refusal.code.clone(),
            fields: refusal.fields.clone(),
            waits_for: refusal.waits_for.clone(),
            attempts: 1,
            tried_at: self.wall,
            evidence: refusal.evidence.clone(),
            request: None,
        });
    }

    /// The row in `parked` ends, unless it reaches further. Parts that come from here on find no row to join.
    pub(super) fn close(&mut self, source: Source, to: Seq, now: Instant) {
        self.settlement.close.push((source.pipeline, source.record, to));
        // No try of the row will end it any more, unless this one does.
        if self.unsure.remove(&source) {
            self.suspects.insert(source, now);
            self.due.insert((now, source));
        }
        if let Some(reading) = self.active.get_mut(&source).and_then(|active| active.reading.as_mut()) {
            reading.parked = false;
        }
        if let Some(active) = self.active.get_mut(&source) {
            active.had_row = false;
        }
        // What failed before has come through, so what is newer need not be kept waiting.
        self.hasten(source, now);
    }

    /// One part of a record is settled; older ones may not be.
    pub(super) fn untrack_only(&mut self, source: Source, seq: Seq) {
        let Some(line) = self.lines.get_mut(&source.pipeline) else { return };
        if let Some(active) = self.active.get_mut(&source)
            && active.tracked.remove(&seq)
        {
            line.progress.settle(seq);
        }
        self.leave(source);
    }

    /// Parts of a record up to here are settled or safe in a parked row.
    pub(super) fn untrack(&mut self, source: Source, to: Seq) {
        let Some(line) = self.lines.get_mut(&source.pipeline) else { return };
        if let Some(active) = self.active.get_mut(&source) {
            while let Some(seq) = active.tracked.first().copied().filter(|seq| *seq <= to) {
                active.tracked.remove(&seq);
                line.progress.settle(seq);
            }
        }
        self.leave(source);
    }

    /// Forgets a record with which nothing is going on.
    pub(super) fn leave(&mut self, source: Source) {
        let idle = |active: &Active| active.tracked.is_empty() && active.reading.is_none() && active.steps.is_empty();
        let idle = self.active.get(&source).is_some_and(idle);
        if idle && self.outbox.key_of(source).is_none() {
            self.active.remove(&source);
        }
    }
}

/// `when_target_gone: fail`.
fn target_gone(target: Option<RecordId>) -> Refusal {
    let named = target.map_or_else(String::new, |target| format!(" {target}"));
    Refusal {
        state: ParkedState::Failed,
        code: TARGET_GONE.to_owned(),
        fields: Vec::new(),
        waits_for: None,
        evidence: format!(
            "Its counterpart{named} was deleted in the target, by somebody else than the bridge. Take it out of the recycle \
             bin there and redrive the record, or have it made anew with `when_target_gone: recreate`."
        ),
    }
}
