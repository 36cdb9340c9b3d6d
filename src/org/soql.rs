//! Text within a query, escaped; pure.

use std::fmt::Write;

/// A string literal of SOQL, with its quotes: `'O\'Neill'` (facts: rest.md section 9). A query takes at most 4,000
/// characters in one.
pub fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for character in text.chars() {
        match character {
            '\'' => literal.push_str("\\'"),
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            other => literal.push(other),
        }
    }
    literal.push('\'');
    literal
}

/// What stands behind `IN`: `('a','b')`. An empty list is no SOQL, so there must be something to look for.
pub fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut list = String::from("(");
    for (i, text) in texts.into_iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(list, "{comma}{}", literal(text));
    }
    list.push(')');
    list
}

/// Values of one list: with as many ids or names of fields and objects a query still fits a URL (facts: rest.md section 1).
pub const IN_MAX: usize = 60;

/// Values in groups whose [`list`] fits a URL each: federation ids can have 512 characters, all of which may be escaped.
pub fn in_urls(values: &[String]) -> impl Iterator<Item = &[String]> {
    in_long_urls(values, IN_MAX, 8_000)
}

/// How long a text is in a URL.
pub fn encoded_length(text: &str) -> usize {
    url::form_urlencoded::byte_serialize(text.as_bytes()).map(str::len).sum()
}

/// The same with up to `most` values in a group, and as many bytes of a URL.
pub fn in_long_urls(values: &[String], most: usize, bytes_max: usize) -> impl Iterator<Item = &[String]> {
    let mut rest = values;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |value: &&String| {
            bytes += encoded_length(&literal(value)) + 3;
            bytes <= bytes_max
        };
        let count = rest.iter().take_while(fits).count().clamp(1, most).min(rest.len());
        let (now, later) = rest.split_at(count);
        rest = later;
        (!now.is_empty()).then_some(now)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_grouped_so_that_each_group_fits_a_url_and_none_is_lost() {
        for (values, groups) in [
            (Vec::new(), vec![]),
            (vec!["a".to_owned(); 130], vec![60, 60, 10]),
            (vec!["'".repeat(512); 5], vec![2, 2, 1]),
            (vec!["ü".repeat(9_000), "a".to_owned()], vec![1, 1]),
        ] {
            assert_eq!(in_urls(&values).map(<[String]>::len).collect::<Vec<_>>(), groups);
        }
    }

    #[test]
    fn no_text_ends_its_literal() {
        assert_eq!(literal("plain"), "'plain'");
        assert_eq!(literal("O'Neill"), r"'O\'Neill'");
        assert_eq!(literal(r"\' OR Name != '"), r"'\\\' OR Name != \''");
        assert_eq!(literal("a\n\r\t\"b\""), r#"'a\n\r\t\"b\"'"#);
        assert_eq!(literal("日本"), "'日本'");
    }

    #[test]
    fn a_list_is_made_of_literals() {
        assert_eq!(list(["a", "b'c"]), r"('a','b\'c')");
    }
}
