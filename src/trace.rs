//! Why a record looks as it does: all that is known of it, in order, with how things stand.
//!
//! [`told`] is what the state knows, whether a bridge runs or not; `now` asks the orgs; `report` puts both together and is pure.

mod now;
mod report;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub use now::{Now, Seen, There, ask_orgs};
#[cfg(test)]
pub(crate) use report::tests::eventful_trace;
pub use report::{Event, Link, Outlook, Trace};

use crate::event::{Field, Happening, ObjectName, OrgName, PipelineName, RecordId, Seq, Timestamp};
use crate::store::{
    Entry, FailedRecord, HistoryRow, Linked, ParkedState, PipelineRow, Question, Store, StoreError, Which,
};

/// Events and rows of history of one record that are told: the last ones.
pub const MOST: usize = 2_000;
/// With values they take more room, and all must fit into one answer.
pub const MOST_WITH_VALUES: usize = 500;

/// What is asked of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Of either side.
    pub record: RecordId,
    pub pipeline: Option<PipelineName>,
    /// Events with their values, as far as the journal has them.
    pub values: bool,
}

/// What the state knows of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The ids of the orgs that it speaks of: no other one may be asked.
    pub orgs: BTreeMap<OrgName, String>,
    pub pairs: Vec<Pair>,
    pub entries: Vec<Journaled>,
    pub deeds: Vec<Deed>,
    pub lines: Vec<Standing>,
    /// There is more, and older.
    pub more: bool,
}

/// A record of a source and its counterpart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    pub source_org: OrgName,
    pub source: RecordId,
    pub target_org: OrgName,
    pub target_object: ObjectName,
    pub target: RecordId,
    pub created: Option<bool>,
    pub past: bool,
}

/// An entry of the journal that names the record, or its counterpart. `Debug` leaves the values out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journaled {
    pub org: OrgName,
    pub record: RecordId,
    pub seq: u64,
    pub received: Timestamp,
    pub committed: Option<Timestamp>,
    pub object: Option<ObjectName>,
    /// As the platform spells it; none of what is no change event.
    pub kind: Option<String>,
    /// The id of who made the change.
    pub user: Option<String>,
    /// What made it, as the event says.
    pub origin: Option<String>,
    /// The fields that changed.
    pub fields: Vec<String>,
    /// Only where values were asked for.
    pub event: Option<Json>,
}

impl std::fmt::Debug for Journaled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journaled").field("seq", &self.seq).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A row of history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    pub pipeline: PipelineName,
    pub record: RecordId,
    pub at: Timestamp,
    pub since: Option<Timestamp>,
    pub what: String,
    pub through: String,
    pub from: u64,
    pub to: u64,
    pub target: Option<RecordId>,
    pub fields: Vec<String>,
    pub code: Option<String>,
    pub waits_for: Option<RecordId>,
}

/// How a record stands in a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub pipeline: PipelineName,
    pub source_org: OrgName,
    pub source_object: ObjectName,
    pub record: RecordId,
    pub target_org: OrgName,
    pub target_object: ObjectName,
    pub target: Option<RecordId>,
    /// Everything up to here is settled.
    pub watermark: u64,
    /// Of this record.
    pub applied: Option<u64>,
    /// It was deleted then.
    pub tombstone: bool,
    pub halted: Option<String>,
    pub parked: Option<Parked>,
    /// An answer was lost, or is awaited.
    pub suspect: bool,
}

/// Its row of `parked`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    pub waits: bool,
    pub code: String,
    pub fields: Vec<String>,
    /// Of the source, and the target's object that it becomes.
    pub waits_for: Option<(RecordId, ObjectName)>,
    pub attempts: u32,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub redrive_at: Option<Timestamp>,
}

