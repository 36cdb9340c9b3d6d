//! An event that is to be published, as the record of its schema: the way back of `decode` (facts: streaming-pubsub.md
//! sections 8 and 11). Only what a platform event has: no records, lists or bytes.

use chrono::{NaiveDate, NaiveTime, Timelike as _};

use super::{DEPTH_MAX, Node, Schema, Slot};
use crate::event::{Timestamp, Value};

/// A field that cannot hold what it should. Names no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    #[error("{field} takes {wanted}")]
    Type { field: String, wanted: &'static str },
    /// It has no value, and may not be empty.
    #[error("{field} may not be empty")]
    Empty { field: String },
}

impl Schema {
    /// The payload of an event whose fields have these values; a field for which there is none is empty.
    pub fn encode<'v>(&self, value: impl Fn(&Slot) -> Option<&'v Value>) -> Result<Vec<u8>, Misfit> {
        let mut payload = Vec::new();
        for slot in self.slots(self.root()) {
            let value = value(slot).unwrap_or(&Value::Null);
            match self.put(slot.node, &slot.meaning, value, &mut payload, 0) {
                Ok(()) => {}
                Err(_) if value.is_null() => return Err(Misfit::Empty { field: slot.name.clone() }),
                Err(wanted) => return Err(Misfit::Type { field: slot.name.clone(), wanted }),
            }
        }
        Ok(payload)
    }

    /// Writes a value, or says what the node wants and writes nothing.
    fn put(
        &self,
        node: usize,
        meaning: &str,
        value: &Value,
        to: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), &'static str> {
        let node = self.nodes.get(node).filter(|_| depth <= DEPTH_MAX).unwrap_or(&Node::Undefined);
        match (node, value) {
            (Node::Union(branches), value) => {
                let mut wanted = "nothing";
                for (index, branch) in branches.iter().enumerate() {
                    let mut inner = Vec::new();
                    match self.put(*branch, meaning, value, &mut inner, depth + 1) {
                        Ok(()) => {
                            long(to, i64::try_from(index).map_err(|_| wanted)?);
                            to.append(&mut inner);
                            return Ok(());
                        }
                        // The branch for nothing says nothing of the type.
                        Err("nothing") => {}
                        Err(other) => wanted = other,
                    }
                }
                Err(wanted)
            }
            (Node::Null, Value::Null) => Ok(()),
            (Node::Null, _) => Err("nothing"),
            (Node::Boolean, Value::Bool(bool)) => {
                to.push(u8::from(*bool));
                Ok(())
            }
            (Node::Boolean, _) => Err("true or false"),
            (Node::Int | Node::Long, value) => {
                let number = whole(meaning, value)?;
                if matches!(node, Node::Int) {
                    i32::try_from(number).map_err(|_| "a number of at most 32 bits")?;
                }
                long(to, number);
                Ok(())
            }
            (Node::Float, value) => {
                // What a float cannot hold exactly is rounded, as the type says.
                #[allow(clippy::cast_possible_truncation)]
                let number = double(value)? as f32;
                to.extend(number.to_le_bytes());
                Ok(())
            }
            (Node::Double, value) => {
                to.extend(double(value)?.to_le_bytes());
                Ok(())
            }
            (Node::Text, Value::Text(text)) => {
                long(to, i64::try_from(text.len()).map_err(|_| "a shorter text")?);
                to.extend(text.as_bytes());
                Ok(())
            }
            (Node::Text, _) => Err("a text"),
            (Node::Enum(symbols), value) => {
                let found = value.as_text().and_then(|text| symbols.iter().position(|symbol| symbol == text));
                let index = found.and_then(|index| i64::try_from(index).ok()).ok_or("one of its own words")?;
                long(to, index);
                Ok(())
            }
            (Node::Undefined | Node::Bytes | Node::Fixed(_) | Node::Array(_) | Node::Map(_) | Node::Record(_), _) => {
                Err("what no mapping makes")
            }
        }
    }
}

/// A whole number, or the moment that a text tells, in milliseconds.
fn whole(meaning: &str, value: &Value) -> Result<i64, &'static str> {
    match meaning {
        "DateTime" => {
            let wanted = "a moment as text: 2024-01-31T10:15:00.000Z";
            Ok(value.as_text().and_then(Timestamp::read).ok_or(wanted)?.0)
        }
        "DateOnly" => {
            let wanted = "a date as text: 2024-01-31";
            let date =
                value.as_text().and_then(|text| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).ok_or(wanted)?;
            Ok(date.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
        }
        "TimeOnly" => {
            let wanted = "a time as text: 10:15:00.000Z";
            let time =
                value.as_text().and_then(|text| NaiveTime::parse_from_str(text, "%H:%M:%S%.fZ").ok()).ok_or(wanted)?;
            Ok(i64::from(time.num_seconds_from_midnight()) * 1_000 + i64::from(time.nanosecond() / 1_000_000 % 1_000))
        }
        _ => match value {
            Value::Number(number) => number.as_str().parse().map_err(|_| "a whole number of at most 64 bits"),
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::Compound(_) => Err("a whole number"),
        },
    }
}

/// The double that is nearest.
fn double(value: &Value) -> Result<f64, &'static str> {
    let Value::Number(number) = value else { return Err("a number") };
    number.as_str().parse::<f64>().ok().filter(|number| number.is_finite()).ok_or("a number that a double holds")
}

