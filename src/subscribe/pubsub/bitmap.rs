//! Which fields an event speaks of (facts: streaming-pubsub.md section 9).
//!
//! `0x02A0` is one big number, its least significant bit the record's first field; `4-0x01` has the parts of the compound
//! at position 4. A compound of which parts are named is not named itself.

use std::collections::BTreeMap;

use super::avro::Schema;

/// Fields of the root record by their position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bits(BTreeMap<usize, Parts>);

/// How much of a field is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parts {
    Whole,
    /// These positions of its record.
    Some(Vec<usize>),
}

/// An entry that does not fit the schema. Nothing may be guessed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a bitmap of changed fields {0}")]
pub struct BitmapError(pub &'static str);

impl Bits {
    /// Reads the strings of `changedFields`, `nulledFields` or `diffFields` against the writer's schema.
    pub fn read<'b>(schema: &Schema, entries: impl IntoIterator<Item = &'b str>) -> Result<Self, BitmapError> {
        let slots = schema.slots(schema.root());
        let mut all = BTreeMap::new();
        for entry in entries {
            match entry.split_once('-') {
                None => {
                    for position in positions(entry)? {
                        if position >= slots.len() {
                            return Err(BitmapError("names a field that the schema has not"));
                        }
                        all.insert(position, Parts::Whole);
                    }
                }
                Some((compound, parts)) => {
                    let position: usize =
                        compound.parse().map_err(|_| BitmapError("has a compound field without a number"))?;
                    let slot = slots.get(position).ok_or(BitmapError("names a field that the schema has not"))?;
                    let record = schema.compound(slot).ok_or(BitmapError("has parts of a field without parts"))?;
                    let parts = positions(parts)?;
                    if parts.iter().any(|part| *part >= schema.slots(record).len()) {
                        return Err(BitmapError("names a part that the schema has not"));
                    }
                    match all.entry(position).or_insert_with(|| Parts::Some(Vec::new())) {
                        Parts::Whole => {}
                        Parts::Some(known) => known.extend(parts),
                    }
                }
            }
        }
        Ok(Self(all))
    }

    pub fn get(&self, position: usize) -> Option<&Parts> {
        self.0.get(&position)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The position itself is named, not only parts of it.
    pub fn has_whole(&self, position: usize) -> bool {
        matches!(self.0.get(&position), Some(Parts::Whole))
    }
}

/// The set bits of `0x<hex>`, lowest first.
fn positions(text: &str) -> Result<Vec<usize>, BitmapError> {
    let digits = text.strip_prefix("0x").filter(|digits| !digits.is_empty());
    let digits = digits.ok_or(BitmapError("does not begin with 0x"))?;
    let mut positions = Vec::new();
    for (place, digit) in digits.chars().rev().enumerate() {
        let digit = digit.to_digit(16).ok_or(BitmapError("has a digit that is not hexadecimal"))?;
        positions.extend((0..4).filter(|bit| digit >> bit & 1 == 1).map(|bit| 4 * place + bit));
    }
    Ok(positions)
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;
    use crate::subscribe::pubsub::vectors;

    fn names(schema: &Schema, bits: &Bits) -> Vec<String> {
        let slots = schema.slots(schema.root());
        let of = |(position, parts): (&usize, &Parts)| match parts {
            Parts::Whole => vec![slots[*position].name.clone()],
            Parts::Some(parts) => {
                let record = schema.slots(schema.compound(&slots[*position]).unwrap());
                parts.iter().map(|part| format!("{}.{}", slots[*position].name, record[*part].name)).collect()
            }
        };
        let mut names: Vec<String> = bits.0.iter().flat_map(of).collect();
        names.sort();
        names
    }

    fn strings(json: &Json) -> Vec<String> {
        let mut strings: Vec<String> = serde_json::from_value(json.clone()).unwrap();
        strings.sort();
        strings
    }

    #[test]
    fn every_bitmap_of_the_vectors_has_its_names() {
        let file: Json = serde_json::from_str(include_str!("../../../tests/vectors/bitmaps.json")).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        assert!(vectors.len() > 5);
        for vector in vectors {
            let schema = vectors::schema(vector["schema_file"].as_str().unwrap());
            let entries: Vec<String> = serde_json::from_value(vector["bitmap"].clone()).unwrap();
            let bits = Bits::read(&schema, entries.iter().map(String::as_str)).unwrap();
            assert_eq!(names(&schema, &bits), strings(&vector["names"]), "{}", vector["name"]);
        }
        let must_fail = file["must_fail"].as_array().unwrap();
        assert!(!must_fail.is_empty());
        for vector in must_fail {
            let schema = vectors::schema(vector["schema_file"].as_str().unwrap());
            let entries: Vec<String> = serde_json::from_value(vector["bitmap"].clone()).unwrap();
            assert!(Bits::read(&schema, entries.iter().map(String::as_str)).is_err(), "{vector}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(entries in proptest::collection::vec("[0-9xX-]{0,12}|.{0,8}", 0..4)) {
            let schema = vectors::schema("schema_account.json");
            let _ = Bits::read(&schema, entries.iter().map(String::as_str));
        }

        /// The bits that are set, and no others, whatever their number.
        #[test]
        fn what_is_written_is_read(set in proptest::collection::btree_set(0_usize..2_000, 0..40)) {
            let mut bytes = vec![0_u8; 250];
            for bit in &set {
                bytes[249 - bit / 8] |= 1 << (bit % 8);
            }
            let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            let read = positions(&format!("0x{hex}")).unwrap();
            proptest::prop_assert_eq!(read, set.into_iter().collect::<Vec<_>>());
        }
    }
}
