use std::time::Duration;

use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::subscribe::pubsub::vectors;

/// A type of a schema that is made up.
#[derive(Debug, Clone)]
enum Shape {
    Text,
    Int,
    Long,
    Float,
    Double,
    Boolean,
    Bytes,
    Texts,
    /// Of so many symbols.
    Enum(usize),
    /// Null or this; never a union itself.
    Maybe(Box<Shape>),
    /// Null, a text, or a record: like `Account.Name`.
    Switchable(Box<Shape>),
    Record {
        /// In a namespace of its own.
        apart: bool,
        fields: Vec<Shape>,
    },
    /// One of the types that were defined before, by its name.
    Again(usize),
}

fn plain() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Text),
        Just(Shape::Int),
        Just(Shape::Long),
        Just(Shape::Float),
        Just(Shape::Double),
        Just(Shape::Boolean),
        Just(Shape::Bytes),
        Just(Shape::Texts),
        (1_usize..5).prop_map(Shape::Enum),
        any::<usize>().prop_map(Shape::Again),
    ]
}

fn of_fields(fields: impl Strategy<Value = Shape>) -> impl Strategy<Value = Shape> {
    (any::<bool>(), vec(fields, 0..5)).prop_map(|(apart, fields)| Shape::Record { apart, fields })
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![plain(), plain().prop_map(|shape| Shape::Maybe(Box::new(shape)))];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            of_fields(inner.clone()),
            of_fields(inner.clone()).prop_map(|record| Shape::Maybe(Box::new(record))),
            of_fields(inner).prop_map(|record| Shape::Switchable(Box::new(record))),
        ]
    })
}

/// Writes a schema down, together with what its data can be.
#[derive(Default)]
struct Writer {
    names: usize,
    /// What is defined: namespace, name, data.
    known: Vec<(String, String, BoxedStrategy<Avro>)>,
}

impl Writer {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("T{}", self.names)
    }

    fn write(&mut self, shape: &Shape, namespace: &str) -> (Json, BoxedStrategy<Avro>) {
        match shape {
            Shape::Text => (json!("string"), ".{0,12}".prop_map(Avro::String).boxed()),
            Shape::Int => (json!("int"), any::<i32>().prop_map(Avro::Int).boxed()),
            Shape::Long => (json!({"type": "long"}), any::<i64>().prop_map(Avro::Long).boxed()),
            Shape::Float => (json!("float"), any::<f32>().prop_map(Avro::Float).boxed()),
            Shape::Double => (json!("double"), any::<f64>().prop_map(Avro::Double).boxed()),
            Shape::Boolean => (json!("boolean"), any::<bool>().prop_map(Avro::Boolean).boxed()),
            Shape::Bytes => (json!("bytes"), vec(any::<u8>(), 0..9).prop_map(Avro::Bytes).boxed()),
            Shape::Texts => {
                let data = vec(".{0,5}".prop_map(Avro::String), 0..4).prop_map(Avro::Array);
                (json!({"type": "array", "items": "string"}), data.boxed())
            }
            Shape::Enum(symbols) => {
                let name = self.name();
                let symbols: Vec<String> = (0..*symbols).map(|number| format!("S{number}")).collect();
                let json = json!({"type": "enum", "name": name, "symbols": symbols});
                let data = (0..symbols.len())
                    .prop_map(move |index| Avro::Enum(u32::try_from(index).unwrap(), symbols[index].clone()))
                    .boxed();
                self.known.push((namespace.to_owned(), name, data.clone()));
                (json, data)
            }
            Shape::Maybe(inner) => {
                let (json, data) = self.write(inner, namespace);
                let data = prop_oneof![
                    Just(Avro::Union(0, Box::new(Avro::Null))),
                    data.prop_map(|value| Avro::Union(1, Box::new(value))),
                ];
                (json!(["null", json]), data.boxed())
            }
            Shape::Switchable(record) => {
                let (json, data) = self.write(record, namespace);
                let data = prop_oneof![
                    Just(Avro::Union(0, Box::new(Avro::Null))),
                    ".{0,9}".prop_map(|text| Avro::Union(1, Box::new(Avro::String(text)))),
                    data.prop_map(|value| Avro::Union(2, Box::new(value))),
                ];
                (json!(["null", "string", json]), data.boxed())
            }
            Shape::Record { apart, fields } => {
                let name = self.name();
                let own = if *apart { format!("{namespace}.of{name}") } else { namespace.to_owned() };
                let mut slots = Vec::new();
                let mut data = Just(Vec::new()).boxed();
                for (number, field) in fields.iter().enumerate() {
                    let slot = format!("f{number}");
                    let (json, of_field) = self.write(field, &own);
                    slots.push(json!({"name": slot, "type": json, "doc": format!("Data:M{number}")}));
                    data = (data, of_field)
                        .prop_map(move |(mut values, value)| {
                            values.push((slot.clone(), value));
                            values
                        })
                        .boxed();
                }
                let mut json = json!({"type": "record", "name": name, "fields": slots});
                if *apart {
                    json["namespace"] = json!(own);
                }
                let data = data.prop_map(Avro::Record).boxed();
                self.known.push((own, name, data.clone()));
                (json, data)
            }
            Shape::Again(number) => match self.known.get(number % self.known.len().max(1)) {
                None => self.write(&Shape::Text, namespace),
                // By its short name where it may have one.
                Some((of, name, data)) if of == namespace => (json!(name), data.clone()),
                Some((of, name, data)) => (json!(format!("{of}.{name}")), data.clone()),
            },
        }
    }
}

