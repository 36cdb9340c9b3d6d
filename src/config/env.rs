//! `${NAME}` in the values of a config. Replaced in parsed values, never in the text of the file, so that places
//! stay right and a variable cannot bring YAML of its own.

/// A stretch of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    Text(&'t str),
    /// The name between `${` and `}`.
    Variable(&'t str),
    /// Starts with `${`, and is no reference to a variable.
    Broken(&'t str),
}

/// Cuts a value up. `$${` stands for `${` itself; any other `$` is only a `$`.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            pieces.extend([Piece::Text(before), Piece::Text("${")]);
            // `from` starts with the two bytes that were searched for.
            rest = &from[2..];
            continue;
        }
        pieces.push(Piece::Text(before));
        let end = from.find('}').map_or(from.len(), |end| end + 1);
        let (reference, after) = from.split_at(end);
        pieces.push(match variable(reference) {
            Some(name) => Piece::Variable(name),
            None => Piece::Broken(reference),
        });
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| *piece != Piece::Text(""));
    pieces
}

/// The name, if the whole text is `${NAME}`.
pub(super) fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    valid.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::Piece::{Broken, Text, Variable};
    use super::*;

    #[test]
    fn only_whole_references_are_variables() {
        for (text, expected) in [
            ("", vec![]),
            ("plain $ and $HOME", vec![Text("plain $ and $HOME")]),
            ("${A}", vec![Variable("A")]),
            (
                "https://${HOST_1}:${PORT}/",
                vec![Text("https://"), Variable("HOST_1"), Text(":"), Variable("PORT"), Text("/")],
            ),
            ("$${A}", vec![Text("${"), Text("A}")]),
            ("$$${A}", vec![Text("$"), Text("${"), Text("A}")]),
            ("${A", vec![Broken("${A")]),
            ("${}", vec![Broken("${}")]),
            ("${A:-b}c", vec![Broken("${A:-b}"), Text("c")]),
            ("${1A}", vec![Broken("${1A}")]),
        ] {
            assert_eq!(pieces(text), expected, "{text}");
        }
    }
}