/// What the state knows.
///
/// # Errors
/// When the store fails.
pub async fn told<S: Store>(store: &S, ask: Ask) -> Result<Told, StoreError> {
    let most = if ask.values { MOST_WITH_VALUES } else { MOST };
    let mut lines = store.pipelines().await?;
    lines.retain(|line| ask.pipeline.as_ref().is_none_or(|name| *name == line.identity.name));
    let mut told = Told::default();
    let mut seen: BTreeSet<Seq> = BTreeSet::new();
    for (org, record) in sources(store, &lines, ask.record).await? {
        let own: Vec<&PipelineRow> = lines.iter().filter(|line| line.identity.source_org == org).collect();
        let mut links = store.links_of(record).await?;
        links.retain(|link| {
            link.source_org == org
                && link.source == record
                && own.iter().any(|line| {
                    let identity = &line.identity;
                    identity.target_org == link.target_org && identity.target_object == link.target_object
                })
        });
        let mut places = vec![(org.clone(), record)];
        places.extend(links.iter().map(|link| (link.target_org.clone(), link.target)));
        for (org, record) in places {
            let entries = store.entries_of(&org, record, most).await?;
            told.more |= entries.len() >= most;
            let entries = entries.into_iter().filter(|entry| seen.insert(entry.seq));
            told.entries.extend(entries.map(|entry| Journaled::of(&org, record, entry, ask.values)));
        }
        let rows = store.history_of(&org, record, most).await?;
        told.more |= rows.len() >= most;
        let is_own = |row: &HistoryRow| own.iter().any(|line| line.identity.name == row.pipeline);
        told.deeds.extend(rows.into_iter().filter(is_own).map(Deed::of));
        for line in &own {
            told.lines.push(standing(store, line, record, &links).await?);
        }
        told.pairs.extend(links.into_iter().map(Pair::of));
    }
    // A pipeline that has nothing to do with the record says nothing of it.
    let named: BTreeSet<ObjectName> = told.entries.iter().filter_map(|entry| entry.object.clone()).collect();
    let is_meant = |line: &Standing, deeds: &[Deed]| {
        named.contains(&line.source_object)
            || line.target.is_some()
            || line.applied.is_some()
            || line.parked.is_some()
            || deeds.iter().any(|deed| deed.pipeline == line.pipeline)
    };
    let deeds = &told.deeds;
    told.lines.retain(|line| is_meant(line, deeds));
    let orgs: BTreeSet<&OrgName> = told.lines.iter().flat_map(|line| [&line.source_org, &line.target_org]).collect();
    let mut ids = BTreeMap::new();
    for org in orgs {
        ids.extend(store.pinned_org(org).await?.map(|id| (org.clone(), id)));
    }
    told.orgs = ids;
    Ok(told)
}

/// The records of source orgs that are meant: this one where it is known as such, and those whose counterpart it is or was.
async fn sources<S: Store>(
    store: &S,
    lines: &[PipelineRow],
    record: RecordId,
) -> Result<BTreeSet<(OrgName, RecordId)>, StoreError> {
    let mut meant = BTreeSet::new();
    let orgs: BTreeSet<&OrgName> = lines.iter().map(|line| &line.identity.source_org).collect();
    let pairs = store.links_of(record).await?;
    let mut pairs_of: Vec<&Linked> = pairs.iter().filter(|pair| orgs.contains(&pair.source_org)).collect();
    // What a counterpart was long ago counts only where it is none now.
    if pairs_of.iter().any(|pair| !pair.past && pair.target == record) {
        pairs_of.retain(|pair| !pair.past || pair.source == record);
    }
    meant.extend(pairs_of.iter().map(|pair| (pair.source_org.clone(), pair.source)));
    let which = Which { record: Some(record), waiting: true, ..Which::default() };
    let parked = store.failed(&which, None, MOST).await?;
    meant.extend(parked.into_iter().filter(|row| orgs.contains(&row.source_org)).map(|row| (row.source_org, record)));
    // Where it is only a counterpart, the target's own events of it are told with those of its source.
    if meant.is_empty() {
        for org in orgs {
            let is_known = !store.history_of(org, record, 1).await?.is_empty()
                || !store.entries_of(org, record, 1).await?.is_empty();
            if is_known {
                meant.insert((org.clone(), record));
            }
        }
    }
    Ok(meant)
}

