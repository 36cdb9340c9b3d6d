//! Record ids in their two forms.

use super::{Surroundings, text};
use crate::event::RecordId;
use crate::mapping::expression::val::{Val, Why};

fn id(args: &[Val], at: usize) -> Result<RecordId, Why> {
    text(args, at)?
        .trim()
        .parse()
        .map_err(|_| Why::new("needs a record id (15 or 18 letters and digits, with matching check characters)"))
}

pub(super) fn id15(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    id(args, 0).map(|id| Val::text(&id.as_str()[..15]))
}

pub(super) fn id18(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    id(args, 0).map(|id| Val::text(id.as_str()))
}

pub(super) fn same_id(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    Ok(Val::Bool(id(args, 0)? == id(args, 1)?))
}
