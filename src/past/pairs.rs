//! Pairs of records as a person names them in a CSV file: a source record and its counterpart in each line. Pure.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use crate::event::RecordId;

/// Of the rows of a file that has results, those are meant.
pub const MATCH: &str = "match";

/// A line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// As a text editor counts them.
    pub line: u64,
    pub record: RecordId,
    pub target: RecordId,
}

/// A line that is not taken, and why, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    pub line: u64,
    /// As they stand in the file.
    pub record: String,
    pub target: String,
    pub why: String,
}

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    pub pairs: Vec<Pair>,
    pub rejected: Vec<Rejected>,
    /// Rows with another result than [`MATCH`].
    pub others: u64,
}

/// A file of which no line can be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error(
        "line 1 names no column `{column}`. The first line must name the columns: `source` and `target` (or `Source Record` \
         and `Target Record`); it has: {there}"
    )]
    NoColumn { column: &'static str, there: String },
    #[error("the file is empty. Its first line must name the columns: source,target")]
    Empty,
    #[error("line {line} is no UTF-8 text. Save the file as `CSV UTF-8`")]
    NotUtf8 { line: u64 },
    #[error("line {line} cannot be read: {why}")]
    Broken { line: u64, why: String },
}

impl Pair {
    /// The same as one that is not taken.
    pub fn rejected(&self, why: impl Into<String>) -> Rejected {
        let (record, target) = (self.record.to_string(), self.target.to_string());
        Rejected { line: self.line, record, target, why: why.into() }
    }
}

/// Reads a file: with a byte-order mark or without, lines that end as they like, commas or semicolons.
///
/// # Errors
/// When it is no such file.
pub fn read(mut input: impl Read) -> Result<Pairs, Unreadable> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(|error| Unreadable::Broken { line: 1, why: error.kind().to_string() })?;
    let text = with_plain_ends(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes));
    let text = text.as_slice();
    let mut lines = Lines { text, to: 0, lines: 1 };
    let head = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |wanted: u8| head.iter().filter(|byte| **byte == wanted).count();
    let delimiter = if count(b';') > count(b',') { b';' } else { b',' };
    let mut sheet = csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(text);
    let mut rows = sheet.records();
    let Some(head) = rows.next() else { return Err(Unreadable::Empty) };
    let head = head.map_err(unreadable)?;
    let column = |wanted: &'static str| {
        let is_wanted = |name: &str| {
            let name: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
            name.to_lowercase().strip_prefix(wanted).is_some_and(|rest| matches!(rest, "" | "record" | "id"))
        };
        let there = || head.iter().collect::<Vec<_>>().join(", ");
        head.iter().position(is_wanted).ok_or_else(|| Unreadable::NoColumn { column: wanted, there: there() })
    };
    let (record_at, target_at, result_at) = (column("source")?, column("target")?, column("result").ok());
    let mut pairs = Pairs::default();
    for row in rows {
        let row = row.map_err(unreadable)?;
        let line = lines.of_byte(row.position().map_or(0, csv::Position::byte));
        let cell = |at: usize| row.get(at).unwrap_or_default().trim();
        if row.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if result_at.is_some_and(|at| !cell(at).eq_ignore_ascii_case(MATCH)) {
            pairs.others += 1;
            continue;
        }
        let (record, target) = (cell(record_at), cell(target_at));
        let what = |id: &str, side: &str| match id {
            "" => format!("the column `{side}` is empty"),
            _ => format!("what is in the column `{side}` is no record id: 15 or 18 letters and digits"),
        };
        let why = match (record.parse(), target.parse()) {
            (Ok(record), Ok(target)) => {
                pairs.pairs.push(Pair { line, record, target });
                continue;
            }
            (Err(_), _) => what(record, "source"),
            (_, Err(_)) => what(target, "target"),
        };
        pairs.rejected.push(Rejected { line, record: record.to_owned(), target: target.to_owned(), why });
    }
    pairs.part_doubles();
    Ok(pairs)
}

/// With one way to end a line.
fn with_plain_ends(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => {}
            b'\r' => text.push(b'\n'),
            _ => text.push(*byte),
        }
    }
    text
}

/// Which line of the file a byte is in. (The one that the CSV reader tells is another behind empty lines.)
struct Lines<'t> {
    text: &'t [u8],
    /// Counted up to here, and how many.
    to: usize,
    lines: u64,
}

impl Lines<'_> {
    /// Bytes are asked for in their order; those of empty lines in front of a row belong to it.
    fn of_byte(&mut self, byte: u64) -> u64 {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX).min(self.text.len());
        let empty = self.text[byte..].iter().take_while(|byte| **byte == b'\n').count();
        let until = (byte + empty).max(self.to);
        self.lines += self.text[self.to..until].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.to = until;
        self.lines
    }
}

fn unreadable(error: csv::Error) -> Unreadable {
    let line = error.position().map_or(1, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => Unreadable::NotUtf8 { line },
        _ => Unreadable::Broken { line, why: "its quotes or columns do not end".to_owned() },
    }
}

