//! What mapping is told beside the part itself; fetched for a whole page at once.

use std::collections::HashMap;

use super::lookup::Replies;
use crate::event::RecordId;
use crate::publish::Key;
use crate::store::Parent;

#[derive(Debug, Clone)]
pub struct Known<'a> {
    pub link: LinkState,
    /// The target records of those parents that have one.
    pub parents: &'a HashMap<Parent, RecordId>,
    /// What the orgs answered to the questions of lookups.
    pub replies: &'a Replies,
}

/// Whether the source record has its counterpart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    None,
    /// Its first whole write waits or is in flight under this key.
    Coming(Key),
    Linked(RecordId),
}

impl<'a> Known<'a> {
    /// The target record of a parent, where there is one.
    pub fn parent_link(&self, parent: &Parent) -> Option<RecordId> {
        self.parents.get(parent).copied()
    }

    /// The same, as if the record had no counterpart.
    pub fn unlinked(&self) -> Known<'a> {
        Known { link: LinkState::None, ..*self }
    }
}
