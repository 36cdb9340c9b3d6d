//! Large texts that changed little travel as their difference (streaming-cometd.md section 13).

use ring::digest::{SHA256, digest};
use similar::{Algorithm, DiffOp, capture_diff_slices};

/// Shorter values are always sent whole.
const LEAST: usize = 1_000;

/// The difference as the event has it: an empty old name, the new value's hash, hunks without context.
///
/// `None`: the value is sent whole, because it is short, changed too much, or would be no longer than its difference.
pub fn between(old: &str, new: &str) -> Option<String> {
    let (before, after) = (old.chars().count(), new.chars().count());
    if after < LEAST || before < LEAST || before.abs_diff(after) * 2 > before {
        return None;
    }
    let (old_lines, new_lines) = (lines(old), lines(new));
    let changes = capture_diff_slices(Algorithm::Myers, &old_lines, &new_lines);
    let changed: usize =
        changes.iter().map(|op| op.old_range().len().max(op.new_range().len()) * usize::from(!is_equal(op))).sum();
    if changed == 0 || changed * 4 > old_lines.len().max(new_lines.len()) {
        return None;
    }
    let mut out = format!("--- \n+++ {}", hash(new));
    for op in changes.iter().filter(|op| !is_equal(op)) {
        let (from, to) = (op.old_range(), op.new_range());
        // A side without lines is counted from the line in front of it.
        let start = |range: &std::ops::Range<usize>| range.start + usize::from(!range.is_empty());
        out.push_str(&format!("\n@@ -{},{} +{},{} @@", start(&from), from.len(), start(&to), to.len()));
        for (sign, lines, range) in [('-', &old_lines, from), ('+', &new_lines, to)] {
            for line in lines.get(range).unwrap_or_default() {
                out.push('\n');
                out.push(sign);
                out.push_str(line);
            }
        }
    }
    (out.chars().count() <= after).then_some(out)
}

fn is_equal(op: &DiffOp) -> bool {
    matches!(op, DiffOp::Equal { .. })
}

/// Lines end where the value's own line breaks are, of any kind.
fn lines(text: &str) -> Vec<&str> {
    text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect()
}

fn hash(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    fn text(lines: usize, changed: &[usize]) -> String {
        let line = |n| match changed.contains(&n) {
            true => format!("another line {n}"),
            false => format!("line {n} of a text that is long enough to be told by its difference"),
        };
        (0..lines).map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_vector_is_reproduced() {
        let vector: Json = serde_json::from_str(include_str!("../../../../tests/vectors/diff_field.json")).unwrap();
        let text = |key: &str| vector[key].as_str().unwrap();
        assert_eq!(between(text("old_text"), text("new_text")).as_deref(), Some(text("diff_value")));
    }

    #[test]
    fn short_values_and_great_changes_are_sent_whole() {
        let old = text(40, &[]);
        assert!(between(&old, &text(40, &[3, 9])).is_some());
        assert_eq!(between(&text(5, &[]), &text(5, &[3])), None, "short");
        assert_eq!(between(&old, &text(40, &(0..11).collect::<Vec<_>>())), None, "over a quarter of the lines");
        assert_eq!(between(&old, &text(80, &[])), None, "half as long again");
        assert_eq!(between(&"x".repeat(3_000), &"y".repeat(3_000)), None, "one line");
        assert_eq!(between(&old, &old.replace('\n', "\r\n")), None, "other line breaks only");
    }

    #[test]
    fn lines_that_come_or_go_are_counted_from_the_line_in_front() {
        let old = text(40, &[]);
        let without: Vec<&str> = old.split('\n').enumerate().filter(|(n, _)| *n != 4).map(|(_, line)| line).collect();
        let diff = between(&old, &without.join("\n")).unwrap();
        assert!(diff.contains("\n@@ -5,1 +4,0 @@\n-line 4 "), "{diff}");
        let diff = between(&without.join("\n"), &old).unwrap();
        assert!(diff.contains("\n@@ -4,0 +5,1 @@\n+line 4 "), "{diff}");
    }
}
