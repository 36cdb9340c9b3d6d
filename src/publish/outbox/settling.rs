//! What comes back: what becomes of each write of a batch, and of what waits behind it.

use super::*;

impl Outbox {
    /// Gives a batch's verdicts back, one for each write in its order. A missing one counts as unknown.
    pub fn settle(&mut self, flight: FlightId, verdicts: Vec<Verdict>, now: Instant) {
        let Some(Flight { writes, tries, cohort, tokens, lane, object }) = self.flights.remove(&flight) else { return };
        self.holds.answered(flight);
        for token in &tokens {
            self.busy.remove(token);
        }
        let no_answer = |verdict: &Verdict| matches!(verdict, Verdict::Unknown { .. } | Verdict::UnknownSplit { .. });
        if lane == Lane::Bulk {
            self.lanes.ended(flight);
        } else if verdicts.iter().any(no_answer) {
            self.window.refused();
        } else {
            self.window.answered();
        }
        // The pieces of a batch are small because of one of them.
        if lane == Lane::Collections && cohort.id() == 0 {
            self.resize(&object, &verdicts, writes.len());
        }
        let splits =
            |verdict: &&Verdict| matches!(verdict, Verdict::Split | Verdict::TooMuch | Verdict::UnknownSplit { .. });
        let split = verdicts.iter().filter(splits).count();
        let (pieces, next_round) = self.pieces(&cohort, lane, split, now);
        let locked = self.new_cohort();
        let mut nth_split = 0;
        let mut piece = || {
            nth_split += 1;
            pieces.get((nth_split - 1) * pieces.len() / split).cloned().unwrap_or_default()
        };
        let writes = Arc::unwrap_or_clone(writes);
        let padded = verdicts.into_iter().chain(std::iter::repeat(Verdict::Unknown { at: now }));
        for ((write, tries), verdict) in writes.into_iter().zip(tries).zip(padded) {
            let tries = tries.saturating_add(1);
            let sources = sources(&write);
            let is_outdated = self.remapped.iter().any(|(id, last)| flight <= *last && is_mapped_by(&write, *id));
            match verdict {
                Verdict::Retry { .. }
                | Verdict::Held { .. }
                | Verdict::Split
                | Verdict::TooMuch
                | Verdict::Locked { .. }
                | Verdict::Without(_)
                | Verdict::Refused(_)
                    if is_outdated =>
                {
                    self.hand_for_reading(write, true);
                }
                Verdict::Saved { id, created } => {
                    self.landed(&write, Some(id), created, now);
                    self.handed.push(Handed::Settled { write, id: Some(id), created });
                }
                Verdict::Deleted => {
                    self.landed(&write, None, None, now);
                    self.handed.push(Handed::Settled { write, id: None, created: None });
                }
                Verdict::Retry { at } => {
                    self.handed.push(Handed::Answered { sources });
                    self.put_back(write, tries, cohort.clone(), Some(at), now);
                }
                Verdict::Held { at } => {
                    self.handed.push(Handed::Answered { sources });
                    self.put_back(write, tries - 1, cohort.clone(), Some(at), now);
                }
                Verdict::Unknown { at } => {
                    self.put_back(write, tries, cohort.clone(), Some(at), now);
                    self.lost(sources);
                }
                Verdict::UnknownSplit { at } => {
                    self.put_back(write, tries, piece(), Some(at).max(next_round), now);
                    self.lost(sources);
                }
                // Apart from the others of its batch, which go on with what waits.
                Verdict::Locked { at, records } => {
                    self.handed.push(Handed::Answered { sources });
                    self.locks.learn(&write, &records);
                    self.put_back(write, tries, Cohort::new(locked), Some(at), now);
                }
                Verdict::Unexplained(refusal) => {
                    self.park(write, refusal, false, true);
                    self.lost(sources);
                }
                Verdict::Split | Verdict::TooMuch => {
                    self.handed.push(Handed::Answered { sources });
                    self.put_back(write, tries, piece(), next_round, now);
                }
                Verdict::Without(parent) => {
                    self.handed.push(Handed::Answered { sources });
                    // One that is on its way is worth waiting for, unless it waits for this very write.
                    let coming = self.is_undecided(&parent) && !self.leads_to(&parent, &write);
                    let write = if coming { write } else { write.without(&parent) };
                    self.put_back(write, tries, cohort.clone(), None, now);
                }
                Verdict::Gone => {
                    let target = write.key.linked();
                    let revives = sources.iter().any(|source| self.is_revived(*source));
                    let (covers, others) = self.with_what_waits(&write);
                    let alone = (covers == write.covers).then_some(write);
                    self.handed.push(Handed::Gone { covers, target, revives, alone });
                    self.hand_others(others);
                }
                Verdict::Reread => self.hand_for_reading(write, true),
                // What came meanwhile may be just what mends it (and a delete always does).
                Verdict::Refused(_) if sources.iter().any(|source| self.by_source.contains_key(source)) => {
                    self.handed.push(Handed::Answered { sources });
                    self.put_back(write, tries, Cohort::default(), None, now);
                }
                Verdict::Refused(refusal) => self.park(write, refusal, true, true),
            }
        }
        for token in tokens {
            self.release(&token, now);
        }
        self.look_after_children(now);
    }

