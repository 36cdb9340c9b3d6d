//! The payload of an event becomes a [`Change`] (facts: streaming-pubsub.md sections 8 and 9).
//!
//! Every field of the object is in the record. Null means 'unchanged', 'emptied' or 'empty', and only the bitmaps tell
//! which. What comes out is what the Streaming API would have made of the same happening.

use std::collections::BTreeMap;

use super::avro::{Datum, PayloadError, RecordType, Schema, SchemaError, Slot};
use super::bitmap::{BitmapError, Bits, Parts};
use crate::event::{
    Change, ChangeKind, Channel, Field, Fields, Happening, Header, RecordChange, RecordId, ReplayId, TextDiff,
    Timestamp, Value,
};

const HEADER: &str = "ChangeEventHeader";

/// Why an event could not be read. Names fields, and no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error(transparent)]
    Payload(#[from] PayloadError),
    #[error(transparent)]
    Bitmap(#[from] BitmapError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error("the header's {0} is missing, or of another type than is documented")]
    Header(&'static str),
    #[error("the field {field} {what}")]
    Field { field: String, what: &'static str },
}

/// An event that this release cannot read, and what of it could be read all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// Whom it speaks of, where the header was readable.
    pub header: Option<Header>,
    pub reason: Reason,
}

impl Undecodable {
    pub fn boxed(header: Option<Header>, reason: Reason) -> Box<Self> {
        Box::new(Self { header, reason })
    }
}

/// `event_id` is the `ProducerEvent.id`: the UUID of a platform event.
pub fn change(
    schema: &Schema,
    channel: &Channel,
    replay_id: ReplayId,
    event_id: &str,
    payload: &[u8],
) -> Result<Change, Box<Undecodable>> {
    let is_change = schema.slots(schema.root()).first().is_some_and(|slot| slot.name == HEADER);
    let (values, broken) = match schema.decode(payload) {
        Ok(values) => (values, None),
        Err(broken) => (broken.fields, Some(broken.error)),
    };
    let of_header = if is_change { values.first().map(|value| header(schema, value)) } else { None };
    let happening = match (broken, of_header) {
        (Some(error), of_header) => {
            let header = of_header.and_then(Result::ok).map(|(header, _)| header);
            return Err(Undecodable::boxed(header, error.into()));
        }
        (None, Some(Ok((header, entries)))) => match fields(schema, header.change_type, &entries, &values) {
            Ok(fields) => Happening::Record(RecordChange { header, fields }),
            Err(reason) => return Err(Undecodable::boxed(Some(header), reason)),
        },
        (None, Some(Err(reason))) => return Err(Undecodable::boxed(None, reason)),
        (None, None) => match event_fields(schema, &values) {
            Ok(fields) => Happening::Event { uuid: Some(event_id.to_owned()).filter(|id| !id.is_empty()), fields },
            Err(reason) => return Err(Undecodable::boxed(None, reason)),
        },
    };
    Ok(Change { channel: channel.clone(), replay_id, happening })
}

/// The bitmaps of the header, as they came.
#[derive(Debug, Default)]
struct Entries<'p> {
    changed: Vec<&'p str>,
    nulled: Vec<&'p str>,
    differences: Vec<&'p str>,
}

fn header<'p>(schema: &Schema, value: &Datum<'p>) -> Result<(Header, Entries<'p>), Reason> {
    let Datum::Record(record, values) = value else { return Err(Reason::Header(HEADER)) };
    let slots = schema.slots(*record);
    let get = |name: &str| slots.iter().zip(values).find(|(slot, _)| slot.name == name);
    let text = |name: &'static str| match get(name) {
        Some((_, Datum::Text(text))) => Ok(*text),
        _ => Err(Reason::Header(name)),
    };
    let number = |name: &'static str| match get(name) {
        Some((_, Datum::Long(number))) => Ok(*number),
        _ => Err(Reason::Header(name)),
    };
    // Schemas of old versions lack some of the lists.
    let list = |name: &'static str| match get(name) {
        None => Ok(Vec::new()),
        Some((_, Datum::List(items))) => {
            let texts = items.iter().map(|item| match item {
                Datum::Text(text) => Some(*text),
                _ => None,
            });
            texts.collect::<Option<Vec<_>>>().ok_or(Reason::Header(name))
        }
        Some(_) => Err(Reason::Header(name)),
    };
    let ids = list("recordIds")?;
    // `001*` and the zero id speak of records that the event does not name, and so does a list without any.
    let record_ids: Vec<RecordId> =
        ids.iter().filter_map(|id| id.parse().ok()).filter(|id: &RecordId| !id.is_zero()).collect();
    let wildcard = record_ids.len() < ids.len() || record_ids.is_empty();
    let change_type = match get("changeType") {
        Some((slot, Datum::Long(index))) => schema.symbol(slot, *index),
        Some((_, Datum::Text(text))) => Some(*text),
        _ => None,
    };
    let change_type: ChangeKind = change_type.and_then(|name| name.parse().ok()).ok_or(Reason::Header("changeType"))?;
    let header = Header {
        entity_name: text("entityName")?.parse().map_err(|_| Reason::Header("entityName"))?,
        record_ids,
        wildcard,
        change_type,
        change_origin: text("changeOrigin").unwrap_or_default().to_owned(),
        transaction_key: text("transactionKey")?.to_owned(),
        sequence_number: number("sequenceNumber")?,
        commit_timestamp: Timestamp(number("commitTimestamp")?),
        // For people only.
        commit_number: number("commitNumber").unwrap_or_default(),
        commit_user: text("commitUser").unwrap_or_default().to_owned(),
    };
    let entries =
        Entries { changed: list("changedFields")?, nulled: list("nulledFields")?, differences: list("diffFields")? };
    Ok((header, entries))
}

