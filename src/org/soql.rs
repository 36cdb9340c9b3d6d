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

#[cfg(test)]
mod tests {
    use super::*;

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
