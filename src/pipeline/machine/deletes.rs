//! `may_delete: created`: a delete is made only of a record that the bridge is known to have created. What is not known, or
//! known otherwise, is kept, with its link, and counted.

use super::*;

impl Machine {
    /// A write as it may be made. None: it is a delete that is not to be made.
    pub(super) fn judged(&mut self, mut write: Write, source: Source, answer: &Answer) -> Option<Write> {
        let line = self.lines.get_mut(&source.pipeline)?;
        if !matches!(write.body, Body::Delete) || line.mapping.publishing.may_delete == MayDelete::Any {
            return Some(write);
        }
        if write.key.linked().is_some_and(|id| is_own(&write.covers, id, source.record, answer)) {
            return Some(write);
        }
        if self.outbox.key_of(source).is_some() {
            // Its answer may tell; and whatever becomes of it, the record is gone after it.
            write.if_created = true;
            return Some(write);
        }
        line.counts.kept += 1;
        if let Some(cover) = write.covers.first() {
            self.remember_target(*cover, What::Kept, write.key.linked());
        }
        None
    }

    /// What the org says of a record that was there already, if that is sure: a request whose answer was lost may have
    /// created it a moment before. What came back from the recycle bin is as new, if the bridge had created it.
    pub(super) fn surely(&mut self, created: Option<bool>, of: Source, target: RecordId) -> Option<bool> {
        if self.returned.remove(&of) == Some(target) {
            return Some(true);
        }
        let Some(false) = created else { return created };
        let object = self.lines.get(&of.pipeline).map(|line| &line.mapping.target_object);
        let lost = self.lines.iter().any(|(id, line)| {
            Some(&line.mapping.target_object) == object && self.is_suspect(Source { pipeline: *id, record: of.record })
        });
        (!lost).then_some(false)
    }
}

/// Whether the bridge is known to have created this counterpart of a record.
fn is_own(covers: &[Cover], target: RecordId, record: RecordId, answer: &Answer) -> bool {
    match answer.links.get(&record) {
        Some(linked) if *linked == target => answer.created.contains(&record),
        // When the record was settled last there was none. So one that is there now, after the time of a lost request, was
        // made by that, or came out of the recycle bin with its parent.
        Some(_) | None => {
            let was_gone = answer.applied.get(&record).is_some_and(|applied| applied.tombstone);
            was_gone && covers.iter().any(|cover| cover.clears_suspect)
        }
    }
}
