//! What hides a value.

use std::fmt::Write;

use ring::hmac;

use super::{Surroundings, text};
use crate::mapping::expression::val::{Val, Why};

/// Of the value's plain text, so that `5` and `5.0` hash alike.
pub(super) fn hash(surroundings: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let plain = args[0].plain()?;
    let Some(key) = surroundings.hash_key else {
        return Err(Why::new("needs a key for hashes, and the config names none"));
    };
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), plain.as_bytes());
    let mut hex = String::with_capacity(64);
    for byte in tag.as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(Val::text(hex))
}

pub(super) fn mask(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let plain = text(args, 0)?;
    Ok(Val::text(match plain.rsplit_once('@') {
        Some((name, domain)) if !name.is_empty() && domain.contains('.') && !domain.contains(char::is_whitespace) => {
            format!("{}@{domain}", masked(name))
        }
        _ => masked(plain),
    }))
}

fn masked(plain: &str) -> String {
    let count = plain.chars().count();
    let shown = |at: usize| count > 3 && (at == 0 || at == count - 1);
    plain.chars().enumerate().map(|(at, c)| if shown(at) { c } else { '*' }).collect()
}