    /// The cohorts in which so many refused writes of a batch go out again, and when, if not at once: its halves; where they
    /// have cost too much, all of it, and later; of a job, as many as a collection holds.
    pub(super) fn pieces(
        &mut self,
        of: &Cohort,
        lane: Lane,
        split: usize,
        now: Instant,
    ) -> (Vec<Cohort>, Option<Instant>) {
        match lane {
            _ if split == 0 => (Vec::new(), None),
            Lane::Bulk => ((0..split.div_ceil(BATCH_MAX)).map(|_| Cohort::new(self.new_cohort())).collect(), None),
            Lane::Collections => match of.halves(split, self.new_cohort(), self.new_cohort()) {
                Some(halves) => (halves.to_vec(), None),
                None => (vec![Cohort::new(self.new_cohort())], Some(now + NEXT_ROUND)),
            },
        }
    }

    /// Learns from a batch of so many how many of the object may go out together.
    pub(super) fn resize(&mut self, object: &ObjectName, verdicts: &[Verdict], sent: usize) {
        let was_too_much = verdicts.iter().any(|verdict| matches!(verdict, Verdict::TooMuch));
        let went_well = verdicts.iter().all(|verdict| matches!(verdict, Verdict::Saved { .. } | Verdict::Deleted));
        let size = match (was_too_much, went_well) {
            (true, _) => self.sizes.too_much(object, sent),
            (false, true) => self.sizes.went_well(object, sent),
            (false, false) => None,
        };
        if let Some(size) = size {
            self.handed.push(Handed::Resized { object: object.clone(), size });
        }
    }

    /// The request may land after whatever is written next, so nothing on its way ends the suspicion.
    pub(super) fn lost(&mut self, sources: Vec<Source>) {
        for source in &sources {
            if let Some(waiting) = self.by_source.get(source).and_then(|id| self.waiting.get_mut(id)) {
                waiting.write.covers.iter_mut().for_each(|cover| cover.clears_suspect = false);
            }
        }
        self.handed.push(Handed::Lost { sources });
    }

