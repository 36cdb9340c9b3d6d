//! What the target said that it locks together with a record: no two batches in flight may share it.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::event::RecordId;
use crate::publish::write::Write;
use crate::store::Parent;

/// An error that names more records says nothing of a single one.
const NAMED_MAX: usize = 8;
/// How many are remembered of each kind; the oldest are forgotten first. They are learned again.
const REMEMBERED_MAX: usize = 10_000;

/// Learned from errors, since the start of the process.
#[derive(Debug, Default)]
pub struct Locks {
    /// Records of the target that others wait for.
    hot: HashSet<RecordId>,
    in_order: VecDeque<RecordId>,
    /// What is locked with a record although its write need not name it.
    with: HashMap<Parent, Vec<RecordId>>,
    with_in_order: VecDeque<Parent>,
}

impl Locks {
    /// A write was refused because these were locked.
    pub fn learn(&mut self, write: &Write, named: &[RecordId]) {
        let own = write.key.linked();
        let named: Vec<RecordId> = named.iter().copied().filter(|id| Some(*id) != own).collect();
        if named.is_empty() || named.len() > NAMED_MAX {
            return;
        }
        for id in &named {
            if self.hot.insert(*id) {
                self.in_order.push_back(*id);
            }
        }
        for made in write.makes() {
            if self.with.insert(made.clone(), named.clone()).is_none() {
                self.with_in_order.push_back(made);
            }
        }
        while self.in_order.len() > REMEMBERED_MAX {
            self.in_order.pop_front().map(|id| self.hot.remove(&id));
        }
        while self.with_in_order.len() > REMEMBERED_MAX {
            self.with_in_order.pop_front().map(|made| self.with.remove(&made));
        }
    }

    /// Which records of the target are locked with this one, as far as errors told. Its own is not among them.
    pub fn of<'w>(&'w self, write: &'w Write) -> impl Iterator<Item = RecordId> + 'w {
        let knows = !self.hot.is_empty();
        let links = write.references().take_while(move |_| knows).filter_map(|reference| reference.link);
        let named = links.filter(|id| self.hot.contains(id));
        let learned = write.makes().take_while(move |_| knows).filter_map(|made| self.with.get(&made)).flatten();
        named.chain(learned.copied())
    }
}
