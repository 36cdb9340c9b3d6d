//! Reads: which are wanted, which go out, and what their answers become.

use super::*;

/// When a suspect record is looked at again that had something on its way.
const SUSPECT_AGAIN: Duration = Duration::from_secs(1);
/// When it is looked again whether a record that came back has nothing on its way any more. Mostly it is told sooner.
const RESTORE_AGAIN: Duration = Duration::from_secs(1);

impl Machine {
    /// The record is to be read whole, not before `at`. One read serves all who ask.
    pub(super) fn read(&mut self, source: Source, from: Seq, clears: bool, parked: bool, at: Instant) {
        if !self.lines.contains_key(&source.pipeline) {
            return;
        }
        let clears = clears || self.unsure.contains(&source);
        let steps = self.take_steps(source);
        let active = self.active.entry(source).or_default();
        match &mut active.reading {
            // Its answer is being used just now, and was not enough.
            Some(reading) if matches!(reading.stage, Stage::Answered) => {
                let joined = std::mem::take(&mut reading.joined);
                *reading = Reading::wanted(from, clears, parked, at, joined);
                self.readings.want(at, source);
            }
            Some(reading) => {
                reading.from = reading.from.min(from);
                reading.because = Because::Several;
                reading.has_row |= parked;
                // A key that was asked for before the suspicion could end says nothing of what landed since.
                if clears && matches!(reading.stage, Stage::KeyAsked { .. }) {
                    self.suspects.insert(source, at + SUSPECT_AGAIN);
                    self.due.insert((at + SUSPECT_AGAIN, source));
                } else {
                    reading.clears_suspect |= clears;
                }
                if let Stage::Wanted { at: wanted } = &mut reading.stage {
                    let sooner = at.min(*wanted);
                    self.readings.forget(*wanted, source);
                    *wanted = sooner;
                    self.readings.want(sooner, source);
                }
            }
            None => {
                active.reading = Some(Reading::wanted(from, clears, parked, at, steps));
                self.readings.want(at, source);
            }
        }
    }

    /// A read that is wanted for later is wanted now.
    pub(super) fn hasten(&mut self, source: Source, now: Instant) {
        let reading = self.active.get_mut(&source).and_then(|active| active.reading.as_mut());
        let Some(Reading { stage: Stage::Wanted { at }, .. }) = reading else { return };
        if *at > now {
            self.readings.forget(*at, source);
            *at = now;
            self.readings.want(now, source);
        }
    }

    /// The read that is wanted now is made for this part.
    pub(super) fn because(&mut self, source: Source, part: &Part) {
        if let Some(reading) = self.active.get_mut(&source).and_then(|active| active.reading.as_mut()) {
            reading.because.also(part);
        }
        self.note_undelete(source, part);
        self.note_key(source, part);
    }

    /// Whether the read that is wanted stands for an undelete.
    pub(super) fn note_undelete(&mut self, source: Source, part: &Part) {
        if let Some(reading) = self.active.get_mut(&source).and_then(|active| active.reading.as_mut()) {
            reading.revives |= reading::is_undelete(part);
        }
    }

    /// Whether a read that is wanted, or just now made of the record, stands for a change of its key.
    pub(super) fn note_key(&mut self, source: Source, part: &Part) {
        let changes = self.lines.get(&source.pipeline).is_some_and(|line| line.mapping.changes_key(part));
        if let Some(reading) = self.active.get_mut(&source).and_then(|active| active.reading.as_mut()) {
            reading.rekeys |= changes;
        }
    }

