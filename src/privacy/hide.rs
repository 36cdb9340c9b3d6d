//! What hides a value: the same for privacy rules and for the functions of expressions.

use std::fmt::Write;

use ring::hmac;

/// HMAC-SHA256 in hexadecimal digits.
pub(crate) fn hashed(key: &[u8], plain: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), plain.as_bytes());
    let mut hex = String::with_capacity(64);
    for byte in tag.as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// All but the first and last character as `*`, up to three characters all; an e-mail address keeps its domain.
pub(crate) fn masked(plain: &str) -> String {
    match plain.rsplit_once('@') {
        Some((name, domain)) if !name.is_empty() && domain.contains('.') && !domain.contains(char::is_whitespace) => {
            format!("{}@{domain}", starred(name))
        }
        _ => starred(plain),
    }
}

fn starred(plain: &str) -> String {
    let count = plain.chars().count();
    let shown = |at: usize| count > 3 && (at == 0 || at == count - 1);
    plain.chars().enumerate().map(|(at, c)| if shown(at) { c } else { '*' }).collect()
}
