//! `coalesce: false`: each part is written by itself, in order. While a write of the record is out, its later parts wait
//! here and not in the outbox, where they would merge.
//!
//! A record that must be read is written as it is by then, for nobody can read what it once was; the steps that came
//! since are written over it, one by one. Only the next try of a record that was refused stands for all that joined its
//! row.

use super::*;

impl Machine {
    /// Takes a part that may not be offered yet.
    pub(super) fn waits_for_its_turn(&mut self, source: Source, part: &Part) -> bool {
        let coalesces = self.lines.get(&source.pipeline).is_none_or(|line| line.mapping.publishing.coalesce);
        if coalesces || !self.is_stepping(source) {
            return false;
        }
        if let Some(active) = self.active.get_mut(&source) {
            active.steps.push_back(part.clone());
            self.held += 1;
        }
        true
    }

    /// Whether a step of the record is out or waits.
    pub(super) fn is_stepping(&self, source: Source) -> bool {
        let coalesces = self.lines.get(&source.pipeline).is_none_or(|line| line.mapping.publishing.coalesce);
        let waits = self.active.get(&source).is_some_and(|active| !active.steps.is_empty());
        !coalesces && (waits || self.outbox.key_of(source).is_some())
    }

    pub(super) fn steps_of(&self, source: Source) -> impl Iterator<Item = &Part> {
        self.active.get(&source).into_iter().flat_map(|active| &active.steps)
    }

    /// The steps that wait join a read.
    pub(super) fn take_steps(&mut self, source: Source) -> Vec<Part> {
        let steps: Vec<Part> =
            self.active.get_mut(&source).map(|active| std::mem::take(&mut active.steps).into()).unwrap_or_default();
        self.held -= steps.len();
        steps
    }

    /// Something of the record is done: what waits may be next.
    pub(super) fn next_step(&mut self, source: Source) {
        if self.active.get(&source).is_some_and(|active| !active.steps.is_empty()) {
            self.stepping.insert(source);
        }
    }

    /// The next step of each record that has one. To be asked once all is committed, for the link may be new; the answers
    /// to [`Machine::questions`] come back with [`Machine::steps`].
    pub fn next_steps(&mut self) -> Vec<(PipelineId, Part)> {
        let mut next = Vec::new();
        for source in std::mem::take(&mut self.stepping) {
            let Some(active) = self.active.get_mut(&source) else { continue };
            if self.outbox.key_of(source).is_none()
                && active.reading.is_none()
                && let Some(part) = active.steps.pop_front()
            {
                self.held -= 1;
                next.push((source.pipeline, part));
            }
        }
        next
    }

    /// Takes these steps.
    pub fn steps(&mut self, parts: Vec<(PipelineId, Part)>, answers: &HashMap<PipelineId, Answer>, now: Instant) {
        let unasked = Answer::default();
        for (pipeline, part) in parts {
            let source = Source { pipeline, record: part.record };
            let answer = answers.get(&pipeline).unwrap_or(&unasked);
            self.take_now(source, &part, answer, now);
            // It may have needed no write.
            self.next_step(source);
        }
        self.collect(now);
    }
}