    /// The target record of a delete without a link is to be looked up.
    pub(super) fn look_up(&mut self, cover: Cover, key: String, why: LookUp, now: Instant) {
        let steps = self.take_steps(cover.source);
        let active = self.active.entry(cover.source).or_default();
        match &mut active.reading {
            Some(reading) if !matches!(reading.stage, Stage::Answered) => {
                // Somebody reads the record already; the answer will say that it is deleted.
                reading.from = reading.from.min(cover.from);
                if cover.clears_suspect && matches!(reading.stage, Stage::KeyAsked { .. }) {
                    self.suspects.insert(cover.source, now + SUSPECT_AGAIN);
                    self.due.insert((now + SUSPECT_AGAIN, cover.source));
                } else {
                    reading.clears_suspect |= cover.clears_suspect;
                }
                if let Stage::KeyWanted { to, .. } | Stage::KeyAsked { to, .. } = &mut reading.stage {
                    *to = cover.to.max(*to);
                    reading.why = reading.why.max(why);
                }
            }
            other => {
                let (again, joined) = other.take().map_or((false, steps), |reading| (reading.again, reading.joined));
                *other = Some(Reading { again, why, ..Reading::look_up(cover, key, joined) });
                self.readings.want(now, cover.source);
            }
        }
    }

    /// The next question to an org. It must be asked after this call, for the answer stands for all that was scanned.
    pub fn next_read(&mut self, now: Instant) -> Option<Read> {
        let pipeline = self.readings.next(now)?.pipeline;
        let line = self.lines.get(&pipeline)?;
        let (at, coalesces) = (line.progress.scanned(), line.mapping.publishing.coalesce);
        // Of a halted pipeline nothing may reach the target.
        let restores = line.mapping.publishing.on_undelete == OnUndelete::Restore && !line.brake.is_halted();
        let mapping = line.mapping.clone();
        let (mut records, mut keys, mut parents, mut losers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut revived = Vec::new();
        let loses_children = self.loses_children(pipeline);
        for source in self.readings.take(pipeline, now) {
            if self.waits_for_moved(source, now) {
                continue;
            }
            let Some(reading) = self.active.get_mut(&source).and_then(|active| active.reading.as_mut()) else {
                continue;
            };
            let by_steps = !coalesces && !reading.has_row;
            if matches!(reading.stage, Stage::Wanted { .. }) && !by_steps {
                // All of it is in the journal, so the answer will stand for it, and is no single change's.
                let mut comes_back = false;
                for part in reading.joined.drain(..) {
                    comes_back |= reading::is_undelete(&part);
                    reading.rekeys |= mapping.changes_key(&part);
                    if !matches!(reading.because, Because::Nothing) {
                        reading.because.also(&part);
                    }
                }
                // It may have been deleted in the target after those that came back with it were written there: by what was
                // read of it before, in this process or the last one.
                if comes_back && loses_children {
                    reading.children.get_or_insert(None);
                    reading.stage = Stage::ChildrenWanted;
                }
            }
            match &reading.stage {
                // Its counterpart may be on its way into the bin: what is to be taken out must be in there first.
                Stage::Wanted { .. } if restores && reading.revives && self.outbox.key_of(source).is_some() => {
                    let at = now + RESTORE_AGAIN;
                    reading.stage = Stage::Wanted { at };
                    self.readings.want(at, source);
                }
                Stage::Wanted { .. } if keys.is_empty() && parents.is_empty() && losers.is_empty() => {
                    // What is left of it is still to be written, step by step, over the whole record.
                    let at = reading.joined.first().map_or(at, |part| part.seq.before().min(at));
                    reading.stage = Stage::Asked { at };
                    if restores && reading.revives {
                        revived.push(source.record);
                    }
                    records.push(source.record);
                }
                Stage::KeyWanted { key, to } if records.is_empty() && parents.is_empty() && losers.is_empty() => {
                    keys.push((source.record, key.clone()));
                    reading.stage = Stage::KeyAsked { key: key.clone(), to: *to };
                }
                Stage::ChildrenWanted if records.is_empty() && keys.is_empty() && losers.is_empty() => {
                    parents.push(source.record);
                    reading.stage = Stage::ChildrenAsked;
                }
                Stage::MovedWanted { winner } if records.is_empty() && keys.is_empty() && parents.is_empty() => {
                    losers.push((source.record, *winner));
                    reading.stage = Stage::MovedAsked { winner: *winner };
                }
                // Another kind of question: its own turn comes.
                Stage::Wanted { .. } | Stage::KeyWanted { .. } | Stage::ChildrenWanted | Stage::MovedWanted { .. } => {
                    self.readings.want(now, source);
                }
                Stage::Asked { .. }
                | Stage::KeyAsked { .. }
                | Stage::ChildrenAsked
                | Stage::MovedAsked { .. }
                | Stage::Answered => {}
            }
        }
        let what = match (records.is_empty(), keys.is_empty(), parents.is_empty()) {
            (false, ..) => ReadWhat::Records { records, at, restores, revived },
            (true, false, _) => ReadWhat::Targets { keys },
            (true, true, false) => ReadWhat::Children { parents, lookups: self.lookups_of(pipeline), at },
            (true, true, true) if !losers.is_empty() => ReadWhat::Moved { losers, lookups: self.lookups_of(pipeline) },
            (true, true, true) => return None,
        };
        Some(Read { pipeline, what })
    }

    /// The fields by which records of any pipeline here name records of this one as their parent.
    pub(super) fn lookups_of(&self, parent: PipelineId) -> Vec<(PipelineId, FieldPath)> {
        let Some(parent) = self.lines.get(&parent).map(|line| line.mapping.clone()) else { return Vec::new() };
        let lookups =
            self.lines.iter().flat_map(|(id, line)| line.mapping.lookups_of(&parent).map(|from| (*id, from.clone())));
        lookups.collect()
    }

    pub(super) fn has_children(&self, parent: PipelineId) -> bool {
        !self.lookups_of(parent).is_empty()
    }

    /// Whether those that name a record of this pipeline as parent go with it in the target, and are wanted again when it
    /// comes back, or matches again.
    pub(super) fn loses_children(&self, pipeline: PipelineId) -> bool {
        let deletes = |Line { mapping, .. }: &Line| {
            (mapping.on_delete == OnDelete::Delete || mapping.when_no_longer_matching == NoLongerMatching::Delete)
                && mapping.publishing.on_undelete != OnUndelete::Ignore
        };
        self.lines.get(&pipeline).is_some_and(deletes) && self.has_children(pipeline)
    }

    /// Whether one that does not match is deleted in the target, and those that name it as parent go with it.
    fn loses_children_unmatched(&self, pipeline: PipelineId) -> bool {
        let deletes = |line: &Line| line.mapping.when_no_longer_matching == NoLongerMatching::Delete;
        self.lines.get(&pipeline).is_some_and(deletes) && self.loses_children(pipeline)
    }

    /// Whether a record without a counterpart had one that was deleted, or may have been by a request whose answer was lost,
    /// with those that name it as parent. An undelete asks for them by itself.
    pub(super) fn went_with_children(&self, source: Source, answer: &Answer) -> bool {
        let was_deleted = answer.applied.get(&source.record).is_some_and(|applied| applied.tombstone);
        !answer.links.contains_key(&source.record)
            && (was_deleted && self.loses_children(source.pipeline)
                || self.is_suspect(source) && self.loses_children_unmatched(source.pipeline))
    }

    /// A record that is to be read, and may be made anew in the target: those that name it as parent are asked for first.
    /// `gone`: the counterpart that does not exist any more.
    pub(super) fn children_first(&mut self, source: Source, gone: Option<RecordId>, now: Instant) {
        let reading = self.active.get_mut(&source).and_then(|active| active.reading.as_mut());
        let Some(reading) = reading else { return };
        let known = reading.children.flatten();
        reading.children = Some(gone.or(known));
        // One that is out already is asked again when its answer comes.
        if let Stage::Wanted { at } = reading.stage {
            self.readings.forget(at, source);
            reading.stage = Stage::ChildrenWanted;
            self.readings.want(now, source);
        }
    }

    /// A read that could not be made: it is wanted again from `at` on.
    pub fn read_failed(&mut self, read: Read, at: Instant) {
        for record in read.what.records() {
            let source = Source { pipeline: read.pipeline, record };
            if let Some(reading) = self.active.get_mut(&source).and_then(|active| active.reading.as_mut()) {
                reading.want_again(at);
                self.readings.want(at, source);
            }
        }
    }

    /// What came out of the target's recycle bin, or may have, beside a read of records that came back in the source.
    ///
    /// What came along with its parent is suspect: it may be deleted in the source by itself, and a request that found it
    /// still deleted may not be settled yet. So it is read whole, and that is durable.
    pub fn returned(&mut self, returned: Returned, now: Instant) {
        self.returned.extend(returned.own);
        for source in returned.along {
            if self.lines.contains_key(&source.pipeline) && !self.suspects.contains_key(&source) {
                self.settlement.suspect.push((source.pipeline, source.record, self.wall));
                self.suspects.insert(source, now);
                self.due.insert((now, source));
            }
        }
    }

    /// The source answered a read of records; a record that is missing here counts as not visible.
    pub fn read_records(&mut self, read: Read, mut found: HashMap<RecordId, Found>, answer: &Answer, now: Instant) {
        let ReadWhat::Records { records, at, .. } = read.what else { return };
        let moves_children = self.moves_children(read.pipeline);
        for record in records {
            let source = Source { pipeline: read.pipeline, record };
            let Some(line) = self.lines.get_mut(&read.pipeline) else { return };
            line.counts.reads += 1;
            let mapping = line.mapping.clone();
            let went_with_children = self.went_with_children(source, answer);
            let Some(active) = self.active.get_mut(&source) else { continue };
            let Some(reading) = active.reading.as_mut() else { continue };
            if reading.children.is_some() {
                reading.stage = Stage::ChildrenWanted;
                self.readings.want(now, source);
                continue;
            }
            let was_deleted = answer.applied.get(&record).is_some_and(|applied| applied.tombstone);
            // Of those that went with it no event tells.
            if let Some(Found::Record(back)) = found.get(&record)
                && went_with_children
                && !reading.knows_children
                && mapping.matching_key(back).is_some()
            {
                reading.children = Some(None);
                reading.stage = Stage::ChildrenWanted;
                self.readings.want(now, source);
                continue;
            }
            if let Some(Found::Merged { into }) = found.get(&record)
                && moves_children
                && matches!(reading.moved, Moved::NotAsked)
            {
                reading.stage = Stage::MovedWanted { winner: *into };
                self.readings.want(now, source);
                continue;
            }
            // One that has a link was never deleted by the bridge, whoever made it.
            if answer.links.get(&record).is_some_and(|link| self.returned.get(&source) == Some(link)) {
                self.returned.remove(&source);
            }
            let at = reading.to().min(at);
            reading.stage = Stage::Answered;
            active.had_row |= reading.has_row;
            let is_owed = reading.from != Seq::ZERO
                || !active.tracked.is_empty()
                || reading.has_row
                || reading.clears_suspect
                || !reading.joined.is_empty();
            let oldest = active.tracked.first().copied().unwrap_or(at);
            let from = if reading.from == Seq::ZERO { oldest } else { reading.from.min(oldest) };
            let mut cover = Cover { source, from: from.min(at), to: at, clears_suspect: reading.clears_suspect };
            let because = std::mem::take(&mut reading.because);
            let known = Known {
                link: link_of(&self.outbox, source, answer),
                parents: &answer.parents,
                replies: self.remembered.replies(),
            };
            let past = reading.past.take();
            let through = match &past {
                Some(past) => past.through,
                // One that was out already when somebody asked is not what was asked for.
                None if !reading.again && std::mem::take(&mut active.redriven) => Through::Redrive,
                None if reading.has_row => Through::Retry,
                None if reading.clears_suspect => Through::LostAnswer,
                None => Through::Read,
            };
            let is_gone = std::mem::take(&mut reading.is_gone);
            let was_rekeyed = std::mem::take(&mut reading.rekeys);
            let rekeys = was_rekeyed && known.link != LinkState::None;
            let link = known.link.clone();
            let stays_deleted = stays_deleted(&mapping, &self.outbox, source, answer);
            // Where a counterpart that is gone is made anew anyway, the link may be tried.
            let by_key = reading.revives && mapping.publishing.when_target_gone != WhenTargetGone::Recreate;
            let found = match found.remove(&record) {
                Some(Found::Merged { .. }) => Found::Deleted,
                None | Some(Found::NotVisible) if is_gone => Found::Deleted,
                Some(found) => found,
                None => Found::NotVisible,
            };
            // A request that landed late may have made a record that no link knows, of one that does not match any more.
            let unmatched = match &found {
                Found::Record(record) if cover.clears_suspect => mapping.unmatched_key(record),
                Found::Record(_) | Found::Deleted | Found::Merged { .. } | Found::NotVisible => None,
            };
            let on_its_way = self.outbox.key_of(source).is_some();
            let (has_link, is_deleted) = (known.link != LinkState::None, matches!(found, Found::Deleted));
            // It was deleted in the target, which is not forgotten because it is not written now either.
            let stays_gone = !has_link && was_deleted;
            let lookup = if unmatched.is_some() { LookUp::Unmatched } else { LookUp::Gone };
            let mapped = match found {
                Found::Record(_) if stays_deleted => Ok(mapping.apply_deleted(record, &known, cover)),
                // As with one that is deleted: what is on its way goes first.
                Found::Record(record) if unmatched.is_some() && on_its_way => {
                    cover.clears_suspect = false;
                    self.due.insert((now + SUSPECT_AGAIN, source));
                    self.suspects.insert(source, now + SUSPECT_AGAIN);
                    Ok(mapping.apply_read(&record, because.header(), &known, cover))
                }
                Found::Record(_) if let Some(key) = unmatched => Ok(Mapped::Needs(Needs::TargetOf { key })),
                Found::Record(record) if by_key => {
                    Ok(mapping.apply_read(&record, because.header(), &known.unlinked(), cover))
                }
                Found::Record(record) => match (mapping.apply_read(&record, because.header(), &known, cover), &past) {
                    // It has a counterpart that no link knows yet, in which what only a create writes is left alone.
                    (Mapped::Write(write), Some(Past { there: Some(there), .. })) if write.key.linked().is_none() => {
                        let known = Known { link: LinkState::Linked(there.id), ..known };
                        Ok(mapping.apply_read(&record, because.header(), &known, cover))
                    }
                    (mapped, _) => Ok(mapped),
                },
                // A request that landed late may have made a record anew that no link knows: look for it by its key. What
                // is on its way for the record goes first, and then it is asked for again.
                Found::Deleted if cover.clears_suspect && on_its_way => {
                    cover.clears_suspect = false;
                    self.due.insert((now + SUSPECT_AGAIN, source));
                    self.suspects.insert(source, now + SUSPECT_AGAIN);
                    Ok(mapping.apply_deleted(record, &known, cover))
                }
                Found::Deleted if cover.clears_suspect && mapping.key_of(record).is_some() => {
                    Ok(mapping.apply_deleted(record, &known.unlinked(), cover))
                }
                Found::Deleted | Found::Merged { .. } => Ok(mapping.apply_deleted(record, &known, cover)),
                Found::NotVisible => Err(Refusal {
                    state: ParkedState::Waiting,
                    code: NOT_VISIBLE.to_owned(),
                    fields: Vec::new(),
                    waits_for: None,
                    evidence: "The source org shows neither the record nor that it was deleted. The bridge's user may \
                               lack access to it."
                        .to_owned(),
                }),
            };
            self.was_read(source, at, through);
            match mapped {
                Ok(Mapped::Write(write)) if let Some(past) = past => self.write_past(*write, past, at, answer, now),
                // It has nothing that waits, and who has no counterpart gets none.
                Ok(Mapped::Skipped(_)) if past.is_some() && !is_owed => {}
                Ok(Mapped::Write(write)) => match self.judged(*write, source, answer) {
                    Some(write) => {
                        let write = self.out_of_circles(source, write);
                        if self.offer(write, rekeys, now)
                            && let Some(active) = self.active.get_mut(&source)
                        {
                            active.covered = active.covered.max(at);
                        }
                    }
                    None => self.skip_read(cover, stays_gone, now),
                },
                Ok(Mapped::Needs(Needs::TargetOf { key })) => {
                    self.look_up(cover, key, lookup, now);
                    continue;
                }
                // What was learned beside the read was not all; what is asked with the next one is.
                Ok(Mapped::Needs(Needs::Lookups)) => {
                    if let Some(reading) = self.active.get_mut(&source).and_then(|active| active.reading.as_mut()) {
                        (reading.because, reading.rekeys) = (because, was_rekeyed);
                        reading.stage = Stage::Wanted { at: now };
                        self.readings.want(now, source);
                    }
                    continue;
                }
                // A whole record never needs itself.
                Ok(skipped @ (Mapped::Needs(Needs::Record) | Mapped::Skipped(_))) => {
                    if let Mapped::Skipped(skip) = skipped {
                        self.remember_left_out(cover, skip, &link);
                    }
                    if !has_link {
                        self.not_coming(source, if is_deleted { NotComing::Deleted } else { NotComing::Excluded });
                    }
                    self.skip_read(cover, stays_gone, now);
                }
                Ok(Mapped::Waits(failure)) => self.park(cover, &waits(failure), false, now),
                Ok(Mapped::Failed(failure)) => {
                    let refusal = unmappable(failure);
                    self.one_more_failed(cover, &refusal.code);
                    self.park(cover, &refusal, false, now);
                }
                // A parent that is only fetched for its children owes nothing itself.
                Err(refusal) if is_owed => self.park(cover, &refusal, false, now),
                Err(_) => {}
            }
            // What the outbox does not take must be known before the newer parts are looked at.
            self.collect(now);
            self.take_joined(source, at, answer, now);
        }
        self.collect(now);
    }

    /// The target answered which records hold the keys that were asked for.
    pub fn read_targets(&mut self, read: Read, held: &HashMap<String, RecordId>, answer: &Answer, now: Instant) {
        let ReadWhat::Targets { keys } = read.what else { return };
        for (record, key) in keys {
            let source = Source { pipeline: read.pipeline, record };
            let Some(line) = self.lines.get(&read.pipeline) else { return };
            let mapping = line.mapping.clone();
            let Some(active) = self.active.get_mut(&source) else { continue };
            let Some(reading) = active.reading.as_mut() else { continue };
            let to = reading.to();
            reading.stage = Stage::Answered;
            let cover = Cover { source, from: reading.from, to, clears_suspect: reading.clears_suspect };
            let why = reading.why;
            // The key may have been taken from it.
            let linked = answer.links.get(&record).filter(|_| why == LookUp::Unmatched);
            match held.get(&key).or(linked) {
                Some(target) => {
                    let known = Known {
                        link: LinkState::Linked(*target),
                        parents: &answer.parents,
                        replies: self.remembered.replies(),
                    };
                    let mapped = match why {
                        LookUp::Removal => mapping.apply_removed(*target, cover),
                        LookUp::Unmatched => mapping.apply_unmatched(*target, cover),
                        LookUp::Gone => mapping.apply_deleted(record, &known, cover),
                    };
                    match mapped {
                        Mapped::Write(write) => match self.judged(*write, source, answer) {
                            Some(write) => {
                                if self.offer(write, false, now)
                                    && let Some(active) = self.active.get_mut(&source)
                                {
                                    active.covered = active.covered.max(to);
                                }
                            }
                            None => self.nothing_to_do(cover, false, now),
                        },
                        // The config ignores it, which it did not when it was asked.
                        Mapped::Skipped(_) | Mapped::Needs(_) | Mapped::Failed(_) | Mapped::Waits(_) => {
                            self.nothing_to_do(cover, false, now);
                        }
                    }
                }
                None => {
                    if let Some(target) = answer.links.get(&record).copied() {
                        let drop = LinkChange::Drop { pipeline: read.pipeline, source: record, target };
                        self.settlement.links.push(drop);
                    }
                    let not_coming = if why == LookUp::Unmatched { NotComing::Excluded } else { NotComing::Deleted };
                    // It was deleted as one that did not match either, or may have been by the request whose answer was lost.
                    let was_deleted = answer.applied.get(&record).is_some_and(|applied| applied.tombstone)
                        || self.loses_children_unmatched(read.pipeline);
                    self.not_coming(source, not_coming);
                    self.remember_nothing_there(cover, answer.links.get(&record).copied());
                    self.nothing_to_do(cover, why != LookUp::Unmatched || was_deleted, now);
                }
            }
            self.collect(now);
            self.take_joined(source, to, answer, now);
        }
        self.collect(now);
    }

    /// The source answered who names these records as parents. The parents will be made anew, so the children must be
    /// written again: that is made durable first, and the parent's new link wakes them.
    pub fn read_children(&mut self, read: Read, children: &[Child], now: Instant) {
        let ReadWhat::Children { parents, at, .. } = read.what else { return };
        let Some(object) = self.lines.get(&read.pipeline).map(|line| line.mapping.target_object.clone()) else {
            return;
        };
        for child in children {
            let parent = Parent { target_object: object.clone(), record: child.parent };
            let refusal = Refusal {
                state: ParkedState::Waiting,
                code: PARENT_GONE.to_owned(),
                fields: Vec::new(),
                waits_for: Some(parent),
                evidence: "The counterpart of its parent was gone from the target and is made anew.".to_owned(),
            };
            let source = Source { pipeline: child.pipeline, record: child.record };
            self.park_row(Cover { source, from: at, to: at, clears_suspect: false }, &refusal);
        }
        for record in parents {
            let source = Source { pipeline: read.pipeline, record };
            if let Some(reading) = self.active.get_mut(&source).and_then(|active| active.reading.as_mut()) {
                reading.stage = Stage::Wanted { at: now };
                reading.knows_children = true;
                self.readings.want(now, source);
                // With the children, not before: a crash in between would find a new record and ask for none.
                if let Some(Some(target)) = reading.children.take() {
                    self.settlement.links.push(LinkChange::Drop { pipeline: read.pipeline, source: record, target });
                }
            }
        }
    }

    /// What arrived while a record was read, and is newer than the answer.
    pub(super) fn take_joined(&mut self, source: Source, at: Seq, answer: &Answer, now: Instant) {
        let Some(active) = self.active.get_mut(&source) else { return };
        let Some(reading) = active.reading.take_if(|reading| matches!(reading.stage, Stage::Answered)) else { return };
        let again = reading.again;
        let mut joined = reading.joined.into_iter().filter(|part| part.seq > at);
        while let Some(part) = joined.next() {
            self.take(source, &part, answer, now);
            // The part may ask for a read itself; then the rest joins that one.
            if let Some(reading) = self.active.get_mut(&source).and_then(|active| active.reading.as_mut()) {
                for later in joined.by_ref() {
                    reading.join(later);
                }
            }
        }
        if again {
            self.wake(source, now);
        }
        self.leave(source);
    }

    /// The read says that nothing is to be written. What was offered before may still wait for the target. `stays_gone`: its
    /// counterpart was deleted.
    fn skip_read(&mut self, cover: Cover, stays_gone: bool, now: Instant) {
        let source = cover.source;
        if cover.clears_suspect {
            self.clear(source);
        }
        if let Some(active) = self.active.get_mut(&source) {
            active.reads.retain(|(at, _)| *at != cover.to);
        }
        let offered = self.active.get(&source).map_or(Seq::ZERO, |active| active.covered);
        if self.outbox.key_of(source).is_none() {
            self.nothing_to_do(cover, stays_gone, now);
        } else if let Some(active) = self.active.get(&source) {
            let skipped: Vec<Seq> =
                active.tracked.iter().copied().filter(|seq| *seq > offered && *seq <= cover.to).collect();
            skipped.into_iter().for_each(|seq| self.untrack_only(source, seq));
        }
    }

    /// The part or read is settled without a call.
    pub(super) fn nothing_to_do(&mut self, cover: Cover, tombstone: bool, now: Instant) {
        let Source { pipeline, record } = cover.source;
        self.settlement.applied.push((pipeline, record, Applied { seq: cover.to, tombstone }));
        self.close(cover.source, cover.to, now);
        if cover.clears_suspect {
            self.clear(cover.source);
        }
        self.untrack(cover.source, cover.to);
    }
}