/// The values behind the header, with their position and field.
fn body<'v, 'p>(schema: &'v Schema, values: &'v [Datum<'p>]) -> impl Iterator<Item = (usize, &'v Slot, &'v Datum<'p>)> {
    let slots = schema.slots(schema.root()).iter().zip(values);
    slots
        .enumerate()
        .map(|(position, (slot, value))| (position, slot, value))
        .filter(|(_, slot, _)| slot.name != HEADER)
}

fn fields(schema: &Schema, kind: ChangeKind, entries: &Entries<'_>, values: &[Datum<'_>]) -> Result<Fields, Reason> {
    let changed = Bits::read(schema, entries.changed.iter().copied())?;
    let nulled = Bits::read(schema, entries.nulled.iter().copied())?;
    let differences = Bits::read(schema, entries.differences.iter().copied())?;
    let mut fields = Fields::new();
    // An update always changes something, so without any entry the lists are not kept.
    let listed = kind == ChangeKind::Update && !changed.is_empty();
    for (position, slot, datum) in body(schema, values) {
        let field = match kind {
            // Whatever else the event says of it: a difference must never pass for a value.
            ChangeKind::Create | ChangeKind::Undelete | ChangeKind::Update if differences.get(position).is_some() => {
                Some(match (differences.get(position), datum) {
                    (Some(Parts::Whole), Datum::Text(diff)) => Field::Patch(TextDiff::new(*diff)),
                    // Not as documented: it must be read all the same.
                    _ => Field::Diff,
                })
            }
            // Null is empty, and an empty field is not told.
            ChangeKind::Create | ChangeKind::Undelete => present(schema, slot, datum)?.map(Field::New),
            // UNSURE whether what is nulled is always listed as changed too: it counts by itself.
            ChangeKind::Update => match changed.get(position).or_else(|| nulled.get(position)) {
                None if listed => present(schema, slot, datum)?.map(Field::Same),
                None => present(schema, slot, datum)?.map(Field::New),
                Some(Parts::Whole) => Some(Field::New(whole(schema, slot, datum)?)),
                Some(Parts::Some(parts)) => {
                    let also = match nulled.get(position) {
                        Some(Parts::Some(parts)) => parts.as_slice(),
                        Some(Parts::Whole) | None => &[],
                    };
                    let parts = parts.iter().chain(also).copied();
                    Some(Field::New(some_parts(schema, slot, datum, parts)?))
                }
            },
            // What these carry is enrichment.
            ChangeKind::Delete
            | ChangeKind::GapCreate
            | ChangeKind::GapUpdate
            | ChangeKind::GapDelete
            | ChangeKind::GapUndelete
            | ChangeKind::GapOverflow => present(schema, slot, datum)?.map(Field::Same),
        };
        fields.extend(field.map(|field| (slot.name.clone(), field)));
    }
    Ok(fields)
}