async fn standing<S: Store>(
    store: &S,
    line: &PipelineRow,
    record: RecordId,
    links: &[Linked],
) -> Result<Standing, StoreError> {
    let identity = line.identity.clone();
    let known = store.known(line.id, Question { records: vec![record], parents: Vec::new() }).await?;
    let which =
        Which { pipeline: Some(identity.name.clone()), record: Some(record), waiting: true, ..Which::default() };
    let parked = store.failed(&which, None, 1).await?.pop();
    let sent = store.sent().await?;
    let link = links.iter().find(|link| {
        !link.past && link.target_org == identity.target_org && link.target_object == identity.target_object
    });
    let applied = known.applied.get(&record);
    Ok(Standing {
        pipeline: identity.name,
        source_org: identity.source_org,
        source_object: identity.source_object,
        record,
        target_org: identity.target_org,
        target_object: identity.target_object,
        target: link.map(|link| link.target),
        watermark: line.watermark.0,
        applied: applied.map(|applied| applied.seq.0),
        tombstone: applied.is_some_and(|applied| applied.tombstone),
        halted: line.halted.as_ref().map(|halted| halted.why.clone()),
        parked: parked.map(Parked::of),
        suspect: sent.iter().any(|sent| (sent.pipeline, sent.record) == (line.id, record)),
    })
}

impl Pair {
    fn of(link: Linked) -> Self {
        let Linked { source_org, source, target_org, target_object, target, created, past } = link;
        Self { source_org, source, target_org, target_object, target, created, past }
    }
}

impl Journaled {
    fn of(org: &OrgName, record: RecordId, entry: Entry, values: bool) -> Self {
        let change = match &entry.change.happening {
            Happening::Record(change) => Some(change),
            Happening::Event { .. } | Happening::Notification { .. } => None,
        };
        let is_changed = |field: &Field| !matches!(field, Field::Same(_));
        let fields = change.iter().flat_map(|change| &change.fields).filter(|(_, field)| is_changed(field));
        let fields = fields.map(|(name, _)| name.clone()).collect();
        let header = change.map(|change| &change.header);
        Self {
            org: org.clone(),
            record,
            seq: entry.seq.0,
            received: entry.received,
            committed: entry.change.committed(),
            object: header.map(|header| header.entity_name.clone()),
            kind: header.map(|header| header.change_type.as_str().to_owned()),
            user: header.map(|header| header.commit_user.clone()).filter(|user| !user.is_empty()),
            origin: header.map(|header| header.change_origin.clone()).filter(|origin| !origin.is_empty()),
            fields,
            event: values.then(|| serde_json::to_value(&entry.change.happening).unwrap_or(Json::Null)),
        }
    }
}

impl Deed {
    fn of(row: HistoryRow) -> Self {
        let happened = row.happened;
        Self {
            pipeline: row.pipeline,
            record: happened.record,
            at: happened.at,
            since: row.since,
            what: happened.what.as_str().to_owned(),
            through: happened.through.as_str().to_owned(),
            from: happened.from.0,
            to: happened.to.0,
            target: happened.target,
            fields: happened.fields,
            code: happened.code,
            waits_for: happened.parent.map(|parent| parent.record),
        }
    }
}

impl Parked {
    fn of(failed: FailedRecord) -> Self {
        let row = failed.row;
        Self {
            waits: row.state == ParkedState::Waiting,
            code: row.code,
            fields: row.fields,
            waits_for: row.waits_for.map(|parent| (parent.record, parent.target_object)),
            attempts: row.attempts,
            first_at: failed.first_at,
            last_at: row.tried_at,
            redrive_at: failed.redrive_at,
        }
    }
}
