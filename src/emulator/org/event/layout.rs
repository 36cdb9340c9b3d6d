//! The layout of an event's record, as its Avro schema gives it, and its bytes (streaming-pubsub.md section 8).

use std::io::Read;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Error, Schema};
use serde::ser::{Serialize, SerializeTuple, Serializer};
use serde_json::Value as Json;

use super::bitmap::Place;
use super::cell::{Cell, Placed};
use super::header::Header;

/// The record of a name that may be a text as well: `Account.Name`.
pub const SWITCHABLE: &str = "Switchable_PersonName";

/// What the values of a field are, as its `doc` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// The change event's header, at position 0.
    Header,
    Text,
    Int,
    Double,
    Bool,
    DateTime,
    Date,
    Time,
    Parts {
        parts: Vec<Part>,
        /// The value may be a text too.
        or_text: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub name: String,
    pub form: Form,
    /// Its type is a union with null.
    pub optional: bool,
}

/// The fields of a record by their positions. Position 0 of a change event is its header.
#[derive(Debug)]
pub struct Layout {
    pub slots: Vec<Slot>,
    /// The record without the header.
    body: Schema,
    header: Option<Schema>,
}

/// Bytes that are no event of a layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAnEvent(String);

impl From<Error> for NotAnEvent {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

impl Layout {
    /// # Errors
    /// What is not as in the schemas of events.
    pub fn read(schema: &Json) -> Result<Self, NotAnEvent> {
        let odd = |what: &str| NotAnEvent(format!("a schema of an event: {what}"));
        let fields = schema.get("fields").and_then(Json::as_array).ok_or_else(|| odd("no fields"))?;
        let mut records = Vec::new();
        let mut slots = Vec::with_capacity(fields.len());
        for field in fields {
            slots.push(slot(field, &mut records).ok_or_else(|| odd(&field.to_string()))?);
        }
        let head = slots.first().is_some_and(|slot| slot.form == Form::Header);
        let part = |fields: &[Json]| {
            let mut part = schema.clone();
            if let Some(part) = part.as_object_mut() {
                part.insert("fields".into(), Json::from(fields));
            }
            Schema::parse(&part)
        };
        let header = match fields.first().and_then(|field| field.get("type")) {
            Some(header) if head => Some(Schema::parse(header)?),
            _ => None,
        };
        Ok(Self { slots, body: part(fields.get(usize::from(head)..).unwrap_or_default())?, header })
    }

    /// Of a record without fields.
    pub fn empty() -> Self {
        Self { slots: Vec::new(), body: Schema::Null, header: None }
    }

    /// The position of the first cell: behind the header, if there is one.
    pub fn first(&self) -> usize {
        usize::from(self.header.is_some())
    }

    /// Positions, slots and cells of a body.
    pub fn cells<'a, 'b>(
        &'a self,
        cells: &'a [Cell<'b>],
    ) -> impl Iterator<Item = (usize, &'a Slot, &'a Cell<'b>)> + Clone {
        let slots = self.slots.iter().enumerate().skip(self.first());
        slots.zip(cells).map(|((position, slot), cell)| (position, slot, cell))
    }

    /// The place of a field by its name, or of a part: `BillingAddress.Street`.
    pub fn place(&self, name: &str) -> Option<Place> {
        let (name, part) = name.split_once('.').map_or((name, None), |(name, part)| (name, Some(part)));
        let position = self.slots.iter().position(|slot| slot.name == name)?;
        let part = match (part, &self.slots.get(position)?.form) {
            (None, _) => None,
            (Some(part), Form::Parts { parts, .. }) => Some(parts.iter().position(|known| known.name == part)?),
            (Some(_), _) => return None,
        };
        Some((position, part))
    }

    /// The name of a place.
    pub fn name(&self, (position, part): Place) -> Option<String> {
        let slot = self.slots.get(position)?;
        match (part, &slot.form) {
            (None, _) => Some(slot.name.clone()),
            (Some(part), Form::Parts { parts, .. }) => Some(format!("{}.{}", slot.name, parts.get(part)?.name)),
            (Some(_), _) => None,
        }
    }

    /// The bytes of a record behind the header.
    ///
    /// # Errors
    /// Cells that do not fit the layout.
    pub fn encode(&self, cells: &[Cell<'_>]) -> Result<Vec<u8>, NotAnEvent> {
        self.encoder()?.encode(cells)
    }

    /// For many records: it is made once.
    ///
    /// # Errors
    /// Never for a schema that was read.
    pub fn encoder(&self) -> Result<Encoder<'_>, NotAnEvent> {
        Ok(Encoder { layout: self, writer: GenericDatumWriter::builder(&self.body).build()? })
    }

