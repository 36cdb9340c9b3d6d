//! Records that a job read, a page at a time: a backfill, a repair.
//!
//! What was read stands for the journal up to where it was scanned before the orgs were asked. Of a record with anything newer
//! than that, or with anything on its way, it says too little: such a one is read by itself, like any other.

use super::*;
use crate::event::{FieldName, Value};

/// Why a pair is parted of which the counterpart is another record's.
const TAKEN: &str = "the record of the target has another key by now";

/// What a job read.
#[derive(Debug)]
pub struct PastPage {
    pub pipeline: PipelineId,
    /// Up to where the journal was scanned before the source was asked.
    pub at: Seq,
    pub found: HashMap<RecordId, Found>,
    /// What the target holds of them, as far as it has them. Asked after the source was.
    pub there: HashMap<RecordId, Counterpart>,
    /// Those of which the journal has something newer.
    pub newer: HashSet<RecordId>,
    /// The kind of job.
    pub through: Through,
}

impl Machine {
    /// A job is about to ask the orgs: up to where the journal was scanned for its pipeline. None: there is no such pipeline,
    /// or it is halted, and nothing of it may be written.
    pub fn past_asked(&mut self, pipeline: PipelineId) -> Option<Seq> {
        let line = self.lines.get(&pipeline).filter(|line| !line.brake.is_halted())?;
        self.touched = Some(HashSet::new());
        Some(line.progress.scanned())
    }

    /// What was asked has no answer, or nobody wants it any more.
    pub fn past_dropped(&mut self) {
        self.touched = None;
    }

    /// What the store must tell with [`Self::past_read`].
    pub fn question_of_past(&self, page: &PastPage) -> Question {
        let mut question = Question { records: page.found.keys().copied().collect(), ..Question::default() };
        if let Some(line) = self.lines.get(&page.pipeline) {
            let records = page.found.values().filter_map(Found::record);
            question.parents = records.flat_map(|record| line.mapping.parents_of_read(record)).collect();
            question.parents.sort_unstable();
            question.parents.dedup();
        }
        question
    }

    /// Takes what the job read.
    pub fn past_read(&mut self, page: PastPage, answer: &Answer, now: Instant) {
        let PastPage { pipeline, at, mut found, mut there, newer, through } = page;
        let touched = self.touched.take();
        let mut records: Vec<RecordId> = found.keys().copied().collect();
        // So that the order of writes does not depend on a hash.
        records.sort_unstable();
        records.retain(|record| {
            let source = Source { pipeline, record: *record };
            let is_gone = matches!(found.get(record), Some(Found::Deleted | Found::Merged { .. }));
            let was_deleted = answer.applied.get(record).is_some_and(|applied| applied.tombstone);
            // A comparison has seen that it is there all the same.
            let is_seen = through == Through::Verify;
            if is_gone && was_deleted && !is_seen && !answer.links.contains_key(record) && self.is_idle(source) {
                found.remove(record);
                return false;
            }
            if newer.contains(record) || self.is_overtaken(source, at, touched.as_ref(), answer) {
                found.remove(record);
                self.wake_or_read(source, answer.parked.contains_key(record), now);
                let reading = self.active.get_mut(&source).and_then(|active| active.reading.as_mut());
                if let Some(reading) = reading.filter(|_| is_gone) {
                    reading.is_gone = true;
                }
                return false;
            }
            let stage = Stage::Asked { at };
            let past = Some(Past { there: there.remove(record), through });
            let reading = Reading { stage, past, ..Reading::wanted(Seq::ZERO, false, false, now, Vec::new()) };
            self.active.entry(source).or_default().reading = Some(reading);
            true
        });
        let what = ReadWhat::Records { records, at, restores: false, revived: Vec::new() };
        self.read_records(Read { pipeline, what }, found, answer, now);
    }