/// A schema, and data that it can hold.
fn schema_and_data() -> impl Strategy<Value = (Json, Avro)> {
    vec(shape(), 1..6).prop_flat_map(|fields| {
        let root = Shape::Record { apart: true, fields };
        let (json, data) = Writer::default().write(&root, "com.example");
        (Just(json), data)
    })
}

fn assert_same(schema: &Schema, slot: Option<&Slot>, theirs: &Avro, ours: &Datum<'_>) {
    match (theirs, ours) {
        (Avro::Null, Datum::Null) => {}
        (Avro::Boolean(theirs), Datum::Boolean(ours)) => assert_eq!(theirs, ours),
        (Avro::Int(theirs), Datum::Long(ours)) => assert_eq!(i64::from(*theirs), *ours),
        (Avro::Long(theirs), Datum::Long(ours)) => assert_eq!(theirs, ours),
        (Avro::Enum(index, symbol), Datum::Long(ours)) => {
            assert_eq!(i64::from(*index), *ours);
            // The name is asked for at a field that is the enum itself.
            if let Some(found) = slot.and_then(|slot| schema.symbol(slot, *ours)) {
                assert_eq!(found, symbol);
            }
        }
        (Avro::Float(theirs), Datum::Double(ours)) => assert_eq!(f64::from(*theirs).to_bits(), ours.to_bits()),
        (Avro::Double(theirs), Datum::Double(ours)) => assert_eq!(theirs.to_bits(), ours.to_bits()),
        (Avro::String(theirs), Datum::Text(ours)) => assert_eq!(theirs, ours),
        (Avro::Bytes(theirs), Datum::Bytes(ours)) => assert_eq!(theirs, ours),
        (Avro::Array(theirs), Datum::List(ours)) => {
            assert_eq!(theirs.len(), ours.len());
            theirs.iter().zip(ours).for_each(|(theirs, ours)| assert_same(schema, None, theirs, ours));
        }
        (Avro::Union(_, theirs), ours) => assert_same(schema, None, theirs, ours),
        (Avro::Record(theirs), Datum::Record(record, ours)) => {
            if let Some(slot) = slot {
                assert_eq!(schema.compound(slot), Some(*record));
            }
            assert_fields(schema, schema.slots(*record), theirs, ours);
        }
        (theirs, ours) => panic!("{theirs:?} became {ours:?}"),
    }
}