/// Of a platform event: empty fields are left out, as the Streaming API may do.
fn event_fields(schema: &Schema, values: &[Datum<'_>]) -> Result<BTreeMap<String, Value>, Reason> {
    let mut fields = BTreeMap::new();
    for (_, slot, datum) in body(schema, values) {
        fields.extend(present(schema, slot, datum)?.map(|value| (slot.name.clone(), value)));
    }
    Ok(fields)
}

/// None for null. Of a compound only the parts that have a value, and None if none has.
fn present(schema: &Schema, slot: &Slot, datum: &Datum<'_>) -> Result<Option<Value>, Reason> {
    Ok(match whole(schema, slot, datum)? {
        Value::Null => None,
        Value::Compound(parts) => {
            let parts: BTreeMap<_, _> = parts.into_iter().filter(|(_, part)| !part.is_null()).collect();
            (!parts.is_empty()).then_some(Value::Compound(parts))
        }
        value => Some(value),
    })
}

fn whole(schema: &Schema, slot: &Slot, datum: &Datum<'_>) -> Result<Value, Reason> {
    match datum {
        Datum::Record(record, values) => {
            let parts = schema.slots(*record).iter().zip(values);
            let parts = parts.map(|(part, value)| Ok((part.name.clone(), simple(part, value)?)));
            Ok(Value::Compound(parts.collect::<Result<_, Reason>>()?))
        }
        simple_value => simple(slot, simple_value),
    }
}

/// Only these parts of a compound, by the record that the schema foresees: one that is null as a whole has them null.
fn some_parts(
    schema: &Schema,
    slot: &Slot,
    datum: &Datum<'_>,
    positions: impl Iterator<Item = usize>,
) -> Result<Value, Reason> {
    let error = |what| Reason::Field { field: slot.name.clone(), what };
    let (record, values): (RecordType, Option<&[Datum<'_>]>) = match datum {
        Datum::Record(record, values) => (*record, Some(values)),
        Datum::Null => (schema.compound(slot).ok_or_else(|| error(NO_PARTS))?, None),
        // Of a name that is a text none of its parts is known, so none may count as emptied.
        Datum::Boolean(_) | Datum::Long(_) | Datum::Double(_) | Datum::Text(_) | Datum::Bytes(_) | Datum::List(_) => {
            return Err(error(NO_PARTS));
        }
    };
    let mut parts = BTreeMap::new();
    for position in positions {
        let part = schema.slots(record).get(position).ok_or_else(|| error("has fewer parts than are listed"))?;
        let value = match values {
            Some(values) => simple(part, values.get(position).unwrap_or(&Datum::Null))?,
            None => Value::Null,
        };
        parts.insert(part.name.clone(), value);
    }
    Ok(Value::Compound(parts))
}

/// A value that has no parts, in the form that REST and the Streaming API have.
fn simple(slot: &Slot, datum: &Datum<'_>) -> Result<Value, Reason> {
    let error = |what| Reason::Field { field: slot.name.clone(), what };
    Ok(match datum {
        Datum::Null => Value::Null,
        Datum::Boolean(flag) => Value::Bool(*flag),
        Datum::Text(text) => Value::text(*text),
        Datum::Long(number) => match slot.meaning.as_str() {
            "DateTime" => Value::Text(moment(*number, "%Y-%m-%dT%H:%M:%S%.3fZ").ok_or_else(|| error(TOO_FAR))?),
            "DateOnly" => Value::Text(moment(*number, "%Y-%m-%d").ok_or_else(|| error(TOO_FAR))?),
            "TimeOnly" => Value::Text(moment(*number, "%H:%M:%S%.3fZ").ok_or_else(|| error(TOO_FAR))?),
            _ => Value::Number((*number).into()),
        },
        // The shortest text that is this double again.
        Datum::Double(number) if number.is_finite() => {
            Value::Number(number.to_string().parse().map_err(|_| error("is a number that cannot be written"))?)
        }
        Datum::Double(_) => return Err(error("is not a number")),
        Datum::Bytes(_) | Datum::List(_) => return Err(error("is of a type that no field of an object has")),
        Datum::Record(..) => return Err(error("has parts within its parts")),
    })
}

const NO_PARTS: &str = "has no parts, and parts of it are listed";
const TOO_FAR: &str = "is a time that no calendar has";

fn moment(millis: i64, form: &str) -> Option<String> {
    Some(chrono::DateTime::from_timestamp_millis(millis)?.format(form).to_string())
}

#[cfg(test)]
mod tests;
