//! What a person stops for a while.

use crate::event::Timestamp;

/// An org into which nothing is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// May be empty.
    pub reason: String,
    pub at: Timestamp,
}

const BY_HAND: &str = "paused by hand";

/// Why a pipeline is halted that a person pauses. Their reason may be empty.
pub fn by_hand(reason: &str) -> String {
    if reason.is_empty() { BY_HAND.to_owned() } else { format!("{BY_HAND}: {reason}") }
}

/// The reason of the person who paused a pipeline that is halted for this; None: nobody did, it stopped by itself.
pub fn reason_by_hand(why: &str) -> Option<&str> {
    let rest = why.strip_prefix(BY_HAND)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_as_it_was_given() {
        for reason in ["", "storms", ": odd", "paused by hand"] {
            assert_eq!(reason_by_hand(&by_hand(reason)), Some(reason));
        }
        for other in ["more than 5 deletes in 1m", "paused by handwork"] {
            assert_eq!(reason_by_hand(other), None);
        }
    }
}
