//! Avro as the Pub/Sub API uses it (facts: streaming-pubsub.md section 8): one record, nothing around it, decoded with
//! the schema of exactly that event. All bytes must be used, or it was the wrong schema.
//!
//! Nothing in a payload or a schema can make the decoder run away: depth, number of values and lengths are bounded.

use std::collections::HashMap;

use serde_json::Value as Json;

mod encode;

pub use encode::Misfit;

/// Records, arrays and unions within each other. Change events need 4.
const DEPTH_MAX: usize = 16;
/// Nodes of a schema: the largest objects have some 1,000 fields.
const NODES_MAX: usize = 50_000;
/// Values in one payload. Items that take no bytes would else be free.
const VALUES_MAX: usize = 100_000;

/// A schema, compiled to nodes that refer to each other by number.
#[derive(Debug)]
pub struct Schema {
    nodes: Vec<Node>,
    root: usize,
}

#[derive(Debug)]
enum Node {
    /// A name that was spoken of before it is defined; never left in a schema that parsed.
    Undefined,
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<Slot>),
}

/// A field of a record.
#[derive(Debug)]
pub struct Slot {
    pub name: String,
    /// The second word of its `doc`: `DateTime` of `CreatedDate:DateTime`. Empty where there is none.
    pub meaning: String,
    node: usize,
}

