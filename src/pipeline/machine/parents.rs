//! Records that wait for their parents: a parent that nobody told of is fetched; one that will not come fails them by name;
//! and those that wait for each other are written in two passes.

use super::*;

impl Machine {
    /// What was parked, or written without a lookup, in the settlement that was committed last, and whose parent has no link.
    /// Where a pipeline writes the parent and nothing is on its way for it, it is read: perhaps nobody ever told of it.
    pub fn fetch_parents(&mut self, now: Instant) {
        for (child, parent) in std::mem::take(&mut self.parked_last) {
            // It is fetched again at the earliest when its child is tried again.
            if self.outbox.is_undecided(&parent)
                || self.fetched.get(&parent).is_some_and(|last| *last + TRY_AGAIN > now)
            {
                continue;
            }
            for maker in self.makers_of(&parent, child.pipeline) {
                if !self.active.contains_key(&maker) {
                    self.fetched.insert(parent.clone(), now);
                    self.read(maker, Seq::ZERO, false, false, now);
                }
            }
        }
    }

    /// This record as each pipeline sees it that makes it for a child. One that is halted would only park it.
    pub(super) fn makers_of(&self, parent: &Parent, child: PipelineId) -> Vec<Source> {
        let Some(child) = self.lines.get(&child).map(|line| &line.mapping) else { return Vec::new() };
        let makes = |line: &Line| !line.brake.is_halted() && line.mapping.makes(parent, child);
        let makers = self.lines.iter().filter(|(_, line)| makes(line));
        makers.map(|(pipeline, _)| Source { pipeline: *pipeline, record: parent.record }).collect()
    }

    /// This record waits for a parent that waits, perhaps through others, for this record. It is written without it, and
    /// the lookup is filled when the parent is there.
    pub fn break_circle(&mut self, source: Source, parent: Parent, now: Instant) {
        let Some(mapping) = self.lines.get(&source.pipeline).map(|line| &line.mapping) else { return };
        if mapping.may_lack(&parent.target_object) {
            self.circles.entry(source).or_default().push(parent);
            self.wake(source, now);
            return;
        }
        // It cannot be without it, so the parent goes first, if it waits for this very record and can be without that.
        let child = Parent { target_object: mapping.target_object.clone(), record: source.record };
        for maker in self.makers_of(&parent, source.pipeline) {
            let may_lack =
                self.lines.get(&maker.pipeline).is_some_and(|line| line.mapping.may_lack(&child.target_object));
            if may_lack && !self.circles.contains_key(&maker) {
                self.circles.entry(maker).or_default().push(child.clone());
                self.wake(maker, now);
            }
        }
    }

    /// The write of a record that was read, without the parents that would wait for it.
    pub(super) fn out_of_circles(&mut self, source: Source, write: Write) -> Write {
        let parents = self.circles.remove(&source).unwrap_or_default();
        parents.iter().fold(write, Write::filled_later)
    }

    /// The record was read, and will have no counterpart: who waits for it need not wait any longer.
    pub(super) fn not_coming(&mut self, source: Source, why: NotComing) {
        // Another pipeline may be just about to make it.
        let object = self.lines.get(&source.pipeline).map(|line| line.mapping.target_object.clone());
        let others = self
            .lines
            .iter()
            .filter(|(id, line)| **id != source.pipeline && Some(&line.mapping.target_object) == object.as_ref());
        let mut others = others.map(|(pipeline, _)| Source { pipeline: *pipeline, record: source.record });
        let is_on_its_way = others.any(|other| self.active.contains_key(&other));
        if self.outbox.key_of(source).is_none() && !is_on_its_way {
            self.settlement.not_coming.push((source.pipeline, source.record, why));
        }
    }
}
