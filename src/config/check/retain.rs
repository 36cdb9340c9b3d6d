//! `journal`: what is kept of the events that came.

use std::time::Duration;

use super::super::Retain;
use super::super::tree::{Key, Node};
use super::super::walk::{Keys, Walk};
use super::duration;

pub(in super::super) const JOURNAL: Keys = Keys { block: "`journal`", required: &[], optional: &["retain"] };
pub(in super::super) const RETAIN: Keys = Keys { block: "`retain`", required: &[], optional: &["age", "size"] };

/// `10years`, as it is read.
pub(super) const AGE_MAX: Duration = Duration::from_secs(315_576_000);
const UNITS: [(&str, u64); 3] = [("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000)];

pub(super) fn journal(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<Retain> {
    let journal = walk.block(node, &key.span, &JOURNAL)?;
    let Some((key, node)) = journal.entry("retain") else { return Some(Retain::default()) };
    let retain = walk.block(node, &key.span, &RETAIN)?;
    let age = match retain.entry("age") {
        Some(entry) => age(walk, entry),
        None => Some(Retain::default().age),
    };
    let size = match retain.entry("size") {
        Some(entry) => size(walk, entry),
        None => Some(Retain::default().size),
    };
    Some(Retain { age: age?, size: size? })
}

/// A length of time, or `forever`.
fn age(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<Option<Duration>> {
    if walk.text(entry)?.value == "forever" {
        return Some(None);
    }
    duration(walk, entry, Retain::AT_LEAST, AGE_MAX).map(Some)
}

/// A number and a unit, or `unlimited`.
fn size(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<Option<u64>> {
    let text = walk.text(entry)?;
    let remedy = "write a number and a unit: 500MB, 2GB, 1TB; or unlimited";
    match bytes(&text.value) {
        _ if text.value == "unlimited" => Some(None),
        Some(0) => {
            walk.find(&text.span, "`size` is 0", remedy);
            None
        }
        Some(bytes) => Some(Some(bytes)),
        None => {
            walk.find(&text.span, "`size` must be an amount of data", remedy);
            None
        }
    }
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = UNITS.iter().find(|(name, _)| unit.trim_start().eq_ignore_ascii_case(name))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_of_data_has_a_unit() {
        for (text, expected) in [
            ("500MB", Some(500_000_000)),
            ("2 GB", Some(2_000_000_000)),
            ("1tb", Some(1_000_000_000_000)),
            ("2", None),
            ("GB", None),
            ("2GiB", None),
            ("1.5GB", None),
            ("99999999999999TB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
