//! What is known of a source record at the moment: by an event alone, or by a read.

use super::expression::Scope;
use std::collections::BTreeMap;

use crate::event::{Field, FieldPath, Header, Part, Record, RecordId, Value};

/// A record as rules and conditions see it.
pub(super) struct View<'v> {
    /// None: it is of a platform event, which is no record.
    record: Option<RecordId>,
    told: Told<'v>,
    header: Option<&'v Header>,
    hash_key: Option<&'v [u8]>,
}

#[derive(Clone, Copy)]
enum Told<'v> {
    /// An event that carries all that is not empty.
    Whole(&'v Part),
    /// An event that carries what changed, and perhaps a few unchanged fields.
    Partial(&'v Part),
    Read(&'v Record),
    /// An event, and its record as it was read for what the event does not say.
    Over(&'v Part, &'v Record),
    /// A platform event, with all of its fields.
    Event(&'v BTreeMap<String, Value>),
    /// Nothing but its id.
    Id,
}

impl<'v> View<'v> {
    /// A CREATE or UNDELETE: what is not in it is empty.
    pub fn whole(part: &'v Part) -> Self {
        Self { record: Some(part.record), told: Told::Whole(part), header: Some(&part.change.header), hash_key: None }
    }

    pub fn partial(part: &'v Part) -> Self {
        Self { record: Some(part.record), told: Told::Partial(part), header: Some(&part.change.header), hash_key: None }
    }

    /// `header`: of the event that the read was made for, if it was made for one.
    pub fn read(record: &'v Record, header: Option<&'v Header>) -> Self {
        Self { record: Some(record.id), told: Told::Read(record), header, hash_key: None }
    }

    /// What a change says, and for the rest its record as it was read.
    pub fn over(part: &'v Part, record: &'v Record) -> Self {
        Self {
            record: Some(part.record),
            told: Told::Over(part, record),
            header: Some(&part.change.header),
            hash_key: None,
        }
    }

    /// A platform event: what is not in it is empty.
    pub fn event(fields: &'v BTreeMap<String, Value>) -> Self {
        Self { record: None, told: Told::Event(fields), header: None, hash_key: None }
    }

    /// A record that is gone: its id is all that is left.
    pub fn id(record: RecordId) -> Self {
        Self { record: Some(record), told: Told::Id, header: None, hash_key: None }
    }

    /// The same record, as if nobody had changed it just now.
    pub fn of_nobody(&self) -> Self {
        Self { record: self.record, told: self.told, header: None, hash_key: self.hash_key }
    }

    /// What `hash` in an expression hashes with.
    pub fn hashing(self, key: Option<&'v [u8]>) -> Self {
        Self { hash_key: key, ..self }
    }

    /// The event that tells no more than what changed, if it is one.
    pub fn part(&self) -> Option<&'v Part> {
        match self.told {
            Told::Partial(part) => Some(part),
            Told::Whole(_) | Told::Read(_) | Told::Over(..) | Told::Event(_) | Told::Id => None,
        }
    }

    /// The value of a field; none where only a read can tell.
    pub fn value(&self, path: &FieldPath) -> Option<Value> {
        // `Id` is not in an event's body: it is the record's own id.
        if let (Some(record), "Id") = (self.record, path.as_str()) {
            return Some(Value::text(record.as_str()));
        }
        let field = match &self.told {
            Told::Whole(part) => part.field(path).unwrap_or(Field::New(Value::Null)),
            Told::Partial(part) => part.field(path)?,
            // All that the mapping reads was asked for.
            Told::Read(record) => Field::New(read(record, path)),
            Told::Over(part, record) => match part.field(path) {
                // A person's name comes in parts, and is read as one text.
                Some(Field::New(Value::Compound(_)) | Field::Same(Value::Compound(_))) if path.as_str() == "Name" => {
                    Field::New(read(record, path))
                }
                Some(told @ (Field::New(_) | Field::Same(_))) => told,
                Some(Field::Diff | Field::Patch(_)) | None => Field::New(read(record, path)),
            },
            Told::Event(fields) => Field::New(fields.get(path.as_str()).cloned().unwrap_or(Value::Null)),
            Told::Id => return None,
        };
        match field {
            // The parts of a person's name, which a read has as one text.
            Field::New(Value::Compound(_)) | Field::Same(Value::Compound(_))
                if path.as_str() == "Name" && !matches!(self.told, Told::Read(_) | Told::Event(_)) =>
            {
                None
            }
            Field::New(value) | Field::Same(value) => Some(value),
            Field::Diff | Field::Patch(_) => None,
        }
    }

    /// The field has another value than before, as far as is known: all of a whole record is new.
    pub fn changed(&self, path: &FieldPath) -> bool {
        match &self.told {
            Told::Whole(_) | Told::Read(_) | Told::Event(_) => true,
            Told::Partial(part) | Told::Over(part, _) => match part.field(path) {
                Some(Field::New(_) | Field::Diff | Field::Patch(_)) => true,
                Some(Field::Same(_)) | None => false,
            },
            Told::Id => false,
        }
    }
}

fn read(record: &Record, path: &FieldPath) -> Value {
    record.values.get(path).cloned().unwrap_or(Value::Null)
}

impl Scope for View<'_> {
    fn field(&self, path: &FieldPath) -> Option<Value> {
        self.value(path)
    }

    fn header(&self) -> Option<&Header> {
        self.header
    }

    fn hash_key(&self) -> Option<&[u8]> {
        self.hash_key
    }
}
