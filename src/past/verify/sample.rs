//! Records from all over an object, without reading all of it.

use super::{Comparison, VerifyError};
use crate::event::{FieldName, RecordId};
use crate::hydrate;
use crate::past::rows::{QUERY_PAGE, Rows};
use crate::store::Store;

/// From so many places.
const PLACES: u64 = 25;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// What counts on in an id of 15 characters: the rest is the object's and the org's.
const COUNTED: usize = 9;

impl<S: Store> Comparison<'_, S> {
    /// Suspects about so many records of the source.
    pub(super) async fn take_sample(&mut self, size: u64) -> Result<(), VerifyError> {
        let (source, object) = (self.sides.source, &self.sides.mapping.source_object);
        let fields: Vec<FieldName> = "Id".parse().into_iter().collect();
        let rows = Rows { org: source, object, fields: &fields, condition: None };
        let last = format!("SELECT Id FROM {object} ORDER BY Id DESC LIMIT 1");
        let last = self.patiently(source, || source.query(&last)).await?;
        let (first, _) = self.patiently(source, || rows.behind(None, 1)).await?;
        let (Some(first), Some(last)) = (first.first(), last.first().and_then(|row| hydrate::id_of(row, "Id"))) else {
            return Ok(());
        };
        let places = PLACES.min(size.max(1));
        let most = usize::try_from(size.div_ceil(places)).unwrap_or(QUERY_PAGE).min(QUERY_PAGE);
        // A stretch begins where the one before it ends, where they are as close as that.
        let mut reached: Option<RecordId> = None;
        for place in 0..places {
            let after = match place {
                0 => None,
                _ => between(first, &last, (place as f64 + fastrand::f64()) / places as f64),
            };
            let after = after.max(reached);
            let (ids, _) = self.patiently(source, || rows.behind(after, most)).await?;
            reached = ids.last().copied().or(reached);
            self.counts.records += ids.len() as u64;
            self.sheet.suspect(ids).await?;
        }
        self.save().await?;
        Ok(())
    }
}

/// An id that lies so far on the way from one to another, whether or not a record has it.
fn between(first: &RecordId, last: &RecordId, share: f64) -> Option<RecordId> {
    let number = |id: &RecordId| {
        id.as_str().get(15 - COUNTED..15)?.bytes().try_fold(0_u64, |number, digit| {
            Some(number * 62 + DIGITS.iter().position(|known| *known == digit)? as u64)
        })
    };
    let (from, to) = (number(first)?, number(last)?);
    let mut number = from + (to.saturating_sub(from) as f64 * share.clamp(0.0, 1.0)) as u64;
    let mut digits = [b'0'; COUNTED];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    let prefix = first.as_str().get(..15 - COUNTED)?;
    format!("{prefix}{}", std::str::from_utf8(&digits).ok()?).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_between_two_lies_between_them() {
        let id = |text: &str| text.parse::<RecordId>().unwrap();
        let (first, last) = (id("001000000000001"), id("00100000000z001"));
        let places: Vec<RecordId> =
            [0.0, 0.25, 0.5, 0.99, 1.0].iter().map(|share| between(&first, &last, *share).unwrap()).collect();
        assert!(places.is_sorted() && places.windows(2).all(|two| two[0] != two[1]));
        assert_eq!((places[0], places[4]), (first, last));
        assert_eq!(between(&last, &first, 0.5), Some(last), "never before the first");
    }
}
