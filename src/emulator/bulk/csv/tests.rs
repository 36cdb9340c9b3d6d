//! The oddities of bulk2.md section 2, and what holds for any text.

use proptest::prelude::*;

use super::*;

const LF: Format = Format { delimiter: Delimiter::Comma, line_ending: LineEnding::Lf };
const CRLF: Format = Format { delimiter: Delimiter::Comma, line_ending: LineEnding::Crlf };

pub fn sheet(text: impl Into<Bytes>, format: Format) -> Sheet {
    let mut reader = Reader::new(text.into(), format, true);
    while reader.advance(7) {}
    reader.finish()
}

fn rows(sheet: &Sheet) -> Vec<Vec<String>> {
    (0..sheet.len()).map(|row| sheet.row(row).0.into_iter().map(Cow::into_owned).collect()).collect()
}

#[test]
fn rows_are_cut_at_their_line_ends_and_cells_at_their_delimiters() {
    for (text, expected) in [
        ("A,B\n1,2\n3,4\n", vec![vec!["1", "2"], vec!["3", "4"]]),
        ("A,B\n1,2", vec![vec!["1", "2"]]),
        ("A,B\n\n1,2\n\n", vec![vec!["1", "2"]]),
        ("A,B\n,\n", vec![vec!["", ""]]),
        ("A,B\n1\n1,2,3\n", vec![vec!["1"], vec!["1", "2", "3"]]),
        ("A,B\n\"1,\"\"x\"\"\",\"\"\n", vec![vec!["1,\"x\"", ""]]),
        ("A,B\n\"\"\"\",\"a\nb\"\n", vec![vec!["\"", "a\nb"]]),
        // Values are not trimmed.
        ("A,B\n 1 ,\" 2 \"\n", vec![vec![" 1 ", " 2 "]]),
        ("A\n\"\"\n", vec![vec![""]]),
        ("A,B\n", vec![]),
        ("", vec![]),
    ] {
        let sheet = sheet(text, LF);
        assert_eq!(rows(&sheet), expected, "{text:?}");
        assert!(!sheet.wrong_line_end(), "{text:?}");
        assert!((0..sheet.len()).all(|row| sheet.row(row).1.is_none()), "{text:?}");
    }
}

#[test]
fn a_blank_beside_a_quote_is_the_fault_of_its_row_alone() {
    for (row, fault) in [
        ("1, \"2\"", Fault::QuoteInside),
        ("1,\"2\" ", Fault::BehindQuote),
        ("\"1\" ,2", Fault::BehindQuote),
        ("1,2\"", Fault::QuoteInside),
        ("\"1\"\"2\"3,4", Fault::BehindQuote),
    ] {
        let sheet = sheet(format!("A,B\n{row}\n5,6\n"), LF);
        assert_eq!((sheet.len(), sheet.row(0).1, sheet.row(1).1), (2, Some(fault), None), "{row}");
        assert_eq!(rows(&sheet)[1], ["5", "6"], "{row}");
    }
    let open = sheet("A,B\n1,\"2\n3,4\n", LF);
    assert_eq!((open.len(), open.row(0).1), (1, Some(Fault::Unterminated)));
}

#[test]
fn another_line_end_than_the_jobs_is_seen_wherever_it_is() {
    for (text, format, wrong) in [
        ("A,B\r\n1,2\r\n", CRLF, false),
        ("A,B\r\n1,2", CRLF, false),
        ("A,B\n1,2\n", CRLF, true),
        ("A,B\r\n1,2\n", CRLF, true),
        ("A,B\r\n1,2\r\n", LF, true),
        ("A,B\n1,2\r\n", LF, true),
        ("A,B\n1\r,2\n", LF, true),
        ("A,B\n1,2\r", LF, true),
        ("A,B\n\"1\n\",2\n", LF, false),
        ("A,B\n\"1\r\n\",2\n", LF, true),
        ("A,B\n\"1\r\",2\n", LF, true),
        ("A,B\r\n\"1\r\n\",2\r\n", CRLF, false),
        ("A,B\r\n\"1\n\",2\r\n", CRLF, true),
        ("A,B\r\n\"1\",\"2\"\r\n", CRLF, false),
    ] {
        let sheet = sheet(text, format);
        assert_eq!(sheet.wrong_line_end(), wrong, "{text:?}");
        assert_eq!(sheet.header(), ["A", "B"], "{text:?}");
        // The row is there all the same: it is handed back as not processed.
        assert_eq!(sheet.len(), 1, "{text:?}");
    }
}

#[test]
fn a_line_break_of_the_other_kind_within_quotes_may_be_let_through() {
    for (text, format) in [("A\n\"1\r\n2\"\n", LF), ("A\r\n\"1\n2\"\r\n", CRLF)] {
        let mut reader = Reader::new(text.into(), format, false);
        while reader.advance(1) {}
        assert!(!reader.finish().wrong_line_end(), "{text:?}");
    }
}

#[test]
fn a_byte_order_mark_is_a_part_of_the_first_name() {
    assert_eq!(sheet("\u{feff}Name,Phone\nA,1\n", LF).header(), ["\u{feff}Name", "Phone"]);
}

#[test]
fn what_is_no_utf_8_is_read_with_marks_in_its_place() {
    let sheet = sheet(&b"A\n\xff1\n\"\xff\"\"\"\n"[..], LF);
    assert_eq!(rows(&sheet), [["\u{fffd}1"], ["\u{fffd}\""]]);
}

fn format() -> impl Strategy<Value = Format> {
    let delimiters = [
        Delimiter::Backquote,
        Delimiter::Caret,
        Delimiter::Comma,
        Delimiter::Pipe,
        Delimiter::Semicolon,
        Delimiter::Tab,
    ];
    let line_ending = prop_oneof![Just(LineEnding::Lf), Just(LineEnding::Crlf)];
    (proptest::sample::select(delimiters.to_vec()), line_ending)
        .prop_map(|(delimiter, line_ending)| Format { delimiter, line_ending })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_equal(
        format in format(),
        table in (1..5usize).prop_flat_map(|width| {
            proptest::collection::vec(proptest::collection::vec("[\"',;|`^\t a-cä€\n\r]{0,6}", width), 1..8)
        }),
    ) {
        let mut text = String::new();
        for row in &table {
            format.write(&mut text, row);
        }
        let mut reader = Reader::new(text.into(), format, false);
        while reader.advance(3) {}
        let sheet = reader.finish();
        prop_assert!(!sheet.wrong_line_end() && sheet.header_fault().is_none());
        prop_assert_eq!(sheet.header(), &table[0][..]);
        prop_assert_eq!(rows(&sheet), &table[1..]);
        prop_assert!((0..sheet.len()).all(|row| sheet.row(row).1.is_none()));
    }

    #[test]
    fn no_bytes_make_the_reader_fail(
        format in format(),
        bytes in proptest::collection::vec(
            prop_oneof![4 => proptest::sample::select(&b"\",\n\r ;|a"[..]), 1 => any::<u8>()], 0..80),
        strict in any::<bool>(),
    ) {
        let mut reader = Reader::new(bytes.into(), format, strict);
        while reader.advance(5) {}
        let sheet = reader.finish();
        for row in 0..=sheet.len() {
            prop_assert!(!sheet.row(row).0.is_empty());
        }
    }
}
