//! A long text that changed little travels as its difference (facts: streaming-cometd.md section 13).

use std::fmt;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// The difference as the event has it: a unified diff without context, that names the hash of the whole new value.
/// Whether it is well formed shows only when it is applied.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TextDiff(String);

/// Why a difference does not lead to the new value: it must be read instead. Holds no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    #[error("the difference of two texts is not in the form that is documented")]
    Malformed,
    #[error("the difference is of another old text")]
    OtherOld,
    /// By its hash.
    #[error("the difference does not lead to the new text that it names")]
    OtherNew,
}

/// It is a record's value, so only its length is shown.
impl fmt::Debug for TextDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextDiff({} bytes)", self.0.len())
    }
}

/// A line and the break behind it, which stays with it. `None`: there was none, so far.
type Line<'t> = (&'t str, Option<&'static str>);

/// Some lines in place of some others.
#[derive(Debug)]
struct Hunk<'d> {
    /// Where the removed lines begin in the old text, or how many lines are in front of what is only added.
    at: usize,
    removed: Vec<&'d str>,
    added: Vec<&'d str>,
}

impl TextDiff {
    /// In bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn new(diff: impl Into<String>) -> Self {
        Self(diff.into())
    }

    /// The whole new value, made of the whole old one and checked by its hash.
    ///
    /// The difference does not tell line breaks. Lines keep theirs, a changed line takes that of the line in its place,
    /// and what is left is like the rest of the text, or one of the usual: the hash decides.
    pub fn apply(&self, old: &str) -> Result<String, DiffError> {
        let (hash, hunks) = self.read()?;
        let mut kept = lines(old).into_iter();
        let mut new: Vec<Line<'_>> = Vec::new();
        let mut at = 0;
        for hunk in &hunks {
            let between = hunk.at.checked_sub(at).ok_or(DiffError::Malformed)?;
            let before = new.len();
            new.extend(kept.by_ref().take(between));
            if new.len() - before < between {
                return Err(DiffError::OtherOld);
            }
            at = hunk.at + hunk.removed.len();
            let mut breaks = Vec::with_capacity(hunk.removed.len());
            for removed in &hunk.removed {
                let (_, ending) = kept.next().filter(|(line, _)| line == removed).ok_or(DiffError::OtherOld)?;
                breaks.push(ending);
            }
            let breaks = breaks.into_iter().chain(std::iter::repeat(None));
            new.extend(hunk.added.iter().copied().zip(breaks));
        }
        new.extend(kept);
        let first = new.iter().find_map(|(_, ending)| *ending);
        let candidates = first.into_iter().chain(["\r\n", "\n"]);
        candidates
            .map(|ending| join(&new, ending))
            .find(|text| hex(text).eq_ignore_ascii_case(hash))
            .ok_or(DiffError::OtherNew)
    }

    /// The hash of the new value, and the hunks in their order.
    fn read(&self) -> Result<(&str, Vec<Hunk<'_>>), DiffError> {
        // UNSURE whether real differences keep the CR of a value's lines, so it counts for nothing here.
        let mut lines = self.0.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).peekable();
        let mut hash = None;
        // UNSURE what may stand between the names and the first hunk.
        while let Some(line) = lines.next_if(|line| !line.starts_with("@@")) {
            hash = hash.or(line.strip_prefix("+++").map(str::trim));
        }
        let hash = hash.filter(|hash| !hash.is_empty()).ok_or(DiffError::Malformed)?;
        let mut hunks = Vec::new();
        while let Some(line) = lines.next() {
            // A remark like that of a missing last line break, or an empty end.
            if line.is_empty() || line.starts_with('\\') {
                continue;
            }
            let (start, removed, added) = range(line).ok_or(DiffError::Malformed)?;
            let mut side = |sign: char, count: usize| {
                let lines = (0..count).map(|_| lines.next()?.strip_prefix(sign));
                lines.collect::<Option<Vec<_>>>().ok_or(DiffError::Malformed)
            };
            // A side without lines is counted from the line in front of it.
            let at = if removed == 0 { Some(start) } else { start.checked_sub(1) };
            let at = at.ok_or(DiffError::Malformed)?;
            hunks.push(Hunk { at, removed: side('-', removed)?, added: side('+', added)? });
        }
        if hunks.is_empty() { Err(DiffError::Malformed) } else { Ok((hash, hunks)) }
    }
}