    /// What waits for the same records is now an update of the record that was made. After a delete it has lost its record: as
    /// an update it may lack what only a create writes, so it is read.
    pub(super) fn landed(&mut self, write: &Write, id: Option<RecordId>, created: Option<bool>, now: Instant) {
        let object = write.key.object().clone();
        for source in sources(write) {
            let Some(&waiting_id) = self.by_source.get(&source) else { continue };
            let Some(waiting) = self.waiting.get(&waiting_id) else { continue };
            let deletes = matches!(waiting.write.body, Body::Delete);
            match (id, &waiting.write.key) {
                (Some(id), Key::External { .. }) => {
                    if let Some(mut waiting) = self.remove(waiting_id) {
                        waiting.write.key = Key::Record { object: object.clone(), id };
                        waiting.write.if_created &= created != Some(true);
                        self.put(waiting.write, waiting.tries, waiting.cohort, waiting.not_before, now);
                    }
                }
                (None, Key::Record { .. }) if !deletes => {
                    if let Some(waiting) = self.remove(waiting_id) {
                        self.hand_for_reading(waiting.write, false);
                    }
                }
                (Some(_), Key::Record { .. }) | (None, _) => {}
            }
        }
    }

    /// An older write back among the waiting, under all that came meanwhile for its records.
    pub(super) fn put_back(
        &mut self,
        older: Write,
        tries: u32,
        cohort: Cohort,
        not_before: Option<Instant>,
        now: Instant,
    ) {
        let of_sources = sources(&older).into_iter().filter_map(|source| self.by_source.get(&source).copied());
        let mut ids: Vec<WriteId> = of_sources.chain(self.joinable(&older)).collect();
        ids.sort_unstable();
        ids.dedup();
        // Something new is worth a try in company again.
        let cohort = if ids.is_empty() { cohort } else { Cohort::default() };
        let mut newer: Vec<Write> = ids.into_iter().filter_map(|id| self.remove(id)).map(|known| known.write).collect();
        // What knows of the newest part speaks last.
        newer.sort_by_key(|write| write.covers.iter().map(|cover| cover.to).max());
        let mut newer = newer.into_iter();
        let mut merged = older;
        while let Some(next) = newer.next() {
            merged = match merged.then(next) {
                Ok(merged) => merged,
                Err(covers) => {
                    let covers = newer.fold(covers, |covers, rest| covers_with(&covers, &rest.covers));
                    self.handed.push(Handed::Read { covers, delete: None, sent: false });
                    return;
                }
            };
        }
        self.put(merged, tries, cohort, not_before, now);
    }

    pub(super) fn hand_for_reading(&mut self, write: Write, sent: bool) {
        let (own, others) = self.with_what_waits(&write);
        // What came behind a delete is not the delete any more.
        let delete = matches!(write.body, Body::Delete).then(|| write.key.clone()).filter(|_| own == write.covers);
        self.handed.push(Handed::Read { covers: own, delete, sent });
        self.hand_others(others);
    }

    /// `sent`: the answer is known; `tried`: it went out.
    pub(super) fn park(&mut self, write: Write, refusal: Refusal, sent: bool, tried: bool) {
        let (covers, others) = self.with_what_waits(&write);
        let request = tried.then(|| Box::new(write));
        self.handed.push(Handed::Parked { covers, refusal, sent, request });
        self.hand_others(others);
    }

    pub(super) fn is_revived(&self, source: Source) -> bool {
        let waiting = self.by_source.get(&source).and_then(|id| self.waiting.get(id));
        waiting.is_some_and(|waiting| call_of(&waiting.write).is_some_and(|call| matches!(call, Call::Upsert { .. })))
    }

    /// What had merged with a record that leaves, but is another record: it goes on by itself.
    pub(super) fn hand_others(&mut self, covers: Vec<Cover>) {
        if !covers.is_empty() {
            self.handed.push(Handed::Read { covers, delete: None, sent: false });
        }
    }

    /// The covers of a write with all that waits behind it for the same source records, and those of other source
    /// records that had merged with them. They leave together.
    pub(super) fn with_what_waits(&mut self, write: &Write) -> (Vec<Cover>, Vec<Cover>) {
        let own = sources(write);
        let mut covers = write.covers.clone();
        for source in &own {
            if let Some(behind) = self.by_source.get(source).copied().and_then(|id| self.remove(id)) {
                covers = covers_with(&covers, &behind.write.covers);
            }
        }
        covers.into_iter().partition(|cover| own.contains(&cover.source))
    }

    pub(super) fn new_cohort(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}