    /// The bytes of a header.
    ///
    /// # Errors
    /// When the layout has none.
    pub fn encode_header(&self, header: &Header) -> Result<Vec<u8>, NotAnEvent> {
        let schema = self.header.as_ref().ok_or_else(|| NotAnEvent("no change event".into()))?;
        let writer = GenericDatumWriter::builder(schema).build()?;
        let mut out = Vec::with_capacity(512);
        writer.write_ser(&mut out, header)?;
        Ok(out)
    }

    /// Reads the bytes of a whole record, all of them.
    ///
    /// # Errors
    /// Bytes that are no such record, that end too early, or go on behind it.
    pub fn decode(&self, payload: &[u8]) -> Result<(Option<Header>, Vec<Cell<'static>>), NotAnEvent> {
        let mut rest = Rest { bytes: payload, short: false };
        let header = match &self.header {
            Some(schema) => Some(GenericDatumReader::builder(schema).build()?.read_value(&mut rest)?),
            None => None,
        };
        let header = match header.map(Header::from_avro) {
            None => None,
            Some(Some(header)) => Some(header),
            Some(None) => return Err(NotAnEvent("a header of other fields".into())),
        };
        let body = GenericDatumReader::builder(&self.body).build()?.read_value(&mut rest)?;
        if rest.short {
            return Err(NotAnEvent("bytes are missing at the end".into()));
        }
        if !rest.bytes.is_empty() {
            return Err(NotAnEvent(format!("{} bytes are left over", rest.bytes.len())));
        }
        match Cell::from_avro(body) {
            Cell::Parts(cells) => Ok((header, cells)),
            _ => Err(NotAnEvent("not a record".into())),
        }
    }
}

/// Writes records behind their headers.
pub struct Encoder<'a> {
    layout: &'a Layout,
    writer: GenericDatumWriter<'a>,
}

impl Encoder<'_> {
    /// # Errors
    /// Cells that do not fit the layout.
    pub fn encode(&self, cells: &[Cell<'_>]) -> Result<Vec<u8>, NotAnEvent> {
        let mut out = Vec::with_capacity(256);
        self.writer.write_ser(&mut out, &Body { layout: self.layout, cells })?;
        Ok(out)
    }
}

/// What is left of a payload. Avro's library takes its end for null; here it is noted that more was wanted.
struct Rest<'a> {
    bytes: &'a [u8],
    short: bool,
}

impl Read for Rest<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.short |= buf.len() > self.bytes.len();
        self.bytes.read(buf)
    }
}

struct Body<'a> {
    layout: &'a Layout,
    cells: &'a [Cell<'a>],
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let slots = self.layout.cells(self.cells);
        // Field by field, not by name: a tuple of the record's length is written as the record.
        let mut record = serializer.serialize_tuple(self.cells.len())?;
        for (_, Slot { form, optional, .. }, cell) in slots {
            record.serialize_element(&Placed { cell, form, optional: *optional })?;
        }
        record.end()
    }
}

/// A field of the schema; `records` are the parts of the records that were defined before it.
fn slot(field: &Json, records: &mut Vec<(String, Vec<Part>)>) -> Option<Slot> {
    let name = field.get("name")?.as_str()?.to_owned();
    let kind = field.get("type")?;
    if name == "ChangeEventHeader" {
        return Some(Slot { name, form: Form::Header, optional: false });
    }
    let doc = field.get("doc").and_then(Json::as_str).unwrap_or_default().split(':').nth(1).unwrap_or_default();
    let branches: Vec<&Json> = match kind {
        Json::Array(branches) => branches.iter().filter(|branch| *branch != "null").collect(),
        one => vec![one],
    };
    let optional = kind.as_array().is_some_and(|branches| branches.first().is_some_and(|first| first == "null"));
    let form = match branches.as_slice() {
        [one] => form(one, doc, records)?,
        [text, record] if *text == "string" => match form(record, doc, records)? {
            Form::Parts { parts, .. } => Form::Parts { parts, or_text: true },
            _ => return None,
        },
        _ => return None,
    };
    Some(Slot { name, form, optional })
}

fn form(kind: &Json, doc: &str, records: &mut Vec<(String, Vec<Part>)>) -> Option<Form> {
    if let Some(record) = kind.as_object() {
        let part = |field: &Json| {
            let slot = slot(field, &mut Vec::new())?;
            Some(Part { name: slot.name, form: slot.form })
        };
        let parts: Option<Vec<Part>> = record.get("fields")?.as_array()?.iter().map(part).collect();
        records.push((record.get("name")?.as_str()?.to_owned(), parts.clone()?));
        return Some(Form::Parts { parts: parts?, or_text: false });
    }
    Some(match (kind.as_str()?, doc) {
        ("string", _) => Form::Text,
        ("int", _) => Form::Int,
        ("double", _) => Form::Double,
        ("boolean", _) => Form::Bool,
        ("long", "DateOnly") => Form::Date,
        ("long", "TimeOnly") => Form::Time,
        ("long", _) => Form::DateTime,
        (known, _) => {
            let parts = records.iter().find(|(name, _)| name == known)?.1.clone();
            Form::Parts { parts, or_text: false }
        }
    })
}