fn long(to: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    loop {
        // Seven bits of it.
        let [byte, ..] = (rest & 0x7f).to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            to.push(byte);
            return;
        }
        to.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use apache_avro::reader::datum::GenericDatumReader;
    use apache_avro::types::Value as Avro;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::subscribe::pubsub::avro::Datum;

    const MILLIS: i64 = 1_714_156_703_517;
    const MOMENT: &str = "2024-04-26T18:38:23.517Z";

    fn schema_text() -> String {
        let maybe = |kind: &str| json!(["null", kind]);
        let field = |name: &str, kind, doc: &str| json!({"name": name, "type": kind, "doc": doc});
        json!({"type": "record", "name": "Order_Shipped__e", "namespace": "com.sforce.eventbus", "fields": [
            field("CreatedDate", json!("long"), "CreatedDate:DateTime"),
            field("CreatedById", json!("string"), "CreatedBy:EntityId"),
            field("Text__c", maybe("string"), "Data:Text"),
            field("Bool__c", maybe("boolean"), "Data:Boolean"),
            field("Number__c", maybe("double"), "Data:Double"),
            field("Int__c", maybe("int"), "Data:Integer"),
            field("At__c", maybe("long"), "Data:DateTime"),
            field("On__c", maybe("long"), "Data:DateOnly"),
            field("Time__c", maybe("long"), "Data:TimeOnly"),
        ]})
        .to_string()
    }

    fn number(text: &str) -> Value {
        Value::Number(text.parse().unwrap())
    }

    fn encode(values: &[(&str, Value)]) -> Result<Vec<u8>, Misfit> {
        let schema = Schema::parse(&schema_text()).unwrap();
        let mut all =
            HashMap::from([("CreatedDate", Value::text(MOMENT)), ("CreatedById", Value::text("0055e000001AbCdAAK"))]);
        all.extend(values.iter().cloned());
        schema.encode(|slot| all.get(slot.name.as_str()))
    }

    #[test]
    fn another_reader_finds_each_value_where_it_was_put() {
        let payload = encode(&[
            ("Text__c", Value::text("Käse")),
            ("Bool__c", Value::Bool(true)),
            ("Number__c", number("-12.5")),
            ("Int__c", number("-7")),
            ("At__c", Value::text("2024-04-26T20:38:23.517+0200")),
            ("On__c", Value::text("1969-12-31")),
            ("Time__c", Value::text("10:15:00.250Z")),
        ])
        .unwrap();
        let schema = apache_avro::Schema::parse_str(&schema_text()).unwrap();
        let mut bytes = payload.as_slice();
        let read = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut bytes).unwrap();
        assert!(bytes.is_empty());
        let Avro::Record(fields) = read else { panic!("{read:?}") };
        let some = |value| Avro::Union(1, Box::new(value));
        let expected = [
            Avro::Long(MILLIS),
            Avro::String("0055e000001AbCdAAK".into()),
            some(Avro::String("Käse".into())),
            some(Avro::Boolean(true)),
            some(Avro::Double(-12.5)),
            some(Avro::Int(-7)),
            some(Avro::Long(MILLIS)),
            some(Avro::Long(-86_400_000)),
            some(Avro::Long(36_900_250)),
        ];
        assert_eq!(fields.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_has_no_value_is_empty_and_what_must_have_one_is_refused() {
        let payload = encode(&[]).unwrap();
        let schema = Schema::parse(&schema_text()).unwrap();
        let fields = schema.decode(&payload).unwrap();
        assert_eq!(fields[0], Datum::Long(MILLIS));
        assert!(fields[2..].iter().all(|field| *field == Datum::Null));
        let empty = Misfit::Empty { field: "CreatedById".to_owned() };
        assert_eq!(encode(&[("CreatedById", Value::Null)]), Err(empty));
    }

    #[test]
    fn a_value_of_another_type_is_refused_and_the_field_is_named() {
        for (field, value) in [
            ("Text__c", number("1")),
            ("Text__c", Value::Compound(std::collections::BTreeMap::new())),
            ("Bool__c", Value::text("true")),
            ("Number__c", Value::text("1")),
            ("Number__c", number(&"9".repeat(400))),
            ("Int__c", number("1.5")),
            ("Int__c", number("2147483648")),
            ("At__c", Value::text("2024-04-26")),
            ("At__c", number("1714156703517")),
            ("On__c", Value::text(MOMENT)),
            ("Time__c", Value::text("late")),
        ] {
            let misfit = encode(&[(field, value)]).unwrap_err();
            assert!(
                matches!(&misfit, Misfit::Type { field: named, wanted } if named == field && *wanted != "nothing"),
                "{misfit}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_whole_number_and_text_comes_back(whole in any::<i64>(), text in ".*") {
            let schema = json!({"type": "record", "name": "E", "fields": [
                {"name": "a", "type": ["null", "long"]}, {"name": "b", "type": "string"},
            ]});
            let schema = Schema::parse(&schema.to_string()).unwrap();
            let (number, words) = (Value::Number(whole.into()), Value::text(text.clone()));
            let payload = schema.encode(|slot| Some(if slot.name == "a" { &number } else { &words })).unwrap();
            prop_assert_eq!(schema.decode(&payload).unwrap(), vec![Datum::Long(whole), Datum::Text(&text)]);
        }
    }
}