fn assert_fields(schema: &Schema, slots: &[Slot], theirs: &[(String, Avro)], ours: &[Datum<'_>]) {
    assert_eq!((slots.len(), ours.len()), (theirs.len(), theirs.len()));
    for (number, ((slot, (name, theirs)), ours)) in slots.iter().zip(theirs).zip(ours).enumerate() {
        assert_eq!((&slot.name, slot.meaning.clone()), (name, format!("M{number}")));
        assert_same(schema, Some(slot), theirs, ours);
    }
}

proptest! {
    /// Against an encoder that is not ours.
    #[test]
    fn what_another_implementation_wrote_is_read_value_by_value((json, data) in schema_and_data(), more in any::<u8>()) {
        let theirs = apache_avro::Schema::parse(&json).unwrap();
        let mut payload =
            GenericDatumWriter::builder(&theirs).build().unwrap().write_value_to_vec(data.clone()).unwrap();
        let ours = Schema::parse(&json.to_string()).unwrap();
        let Avro::Record(fields) = &data else { panic!("the root is a record") };
        assert_fields(&ours, ours.slots(ours.root()), fields, &ours.decode(&payload).unwrap());
        for end in 0..payload.len() {
            prop_assert!(ours.decode(&payload[..end]).is_err(), "cut at {}", end);
        }
        payload.push(more);
        prop_assert!(ours.decode(&payload).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused(payload in vec(any::<u8>(), 0..200)) {
        let _ = vectors::schema("schema_account.json").decode(&payload);
    }

    #[test]
    fn any_text_is_a_schema_or_refused(text in r#"(\[|\]|\{|\}|,|:|"type"|"record"|"name"|"fields"|"array"|"items"|"A"){0,40}"#) {
        let _ = Schema::parse(&text);
    }
}

#[test]
fn a_vector_that_is_cut_at_any_byte_is_refused_and_names_the_field() {
    let file: Json = serde_json::from_str(include_str!("../../../../tests/vectors/avro_events.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() > 10);
    for vector in vectors {
        let schema = vectors::schema(vector["schema_file"].as_str().unwrap());
        let payload = vectors::payload(vector);
        let whole = schema.decode(&payload).unwrap();
        for end in 0..payload.len() {
            let broken = schema.decode(&payload[..end]).unwrap_err();
            assert_eq!(broken.error.what, "the payload ends too early", "{} at {end}", vector["name"]);
            // The field itself, or the path to one within it.
            let field = &schema.slots(schema.root())[broken.fields.len()].name;
            let within = broken.error.field.strip_prefix(field).unwrap();
            assert!(within.is_empty() || within.starts_with('.'), "{}", broken.error.field);
            assert_eq!(broken.fields, whole[..broken.fields.len()]);
        }
        let error = schema.decode(&[payload, vec![0]].concat()).unwrap_err().error;
        assert_eq!((error.what, error.field.as_str()), ("bytes are left over", "the end"));
    }
}

#[test]
fn a_refusal_names_the_field_by_its_path() {
    let inner = json!({"type": "record", "name": "In", "fields": [{"name": "A", "type": "string"}, {"name": "B", "type": "boolean"}]});
    let schema = record(&json!([{"name": "First", "type": "int"}, {"name": "All", "type": ["null", inner]}]));
    let refused = |payload: &[u8]| schema.decode(payload).unwrap_err().error.to_string();
    assert_eq!(refused(&[2, 2, 0, 5]), "this is neither true nor false at byte 4, in All.B");
    assert_eq!(refused(&[2, 2, 8, b'a']), "the payload ends too early at byte 3, in All.A");
    assert_eq!(refused(&[2, 4]), "the union has no such branch at byte 2, in All");
    assert_eq!(refused(&[2, 0, 0]), "bytes are left over at byte 2, in the end");
}

fn record(fields: &Json) -> Schema {
    Schema::parse(&json!({"type": "record", "name": "R", "fields": fields}).to_string()).unwrap()
}

/// The reason of a refusal that took no time to speak of.
fn refused(schema: &Schema, payload: &[u8]) -> &'static str {
    let begin = Instant::now();
    let refused = schema.decode(payload).unwrap_err().error.what;
    assert!(begin.elapsed() < Duration::from_secs(5));
    refused
}

#[test]
fn a_type_within_itself_ends_at_a_depth() {
    let endless = record(&json!([{"name": "again", "type": "R"}]));
    assert_eq!(refused(&endless, &[]), "values are nested too deeply");
    let twice = record(&json!([{"name": "left", "type": ["null", "R"]}, {"name": "right", "type": ["null", "R"]}]));
    assert_eq!(twice.decode(&[2, 0, 0, 0]).unwrap().len(), 2);
    assert_eq!(refused(&twice, &[2; 100]), "values are nested too deeply");
    // Each level has a thousand of the next, and none takes a byte before the last.
    let wide = record(&json!([{"name": "all", "type": {"type": "array", "items": "R"}}]));
    assert_eq!(refused(&wide, &[0x80, 0x10].repeat(100)), "values are nested too deeply");
}

#[test]
fn an_absurd_count_is_refused_before_it_takes_memory() {
    let number = |mut number: u64| {
        let mut bytes = Vec::new();
        while number > 0x7f {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    };
    let (largest, smallest) = (number(u64::MAX - 1), number(u64::MAX));
    let nulls = record(&json!([{"name": "n", "type": {"type": "array", "items": "null"}}]));
    assert_eq!(refused(&nulls, &largest), "there are too many values");
    assert_eq!(refused(&nulls, &smallest), "a block has too many items");
    assert_eq!(refused(&nulls, &[1, 0].repeat(VALUES_MAX)), "there are too many values");
    assert_eq!(refused(&nulls, &[1, 1]), "a length is negative");
    let texts = record(&json!([{"name": "t", "type": {"type": "array", "items": "string"}}]));
    assert_eq!(refused(&texts, &largest), "the payload ends too early");
    let text = record(&json!([{"name": "t", "type": "string"}]));
    assert_eq!(refused(&text, &largest), "the payload ends too early");
    assert_eq!(refused(&text, &[1]), "a length is negative");
    assert_eq!(refused(&text, &[0xff; 11]), "the number has more than 64 bits");
    let fixed = record(&json!([{"name": "f", "type": {"type": "fixed", "name": "F", "size": u64::MAX}}]));
    assert_eq!(refused(&fixed, &[0]), "the payload ends too early");
    let map = record(&json!([{"name": "m", "type": {"type": "map", "values": "null"}}]));
    assert_eq!(map.decode(&[4, 2, b'a', 2, b'b', 0]).unwrap(), [Datum::List(vec![Datum::Null, Datum::Null])]);
    assert_eq!(refused(&map, &largest), "the payload ends too early");
}

#[test]
fn a_block_with_its_size_is_read_like_one_without() {
    let texts = record(&json!([{"name": "t", "type": {"type": "array", "items": "string"}}]));
    let expected = [Datum::List(vec![Datum::Text("a"), Datum::Text("b")])];
    assert_eq!(texts.decode(&[4, 2, b'a', 2, b'b', 0]).unwrap(), expected);
    assert_eq!(texts.decode(&[3, 8, 2, b'a', 2, b'b', 0]).unwrap(), expected);
    assert_eq!(texts.decode(&[2, 2, b'a', 2, 2, b'b', 0]).unwrap(), expected);
}

#[test]
fn names_are_found_in_their_namespace() {
    let inner = json!({"type": "record", "name": "In", "fields": [{"name": "a", "type": "int"}]});
    let schema = |first: &Json, second: &str| {
        let fields = json!([{"name": "one", "type": first}, {"name": "two", "type": ["null", second]}]);
        let schema = json!({"type": "record", "name": "Out", "namespace": "com.one", "fields": fields});
        Schema::parse(&schema.to_string())
    };
    for name in ["In", "com.one.In"] {
        let schema = schema(&inner, name).unwrap();
        let [one, two] = schema.slots(schema.root()) else { panic!("two fields") };
        assert_eq!(schema.compound(one), schema.compound(two), "{name}");
        assert!(schema.compound(one).is_some());
        assert_eq!(schema.decode(&[2, 2, 4]).unwrap().len(), 2);
    }
    let mut apart = inner.clone();
    apart["namespace"] = json!("com.two");
    assert!(schema(&apart, "com.two.In").is_ok());
    assert!(schema(&apart, "In").is_err());
    let mut dotted = inner;
    dotted["name"] = json!("com.two.In");
    assert!(schema(&dotted, "com.two.In").is_ok());
    assert!(schema(&dotted, "com.one.In").is_err());
}

#[test]
fn a_schema_that_cannot_be_used_is_refused() {
    let deep = |levels: usize| {
        let inner = (0..levels).fold(json!("string"), |inner, _| json!({"type": "array", "items": inner}));
        json!({"type": "record", "name": "R", "fields": [{"name": "deep", "type": inner}]}).to_string()
    };
    assert!(Schema::parse(&deep(10)).is_ok());
    assert_eq!(Schema::parse(&deep(50)).unwrap_err(), SchemaError("it is nested too deeply"));
    let many: Vec<Json> = (0..NODES_MAX).map(|_| json!({"name": "f", "type": "int"})).collect();
    let many = json!({"type": "record", "name": "R", "fields": many}).to_string();
    assert_eq!(Schema::parse(&many).unwrap_err(), SchemaError("it is too large"));
    for text in ["", "3", "\"string\"", "\"R\"", "{}", r#"{"type":"array","items":"int"}"#, r#"{"type":"record"}"#] {
        assert!(Schema::parse(text).is_err(), "{text}");
    }
}