#[cfg(test)]
pub mod vectors {
    use super::*;

    pub fn layout(file: &str) -> Layout {
        let text = match file {
            "schema_account.json" => include_str!("../../../../tests/vectors/schema_account.json"),
            "schema_account_person.json" => include_str!("../../../../tests/vectors/schema_account_person.json"),
            "schema_contact.json" => include_str!("../../../../tests/vectors/schema_contact.json"),
            "schema_employee.json" => include_str!("../../../../tests/vectors/schema_employee.json"),
            "schema_employee_v2.json" => include_str!("../../../../tests/vectors/schema_employee_v2.json"),
            "schema_order_event.json" => include_str!("../../../../tests/vectors/schema_order_event.json"),
            other => panic!("no vector {other}"),
        };
        let file: Json = serde_json::from_str(text).unwrap();
        Layout::read(&file["schema"]).unwrap()
    }

    pub fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::bitmap;
    use super::vectors::{bytes, layout};
    use super::*;

    fn file(text: &str) -> Json {
        serde_json::from_str(text).unwrap()
    }

    /// A cell of the decoded JSON of a vector, where moments are numbers.
    fn cell(form: &Form, value: &Json) -> Cell<'static> {
        match (form, value) {
            (_, Json::Null) => Cell::Null,
            (Form::Parts { parts, .. }, Json::Object(values)) => {
                Cell::Parts(parts.iter().map(|part| cell(&part.form, &values[&part.name])).collect())
            }
            (Form::DateTime | Form::Date | Form::Time, value) => Cell::Long(value.as_i64().unwrap()),
            (Form::Parts { .. }, value) => Cell::of(&Form::Text, Some(value)).into_owned(),
            (form, value) => Cell::of(form, Some(value)).into_owned(),
        }
    }

    #[test]
    fn every_vector_is_encoded_to_its_bytes_and_decoded_from_them() {
        let events = file(include_str!("../../../../tests/vectors/avro_events.json"));
        let events = events["vectors"].as_array().unwrap();
        assert_eq!(events.len(), 26);
        for event in events {
            let layout = layout(event["schema_file"].as_str().unwrap());
            let decoded = &event["decoded"];
            let wanted = bytes(event["payload_hex"].as_str().unwrap());
            let (header, cells) = layout.decode(&wanted).unwrap();
            let slots = layout.slots.iter().skip(layout.first());
            let own: Vec<Cell> = slots.map(|slot| cell(&slot.form, &decoded[&slot.name])).collect();
            assert_eq!(cells, own, "{}", event["name"]);
            let mut written = match &header {
                Some(header) => layout.encode_header(header).unwrap(),
                None => Vec::new(),
            };
            written.extend(layout.encode(&own).unwrap());
            assert_eq!(written, wanted, "{}", event["name"]);
            for (key, texts) in header.iter().flat_map(|h| [("changedFields", &h.changed), ("nulledFields", &h.nulled)])
            {
                let names: Vec<String> =
                    bitmap::read(texts).unwrap().into_iter().map(|place| layout.name(place).unwrap()).collect();
                let mut wanted: Vec<String> = serde_json::from_value(event["bitmaps"][key]["names"].clone()).unwrap();
                wanted.sort_by_key(|name| layout.place(name));
                assert_eq!(names, wanted, "{} {key}", event["name"]);
            }
        }
    }

    #[test]
    fn what_must_fail_fails() {
        let cases = file(include_str!("../../../../tests/vectors/avro_must_fail.json"));
        for case in cases.as_array().unwrap() {
            let layout = layout(case["schema_file"].as_str().unwrap());
            let decoded = layout.decode(&bytes(case["payload_hex"].as_str().unwrap()));
            assert!(decoded.is_err(), "{}: {decoded:?}", case["why"]);
        }
    }

    #[test]
    fn no_vector_may_end_a_byte_too_early() {
        let events = file(include_str!("../../../../tests/vectors/avro_events.json"));
        for event in events["vectors"].as_array().unwrap() {
            let whole = bytes(event["payload_hex"].as_str().unwrap());
            let decoded = layout(event["schema_file"].as_str().unwrap()).decode(&whole[..whole.len() - 1]);
            assert!(decoded.is_err(), "{}", event["name"]);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(payload in proptest::collection::vec(any::<u8>(), 0..400)) {
            for name in ["schema_account_person.json", "schema_order_event.json"] {
                let _ = layout(name).decode(&payload);
            }
        }
    }
}
