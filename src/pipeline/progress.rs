//! How far a pipeline is: parts that were scanned and are not settled hold its watermark.

use std::collections::BTreeMap;

use crate::event::{Seq, Timestamp};

/// Counts unsettled parts by entry; the watermark is just below the oldest.
#[derive(Debug)]
pub struct Progress {
    scanned: Seq,
    unsettled: BTreeMap<Seq, Unsettled>,
}

#[derive(Debug)]
struct Unsettled {
    parts: u32,
    committed: Timestamp,
}

impl Progress {
    pub fn new(watermark: Seq) -> Self {
        Self { scanned: watermark, unsettled: BTreeMap::new() }
    }

    pub fn add(&mut self, seq: Seq, committed: Timestamp) {
        self.unsettled.entry(seq).or_insert(Unsettled { parts: 0, committed }).parts += 1;
    }

    pub fn settle(&mut self, seq: Seq) {
        if let Some(entry) = self.unsettled.get_mut(&seq) {
            entry.parts -= 1;
            if entry.parts == 0 {
                self.unsettled.remove(&seq);
            }
        }
    }

    /// All entries up to here were looked at.
    pub fn scanned_to(&mut self, seq: Seq) {
        self.scanned = self.scanned.max(seq);
    }

    pub fn scanned(&self) -> Seq {
        self.scanned
    }

    /// Everything up to here is settled.
    pub fn watermark(&self) -> Seq {
        self.unsettled.first_key_value().map_or(self.scanned, |(seq, _)| seq.before().min(self.scanned))
    }

    /// When the oldest unsettled part was committed in the source.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.unsettled.first_key_value().map(|(_, entry)| entry.committed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_stands_below_the_oldest_entry_with_an_unsettled_part() {
        let mut progress = Progress::new(Seq(4));
        progress.add(Seq(6), Timestamp(0));
        progress.add(Seq(6), Timestamp(0));
        progress.add(Seq(9), Timestamp(0));
        progress.scanned_to(Seq(12));
        assert_eq!(progress.watermark(), Seq(5));
        progress.settle(Seq(6));
        assert_eq!(progress.watermark(), Seq(5), "one part of the entry is still out");
        progress.settle(Seq(6));
        assert_eq!(progress.watermark(), Seq(8));
        progress.settle(Seq(9));
        assert_eq!(progress.watermark(), Seq(12));
    }
}
