//! What a pipeline would make of one change or record, without an org and without writing anything. For
//! `orgbridge map` and `orgbridge test`. Pure.

pub mod actions;
pub mod cases;
pub mod input;

use std::collections::{BTreeMap, HashMap};

use crate::config::{MayDelete, OnDelete};
use crate::event::{ChangeKind, FieldName, Header, ObjectName, Part, Record, RecordId, Seq, Timestamp, Value};
use crate::mapping::{Ask, Failure, Gave, Known, LinkState, Mapped, Mapping, Needs, Replies, Skip, Traced, WhyRead};
use crate::publish::{Body, Cell, Cover, Key, Reference, Source};
use crate::store::{Parent, PipelineId};

/// What happened in the source, and what is known beside it.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// None: the record is only read, as a backfill or a repair does.
    pub part: Option<Part>,
    /// The whole record, for when the change alone does not say enough.
    pub record: Option<Record>,
    /// Its counterpart in the target, if it has one.
    pub link: Option<RecordId>,
    /// Counterparts of parents, by the parents' ids in the source.
    pub parents: BTreeMap<RecordId, RecordId>,
    /// What the orgs answer to the questions of lookups.
    pub replies: Replies,
}

/// What would be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub what: What,
    /// The record was, or must be, read whole.
    pub read: bool,
    /// Why, where a change needs it.
    pub why_read: Option<WhyRead>,
    /// Each rule, in the order of the config; empty where nothing is mapped.
    pub traced: Vec<Traced>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A record is found by its key, or made.
    Upsert {
        object: ObjectName,
        key: FieldName,
        fields: BTreeMap<FieldName, Value>,
    },
    Update {
        object: ObjectName,
        record: RecordId,
        fields: BTreeMap<FieldName, Value>,
    },
    /// The counterpart; `None`: whoever holds the key.
    Delete {
        object: ObjectName,
        record: Option<RecordId>,
        /// It is kept if the bridge did not create it.
        if_created: bool,
    },
    /// An action is done.
    Call {
        /// In a word or two.
        does: String,
        inputs: BTreeMap<FieldName, Value>,
    },
    Skipped(Skip),
    Failed(Failure),
    /// The change does not say enough, and no record was given.
    NeedsRecord,
    /// The orgs must be asked for what lookups lead to, and the answers are not given.
    NeedsAnswers(Vec<Ask>),
    /// It waits for what a lookup leads to.
    Waits(Failure),
}

/// The header of an event of one record, as far as nobody says otherwise.
fn header(object: &ObjectName, record: RecordId, kind: ChangeKind) -> Header {
    Header {
        entity_name: object.clone(),
        record_ids: vec![record],
        wildcard: false,
        change_type: kind,
        change_origin: String::new(),
        transaction_key: String::new(),
        sequence_number: 1,
        commit_timestamp: Timestamp(0),
        commit_number: 1,
        commit_user: String::new(),
    }
}

/// Stands for a counterpart that there is, and that nobody named.
pub fn some_counterpart() -> Option<RecordId> {
    "000000000000001AAA".parse().ok()
}

/// Runs a scene. A lookup is shown as the id of the counterpart where `parents` names it, else as the id in the source.
pub fn rehearse(mapping: &Mapping, scene: &Scene) -> Outcome {
    let parents = parents(mapping, scene);
    let link = scene.link.map_or(LinkState::None, LinkState::Linked);
    let known = Known { link, parents: &parents, replies: &scene.replies };
    let mut header: Option<&Header> = None;
    let mut why_read = None;
    if let Some(part) = &scene.part {
        let mut mapped = mapping.apply(part, &known, cover(part.record));
        // It is looked for by its key: as if it were found, where the flag is what it gets.
        if let (Mapped::Needs(Needs::TargetOf { .. }), OnDelete::Flag) = (&mapped, mapping.on_delete) {
            let link = some_counterpart().map_or(LinkState::None, LinkState::Linked);
            mapped = mapping.apply(part, &Known { link, ..known.clone() }, cover(part.record));
        }
        header = Some(&part.change.header);
        let read = matches!(mapped, Mapped::Needs(Needs::Record | Needs::Lookups));
        why_read = read.then(|| mapping.why_read(part, &known.link));
        if !read || scene.record.is_none() {
            let traced = mapping.trace(part, &known);
            return Outcome { what: what(mapping, mapped, &traced), read, why_read, traced };
        }
    }
    match &scene.record {
        Some(record) => {
            let traced = mapping.trace_read(record, header, &known);
            let mapped = mapping.apply_read(record, header, &known, cover(record.id));
            Outcome { what: what(mapping, mapped, &traced), read: true, why_read, traced }
        }
        None => Outcome { what: What::NeedsRecord, read: true, why_read, traced: Vec::new() },
    }
}

fn cover(record: RecordId) -> Cover {
    let source = Source { pipeline: PipelineId(0), record };
    Cover { source, from: Seq::ZERO, to: Seq::ZERO, clears_suspect: false }
}

fn parents(mapping: &Mapping, scene: &Scene) -> HashMap<Parent, RecordId> {
    let named = scene.part.iter().flat_map(|part| mapping.parents_of(part));
    let named = named.chain(scene.record.iter().flat_map(|record| mapping.parents_of_read(record)));
    named.filter_map(|parent| scene.parents.get(&parent.record).map(|link| (parent, *link))).collect()
}

fn what(mapping: &Mapping, mapped: Mapped, traced: &[Traced]) -> What {
    let object = mapping.target_object.clone();
    let if_created = mapping.publishing.may_delete == MayDelete::Created;
    let write = match mapped {
        Mapped::Write(write) => write,
        Mapped::Needs(Needs::Record) => return What::NeedsRecord,
        Mapped::Needs(Needs::TargetOf { .. }) if if_created => return What::Skipped(Skip::NotCreated),
        Mapped::Needs(Needs::TargetOf { .. }) => return What::Delete { object, record: None, if_created },
        Mapped::Needs(Needs::Lookups) => {
            let asks = traced.iter().filter_map(|traced| match &traced.gave {
                Gave::Asks(ask) => Some(ask.clone()),
                _ => None,
            });
            return What::NeedsAnswers(asks.collect());
        }
        Mapped::Waits(failure) => return What::Waits(failure),
        Mapped::Skipped(skip) => return What::Skipped(skip),
        Mapped::Failed(failure) => return What::Failed(failure),
    };
    let record = write.key.linked();
    match (write.body, record) {
        (Body::Delete, record) => What::Delete { object, record, if_created },
        (Body::Whole(cells) | Body::Partial(cells), Some(record)) => {
            What::Update { object, record, fields: values(cells) }
        }
        (Body::Whole(cells) | Body::Partial(cells), None) => {
            let key = match write.key {
                Key::External { field, .. } => field,
                Key::Record { .. } => mapping.key.clone(),
            };
            What::Upsert { object, key, fields: values(cells) }
        }
    }
}

fn values(cells: BTreeMap<FieldName, Cell>) -> BTreeMap<FieldName, Value> {
    let value = |cell| match cell {
        Cell::Value(value) => Some(value),
        Cell::Parent(Reference { link: Some(id), .. }) => Some(Value::text(id.as_str())),
        Cell::Parent(Reference { parent, .. }) => Some(Value::text(parent.record.as_str())),
        Cell::Unfilled { emptied, .. } => emptied.then_some(Value::Null),
    };
    cells.into_iter().filter_map(|(field, cell)| Some((field, value(cell)?))).collect()
}
