//! Compares the two orgs through the mapping, whole and in memory, and asks no state: for a demo and for tests. `verify` is for the rest.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use serde_json::{Map, Value as Json};

use crate::config::{Config, IfMissing, MayDelete, NoLongerMatching, OnDelete};
use crate::event::{FieldName, ObjectName, OrgName, PipelineName, Record, RecordId, Seq, Value};
use crate::hydrate;
use crate::mapping::{Known, LinkState, Mapped, Mapping, Replies, Skip};
use crate::org::{CallError, Org};
use crate::publish::compare::same;
use crate::publish::{Cell, Cover, Source};
use crate::store::PipelineId;

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Records of the source that were compared.
    pub records: u64,
    pub differences: Vec<Difference>,
}

/// One difference. Values are not shown: they are the users', and the two records are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub pipeline: PipelineName,
    pub key: String,
    pub what: Differing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Differing {
    /// The source has the record, the target does not.
    Missing,
    /// The target has it, the source does not.
    Surplus,
    /// Both have it with different values in these fields of the target.
    Fields(Vec<FieldName>),
    /// More than one record of the target holds the key.
    Double,
    /// The record cannot be written as it is mapped.
    Unmappable(&'static str),
}

impl Comparison {
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.pipeline, self.key)?;
        match &self.what {
            Differing::Missing => f.write_str("is not in the target"),
            Differing::Surplus => f.write_str("is in the target only"),
            Differing::Double => f.write_str("is in the target twice"),
            Differing::Unmappable(code) => write!(f, "can not be written: {code}"),
            Differing::Fields(fields) => {
                let names: Vec<&str> = fields.iter().map(FieldName::as_str).collect();
                write!(f, "differs in {}", names.join(", "))
            }
        }
    }
}

/// One side of a pipeline, read whole.
struct Side {
    /// Source: expected cells by key. Kept with the id, for lookups of others.
    expected: BTreeMap<String, BTreeMap<FieldName, Cell>>,
    /// The key of each source record.
    keys: HashMap<RecordId, String>,
    /// The keys of source records that do not match.
    left_out: HashSet<String>,
    actual: Vec<(RecordId, Map<String, Json>)>,
}