/// Of `@@ -5,1 +5,2 @@`: where the old lines are, how many, and how many new ones. A count that is left out is 1.
fn range(line: &str) -> Option<(usize, usize, usize)> {
    let mut words = line.strip_prefix("@@ ")?.split(' ');
    let mut side = |sign: char| -> Option<(usize, usize)> {
        let word = words.next()?.strip_prefix(sign)?;
        let (start, count) = word.split_once(',').unwrap_or((word, "1"));
        Some((start.parse().ok()?, count.parse().ok()?))
    };
    let (start, removed) = side('-')?;
    let (_, added) = side('+')?;
    (words.next()? == "@@").then_some((start, removed, added))
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = text
        .split('\n')
        .map(|line| match line.strip_suffix('\r') {
            Some(line) => (line, Some("\r\n")),
            None => (line, Some("\n")),
        })
        .collect();
    // A CR behind the last one belongs to no break.
    if let Some(last) = lines.last_mut() {
        *last = (&text[text.rfind('\n').map_or(0, |end| end + 1)..], None);
    }
    lines
}

/// `ending` where a line has none of its own. The last line ends without one.
fn join(lines: &[Line<'_>], ending: &str) -> String {
    let mut text = String::new();
    for (number, (line, own)) in lines.iter().enumerate() {
        text.push_str(line);
        if number + 1 < lines.len() {
            text.push_str(own.unwrap_or(ending));
        }
    }
    text
}

fn hex(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;
    use crate::event::Field;

    fn vector() -> Json {
        serde_json::from_str(include_str!("../../tests/vectors/diff_field.json")).unwrap()
    }

    fn diff(new: &str, hunks: &str) -> TextDiff {
        TextDiff::new(format!("--- \n+++ {}\n{hunks}", hex(new)))
    }

    #[test]
    fn the_vector_leads_to_its_new_text() {
        let vector = vector();
        let text = |key: &str| vector[key].as_str().unwrap();
        let (old, new) = (text("old_text"), text("new_text"));
        let diff = TextDiff::new(text("diff_value"));
        assert_eq!(diff.apply(old).unwrap(), new);
        let with_cr = TextDiff::new(text("diff_value").replace('\n', "\r\n"));
        assert_eq!(with_cr.apply(old).unwrap(), new);
        assert_eq!(diff.apply(new), Err(DiffError::OtherOld));
        assert_eq!(diff.apply(""), Err(DiffError::OtherOld));
        assert_eq!(diff.apply(&old.replace("number 7919.", "number 7918.")), Err(DiffError::OtherNew));
        assert_eq!(diff.apply(&old.replace("\r\n", "\n")), Err(DiffError::OtherNew));
    }

    #[test]
    fn lines_come_and_go_at_both_ends() {
        for (old, new, hunks) in [
            ("a\r\nb", "a\r\nb\r\nc", "@@ -2,0 +3,1 @@\n+c"),
            ("a\r\nb", "z\r\na\r\nb", "@@ -0,0 +1,1 @@\n+z"),
            ("a\nb\nc", "a\nc", "@@ -2,1 +1,0 @@\n-b"),
            ("a\nb\nc", "a\nb", "@@ -3,1 +2,0 @@\n-c"),
            ("a", "a\r\nb", "@@ -1,0 +2,1 @@\n+b"),
            ("a", "a\nb", "@@ -1 +1,2 @@\n-a\n+a\n+b"),
            ("a\r\nb\nc", "a\r\nB\nc", "@@ -2,1 +2,1 @@\n-b\n+B"),
            ("a\nb\nc\nd", "A\nb\nc\nD\n", "@@ -1,1 +1,1 @@\n-a\n+A\n@@ -4,1 +4,2 @@\n-d\n+D\n+"),
        ] {
            assert_eq!(diff(new, hunks).apply(old).as_deref(), Ok(new), "{hunks}");
        }
    }

    #[test]
    fn what_is_no_difference_is_refused() {
        for text in ["", "---", "--- \n+++ ab", "@@ -1,1 +1,1 @@\n-a\n+b", "--- \n+++ \n@@ -1,1 +1,1 @@\n-a\n+b"] {
            assert_eq!(TextDiff::new(text).apply("a"), Err(DiffError::Malformed), "{text}");
        }
        for hunks in [
            "@@ -1,1 +1,1 @@\n-a",
            "@@ -1,1 +1,1 @@\n a\n+b",
            "@@ -0,1 +1,1 @@\n-a\n+b",
            "@@ -1,1 +1,1\n-a\n+b",
            "@@ -x,1 +1,1 @@\n-a\n+b",
            "@@ -1,18446744073709551615 +1,1 @@\n-a\n+b",
            "@@ -1,1 +1,1 @@\n-a\n+b\nc",
        ] {
            assert_eq!(diff("b", hunks).apply("a"), Err(DiffError::Malformed), "{hunks}");
        }
        assert_eq!(diff("b", "@@ -18446744073709551615,0 +1,1 @@\n+b").apply("a"), Err(DiffError::OtherOld));
    }

    #[test]
    fn its_text_is_stored_and_never_shown() {
        let diff = TextDiff::new("--- \n+++ secret");
        assert_eq!(format!("{diff:?}"), "TextDiff(15 bytes)");
        let json = serde_json::to_string(&diff).unwrap();
        assert_eq!(json, r#""--- \n+++ secret""#);
        assert_eq!(serde_json::from_str::<TextDiff>(&json).unwrap(), diff);
        let field = Field::Patch(diff);
        assert_eq!(serde_json::from_str::<Field>(&serde_json::to_string(&field).unwrap()).unwrap(), field);
        // What was stored before there were patches.
        assert_eq!(serde_json::from_str::<Field>("\"diff\"").unwrap(), Field::Diff);
    }

    proptest! {
        #[test]
        fn any_text_is_applied_or_refused(
            text in "(---|\\+\\+\\+|@@|-|\\+| |,|[0-9]{1,3}|\r?\n|\\PC){0,60}",
            old in "([ab]|\r?\n){0,20}",
        ) {
            let _ = TextDiff::new(text).apply(&old);
        }

        /// One hunk anywhere, lines of any text, breaks of one kind.
        #[test]
        fn what_changed_is_found_again_and_another_old_text_is_refused(
            head in vec("[^\r\n]{0,5}", 0..5),
            removed in vec("[^\r\n]{0,5}", 0..4),
            added in vec("[^\r\n]{0,5}", 0..4),
            tail in vec("[^\r\n]{0,5}", 1..5),
            crlf in any::<bool>(),
            spoiled in any::<prop::sample::Index>(),
        ) {
            let text = |middle: &[String]| {
                [&head[..], middle, &tail].concat().join(if crlf { "\r\n" } else { "\n" })
            };
            let (old, new) = (text(&removed), text(&added));
            let start = |lines: &[String]| head.len() + usize::from(!lines.is_empty());
            let mut hunk =
                format!("@@ -{},{} +{},{} @@", start(&removed), removed.len(), start(&added), added.len());
            removed.iter().for_each(|line| hunk.push_str(&format!("\n-{line}")));
            added.iter().for_each(|line| hunk.push_str(&format!("\n+{line}")));
            let diff = diff(&new, &hunk);
            prop_assert_eq!(diff.apply(&old), Ok(new));
            let mut other: Vec<char> = old.chars().collect();
            other.insert(spoiled.index(other.len() + 1), 'x');
            prop_assert!(diff.apply(&other.into_iter().collect::<String>()).is_err());
        }
    }
}
