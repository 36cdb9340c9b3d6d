//! What hides a value.

use super::{Surroundings, text};
use crate::mapping::expression::val::{Val, Why};
use crate::privacy::{hashed, masked};

/// Of the value's plain text, so that `5` and `5.0` hash alike.
pub(super) fn hash(surroundings: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let plain = args[0].plain()?;
    let Some(key) = surroundings.hash_key else {
        return Err(Why::new("needs `hash_secret` under `privacy` of the source org, and the config has none"));
    };
    Ok(Val::text(hashed(key, &plain)))
}

pub(super) fn mask(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    Ok(Val::text(masked(text(args, 0)?)))
}
