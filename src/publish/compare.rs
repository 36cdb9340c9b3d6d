//! What of a write the target does not hold yet. Pure.
//!
//! An unchanged save still fires automation, so whatever is read of the past is compared with the target first.

use std::collections::BTreeMap;

use crate::event::{FieldName, RecordId, Value};

use super::write::Cell;

/// A record of the target as it was seen, in the fields that a pipeline writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counterpart {
    pub id: RecordId,
    /// A field that is not here is empty.
    pub values: BTreeMap<FieldName, Value>,
}

impl Counterpart {
    /// Those of the fields that would change something. A lookup of which the target's record is not known counts as one.
    /// `alike`: whether a field that holds the second value would be as it is after the first was written.
    pub fn lacks(
        &self,
        fields: &BTreeMap<FieldName, Cell>,
        alike: impl Fn(&FieldName, &Value, &Value) -> bool,
    ) -> BTreeMap<FieldName, Cell> {
        let lacking = fields.iter().filter(|(name, cell)| !self.holds(name, cell, &alike));
        lacking.map(|(name, cell)| (name.clone(), cell.clone())).collect()
    }

    fn holds(&self, name: &FieldName, cell: &Cell, alike: impl Fn(&FieldName, &Value, &Value) -> bool) -> bool {
        let there = self.values.get(name).unwrap_or(&Value::Null);
        match cell {
            Cell::Value(value) => alike(name, value, there),
            Cell::Parent(reference) => {
                let id = there.as_text().and_then(|id| id.parse::<RecordId>().ok());
                id.is_some() && id == reference.link
            }
            Cell::Unfilled { emptied, .. } => !emptied || is_empty(there),
        }
    }
}

/// Whether the target, which holds `there`, would be as it is after this was written. An empty text is stored as null (facts:
/// rest.md section 7).
pub fn same(value: &Value, there: &Value) -> bool {
    value == there || is_empty(value) && is_empty(there)
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_text() == Some("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::IfMissing;
    use crate::publish::Reference;
    use crate::store::Parent;

    fn id(n: usize) -> RecordId {
        format!("001T{n:011}").parse().unwrap()
    }

    fn parent(link: Option<RecordId>) -> Cell {
        let parent = Parent { target_object: "Account".parse().unwrap(), record: id(9) };
        Cell::Parent(Reference { parent, by_key: None, link, if_missing: IfMissing::Wait })
    }

    #[test]
    fn only_what_would_change_something_is_lacking() {
        let name = |name: &str| name.parse::<FieldName>().unwrap();
        let number = |text: &str| Value::Number(text.parse().unwrap());
        let there = Counterpart {
            id: id(1),
            values: [
                (name("Name"), Value::text("Acme")),
                (name("Amount"), number("20")),
                (name("Phone"), Value::Null),
                (name("Rating"), Value::text("Hot")),
                (name("ParentId"), Value::text(id(2).as_str())),
                (name("OwnerId"), Value::text(id(3).as_str())),
                (name("Other__c"), Value::text(id(3).as_str())),
            ]
            .into(),
        };
        for (field, cell, lacks) in [
            ("Name", Cell::Value(Value::text("Acme")), false),
            ("Name", Cell::Value(Value::text("acme")), true),
            ("Amount", Cell::Value(number("20.00")), false),
            ("Amount", Cell::Value(Value::text("20")), true),
            ("Phone", Cell::Value(Value::text("")), false),
            ("Unheard__c", Cell::Value(Value::Null), false),
            ("Unheard__c", Cell::Value(Value::Bool(false)), true),
            ("Rating", Cell::Value(Value::Null), true),
            ("ParentId", parent(Some(id(2))), false),
            ("ParentId", parent(Some(id(4))), true),
            ("ParentId", parent(None), true),
            ("Phone", parent(None), true),
            ("Other__c", Cell::Unfilled { parent: None, emptied: true }, true),
            ("Other__c", Cell::Unfilled { parent: None, emptied: false }, false),
            ("Phone", Cell::Unfilled { parent: None, emptied: true }, false),
        ] {
            let fields: BTreeMap<_, _> = [(name(field), cell.clone())].into();
            let expected = if lacks { fields.clone() } else { BTreeMap::new() };
            assert_eq!(there.lacks(&fields, |_, value, there| same(value, there)), expected, "{field}: {cell:?}");
        }
    }
}