impl Pairs {
    /// Who is named with several others belongs to none of them, as far as the file tells. What stands there twice stands there
    /// once.
    fn part_doubles(&mut self) {
        let mut seen = HashSet::new();
        let (once, again): (Vec<Pair>, Vec<Pair>) =
            std::mem::take(&mut self.pairs).into_iter().partition(|pair| seen.insert((pair.record, pair.target)));
        drop(seen);
        self.rejected.extend(again.iter().map(|pair| pair.rejected("the same pair stands in an earlier line")));
        let (mut of_record, mut of_target) = (HashMap::new(), HashMap::new());
        for pair in &once {
            of_record.entry(pair.record).or_insert_with(Vec::new).push(pair.line);
            of_target.entry(pair.target).or_insert_with(Vec::new).push(pair.line);
        }
        for pair in once {
            let lines = |named: &HashMap<RecordId, Vec<u64>>, id| named.get(&id).cloned().unwrap_or_default();
            let others = [("source", lines(&of_record, pair.record)), ("target", lines(&of_target, pair.target))];
            match others.iter().find(|(_, lines)| lines.len() > 1) {
                None => self.pairs.push(pair),
                Some((side, lines)) => {
                    let others = lines.iter().filter(|line| **line != pair.line).take(3);
                    let others: Vec<String> = others.map(u64::to_string).collect();
                    let why = format!(
                        "its record of the {side} stands with another one in line {}: leave the right one",
                        others.join(", ")
                    );
                    self.rejected.push(pair.rejected(why));
                }
            }
        }
        self.rejected.sort_by_key(|rejected| rejected.line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(prefix: &str, n: u64) -> RecordId {
        format!("{prefix}{n:012}").parse().unwrap()
    }

    fn lines(pairs: &[Pair]) -> Vec<u64> {
        pairs.iter().map(|pair| pair.line).collect()
    }

    #[test]
    fn a_file_is_read_as_spreadsheets_write_it() {
        let (a, b) = (id("001", 1), id("001", 2));
        let short = &b.as_str()[..15];
        let expected = Pairs { pairs: vec![Pair { line: 2, record: a, target: b }], ..Pairs::default() };
        for text in [
            format!("source,target\n{a},{b}\n"),
            format!("\u{feff}source,target\r\n{a},{b}\r\n"),
            format!("Target Record,Source Record\n{b},{a}"),
            format!("Name;SOURCE_ID;Target Id\n\"x;y\n\"\"z\";{a};{b}\n"),
            format!("source,target,more\r\" {a} \",{short}\r\r,,\r"),
            format!("source,target,result\n{a},{b},Match\n{b},{a},several\n{b},,none\n"),
        ] {
            let found = read(text.as_bytes()).unwrap();
            assert_eq!((&found.pairs, &found.rejected), (&expected.pairs, &expected.rejected), "{text}");
            assert_eq!(found.others, if text.contains("several") { 2 } else { 0 });
        }
    }

    #[test]
    fn a_file_that_is_no_such_file_is_refused_with_what_to_do() {
        for (text, said) in [
            (&b""[..], "source,target"),
            (b"source,goal\n", "no column `target`"),
            (b"001000000000001AAA,001000000000002AAA\n", "no column `source`"),
            (b"source,target\n\xff\xfe,b\n", "line 2 is no UTF-8 text. Save the file as `CSV UTF-8`"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_line_that_names_no_two_records_is_told_by_its_number_and_the_others_go_on() {
        let (a, b) = (id("001", 1), id("001", 2));
        let text = format!("source,target\r\n{a},\r\nJohn,{b}\r\n{a},{b}\r\n\r\n{a}X,{b}\r\n{a}");
        let found = read(text.as_bytes()).unwrap();
        assert_eq!(lines(&found.pairs), [4]);
        let told: Vec<_> = found.rejected.iter().map(|rejected| (rejected.line, rejected.why.as_str())).collect();
        let no_id = "what is in the column `source` is no record id: 15 or 18 letters and digits";
        let empty = "the column `target` is empty";
        assert_eq!(told, [(2, empty), (3, no_id), (6, no_id), (7, empty)]);
    }

    #[test]
    fn who_is_named_with_several_others_is_taken_with_none() {
        let (s, t) = (|n| id("001", n), |n| id("00T", n));
        let row = |record, target| format!("{record},{target}\n");
        let text = ["source,target\n".to_owned(), row(s(1), t(1)), row(s(2), t(2)), row(s(2), t(3)), row(s(4), t(1))];
        let text = format!("{}{}{}", text.concat(), row(s(5), t(5)), row(s(5), t(5)));
        let found = read(text.as_bytes()).unwrap();
        assert_eq!(lines(&found.pairs), [6]);
        let told: Vec<_> = found.rejected.iter().map(|rejected| (rejected.line, &rejected.why[..])).collect();
        let with = |side, line| {
            format!("its record of the {side} stands with another one in line {line}: leave the right one")
        };
        let expected = [(2, with("target", 5)), (3, with("source", 4)), (4, with("source", 3)), (5, with("target", 2))];
        let expected: Vec<_> = expected.iter().map(|(line, why)| (*line, why.as_str())).collect();
        assert_eq!(told[..4], expected[..]);
        assert_eq!(told[4], (7, "the same pair stands in an earlier line"));
    }
}
