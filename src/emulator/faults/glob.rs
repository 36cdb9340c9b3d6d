//! Patterns in which `*` stands for any text, also for none.

/// Whether the whole text fits the pattern.
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut pieces = rest.split('*');
    let last = pieces.next_back().unwrap_or_default();
    // The first place where a piece fits leaves the most for the pieces behind it.
    for piece in pieces {
        match text.split_once(piece) {
            Some((_, behind)) => text = behind,
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in
            [("/a", "/a"), ("/a*", "/a"), ("/a*", "/a/b/c"), ("*/query", "/x/query"), ("/*/b*d", "/a/b/c/d"), ("*", "")]
        {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("/a", "/a/b"), ("/a*b", "/a"), ("*/query", "/x/query/y"), ("", "a"), ("a*a", "a")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