/// Compares all pipelines of a config. Reads both orgs whole, so it is for a demo and for tests; comparing millions of
/// rows is another matter.
///
/// # Errors
/// When an org cannot be read.
pub async fn compare(config: &Config, orgs: &BTreeMap<OrgName, Org>) -> Result<Comparison, CallError> {
    let mut comparison = Comparison::default();
    let mut sides: Vec<Side> = Vec::new();
    for pipeline in &config.pipelines {
        let (Some(source), Some(target)) = (orgs.get(&pipeline.from.org), orgs.get(&pipeline.to.org)) else { continue };
        let mapping = hydrate::typed(Mapping::new(pipeline, config), source, target).await?;
        let mut side =
            Side { expected: BTreeMap::new(), keys: HashMap::new(), left_out: HashSet::new(), actual: Vec::new() };
        let paths = mapping.reads();
        let rows = read_all(source, &mapping.source_object, &hydrate::source_fields(&mapping)).await?;
        let record = |row| Some(hydrate::record(id_of(&row)?, &paths, &mapping.privacy, row));
        let records: Vec<Record> = rows.into_iter().filter_map(record).collect();
        let replies =
            hydrate::ask(&[source, target], &mapping, &records.iter().collect::<Vec<_>>(), &Replies::new()).await?;
        for record in &records {
            comparison.records += 1;
            match expected(&mapping, record, &replies) {
                Ok((id, key, cells)) => {
                    side.keys.insert(id, key.clone());
                    side.expected.insert(key, cells);
                }
                // It does not match: whether a counterpart may be there, its history tells.
                Err((id, FILTERED)) => side.left_out.extend(id.parse().ok().and_then(|id| mapping.key_of(id))),
                Err((key, code)) => {
                    let what = Differing::Unmappable(code);
                    comparison.differences.push(Difference { pipeline: pipeline.name.clone(), key, what });
                }
            }
        }
        let fields: Vec<FieldName> = mapping.target_fields().cloned().collect();
        for row in read_all(target, &mapping.target_object, &fields).await? {
            if let Some(id) = id_of(&row) {
                side.actual.push((id, row));
            }
        }
        sides.push(side);
    }
    // Which key each record of a target object holds: what a lookup there points to.
    let mut held: HashMap<(OrgName, ObjectName), HashMap<RecordId, String>> = HashMap::new();
    let mut keys: HashMap<(OrgName, ObjectName), HashMap<RecordId, String>> = HashMap::new();
    for (pipeline, side) in config.pipelines.iter().zip(&sides) {
        let place = (pipeline.to.org.clone(), pipeline.to.object.clone());
        let key =
            |row: &Map<String, Json>| Cell::Value(Value::from(row.get(pipeline.to.key.as_str())?.clone())).key_text();
        let rows = side.actual.iter().filter_map(|(id, row)| Some((*id, key(row)?)));
        held.entry(place.clone()).or_default().extend(rows);
        keys.entry(place).or_default().extend(side.keys.iter().map(|(id, key)| (*id, key.clone())));
    }
    let none = HashMap::new();
    for (pipeline, mut side) in config.pipelines.iter().zip(sides) {
        let found = |key: String, what| Difference { pipeline: pipeline.name.clone(), key, what };
        let at = |object: &ObjectName| (pipeline.to.org.clone(), object.clone());
        let mut seen: HashMap<String, RecordId> = HashMap::new();
        for (id, row) in &side.actual {
            let Some(key) = held.get(&at(&pipeline.to.object)).and_then(|held| held.get(id)).cloned() else { continue };
            if seen.insert(key.clone(), *id).is_some() {
                comparison.differences.push(found(key, Differing::Double));
                continue;
            }
            let Some(cells) = side.expected.remove(&key) else {
                let may_stay =
                    side.left_out.contains(&key) && pipeline.when_no_longer_matching != NoLongerMatching::Delete;
                // Which of the others the bridge created only its state knows.
                let goes = pipeline.publishing.may_delete == MayDelete::Any;
                if pipeline.on_delete == OnDelete::Delete && goes && !may_stay {
                    comparison.differences.push(found(key, Differing::Surplus));
                }
                continue;
            };
            let differs = |(name, cell): (FieldName, Cell)| {
                let actual = row.get(name.as_str()).cloned().unwrap_or(Json::Null);
                let equal = match &cell {
                    Cell::Value(value) => same(value, &hydrate::canonical(Value::from(actual))),
                    Cell::Parent(reference) => {
                        let place = at(&reference.parent.target_object);
                        let wanted = keys.get(&place).unwrap_or(&none).get(&reference.parent.record);
                        let id = actual.as_str().and_then(|id| id.parse::<RecordId>().ok());
                        let points_to = id.and_then(|id| held.get(&place).unwrap_or(&none).get(&id));
                        let may_lack = matches!(reference.if_missing, IfMissing::FillLater | IfMissing::Skip);
                        wanted == points_to && (wanted.is_some() || may_lack)
                    }
                    // What it leads to is not there.
                    Cell::Unfilled { emptied, .. } => !emptied || actual.is_null(),
                };
                (!equal).then_some(name)
            };
            let fields: Vec<FieldName> = cells.into_iter().filter_map(differs).collect();
            if !fields.is_empty() {
                comparison.differences.push(found(key, Differing::Fields(fields)));
            }
        }
        comparison.differences.extend(side.expected.into_keys().map(|key| found(key, Differing::Missing)));
    }
    Ok(comparison)
}

async fn read_all(org: &Org, object: &ObjectName, fields: &[FieldName]) -> Result<Vec<Map<String, Json>>, CallError> {
    let mut names: Vec<&str> = fields.iter().map(FieldName::as_str).filter(|name| *name != "Id").collect();
    names.sort_unstable();
    names.dedup();
    names.insert(0, "Id");
    org.query(&format!("SELECT {} FROM {object}", names.join(","))).await
}

const FILTERED: &str = "FILTERED";

type Expected = (RecordId, String, BTreeMap<FieldName, Cell>);

fn expected(mapping: &Mapping, record: &Record, replies: &Replies) -> Result<Expected, (String, &'static str)> {
    let id = record.id;
    let known = Known { link: LinkState::None, parents: &HashMap::new(), replies };
    let source = Source { pipeline: PipelineId(0), record: id };
    let cover = Cover { source, from: Seq::ZERO, to: Seq::ZERO, clears_suspect: false };
    let code = match mapping.apply_read(record, None, &known, cover) {
        Mapped::Write(write) => match (&write.key, write.fields()) {
            (crate::publish::Key::External { value, .. }, Some(fields)) => {
                let lasting = fields.iter().filter(|(name, _)| mapping.is_lasting(name));
                let cells = lasting.map(|(name, cell)| (name.clone(), cell.clone())).collect();
                return Ok((id, value.clone(), cells));
            }
            _ => "NO_KEY",
        },
        Mapped::Failed(failure) | Mapped::Waits(failure) => failure.code,
        Mapped::Skipped(Skip::Filtered) => FILTERED,
        Mapped::Needs(_) | Mapped::Skipped(_) => "NOT_MAPPED",
    };
    Err((id.to_string(), code))
}

fn id_of(row: &Map<String, Json>) -> Option<RecordId> {
    row.get("Id")?.as_str()?.parse().ok()
}
