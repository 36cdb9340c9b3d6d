//! A record that was merged into another leaves its children to that one. In the target they would go with its counterpart, so
//! they are written first.

use super::*;

/// When it is looked again whether the children of a winner are written. Mostly it is told sooner.
const MOVED_AGAIN: Duration = Duration::from_secs(1);

impl Machine {
    /// Whether the deletion of a record may be a merge, and would take children of the winner along in the target.
    pub(super) fn moves_children(&self, pipeline: PipelineId) -> bool {
        let may = |line: &Line| line.mapping.may_be_merged() && line.mapping.on_delete == OnDelete::Delete;
        self.lines.get(&pipeline).is_some_and(may) && self.has_children(pipeline)
    }

    /// Whether a read is to wait for the children of the winner; those that are written are forgotten.
    pub(super) fn waits_for_moved(&mut self, source: Source, now: Instant) -> bool {
        let reading = self.active.get_mut(&source).and_then(|active| active.reading.as_mut());
        let Some(Reading { moved: Moved::After(children), .. }) = reading else { return false };
        let mut children = std::mem::take(children);
        children.retain(|child| {
            let is_read = self.active.get(child).is_some_and(|active| active.reading.is_some());
            *child != source && (is_read || self.outbox.key_of(*child).is_some())
        });
        let waits = !children.is_empty();
        if let Some(reading) = self.active.get_mut(&source).and_then(|active| active.reading.as_mut()) {
            reading.moved = Moved::After(children);
            if waits {
                let at = now + MOVED_AGAIN;
                reading.stage = Stage::Wanted { at };
                self.readings.want(at, source);
            }
        }
        waits
    }

    /// The source answered who names the winners as their parents. Each is read and written, and then the losers go.
    pub fn read_moved(&mut self, read: Read, children: &[Child], now: Instant) {
        let ReadWhat::Moved { losers, .. } = read.what else { return };
        for (loser, winner) in losers {
            let of_winner = children.iter().filter(|child| child.parent == winner);
            let moved: Vec<Source> =
                of_winner.map(|child| Source { pipeline: child.pipeline, record: child.record }).collect();
            for child in &moved {
                self.read(*child, Seq::ZERO, false, false, now);
            }
            let source = Source { pipeline: read.pipeline, record: loser };
            if let Some(reading) = self.active.get_mut(&source).and_then(|active| active.reading.as_mut()) {
                reading.moved = Moved::After(moved);
                reading.stage = Stage::Wanted { at: now };
                self.readings.want(now, source);
            }
        }
    }
}
