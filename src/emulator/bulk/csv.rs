//! CSV as the Bulk API reads and writes it: strict about quotes and line ends (bulk2.md sections 2 and 3).
//!
//! An upload is cut into rows once, and a row into cells each time that it is needed: a large upload is kept in memory
//! once, as it came.

use std::borrow::Cow;
use std::ops::Range;

use axum::body::Bytes;
use serde::{Deserialize, Serialize};

/// What ends a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LineEnding {
    #[default]
    Lf,
    Crlf,
}

/// What stands between cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Delimiter {
    Backquote,
    Caret,
    #[default]
    Comma,
    Pipe,
    Semicolon,
    Tab,
}

/// What a job says of its CSV; its results have the same form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Format {
    pub delimiter: Delimiter,
    pub line_ending: LineEnding,
}

impl LineEnding {
    /// As requests and messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lf => "LF",
            Self::Crlf => "CRLF",
        }
    }
}

impl Delimiter {
    fn byte(self) -> u8 {
        match self {
            Self::Backquote => b'`',
            Self::Caret => b'^',
            Self::Comma => b',',
            Self::Pipe => b'|',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
        }
    }
}

/// Why a row cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A quote within a cell that does not start with one: also a blank before the opening quote.
    QuoteInside,
    /// Something between the closing quote and the next delimiter: also a blank.
    BehindQuote,
    /// The text ends within quotes.
    Unterminated,
}

impl Fault {
    pub fn message(self) -> &'static str {
        match self {
            Self::QuoteInside => "a quote inside a value that does not start with one",
            Self::BehindQuote => "characters between a closing quote and the next delimiter",
            Self::Unterminated => "a quote that is never closed",
        }
    }
}

/// The cells of a row, as well as they can be read, and what is wrong with it.
pub type Cells<'a> = (Vec<Cow<'a, str>>, Option<Fault>);

/// An upload, cut into rows. Empty lines are none.
#[derive(Debug)]
pub struct Sheet {
    data: Bytes,
    delimiter: u8,
    header: Vec<String>,
    header_fault: Option<Fault>,
    rows: Vec<Range<usize>>,
    wrong_line_end: bool,
}

impl Sheet {
    /// The column names as they were written.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    pub fn header_fault(&self) -> Option<Fault> {
        self.header_fault
    }

    /// Rows without the header.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// A line ends in another way than the job said, or, with `strict`, a value has a line break of the other kind.
    pub fn wrong_line_end(&self) -> bool {
        self.wrong_line_end
    }

    /// The cells of a row; none behind the last one.
    pub fn row(&self, index: usize) -> Cells<'_> {
        let range = self.rows.get(index).cloned().unwrap_or_default();
        cells(self.data.get(range).unwrap_or_default(), self.delimiter)
    }
}

/// Cuts an upload into rows, a part at a time.
#[derive(Debug)]
pub struct Reader {
    data: Bytes,
    format: Format,
    strict: bool,
    at: usize,
    header: Option<Range<usize>>,
    rows: Vec<Range<usize>>,
    wrong_line_end: bool,
}

/// Where the reader is within a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// At the first character of a cell.
    Start,
    Bare,
    Quotes,
    /// Behind a quote that closes the cell, or is the first of two.
    Closed,
}

impl Reader {
    /// `strict`: a line break of the other kind is wrong within quotes too.
    pub fn new(data: Bytes, format: Format, strict: bool) -> Self {
        Self { data, format, strict, at: 0, header: None, rows: Vec::new(), wrong_line_end: false }
    }

    /// Reads about so many bytes more; whether something is left.
    pub fn advance(&mut self, bytes: usize) -> bool {
        let until = self.at.saturating_add(bytes);
        while self.at < self.data.len() && self.at < until {
            let row = self.next_row();
            if row.is_empty() {
                continue;
            }
            match self.header {
                None => self.header = Some(row),
                Some(_) => self.rows.push(row),
            }
        }
        self.at < self.data.len()
    }

    /// What has been read.
    pub fn finish(self) -> Sheet {
        let delimiter = self.format.delimiter.byte();
        let header = self.header.and_then(|range| self.data.get(range)).unwrap_or_default();
        let (names, header_fault) = if header.is_empty() { (Vec::new(), None) } else { cells(header, delimiter) };
        let header = names.into_iter().map(Cow::into_owned).collect();
        let (rows, wrong_line_end) = (self.rows, self.wrong_line_end);
        Sheet { header, header_fault, delimiter, rows, wrong_line_end, data: self.data }
    }

