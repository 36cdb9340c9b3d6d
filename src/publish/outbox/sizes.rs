//! How many records of an object go out in one call: less after the target's automation ran into a limit, slowly more
//! again when all goes well.

use std::collections::HashMap;

use crate::config::BATCH_MAX;
use crate::event::ObjectName;

/// So many full batches without trouble make room for a tenth more.
const CLEAN_BATCHES: u32 = 20;

/// The batch sizes of one target. An object of which nothing is known has the most that a call takes.
#[derive(Debug, Default)]
pub struct Sizes {
    of: HashMap<ObjectName, Size>,
}

#[derive(Debug, Clone, Copy)]
struct Size {
    /// As the config has it.
    most: usize,
    now: usize,
    clean: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self { most: BATCH_MAX, now: BATCH_MAX, clean: 0 }
    }
}

impl Sizes {
    /// The most, as the config has it (of several the least), and what had been found before the bridge stopped.
    pub fn set(&mut self, object: &ObjectName, most: usize, found: Option<usize>) {
        let size = self.of.entry(object.clone()).or_default();
        size.most = size.most.min(most).clamp(1, BATCH_MAX);
        size.now = found.unwrap_or(size.now).min(size.now).clamp(1, size.most);
    }

    pub fn of(&self, object: &ObjectName) -> usize {
        self.of.get(object).map_or(BATCH_MAX, |size| size.now)
    }

    /// A batch of so many was too much. What the size is now, if that is less than before.
    pub fn too_much(&mut self, object: &ObjectName, sent: usize) -> Option<usize> {
        let size = self.of.entry(object.clone()).or_default();
        size.clean = 0;
        let half = (sent.min(size.now) / 2).max(1);
        if half >= size.now {
            return None;
        }
        size.now = half;
        Some(half)
    }

    /// A batch of so many was not. What the size is now, if that is more than before.
    pub fn went_well(&mut self, object: &ObjectName, sent: usize) -> Option<usize> {
        let size = self.of.get_mut(object)?;
        if size.now >= size.most || sent < size.now {
            return None;
        }
        size.clean += 1;
        if size.clean < CLEAN_BATCHES {
            return None;
        }
        size.clean = 0;
        size.now = (size.now + (size.now / 10).max(1)).min(size.most);
        Some(size.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_halves_from_what_was_sent_and_comes_back_slowly() {
        let (mut sizes, account): (_, ObjectName) = (Sizes::default(), "Account".parse().unwrap());
        assert_eq!((sizes.of(&account), sizes.went_well(&account, 200)), (200, None));
        assert_eq!(sizes.too_much(&account, 200), Some(100));
        assert_eq!(sizes.too_much(&account, 30), Some(15));
        assert_eq!(sizes.too_much(&account, 200), Some(7), "as many as were allowed");
        for expected in [8, 9, 10] {
            assert!((1..CLEAN_BATCHES).all(|_| sizes.went_well(&account, 200).is_none()));
            assert_eq!(sizes.went_well(&account, 200), Some(expected));
        }
        assert_eq!((0..1_000).find_map(|_| sizes.went_well(&account, 3)), None, "small batches prove nothing");
        while sizes.too_much(&account, 200).is_some() {}
        assert_eq!(sizes.of(&account), 1);
        (0..10_000).for_each(|_| {
            sizes.went_well(&account, 200);
        });
        assert_eq!(sizes.of(&account), 200);
    }

    #[test]
    fn what_the_config_allows_is_never_passed_and_what_was_found_is_kept() {
        let (mut sizes, account): (_, ObjectName) = (Sizes::default(), "Account".parse().unwrap());
        sizes.set(&account, 50, Some(12));
        sizes.set(&account, 200, None);
        assert_eq!(sizes.of(&account), 12);
        (0..10_000).for_each(|_| {
            sizes.went_well(&account, 200);
        });
        assert_eq!(sizes.of(&account), 50);
    }
}
