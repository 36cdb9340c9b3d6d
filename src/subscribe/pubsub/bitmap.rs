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
                    let positions = positions(entry, slots.len(), "names a field that the schema has not")?;
                    all.extend(positions.into_iter().map(|position| (position, Parts::Whole)));
                }
                Some((compound, parts)) => {
                    // A number may have a sign elsewhere, and has none here.
                    let number = Some(compound).filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()));
                    let position: usize = number
                        .and_then(|number| number.parse().ok())
                        .ok_or(BitmapError("has a compound field without a number"))?;
                    let slot = slots.get(position).ok_or(BitmapError("names a field that the schema has not"))?;
                    let record = schema.compound(slot).ok_or(BitmapError("has parts of a field without parts"))?;
                    let fields = schema.slots(record).len();
                    let parts = positions(parts, fields, "names a part that the schema has not")?;
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
}

/// The set bits of `0x<hex>`, lowest first, each below `fields`. A bit beyond ends it at once, so that no text makes a list
/// longer than the record has fields.
fn positions(text: &str, fields: usize, beyond: &'static str) -> Result<Vec<usize>, BitmapError> {
    let digits = text.strip_prefix("0x").filter(|digits| !digits.is_empty());
    let digits = digits.ok_or(BitmapError("does not begin with 0x"))?;
    let mut positions = Vec::new();
    for (place, digit) in digits.chars().rev().enumerate() {
        let digit = digit.to_digit(16).ok_or(BitmapError("has a digit that is not hexadecimal"))?;
        positions.extend((0..4).filter(|bit| digit >> bit & 1 == 1).map(|bit| 4 * place + bit));
        if positions.last().is_some_and(|last| *last >= fields) {
            return Err(BitmapError(beyond));
        }
    }
    Ok(positions)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

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

    #[test]
    fn a_number_with_a_sign_is_none() {
        let schema = vectors::schema("schema_account.json");
        assert!(Bits::read(&schema, ["4-0x01"]).is_ok());
        for entry in ["+4-0x01", "-4-0x01", "-0x01", "4-+0x01", "4-0x+1", "4--0x01"] {
            assert!(Bits::read(&schema, [entry]).is_err(), "{entry}");
        }
    }

    /// How many parts each field has, in which kind of union, and which of its bits are set.
    type Made = Vec<(usize, usize, Vec<bool>)>;

    fn made() -> impl Strategy<Value = Made> {
        vec((0_usize..12, 0_usize..4, vec(any::<bool>(), 12)), 1..90)
    }

    /// The schema of fields that are made up, the bits of each in the platform's form, and their names.
    fn written(made: &Made) -> (Schema, Vec<String>, Vec<String>) {
        let hex = |bits: &mut dyn Iterator<Item = usize>| {
            let mut bytes: Vec<u8> = Vec::new();
            for bit in bits {
                bytes.resize(bytes.len().max(bit / 8 + 1), 0);
                bytes[bit / 8] |= 1 << (bit % 8);
            }
            let digits: String = bytes.iter().rev().map(|byte| format!("{byte:02X}")).collect();
            (!digits.is_empty()).then(|| format!("0x{digits}"))
        };
        let (mut fields, mut names, mut nested, mut top) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut first: Option<(String, usize)> = None;
        for (position, (parts, union, set)) in made.iter().enumerate() {
            let name = format!("F{position}");
            let (mut parts, mut of) = (*parts, json!("string"));
            if parts > 0 {
                let slots: Vec<Json> =
                    (0..parts).map(|part| json!({"name": format!("P{part}"), "type": "int"})).collect();
                let own = format!("R{position}");
                of = json!({"type": "record", "name": own, "fields": slots});
                // Like an address: defined once, and named afterwards.
                match &first {
                    Some((record, size)) if position % 2 == 0 => (of, parts) = (json!(record), *size),
                    Some(_) => {}
                    None => first = Some((own, parts)),
                }
            }
            let set: Vec<usize> = (0..parts.max(1)).filter(|bit| set[*bit]).collect();
            if parts > 0 {
                names.extend(set.iter().map(|part| format!("{name}.P{part}")));
                nested.extend(hex(&mut set.iter().copied()).map(|bits| format!("{position}-{bits}")));
            } else if !set.is_empty() {
                names.push(name.clone());
                top.push(position);
            }
            let of = match (union, parts) {
                (0, _) => of,
                (1, _) | (_, 0) => json!(["null", of]),
                (2, _) => json!(["null", "string", of]),
                _ => json!(["string", of]),
            };
            fields.push(json!({"name": name, "type": of}));
        }
        let schema = json!({"type": "record", "name": "Root", "namespace": "com.example", "fields": fields});
        let entries = hex(&mut top.into_iter()).into_iter().chain(nested).collect();
        names.sort();
        (Schema::parse(&schema.to_string()).unwrap(), entries, names)
    }

    proptest::proptest! {
        /// Against schemas that are made up, in all kinds of unions, whole fields and parts together.
        #[test]
        fn the_fields_that_were_written_are_read(made in made()) {
            let (schema, entries, expected) = written(&made);
            let bits = Bits::read(&schema, entries.iter().map(String::as_str)).unwrap();
            proptest::prop_assert_eq!(names(&schema, &bits), expected);
        }

        #[test]
        fn one_bit_too_many_is_refused(made in made(), beyond in 0_usize..70) {
            let (schema, entries, _) = written(&made);
            let slots = schema.slots(schema.root());
            let bit = |position: usize| {
                let zeros = "0".repeat(position / 4);
                format!("0x{}{zeros}", 1 << (position % 4))
            };
            let with = |more: String| {
                Bits::read(&schema, entries.iter().map(String::as_str).chain([more.as_str()])).is_err()
            };
            let refused = with(bit(slots.len() + beyond));
            proptest::prop_assert!(refused);
            for (position, slot) in slots.iter().enumerate() {
                let parts = schema.compound(slot).map_or(0, |record| schema.slots(record).len());
                let refused = with(format!("{position}-{}", bit(parts + beyond)));
                proptest::prop_assert!(refused, "{}", position);
            }
        }

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
            let read = positions(&format!("0x{hex}"), 2_000, "").unwrap();
            proptest::prop_assert_eq!(read, set.into_iter().collect::<Vec<_>>());
        }
    }
}
