//! For any text, and for any query.

use proptest::prelude::*;

use super::super::{parse, parse_condition};
use super::{given, print};

/// An error of any text has the platform's look, and points into the text.
fn check(text: &str) -> Result<(), TestCaseError> {
    for error in [parse(text).err(), parse_condition(text).err()].into_iter().flatten() {
        let at = error.at.expect("only a text that is too long has no place");
        prop_assert!(at <= text.len() && !error.message.is_empty());
        let shown = error.shown(text);
        let lines: Vec<&str> = shown.splitn(5, '\n').collect();
        let [nothing, snippet, mark, place, message] = lines.as_slice() else { panic!("{shown}") };
        prop_assert_eq!(*nothing, "");
        prop_assert!(snippet.chars().count() <= 120 && mark.trim_start() == "^");
        prop_assert!(mark.len() <= snippet.chars().count() + 1);
        let (row, column) = place.strip_prefix("ERROR at Row:").unwrap().split_once(":Column:").unwrap();
        prop_assert!(row.parse::<usize>().unwrap() >= 1 && column.parse::<usize>().unwrap() >= 1);
        prop_assert_eq!(*message, error.message.as_str());
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_text_harms(text in "\\PC{0,200}") {
        check(&text)?;
    }

    #[test]
    fn no_row_of_tokens_harms(tokens in prop::collection::vec(prop::sample::select(vec![
        "SELECT", "FROM", "WHERE", "(", ")", ",", "'a'", "'", "IN", "NOT", "AND", "OR", "=", "<", "Id", "Account", ".",
        "LIKE", "1", "2026-01-01", "LAST_N_DAYS", ":", "COUNT", "FIELDS", "ALL", "GROUP", "BY", "ORDER", "LIMIT",
        "NULLS", "LAST", "FOR", "VIEW", "\\", "\n", "-", "10:00:00Z", "2026-13-01", "UPDATE",
    ]), 0..25)) {
        check(&tokens.join(" "))?;
    }

    #[test]
    fn no_damage_to_a_query_harms(
        query in given::query(), at in any::<prop::sample::Index>(), cut in 0..5_usize, put in "[ -~]{0,3}",
    ) {
        let mut text: Vec<char> = print::query(&query).chars().collect();
        let from = at.index(text.len());
        let to = (from + cut).min(text.len());
        text.splice(from..to, put.chars());
        check(&text.into_iter().collect::<String>())?;
    }

    #[test]
    fn a_query_that_is_printed_is_read_as_the_same(query in given::query()) {
        let text = print::query(&query);
        prop_assert_eq!(parse(&text).map_err(|error| error.shown(&text)), Ok(query));
    }

    #[test]
    fn a_condition_that_is_printed_is_read_as_the_same(condition in given::condition()) {
        let text = print::condition(&condition);
        prop_assert_eq!(parse_condition(&text).map_err(|error| error.shown(&text)), Ok(condition));
    }
}