    /// The next row without its line end.
    fn next_row(&mut self) -> Range<usize> {
        let (delimiter, crlf) = (self.format.delimiter.byte(), self.format.line_ending == LineEnding::Crlf);
        let start = self.at;
        let mut within = Within::Start;
        let mut before = 0;
        let rest = self.data.get(start..).unwrap_or_default();
        for (place, &byte) in rest.iter().enumerate() {
            if before == b'\r' && byte != b'\n' {
                self.wrong_line_end |= within != Within::Quotes || self.strict;
            }
            within = match (within, byte) {
                (Within::Quotes, b'"') => Within::Closed,
                (Within::Quotes, b'\n') => {
                    self.wrong_line_end |= self.strict && (before == b'\r') != crlf;
                    Within::Quotes
                }
                (Within::Quotes, _) | (Within::Closed | Within::Start, b'"') => Within::Quotes,
                (_, b'\n') => {
                    self.at = start + place + 1;
                    self.wrong_line_end |= (before == b'\r') != crlf;
                    return start..start + place - usize::from(before == b'\r');
                }
                (_, byte) if byte == delimiter => Within::Start,
                _ => Within::Bare,
            };
            before = byte;
        }
        self.wrong_line_end |= before == b'\r';
        self.at = self.data.len();
        start..self.at
    }
}

/// A row without its line end.
fn cells(row: &[u8], delimiter: u8) -> Cells<'_> {
    let (mut cells, mut fault, mut rest) = (Vec::new(), None, row);
    loop {
        let (cell, wrong, length) = match rest.split_first() {
            Some((b'"', quoted)) => {
                let (cell, wrong, length) = quoted_cell(quoted, delimiter);
                (cell, wrong, length + 1)
            }
            _ => {
                let length = rest.iter().position(|byte| *byte == delimiter).unwrap_or(rest.len());
                let bare = rest.get(..length).unwrap_or_default();
                (Cow::Borrowed(bare), bare.contains(&b'"').then_some(Fault::QuoteInside), length)
            }
        };
        fault = fault.or(wrong);
        cells.push(text(cell));
        match rest.get(length + 1..) {
            Some(next) => rest = next, // behind the delimiter
            None => return (cells, fault),
        }
    }
}

/// A cell from behind its opening quote up to a delimiter or the end, and its length.
fn quoted_cell(from: &[u8], delimiter: u8) -> (Cow<'_, [u8]>, Option<Fault>, usize) {
    let quote = |at: usize| Some(at + from.get(at..)?.iter().position(|byte| *byte == b'"')?);
    let mut value = Cow::Borrowed(&[][..]);
    let mut at = 0;
    loop {
        let Some(end) = quote(at) else {
            join(&mut value, from.get(at..).unwrap_or_default());
            return (value, Some(Fault::Unterminated), from.len());
        };
        if from.get(end + 1) == Some(&b'"') {
            join(&mut value, from.get(at..=end).unwrap_or_default());
            at = end + 2;
            continue;
        }
        join(&mut value, from.get(at..end).unwrap_or_default());
        let tail = from.get(end + 1..).unwrap_or_default();
        let length = tail.iter().position(|byte| *byte == delimiter).unwrap_or(tail.len());
        let behind = tail.get(..length).unwrap_or_default();
        join(&mut value, behind);
        return (value, (!behind.is_empty()).then_some(Fault::BehindQuote), end + 1 + length);
    }
}

/// Adds a part; most cells have but one, which is not copied.
fn join<'a>(value: &mut Cow<'a, [u8]>, part: &'a [u8]) {
    if value.is_empty() {
        *value = Cow::Borrowed(part);
    } else if !part.is_empty() {
        value.to_mut().extend_from_slice(part);
    }
}

fn text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => match String::from_utf8_lossy(&bytes) {
            Cow::Owned(mended) => mended.into(),
            Cow::Borrowed(text) => text.to_owned().into(),
        },
    }
}

impl Format {
    /// Writes a row: every cell in quotes (bulk2.md section 3).
    pub fn write<T: AsRef<str>>(self, out: &mut String, cells: impl IntoIterator<Item = T>) {
        let mut first = true;
        for cell in cells {
            if !std::mem::take(&mut first) {
                out.push(char::from(self.delimiter.byte()));
            }
            out.push('"');
            let mut parts = cell.as_ref().split('"');
            out.push_str(parts.next().unwrap_or_default());
            for part in parts {
                out.push_str("\"\"");
                out.push_str(part);
            }
            out.push('"');
        }
        out.push_str(match self.line_ending {
            LineEnding::Lf => "\n",
            LineEnding::Crlf => "\r\n",
        });
    }
}

#[cfg(test)]
pub mod tests;