    /// Takes pairs of records that a person named and that are linked by now, as both orgs hold them. A counterpart without a key is
    /// given that of its record; what is going on with the record goes to its counterpart anyway. Pairs that do not fit together
    /// any more are parted, and returned.
    pub fn past_paired(
        &mut self,
        page: PastPage,
        pairs: &HashMap<RecordId, RecordId>,
        answer: &Answer,
        now: Instant,
    ) -> Vec<NotLinked> {
        let PastPage { pipeline, at, found, there, newer, through } = page;
        let touched = self.touched.take();
        let Some(mapping) = self.lines.get(&pipeline).map(|line| line.mapping.clone()) else { return Vec::new() };
        let mut pairs: Vec<(RecordId, RecordId)> = pairs.iter().map(|(record, target)| (*record, *target)).collect();
        // So that the order of writes does not depend on a hash.
        pairs.sort_unstable();
        let mut not_linked = Vec::new();
        let types = mapping.types();
        let alike = |field: &FieldName, value: &Value, there: &Value| types.holds(field, value, there);
        for (record, target) in pairs {
            let source = Source { pipeline, record };
            let mut part = |why: &str| not_linked.push(NotLinked { record, target, why: why.to_owned() });
            if answer.links.get(&record) != Some(&target) {
                part("the two are not linked any more, or never were");
                continue;
            }
            let cover = Cover { source, from: at, to: at, clears_suspect: false };
            let stamp = found.get(&record).and_then(Found::record).ok_or("the record of the source is gone");
            let stamp = stamp.and_then(|record| {
                mapping
                    .stamp(record, target, cover)
                    .ok_or("the condition of the pipeline leaves the record out, or its key is empty")
            });
            let stamp = stamp.and_then(|write| {
                let counterpart = there.get(&record).ok_or("the record of the target is gone")?;
                let lacking = write.fields().map(|fields| counterpart.lacks(fields, alike)).unwrap_or_default();
                match counterpart.values.get(&mapping.key).and_then(|value| Cell::Value(value.clone()).key_text()) {
                    _ if lacking.is_empty() => Ok(None),
                    None => Ok(Some(write)),
                    Some(_) => Err(TAKEN),
                }
            });
            // Of a record that is overtaken its own events say more, but not that its counterpart is another one's by now.
            let is_taken = stamp == Err(TAKEN);
            if !is_taken && (newer.contains(&record) || self.is_overtaken(source, at, touched.as_ref(), answer)) {
                self.wake_or_read(source, answer.parked.contains_key(&record), now);
                continue;
            }
            match stamp {
                Ok(None) => {
                    if let Some(line) = self.lines.get_mut(&pipeline) {
                        line.counts.equal += 1;
                    }
                }
                Ok(Some(write)) => {
                    self.active.entry(source).or_default();
                    self.was_read(source, at, through);
                    if self.offer_counted(write, false, false, now)
                        && let Some(active) = self.active.get_mut(&source)
                    {
                        active.covered = active.covered.max(at);
                    }
                    self.collect(now);
                    self.leave(source);
                }
                Err(why) => {
                    part(why);
                    self.settlement.links.push(LinkChange::Drop { pipeline, source: record, target });
                }
            }
        }
        not_linked
    }

    /// Whether something of the record is newer than what a job was told of it, or on its way.
    fn is_overtaken(&self, source: Source, at: Seq, touched: Option<&HashSet<Source>>, answer: &Answer) -> bool {
        let record = &source.record;
        let is_newer = touched.is_none_or(|touched| touched.contains(&source))
            || answer.applied.get(record).is_some_and(|applied| applied.seq > at || applied.tombstone);
        is_newer
            || self.active.contains_key(&source)
            || self.outbox.key_of(source).is_some()
            || self.is_suspect(source)
            || answer.parked.contains_key(record)
            || self.just_parked.contains(&source)
    }

    /// Nothing is going on with the record: what a job wanted of it is done, or kept as parked.
    pub fn is_idle(&self, source: Source) -> bool {
        !self.active.contains_key(&source) && self.outbox.key_of(source).is_none()
    }

    fn wake_or_read(&mut self, source: Source, is_parked: bool, now: Instant) {
        if is_parked || self.just_parked.contains(&source) {
            self.wake(source, now);
        } else {
            self.read(source, Seq::ZERO, false, false, now);
        }
    }

    /// Records of a pipeline that jobs read, and that the target held as they are; since the start.
    pub fn equal(&self, pipeline: PipelineId) -> u64 {
        self.lines.get(&pipeline).map_or(0, |line| line.counts.equal)
    }

    /// Notes that a record was written while a job asks.
    pub(super) fn touch(&mut self, source: Source) {
        if let Some(touched) = &mut self.touched {
            touched.insert(source);
        }
    }

    /// Offers of a write what the target lacks. A counterpart that was found by its key is linked first.
    pub(super) fn write_past(&mut self, mut write: Write, past: Past, at: Seq, answer: &Answer, now: Instant) {
        let Some(cover) = write.covers.first().copied() else { return };
        let source = cover.source;
        let mut rekeys = false;
        if let (Some(there), Some(fields)) = (past.there, write.fields()) {
            let types = self.lines.get(&source.pipeline).map(|line| line.mapping.types().clone()).unwrap_or_default();
            let lacking = there.lacks(fields, |field, value, there| types.holds(field, value, there));
            if answer.links.get(&source.record) != Some(&there.id) {
                let (pipeline, record) = (source.pipeline, source.record);
                let link = LinkChange::Set { pipeline, source: record, target: there.id, created: Some(false) };
                self.settlement.links.push(link);
                self.remember_link(cover, there.id, past.through);
            }
            if lacking.is_empty() {
                if let Some(line) = self.lines.get_mut(&source.pipeline) {
                    line.counts.equal += 1;
                }
                self.note_lookups(source, &write);
                self.remember_target(cover, What::Equal, Some(there.id));
                self.nothing_to_do(cover, false, now);
                return;
            }
            write.key = Key::Record { object: write.key.object().clone(), id: there.id };
            rekeys = lacking.contains_key(&write.key_field);
            write.body = Body::Partial(lacking);
        }
        match self.judged(write, source, answer) {
            Some(write) => {
                if self.offer_counted(write, rekeys, false, now)
                    && let Some(active) = self.active.get_mut(&source)
                {
                    active.covered = active.covered.max(at);
                }
            }
            None => self.nothing_to_do(cover, false, now),
        }
    }
}
