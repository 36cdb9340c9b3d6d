//! What stands for the values of a record, field by field, so that millions can be compared; pure.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::look::as_written;
use crate::event::{FieldName, Value};
use crate::hydrate;
use crate::mapping::Mapping;
use crate::past::rows::Row;
use crate::publish;

/// Bytes that stand for one field.
const BYTES: usize = 8;

/// The fields that follow the source after a record was created.
pub struct Digest {
    fields: Vec<FieldName>,
}

/// What a field of the target has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    Anything,
    One(u64),
    /// As the org cuts it off, or as it rounds it.
    Either(u64, u64),
    /// Only a look at the record can tell.
    Unclear,
}

impl Digest {
    pub fn new(mapping: &Mapping) -> Self {
        let mut fields: Vec<FieldName> =
            mapping.target_fields().filter(|field| mapping.is_lasting(field)).cloned().collect();
        fields.sort();
        fields.dedup();
        Self { fields }
    }

    /// Of a row of the target.
    pub fn of_row(&self, mapping: &Mapping, row: &Row) -> Vec<u8> {
        let mut digest = Vec::with_capacity(self.fields.len() * BYTES);
        for field in &self.fields {
            let stored = mapping.types().stored(field, &hydrate::value(row, field));
            digest.extend(hash(&stored).to_le_bytes());
        }
        digest
    }

    /// Of what is to be written.
    pub fn of_write(&self, mapping: &Mapping, fields: &BTreeMap<FieldName, publish::Cell>) -> Vec<Cell> {
        let types = mapping.types();
        let cell = |field: &FieldName| match fields.get(field).and_then(as_written).as_ref() {
            None => Cell::Anything,
            Some(publish::Cell::Value(value)) => {
                let stored = hash(&types.stored(field, value));
                types.rounded(field, value).map_or(Cell::One(stored), |rounded| Cell::Either(stored, hash(&rounded)))
            }
            Some(publish::Cell::Parent(reference)) => match reference.link {
                Some(link) => Cell::One(hash(&Value::text(link.as_str()))),
                None => Cell::Unclear,
            },
            Some(publish::Cell::Unfilled { emptied: true, .. }) => Cell::One(hash(&Value::Null)),
            Some(publish::Cell::Unfilled { emptied: false, .. }) => Cell::Anything,
        };
        self.fields.iter().map(cell).collect()
    }
}

/// Whether a record of the target holds what it has to.
pub fn agree(cells: &[Cell], digest: &[u8]) -> bool {
    let (digests, rest) = digest.as_chunks::<BYTES>();
    digests.len() == cells.len()
        && rest.is_empty()
        && cells.iter().zip(digests).all(|(cell, there)| {
            let there = u64::from_le_bytes(*there);
            match cell {
                Cell::Anything => true,
                Cell::One(wanted) => *wanted == there,
                Cell::Either(one, other) => *one == there || *other == there,
                Cell::Unclear => false,
            }
        })
}

/// The same as long as the process lasts.
pub fn hash(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::config::testing::between_two_orgs;

    #[test]
    fn a_record_agrees_when_each_field_that_lasts_holds_what_it_has_to() {
        let config = between_two_orgs(
            "pipelines:\n  - name: accounts\n    from: { org: a, channel: /data/AccountChangeEvent, object: Account }\n    to: { org: b, \
             object: Account, key: Key__c }\n    fields: { Key__c: Id, Name: Name, Phone: Phone, Site: { value: x, write_on: create } }\n",
        );
        let mapping = Mapping::new(&config.pipelines[0], &config);
        let digest = Digest::new(&mapping);
        let row = json!({"Id": "001", "Key__c": "k", "Name": "Acme", "Phone": null, "Site": "other"});
        let Json::Object(row) = row else { unreachable!() };
        let there = digest.of_row(&mapping, &row);
        let value = |text: &str| publish::Cell::Value(Value::text(text));
        let write = |cells: &[(&str, publish::Cell)]| {
            let cells = cells.iter().map(|(name, cell)| (name.parse().unwrap(), cell.clone())).collect();
            agree(&digest.of_write(&mapping, &cells), &there)
        };
        assert!(write(&[("Key__c", value("k")), ("Name", value(" Acme")), ("Phone", value("")), ("Site", value("x"))]));
        assert!(write(&[("Name", value("Acme"))]), "what is not written may be anything");
        assert!(!write(&[("Name", value("Acme ltd"))]));
        assert!(!write(&[("Phone", value("1"))]));
        assert!(!agree(&[Cell::Anything], &there) && !agree(&[], &[1]));
        let null = hash(&Value::Null);
        for (cell, agrees) in [(Cell::Either(7, null), true), (Cell::Either(7, 8), false), (Cell::Unclear, false)] {
            assert_eq!(agree(&[Cell::Anything, Cell::Anything, cell], &there), agrees, "Phone is the last and empty");
        }
    }
}