/// A decoded value. A union is the value of its branch.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum<'p> {
    Null,
    Boolean(bool),
    /// Also the number of an enum's symbol.
    Long(i64),
    Double(f64),
    Text(&'p str),
    Bytes(&'p [u8]),
    List(Vec<Datum<'p>>),
    /// By the number of its record in the schema.
    Record(RecordType, Vec<Datum<'p>>),
}

/// Which record of a schema; see [`Schema::slots`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordType(usize);

/// A schema that this decoder cannot use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schema cannot be used: {0}")]
pub struct SchemaError(pub &'static str);

/// Bytes that are not what the schema says. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}, in {field}")]
pub struct PayloadError {
    pub what: &'static str,
    pub at: usize,
    /// `BillingAddress.Street`; `the end` where the payload should have ended.
    pub field: String,
}

/// A payload that could be read in part: the fields before the one that could not.
#[derive(Debug, PartialEq)]
pub struct Broken<'p> {
    pub fields: Vec<Datum<'p>>,
    pub error: PayloadError,
}

impl Schema {
    /// From Avro's JSON. Attributes that are not known are ignored, as Salesforce adds some.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let json: Json = serde_json::from_str(text).map_err(|_| SchemaError("it is not JSON"))?;
        let mut parser = Parser { nodes: Vec::new(), names: HashMap::new() };
        let root = parser.node(&json, "", 0)?;
        if parser.nodes.iter().any(|node| matches!(node, Node::Undefined)) {
            return Err(SchemaError("a type is named and never defined"));
        }
        match parser.nodes.get(root) {
            Some(Node::Record(_)) => Ok(Self { nodes: parser.nodes, root }),
            _ => Err(SchemaError("it is no record")),
        }
    }

    /// The fields of the event itself.
    pub fn root(&self) -> RecordType {
        RecordType(self.root)
    }

    /// The fields of a record of this schema, in their order.
    pub fn slots(&self, record: RecordType) -> &[Slot] {
        match self.nodes.get(record.0) {
            Some(Node::Record(slots)) => slots,
            _ => &[],
        }
    }

    /// The record that a field can hold: itself, or the one record branch of its union.
    pub fn compound(&self, slot: &Slot) -> Option<RecordType> {
        let is_record = |node: &usize| matches!(self.nodes.get(*node), Some(Node::Record(_)));
        match self.nodes.get(slot.node)? {
            Node::Record(_) => Some(RecordType(slot.node)),
            Node::Union(branches) => branches.iter().copied().find(|branch| is_record(branch)).map(RecordType),
            _ => None,
        }
    }

    /// The text of an enum's value, of the field at this place of a record.
    pub fn symbol(&self, slot: &Slot, index: i64) -> Option<&str> {
        match self.nodes.get(slot.node)? {
            Node::Enum(symbols) => symbols.get(usize::try_from(index).ok()?).map(String::as_str),
            _ => None,
        }
    }

    /// The values of the root's fields, in their order.
    pub fn decode<'p>(&self, payload: &'p [u8]) -> Result<Vec<Datum<'p>>, Broken<'p>> {
        let mut reader = Reader { schema: self, bytes: payload, at: 0, values: 0, within: Vec::new() };
        let mut fields = Vec::new();
        for slot in self.slots(self.root()) {
            match reader.value(slot.node, 1) {
                Ok(value) => fields.push(value),
                Err(what) => {
                    let path = reader.within.iter().rev().fold(slot.name.clone(), |path, part| path + "." + part);
                    let error = PayloadError { what, at: reader.at, field: path };
                    return Err(Broken { fields, error });
                }
            }
        }
        if reader.at < payload.len() {
            let error = PayloadError { what: "bytes are left over", at: reader.at, field: "the end".to_owned() };
            return Err(Broken { fields, error });
        }
        Ok(fields)
    }
}

struct Parser {
    nodes: Vec<Node>,
    /// Full name to node.
    names: HashMap<String, usize>,
}

impl Parser {
    fn add(&mut self, node: Node) -> Result<usize, SchemaError> {
        if self.nodes.len() >= NODES_MAX {
            return Err(SchemaError("it is too large"));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    fn node(&mut self, json: &Json, namespace: &str, depth: usize) -> Result<usize, SchemaError> {
        if depth > DEPTH_MAX {
            return Err(SchemaError("it is nested too deeply"));
        }
        match json {
            Json::String(name) => self.named(name, namespace),
            Json::Array(branches) => {
                let branches = branches.iter().map(|branch| self.node(branch, namespace, depth + 1));
                let branches = branches.collect::<Result<Vec<_>, _>>()?;
                self.add(Node::Union(branches))
            }
            Json::Object(object) => match object.get("type") {
                Some(Json::String(kind)) => match kind.as_str() {
                    "record" => {
                        let (node, namespace) = self.define(json, namespace)?;
                        let fields = object.get("fields").and_then(Json::as_array);
                        let fields = fields.ok_or(SchemaError("a record has no fields"))?;
                        let slots = fields.iter().map(|field| self.slot(field, &namespace, depth + 1));
                        let slots = slots.collect::<Result<Vec<_>, _>>()?;
                        self.set(node, Node::Record(slots));
                        Ok(node)
                    }
                    "enum" => {
                        let (node, _) = self.define(json, namespace)?;
                        let symbols = object.get("symbols").and_then(Json::as_array);
                        let symbols = symbols.ok_or(SchemaError("an enum has no symbols"))?.iter();
                        let symbols = symbols.map(|symbol| symbol.as_str().map(str::to_owned)).collect::<Option<_>>();
                        self.set(node, Node::Enum(symbols.ok_or(SchemaError("a symbol is no text"))?));
                        Ok(node)
                    }
                    "fixed" => {
                        let (node, _) = self.define(json, namespace)?;
                        let size = object.get("size").and_then(Json::as_u64).and_then(|size| size.try_into().ok());
                        self.set(node, Node::Fixed(size.ok_or(SchemaError("a fixed type has no size"))?));
                        Ok(node)
                    }
                    "array" => {
                        let items = object.get("items").ok_or(SchemaError("an array has no items"))?;
                        let items = self.node(items, namespace, depth + 1)?;
                        self.add(Node::Array(items))
                    }
                    "map" => {
                        let values = object.get("values").ok_or(SchemaError("a map has no values"))?;
                        let values = self.node(values, namespace, depth + 1)?;
                        self.add(Node::Map(values))
                    }
                    // A primitive or a name, written as an object.
                    name => self.named(name, namespace),
                },
                Some(inner) => self.node(inner, namespace, depth + 1),
                None => Err(SchemaError("a type is missing")),
            },
            Json::Null | Json::Bool(_) | Json::Number(_) => Err(SchemaError("a type is neither text, list nor object")),
        }
    }

    fn slot(&mut self, field: &Json, namespace: &str, depth: usize) -> Result<Slot, SchemaError> {
        let name = field.get("name").and_then(Json::as_str).ok_or(SchemaError("a field has no name"))?;
        let doc = field.get("doc").and_then(Json::as_str).unwrap_or_default();
        let node = self.node(field.get("type").ok_or(SchemaError("a field has no type"))?, namespace, depth)?;
        Ok(Slot { name: name.to_owned(), meaning: doc.split(':').nth(1).unwrap_or_default().to_owned(), node })
    }

    fn named(&mut self, name: &str, namespace: &str) -> Result<usize, SchemaError> {
        let primitive = match name {
            "null" => Node::Null,
            "boolean" => Node::Boolean,
            "int" => Node::Int,
            "long" => Node::Long,
            "float" => Node::Float,
            "double" => Node::Double,
            "bytes" => Node::Bytes,
            "string" => Node::Text,
            _ => {
                let full = full_name(name, namespace);
                return match self.names.get(&full).or_else(|| self.names.get(name)) {
                    Some(node) => Ok(*node),
                    None => Err(SchemaError("a type is named that is not defined before")),
                };
            }
        };
        self.add(primitive)
    }

    /// Makes the node of a named type, so that its own fields can speak of it.
    fn define(&mut self, json: &Json, namespace: &str) -> Result<(usize, String), SchemaError> {
        let name = json.get("name").and_then(Json::as_str).ok_or(SchemaError("a type has no name"))?;
        let own = json.get("namespace").and_then(Json::as_str).unwrap_or(namespace);
        let full = full_name(name, own);
        let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        let node = self.add(Node::Undefined)?;
        if self.names.insert(full, node).is_some() {
            return Err(SchemaError("a type is defined twice"));
        }
        Ok((node, namespace))
    }

    fn set(&mut self, at: usize, node: Node) {
        if let Some(place) = self.nodes.get_mut(at) {
            *place = node;
        }
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

struct Reader<'s, 'p> {
    schema: &'s Schema,
    bytes: &'p [u8],
    at: usize,
    values: usize,
    /// Where in a record it broke, the innermost field first.
    within: Vec<&'s str>,
}

type Read<T> = Result<T, &'static str>;

impl<'s, 'p> Reader<'s, 'p> {
    fn value(&mut self, node: usize, depth: usize) -> Read<Datum<'p>> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err("there are too many values");
        }
        if depth > DEPTH_MAX {
            return Err("values are nested too deeply");
        }
        let schema = self.schema;
        Ok(match schema.nodes.get(node).unwrap_or(&Node::Undefined) {
            Node::Undefined => return Err("the schema is broken"),
            Node::Null => Datum::Null,
            Node::Boolean => match self.take(1)? {
                [0] => Datum::Boolean(false),
                [1] => Datum::Boolean(true),
                _ => return Err("this is neither true nor false"),
            },
            Node::Int => {
                let number = self.long()?;
                i32::try_from(number).map_err(|_| "the number has more than 32 bits")?;
                Datum::Long(number)
            }
            Node::Long => Datum::Long(self.long()?),
            Node::Float => {
                let bytes = self.take(4)?.try_into().map_err(|_| "a float has 4 bytes")?;
                Datum::Double(f64::from(f32::from_le_bytes(bytes)))
            }
            Node::Double => {
                let bytes = self.take(8)?.try_into().map_err(|_| "a double has 8 bytes")?;
                Datum::Double(f64::from_le_bytes(bytes))
            }
            Node::Bytes => Datum::Bytes(self.block()?),
            Node::Text => Datum::Text(self.text()?),
            Node::Fixed(size) => Datum::Bytes(self.take(*size)?),
            Node::Enum(symbols) => {
                let index = usize::try_from(self.long()?).ok();
                let index = index.filter(|index| *index < symbols.len()).ok_or("the enum has no such symbol")?;
                Datum::Long(i64::try_from(index).map_err(|_| "the enum has no such symbol")?)
            }
            Node::Array(items) => {
                let items = *items;
                Datum::List(self.blocks(|reader| reader.value(items, depth + 1))?)
            }
            Node::Map(values) => {
                let values = *values;
                Datum::List(self.blocks(|reader| {
                    reader.text()?;
                    reader.value(values, depth + 1)
                })?)
            }
            Node::Union(branches) => {
                let index = usize::try_from(self.long()?).ok();
                let branch = index.and_then(|index| branches.get(index)).ok_or("the union has no such branch")?;
                self.value(*branch, depth + 1)?
            }
            Node::Record(slots) => {
                let fields = slots.iter().map(|slot| self.field(slot, depth + 1)).collect::<Read<_>>()?;
                Datum::Record(RecordType(node), fields)
            }
        })
    }

    fn field(&mut self, slot: &'s Slot, depth: usize) -> Read<Datum<'p>> {
        self.value(slot.node, depth).inspect_err(|_| self.within.push(&slot.name))
    }

    fn take(&mut self, length: usize) -> Read<&'p [u8]> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or("the payload ends too early")?;
        let taken = self.bytes.get(self.at..end).unwrap_or_default();
        self.at = end;
        Ok(taken)
    }

    /// A zig-zag number of up to 64 bits.
    fn long(&mut self) -> Read<i64> {
        let mut number: u64 = 0;
        for shift in (0..70).step_by(7) {
            let [byte] = self.take(1)? else { return Err("the payload ends too early") };
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        Err("the number has more than 64 bits")
    }

    fn block(&mut self) -> Read<&'p [u8]> {
        let length = usize::try_from(self.long()?).map_err(|_| "a length is negative")?;
        self.take(length)
    }

    fn text(&mut self) -> Read<&'p str> {
        std::str::from_utf8(self.block()?).map_err(|_| "the text is no UTF-8")
    }

    fn blocks<T>(&mut self, mut item: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let mut items = Vec::new();
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Ok(items);
            }
            if count < 0 {
                // Its size in bytes follows, for readers that skip it.
                count = count.checked_neg().ok_or("a block has too many items")?;
                if self.long()? < 0 {
                    return Err("a length is negative");
                }
            }
            // Each item counts as a value, so an absurd number ends here and not in memory.
            for _ in 0..count {
                items.push(item(self)?);
            }
            self.values += 1;
            if self.values > VALUES_MAX {
                return Err("there are too many values");
            }
        }
    }
}

#[cfg(test)]
mod tests;
