//! The order rule under test: a source, a bus that delays, a journal, a target that loses answers and does the work
//! later, and crashes, all in one thread and driven by drawn numbers. Whatever is drawn, the two sides end equal.

mod deletes;
mod history;
mod keys;
mod long;
mod merges;
mod parents;
mod past;
mod redrive;
mod restore;
mod undeletes;
mod unmatched;

use proptest::prelude::*;

use super::*;
use crate::config::{
    Backfill, Brakes, Config, Feedback, Fill, Flag, From, IfMissing, KeyChanges, Limit, MayDelete, NoLongerMatching,
    OnDelete, PipelineConfig, Publishing, Retain, Start, To, Verify,
};
use crate::event::{ChangeKind, Field, Fields, Header, RecordChange, Value};
use crate::mapping::{Ask, Asked, Expression, Only, Reply};
use crate::publish::{Call, Write};
use crate::store::Happened;

const ACCOUNTS: PipelineId = PipelineId(1);
const CONTACTS: PipelineId = PipelineId(2);
const LATE: Duration = Duration::from_secs(30);

fn pipeline(name: &str, object: &str, parent: Option<&str>) -> PipelineConfig {
    let field = |name: &str, path: &str| (name.parse().unwrap(), Fill::Source(path.parse().unwrap()).into());
    let mut fields = vec![field("Key__c", "Id"), field("A", "A"), field("B", "B")];
    fields.push(("Region__c".parse().unwrap(), Fill::Constant(Value::text("EMEA")).into()));
    if let Some(lookup) = parent {
        let rule = Fill::Parent { pipelines: vec!["accounts".parse().unwrap()], from: lookup.parse().unwrap() };
        fields.push((lookup.parse().unwrap(), rule.into()));
    }
    PipelineConfig {
        name: name.parse().unwrap(),
        from: From {
            org: "source".parse().unwrap(),
            channel: format!("/data/{object}ChangeEvent").parse().unwrap(),
            object: object.parse().unwrap(),
            start: Start::Tip,
            poll: None,
        },
        to: To { org: "target".parse().unwrap(), object: object.parse().unwrap(), key: "Key__c".parse().unwrap() },
        fields,
        when: None,
        when_no_longer_matching: NoLongerMatching::Keep,
        flag: None,
        on_delete: OnDelete::Delete,
        brakes: Brakes::default(),
        backfill: Backfill::default(),
        verify: Verify::default(),
        feedback: Feedback::default(),
        publishing: Publishing { may_delete: MayDelete::Any, ..Publishing::default() },
    }
}

/// The two pipelines, changed as `differently` says.
fn mappings(differently: impl Fn(&mut PipelineConfig)) -> [(PipelineId, Arc<Mapping>); 2] {
    let mut pipelines = vec![pipeline("accounts", "Account", None), pipeline("contacts", "Contact", Some("AccountId"))];
    pipelines.iter_mut().for_each(differently);
    let config = Config {
        orgs: BTreeMap::new(),
        pipelines,
        actions: Vec::new(),
        state: "unused".into(),
        look_again: Duration::from_secs(60),
        parent_wait: Duration::from_secs(24 * 3600),
        bulk_from: None,
        late_landing: LATE,
        cases: Vec::new(),
        probe_every: LATE,
        journal_retain: Retain::default(),
        linger: Duration::ZERO,
        history_age: Duration::from_secs(30 * 24 * 3_600),
        digest: None,
    };
    [(ACCOUNTS, 0), (CONTACTS, 1)].map(|(id, n)| (id, Arc::new(Mapping::new(&config.pipelines[n], &config))))
}

/// Accounts are 0 to 3, contacts 4 to 9.
fn record_id(n: usize) -> RecordId {
    let prefix = if n < 4 { "001" } else { "003" };
    format!("{prefix}00000000000{n}").parse().unwrap()
}

fn target_id(n: u64) -> RecordId {
    format!("001T{n:011}").parse().unwrap()
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Row {
    fields: BTreeMap<String, Value>,
    deleted: bool,
    /// Went with its account.
    cascaded: bool,
    /// Deleted by being merged into this one.
    merged: Option<usize>,
}

/// What the target holds of a live record, under its key.
type Mirror = BTreeMap<String, BTreeMap<String, Value>>;

#[derive(Default)]
struct Target {
    rows: BTreeMap<RecordId, (String, BTreeMap<String, Value>)>,
    made: u64,
    /// What was written to which record, in order.
    log: Vec<(RecordId, BTreeMap<String, Value>)>,
    /// Records that a call deleted, without those that went with them.
    deleted: Vec<RecordId>,
    /// In the order in which they were deleted.
    bin: Vec<Binned>,
    /// What the bridge did not make.
    others: HashSet<RecordId>,
}

struct Binned {
    id: RecordId,
    row: (String, BTreeMap<String, Value>),
    /// The record that took it along.
    with: Option<RecordId>,
}

impl Target {
    fn holder(&self, key: &str) -> Option<RecordId> {
        self.rows.iter().find(|(_, (held, _))| held == key).map(|(id, _)| *id)
    }

    /// A record that somebody made before the bridge came, with the key of one of the source.
    fn hold(&mut self, n: usize) {
        let key = record_id(n).to_string();
        let fields = BTreeMap::from([("Key__c".to_owned(), Value::text(key.as_str()))]);
        self.made += 1;
        self.others.insert(target_id(self.made));
        self.rows.insert(target_id(self.made), (key, fields));
    }

    /// Takes the last one with this key out of the bin, with what went with it; as `hydrate::restore` and the platform do
    /// it. The record with the key, if the bridge had made it.
    fn restore(&mut self, key: &str) -> Option<RecordId> {
        if self.holder(key).is_none() {
            let id = self.bin.iter().rev().find(|binned| binned.row.0 == key)?.id;
            let back = self.bin.extract_if(.., |binned| binned.id == id || binned.with == Some(id));
            for binned in back.collect::<Vec<_>>() {
                // Keys are unique: what was made anew meanwhile stays.
                if self.holder(&binned.row.0).is_none() {
                    self.rows.insert(binned.id, binned.row);
                }
            }
            // A parent that is still deleted is not referred to any more.
            let live: HashSet<String> = self.rows.values().map(|(key, _)| key.clone()).collect();
            let row = self.rows.get_mut(&id)?;
            if row.1.get("AccountId").and_then(Value::as_text).is_some_and(|parent| !live.contains(parent)) {
                row.1.insert("AccountId".to_owned(), Value::Null);
            }
        }
        self.holder(key).filter(|id| !self.others.contains(id))
    }

    /// Does one write as the platform would.
    fn apply(&mut self, call: &Call, write: &Write) -> Verdict {
        let mut values = BTreeMap::new();
        for (name, cell) in write.fields().into_iter().flatten() {
            let value = match cell {
                Cell::Value(value) => value.clone(),
                Cell::Parent(reference) => {
                    if self.holder(reference.parent.record.as_str()).is_none() {
                        if reference.if_missing == IfMissing::FillLater {
                            return Verdict::Without(reference.parent.clone());
                        }
                        return Verdict::Refused(Refusal {
                            state: ParkedState::Waiting,
                            code: "INVALID_FIELD".into(),
                            fields: vec![],
                            waits_for: Some(reference.parent.clone()),
                            evidence: String::new(),
                        });
                    }
                    Value::text(reference.parent.record.as_str())
                }
                Cell::Unfilled { .. } => Value::Null,
            };
            values.insert(name.to_string(), value);
        }
        match call {
            Call::Upsert { key_field, .. } => {
                let key = values[key_field.as_str()].as_text().unwrap().to_owned();
                let holder = self.holder(&key);
                let id = holder.unwrap_or_else(|| {
                    self.made += 1;
                    target_id(self.made)
                });
                let row = self.rows.entry(id).or_insert((key, BTreeMap::new()));
                self.log.push((id, values.clone()));
                row.1.extend(values);
                Verdict::Saved { id, created: Some(holder.is_none()) }
            }
            Call::Update { .. } => {
                let id = write.key.linked().unwrap();
                match self.rows.get_mut(&id) {
                    Some(row) => {
                        self.log.push((id, values.clone()));
                        if let Some(key) = values.get("Key__c").and_then(Value::as_text) {
                            row.0 = key.to_owned();
                        }
                        row.1.extend(values);
                        Verdict::Saved { id, created: None }
                    }
                    None => Verdict::Gone,
                }
            }
            Call::Delete { .. } => {
                let id = write.key.linked().unwrap();
                self.deleted.push(id);
                if let Some(row) = self.rows.remove(&id) {
                    let key = row.0.clone();
                    self.bin.push(Binned { id, row, with: None });
                    // An account takes its contacts with it.
                    let goes = |(_, fields): &(String, BTreeMap<String, Value>)| {
                        fields.get("AccountId") == Some(&Value::text(key.as_str())) && key.starts_with("001")
                    };
                    let along = self.rows.extract_if(.., |_, row| goes(row));
                    self.bin.extend(along.map(|(child, row)| Binned { id: child, row, with: Some(id) }));
                }
                Verdict::Deleted
            }
        }
    }

    fn mirror(&self) -> Mirror {
        self.rows.values().map(|(key, fields)| (key.clone(), fields.clone())).collect()
    }
}

/// The store's contract in a few maps.
#[derive(Default)]
struct Memory {
    applied: HashMap<(PipelineId, RecordId), Applied>,
    links: HashMap<RecordId, RecordId>,
    created: HashSet<RecordId>,
    parked: HashMap<(PipelineId, RecordId), Parked>,
    /// There is one lookup.
    unfilled: HashMap<(PipelineId, RecordId), RecordId>,
    sent: BTreeMap<(PipelineId, RecordId), bool>,
    watermarks: HashMap<PipelineId, Seq>,
    halts: Vec<String>,
}

impl Memory {
    /// Who is woken, whose lookup can be filled, and whose parent waits for it.
    fn settle(&mut self, settlement: Settlement) -> (Vec<Source>, Vec<Source>, Vec<(Source, Parent)>) {
        self.halts.extend(settlement.halts.into_iter().map(|(_, why, _)| why));
        // As the store's contract has it: who was parked just now, or waits for a link that was set just now.
        let parked_now: HashSet<_> = settlement.park.iter().map(|row| (row.pipeline, row.record)).collect();
        let set = |link: &LinkChange| match link {
            LinkChange::Set { source, .. } => Some(*source),
            LinkChange::Drop { .. } => None,
        };
        let set_now: HashSet<RecordId> = settlement.links.iter().filter_map(set).collect();
        for (pipeline, record, applied) in settlement.applied {
            let known = self.applied.entry((pipeline, record)).or_insert(applied);
            if applied.seq >= known.seq {
                *known = applied;
            }
        }
        for change in settlement.links {
            match change {
                LinkChange::Set { source, target, created, .. } => {
                    let before = self.links.insert(source, target);
                    if created == Some(true) {
                        self.created.insert(source);
                    } else if before != Some(target) {
                        self.created.remove(&source);
                    }
                }
                LinkChange::Drop { source, target, .. } => {
                    if self.links.get(&source) == Some(&target) {
                        self.links.remove(&source);
                        self.created.remove(&source);
                    }
                }
            }
        }
        for (pipeline, record, to) in settlement.close {
            if self.parked.get(&(pipeline, record)).is_some_and(|row| row.to <= to) {
                self.parked.remove(&(pipeline, record));
            }
            self.unfilled.remove(&(pipeline, record));
        }
        for (pipeline, record, _) in settlement.filled {
            self.unfilled.remove(&(pipeline, record));
        }
        let left_out = settlement.unfilled.iter();
        let left_out: Vec<_> =
            left_out.map(|row| ((row.pipeline, row.record), row.parent.as_ref().unwrap().record)).collect();
        self.unfilled.extend(left_out.iter().copied());
        for row in settlement.park {
            let merged = match self.parked.remove(&(row.pipeline, row.record)) {
                Some(old) => Parked { from: old.from.min(row.from), to: old.to.max(row.to), ..row },
                None => row,
            };
            self.parked.insert((merged.pipeline, merged.record), merged);
        }
        for (_, record, why) in settlement.not_coming {
            let waits = |row: &&mut Parked| row.waits_for.as_ref().is_some_and(|parent| parent.record == record);
            for row in self.parked.values_mut().filter(waits).filter(|row| row.state == ParkedState::Waiting) {
                if !self.links.contains_key(&record) {
                    (row.state, row.code) = (ParkedState::Failed, why.code().to_owned());
                }
            }
        }
        for (pipeline, record, to) in settlement.widen {
            if let Some(row) = self.parked.get_mut(&(pipeline, record)) {
                row.to = row.to.max(to);
            }
        }
        for key in settlement.answered {
            if self.sent.get(&key) == Some(&false) {
                self.sent.remove(&key);
            }
        }
        for key in settlement.cleared {
            self.sent.remove(&key);
        }
        for (pipeline, record, _) in settlement.suspect {
            self.sent.insert((pipeline, record), true);
        }
        for (pipeline, watermark) in settlement.watermarks {
            let known = self.watermarks.entry(pipeline).or_default();
            assert!(watermark >= *known, "a watermark went backwards");
            *known = watermark;
        }
        let woken = self.parked.iter().filter(|(key, row)| {
            let Some(parent) = &row.waits_for else { return false };
            let is_asked = parked_now.contains(*key) || set_now.contains(&parent.record);
            is_asked && self.links.contains_key(&parent.record)
        });
        let woken: Vec<_> = woken.map(|(_, row)| Source { pipeline: row.pipeline, record: row.record }).collect();
        let up = |record: RecordId| {
            let row = self.parked.values().find(|row| row.record == record);
            row.and_then(|row| row.waits_for.as_ref()).map(|parent| parent.record)
        };
        let goes_round = |row: &&Parked| {
            let mut at = row.waits_for.as_ref().map(|parent| parent.record);
            (0..50).any(|_| {
                let found = at == Some(row.record);
                at = at.and_then(up);
                found
            })
        };
        let parked = self.parked.iter().filter(|(key, _)| parked_now.contains(*key)).map(|(_, row)| row);
        let circles = parked.filter(|row| row.state == ParkedState::Waiting).filter(goes_round).filter_map(|row| {
            let source = Source { pipeline: row.pipeline, record: row.record };
            Some((source, row.waits_for.clone().filter(|_| !woken.contains(&source))?))
        });
        let circles = circles.collect();
        let fillable = self.unfilled.iter().filter(|(key, parent)| {
            let is_asked = left_out.iter().any(|(noted, _)| noted == *key) || set_now.contains(parent);
            is_asked && self.links.contains_key(parent)
        });
        let source = |(&(pipeline, record), _): (&(PipelineId, RecordId), &RecordId)| Source { pipeline, record };
        (woken, fillable.map(source).collect(), circles)
    }

    /// After a pause, whatever could be filled and is not.
    fn overdue(&self) -> Vec<Source> {
        let due = self.unfilled.iter().filter(|(_, parent)| self.links.contains_key(*parent));
        due.map(|((pipeline, record), _)| Source { pipeline: *pipeline, record: *record }).collect()
    }
}

/// What an org answered to a read.
#[derive(Default)]
struct Heard {
    found: HashMap<RecordId, Found>,
    held: HashMap<String, RecordId>,
    children: Vec<Child>,
    returned: Returned,
}

struct World {
    mappings: [(PipelineId, Arc<Mapping>); 2],
    now: Instant,
    source: BTreeMap<usize, Row>,
    bus: Vec<(PipelineId, RecordChange)>,
    journal: Vec<(PipelineId, Arc<RecordChange>)>,
    asked: Vec<(Read, Heard)>,
    flights: Vec<Batch>,
    /// Requests without an answer that the target does later, and until when.
    late: Vec<(Instant, Batch)>,
    target: Target,
    memory: Memory,
    machine: Machine,
    commits: i64,
    /// How often each pipeline was mapped anew.
    regions: [u32; 2],
    /// What a job has read and not given to the machine yet.
    past: Option<PastPage>,
    /// So many of a hundred events get lost.
    lossy: u16,
    /// What was remembered.
    history: Vec<Happened>,
    /// Covers of writes that the target confirmed to this process.
    confirmed: u64,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(differently: impl Fn(&mut PipelineConfig)) -> Self {
        let mut world = Self {
            mappings: mappings(differently),
            now: Instant::now(),
            source: BTreeMap::new(),
            bus: Vec::new(),
            journal: Vec::new(),
            asked: Vec::new(),
            flights: Vec::new(),
            late: Vec::new(),
            target: Target::default(),
            memory: Memory::default(),
            machine: Machine::new(LATE, LATE),
            commits: 0,
            regions: [0; 2],
            past: None,
            lossy: 0,
            history: Vec::new(),
            confirmed: 0,
        };
        world.restart();
        world
    }

    /// A new process on the same state: what was in memory is gone.
    fn restart(&mut self) {
        self.machine = Machine::new(LATE, LATE);
        self.confirmed = 0;
        for (id, mapping) in self.mappings.clone() {
            let watermark = self.memory.watermarks.get(&id).copied().unwrap_or_default();
            self.machine.add_pipeline(id, mapping, watermark);
        }
        self.machine.tick(self.now, Timestamp(0));
        for (pipeline, record) in self.memory.sent.keys() {
            self.machine.add_suspect(Source { pipeline: *pipeline, record: *record }, None, self.now);
        }
        for row in self.memory.parked.values() {
            self.machine.wake(Source { pipeline: row.pipeline, record: row.record }, self.now);
        }
        // Requests in flight go on without anybody to hear the answer.
        let until = self.now + LATE / 2;
        self.late.extend(self.flights.drain(..).map(|batch| (until, batch)));
        self.asked.clear();
        self.past = None;
        for sent in self.memory.sent.values_mut() {
            *sent = true;
        }
    }

    fn commit(&mut self) {
        while let Some(settlement) = self.machine.take_settlement() {
            self.check_history(&settlement);
            let (woken, fillable, circles) = self.memory.settle(settlement);
            woken.into_iter().for_each(|source| self.machine.woken(source, self.now));
            fillable.into_iter().for_each(|source| self.machine.fill(source, true, self.now));
            circles.into_iter().for_each(|(source, parent)| self.machine.break_circle(source, parent, self.now));
            self.machine.fetch_parents(self.now);
        }
    }

    /// As the driver does before it sends.
    fn take_steps(&mut self) {
        loop {
            let parts = self.machine.next_steps();
            if parts.is_empty() {
                return;
            }
            let questions = self.machine.questions(&parts);
            let answers = questions.iter().map(|(id, question)| (*id, self.answer(*id, question))).collect();
            self.machine.steps(parts, &answers, self.now);
            self.commit();
        }
    }

    /// Some changes come as a gap: without their values.
    fn emit(&mut self, n: usize, how: u16, kind: ChangeKind, fields: Fields) {
        let (kind, fields) = match kind {
            _ if !how.is_multiple_of(4) => (kind, fields),
            ChangeKind::Create => (ChangeKind::GapCreate, Fields::new()),
            ChangeKind::Delete => (ChangeKind::GapDelete, Fields::new()),
            ChangeKind::Undelete => (ChangeKind::GapUndelete, Fields::new()),
            _ => (ChangeKind::GapUpdate, Fields::new()),
        };
        self.commits += 1;
        let (pipeline, object) = if n < 4 { (ACCOUNTS, "Account") } else { (CONTACTS, "Contact") };
        let header = Header {
            entity_name: object.parse().unwrap(),
            record_ids: vec![record_id(n)],
            wildcard: false,
            change_type: kind,
            change_origin: String::new(),
            transaction_key: self.commits.to_string(),
            sequence_number: 1,
            commit_timestamp: Timestamp(self.commits),
            commit_number: self.commits,
            commit_user: String::new(),
        };
        if how % 100 >= self.lossy {
            self.bus.push((pipeline, RecordChange { header, fields }));
        }
    }

    fn live_accounts(&self) -> Vec<usize> {
        self.source.iter().filter(|(n, row)| **n < 4 && !row.deleted).map(|(n, _)| *n).collect()
    }

    fn change_source(&mut self, n: usize, how: u16) {
        let value = if how.is_multiple_of(7) { Value::Null } else { Value::text(format!("v{how}")) };
        let accounts = self.live_accounts();
        let parent = match accounts.is_empty() {
            true => Value::Null,
            false => Value::text(record_id(accounts[usize::from(how) % accounts.len()]).as_str()),
        };
        let all = |row: &Row| -> Fields {
            let filled = row.fields.iter().filter(|(_, value)| !value.is_null());
            filled.map(|(name, value)| (name.clone(), Field::New(value.clone()))).collect()
        };
        match self.source.get_mut(&n) {
            None => {
                let mut fields = BTreeMap::from([("A".to_owned(), value), ("B".to_owned(), Value::Null)]);
                if n >= 4 {
                    fields.insert("AccountId".to_owned(), parent);
                }
                let row = Row { fields, deleted: false, ..Row::default() };
                let event = all(&row);
                self.source.insert(n, row);
                self.emit(n, how, ChangeKind::Create, event);
            }
            Some(row) if row.deleted => {
                if row.cascaded {
                    return;
                }
                let orphan = match row.fields.get("AccountId").and_then(Value::as_text) {
                    Some(id) => !accounts.iter().any(|n| record_id(*n).as_str() == id),
                    None => false,
                };
                row.deleted = false;
                if orphan {
                    row.fields.insert("AccountId".to_owned(), Value::Null);
                }
                let event = all(row);
                self.emit(n, how, ChangeKind::Undelete, event);
                let with: Vec<usize> = self.source.iter().filter(|(_, row)| row.cascaded).map(|(n, _)| *n).collect();
                let id = Value::text(record_id(n).as_str());
                for child in with.into_iter().filter(|_| n < 4) {
                    let Some(row) = self.source.get_mut(&child) else { continue };
                    if row.fields.get("AccountId") == Some(&id) {
                        (row.deleted, row.cascaded) = (false, false);
                        let event = all(row);
                        self.emit(child, how, ChangeKind::Undelete, event);
                    }
                }
            }
            Some(row) if how.is_multiple_of(5) => {
                row.deleted = true;
                self.emit(n, how, ChangeKind::Delete, Fields::new());
                let id = Value::text(record_id(n).as_str());
                let children: Vec<usize> = self
                    .source
                    .iter()
                    .filter(|(_, row)| n < 4 && !row.deleted && row.fields.get("AccountId") == Some(&id))
                    .map(|(n, _)| *n)
                    .collect();
                for child in children {
                    if let Some(row) = self.source.get_mut(&child) {
                        (row.deleted, row.cascaded) = (true, true);
                    }
                    self.emit(child, how, ChangeKind::Delete, Fields::new());
                }
            }
            Some(row) => {
                let (field, value) = match how % 3 {
                    // Nobody maps this one.
                    _ if how.is_multiple_of(13) => ("Unmapped", value),
                    0 => ("A", value),
                    1 if n >= 4 => ("AccountId", parent),
                    _ => ("B", value),
                };
                row.fields.insert(field.to_owned(), value.clone());
                let fields = Fields::from([(field.to_owned(), Field::New(value))]);
                self.emit(n, how, ChangeKind::Update, fields);
            }
        }
    }

    /// The journal stage takes the oldest event of the bus.
    fn deliver(&mut self) {
        if !self.bus.is_empty() {
            let (pipeline, change) = self.bus.remove(0);
            self.journal.push((pipeline, Arc::new(change)));
        }
    }

    fn head(&self) -> Seq {
        Seq(self.journal.len() as u64)
    }

    fn answer(&self, pipeline: PipelineId, question: &Question) -> Answer {
        let key = |record: &RecordId| (pipeline, *record);
        let pick = |record: &RecordId| self.memory.links.get(record).map(|target| (*record, *target));
        Answer {
            applied: question
                .records
                .iter()
                .filter_map(|record| Some((*record, *self.memory.applied.get(&key(record))?)))
                .collect(),
            links: question.records.iter().filter_map(pick).collect(),
            created: question.records.iter().filter(|record| self.memory.created.contains(record)).copied().collect(),
            parked: question
                .records
                .iter()
                .filter_map(|record| Some((*record, self.memory.parked.get(&key(record))?.clone())))
                .collect(),
            parents: question
                .parents
                .iter()
                .filter_map(|parent| Some((parent.clone(), *self.memory.links.get(&parent.record)?)))
                .collect(),
        }
    }

    fn page(&mut self, limit: usize) {
        let scanned = self.machine.pipelines().map(|(_, _, progress)| progress.scanned()).min().unwrap();
        let scanned = usize::try_from(scanned.0).unwrap();
        let entries = self.journal.iter().enumerate().skip(scanned).take(limit);
        let to = Seq(entries.clone().next_back().map_or(scanned, |(n, _)| n + 1) as u64);
        let part = |(n, (of, change)): (usize, &(PipelineId, Arc<RecordChange>))| {
            let part = Part { seq: Seq(n as u64 + 1), record: change.header.record_ids[0], change: change.clone() };
            (*of, part)
        };
        let settled = |of: &PipelineId| self.memory.watermarks.get(of).copied().unwrap_or_default();
        let parts: Vec<_> = entries.map(part).filter(|(of, part)| part.seq > settled(of)).collect();
        let questions = self.machine.questions(&parts);
        let answers = questions.iter().map(|(id, question)| (*id, self.answer(*id, question))).collect();
        self.machine.stretch(Stretch { parts, to, answers }, self.now);
        self.commit();
    }

    /// A read goes out; the orgs are asked at once, the answer travels.
    fn ask(&mut self) -> bool {
        let Some(read) = self.machine.next_read(self.now) else { return false };
        let mut heard = Heard::default();
        match &read.what {
            ReadWhat::Records { records, restores, revived, .. } => {
                let question = Question { records: records.clone(), ..Question::default() };
                let known = self.answer(read.pipeline, &question);
                let back = came_back(records.iter().copied().filter(|_| *restores), revived, &known);
                for record in records {
                    let Some((_, row)) = self.source.iter().find(|(n, _)| record_id(**n) == *record) else { continue };
                    let values =
                        row.fields.iter().map(|(name, value)| (name.parse().unwrap(), value.clone())).collect();
                    let what = match (row.deleted, row.merged) {
                        (true, Some(into)) => Found::Merged { into: record_id(into) },
                        (true, None) => Found::Deleted,
                        (false, _) => Found::Record(Record { id: *record, values }),
                    };
                    if back.contains(record) && !row.deleted {
                        let own = self.target.restore(record.as_str());
                        let source = Source { pipeline: read.pipeline, record: *record };
                        heard.returned.own.extend(own.map(|id| (source, id)));
                        let named = Value::text(record.as_str());
                        let along = self.target.rows.iter();
                        for (id, (key, _)) in along.filter(|(_, row)| row.1.get("AccountId") == Some(&named)) {
                            let source = Source { pipeline: CONTACTS, record: key.parse().unwrap() };
                            heard.returned.along.push(source);
                            heard.returned.own.push((source, *id));
                        }
                    }
                    heard.found.insert(*record, what);
                }
            }
            ReadWhat::Targets { keys } => {
                for (_, key) in keys {
                    if let Some(id) = self.target.holder(key) {
                        heard.held.insert(key.clone(), id);
                    }
                }
            }
            ReadWhat::Children { .. } | ReadWhat::Moved { .. } => {
                let parents = match &read.what {
                    ReadWhat::Moved { losers, .. } => losers.iter().map(|(_, winner)| *winner).collect(),
                    what => what.records(),
                };
                for parent in &parents {
                    let mut last = *parent;
                    while let ReadWhat::Moved { .. } = &read.what
                        && let Some((_, row)) = self.source.iter().find(|(n, _)| record_id(**n) == last)
                        && let Some(into) = row.merged
                    {
                        last = record_id(into);
                    }
                    let named = Value::text(last.as_str());
                    let rows = self.source.iter().filter(|(_, row)| !row.deleted);
                    let rows = rows.filter(|(_, row)| row.fields.get("AccountId") == Some(&named));
                    let child =
                        |(n, _): (&usize, &Row)| Child { pipeline: CONTACTS, record: record_id(*n), parent: *parent };
                    heard.children.extend(rows.map(child));
                }
            }
        }
        self.asked.push((read, heard));
        true
    }

    /// Asks and answers until nothing is to be read now.
    fn read_all(&mut self) {
        while self.ask() || !self.asked.is_empty() {
            self.answer_read(0);
        }
    }

    fn answer_read(&mut self, pick: usize) {
        if self.asked.is_empty() {
            return;
        }
        let (read, heard) = self.asked.remove(pick % self.asked.len());
        let records: Vec<Record> = heard
            .found
            .values()
            .filter_map(|found| match found {
                Found::Record(record) => Some(record.clone()),
                Found::Deleted | Found::Merged { .. } | Found::NotVisible => None,
            })
            .collect();
        let answer = self.answer(read.pipeline, &self.machine.question_of_read(&read, &records));
        match read.what {
            ReadWhat::Records { .. } => {
                self.machine.returned(heard.returned, self.now);
                self.machine.read_records(read, heard.found, &answer, self.now);
            }
            ReadWhat::Targets { .. } => self.machine.read_targets(read, &heard.held, &answer, self.now),
            ReadWhat::Children { .. } => self.machine.read_children(read, &heard.children, self.now),
            ReadWhat::Moved { .. } => self.machine.read_moved(read, &heard.children, self.now),
        }
        self.commit();
    }

    fn send(&mut self) -> bool {
        self.take_steps();
        let Some(batch) = self.machine.next_batch(self.now) else {
            self.commit();
            return false;
        };
        self.commit();
        for (write, cover) in batch.writes.iter().flat_map(|write| write.covers.iter().map(move |cover| (write, cover)))
        {
            // What is written again because its answer was lost may be as it was.
            let is_suspect = self.memory.sent.get(&(cover.source.pipeline, cover.source.record)) == Some(&true);
            let region = write.fields().and_then(|fields| fields.get(&"Region__c".parse().unwrap()));
            if let (false, Some(Cell::Value(region))) = (is_suspect, region) {
                let n = usize::from(cover.source.pipeline == CONTACTS);
                assert_eq!(*region, self.region(n), "{:?} was mapped before", cover.source);
            }
            let out = |batch: &Batch| {
                batch.writes.iter().flat_map(|write| &write.covers).any(|other| other.source == cover.source)
            };
            assert!(!self.flights.iter().any(out), "{:?} has two writes in flight", cover.source);
            self.memory.sent.entry((cover.source.pipeline, cover.source.record)).or_insert(false);
        }
        self.flights.push(batch);
        true
    }

    fn answer_batch(&mut self, pick: usize, how: u16) {
        if self.flights.is_empty() {
            return;
        }
        let batch = self.flights.remove(pick % self.flights.len());
        let at = self.now + Duration::from_secs(1);
        let verdicts = match how % 8 {
            // Cut before the target did anything; it will, later.
            0 => {
                self.late.push((self.now + LATE / 2, batch.clone()));
                batch.writes.iter().map(|_| Verdict::Unknown { at: self.now }).collect()
            }
            // Done, and the answer lost.
            1 => {
                batch.writes.iter().for_each(|write| drop(self.target.apply(&batch.call, write)));
                batch.writes.iter().map(|_| Verdict::Unknown { at }).collect()
            }
            2 => batch.writes.iter().map(|_| Verdict::Retry { at }).collect(),
            3 if batch.writes.len() > 1 => batch.writes.iter().map(|_| Verdict::Split).collect(),
            4 => {
                let named = self.target.rows.keys().next().copied();
                batch.writes.iter().map(|_| Verdict::Locked { at, records: named.into_iter().collect() }).collect()
            }
            5 if batch.writes.len() > 1 => batch.writes.iter().map(|_| Verdict::TooMuch).collect(),
            _ => batch.writes.iter().map(|write| self.target.apply(&batch.call, write)).collect(),
        };
        self.machine.batch_done(batch.flight, verdicts, self.now);
        self.commit();
    }

    fn land_late(&mut self, pick: usize) {
        if !self.late.is_empty() {
            let (_, batch) = self.late.remove(pick % self.late.len());
            batch.writes.iter().for_each(|write| drop(self.target.apply(&batch.call, write)));
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        while let Some(n) = self.late.iter().position(|(until, _)| *until <= self.now) {
            self.land_late(n);
        }
        self.machine.tick(self.now, Timestamp(0));
    }

    fn step(&mut self, op: u8, pick: usize, how: u16) {
        match op {
            0..=29 => self.change_source(pick % 10, how),
            30..=54 => self.deliver(),
            55..=64 => self.page(1 + pick % 4),
            65..=69 => drop(self.ask()),
            70..=74 => self.answer_read(pick),
            75..=82 => drop(self.send()),
            83..=91 => self.answer_batch(pick, how),
            92..=93 => self.land_late(pick),
            94..=97 => self.pass(1 + u64::from(how) % 20),
            98..=99 => self.restart(),
            _ => self.remap(pick),
        }
    }

    /// A describe has changed.
    fn remap(&mut self, pick: usize) {
        let n = pick % 2;
        self.regions[n] += 1;
        let (region, coalesce) = (self.region(n), self.mappings[n].1.publishing.coalesce);
        let changed = mappings(|pipeline| {
            pipeline.publishing.coalesce = coalesce;
            let rule = pipeline.fields.iter_mut().find(|(name, _)| name.as_str() == "Region__c");
            rule.unwrap().1 = Fill::Constant(region.clone()).into();
        });
        let (id, mapping) = changed[n].clone();
        self.mappings[n].1 = mapping.clone();
        self.machine.set_mapping(id, mapping, self.now);
        self.commit();
    }

    /// What a pipeline writes as the region.
    fn region(&self, n: usize) -> Value {
        match self.regions[n] {
            0 => Value::text("EMEA"),
            times => Value::text(format!("EMEA {times}")),
        }
    }

    /// No more faults: everything is delivered and settled.
    fn finish(&mut self) {
        while !self.bus.is_empty() {
            self.deliver();
        }
        // What waits is looked at again after a pause.
        let mut tried = 0;
        for _ in 0..2_000 {
            self.page(5);
            while self.ask() {}
            while !self.asked.is_empty() {
                self.answer_read(0);
            }
            while self.send() {}
            while !self.flights.is_empty() {
                self.answer_batch(0, 7);
            }
            if self.machine.is_caught_up(self.head()) {
                let overdue = self.memory.overdue();
                let waiting: Vec<_> = self.memory.parked.keys().copied().collect();
                tried += usize::from(overdue.is_empty());
                if tried > 3 || (overdue.is_empty() && waiting.is_empty()) {
                    return;
                }
                overdue.into_iter().for_each(|source| self.machine.fill(source, false, self.now));
                for (pipeline, record) in waiting {
                    self.machine.wake(Source { pipeline, record }, self.now);
                }
            }
            self.pass(1);
        }
        panic!("it never catches up: {:?}", self.machine);
    }

    fn expected(&self) -> Mirror {
        let live = self.source.iter().filter(|(_, row)| !row.deleted);
        live.map(|(n, row)| {
            let mut fields = row.fields.clone();
            fields.remove("Unmapped");
            fields.insert("Key__c".into(), Value::text(record_id(*n).as_str()));
            fields.insert("Region__c".into(), self.region(usize::from(*n >= 4)));
            (record_id(*n).to_string(), fields)
        })
        .collect()
    }
}

fn failed(code: &str) -> Refusal {
    let (state, code) = (ParkedState::Failed, code.to_owned());
    Refusal { state, code, fields: Vec::new(), waits_for: None, evidence: String::new() }
}

fn shown(mirror: &Mirror) -> String {
    let text = |value: &Value| value.as_text().unwrap_or("-").to_owned();
    let row = |fields: &BTreeMap<String, Value>| {
        fields.iter().map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(" ")
    };
    mirror.iter().map(|(key, fields)| format!("{key}: {}\n", row(fields))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_target_ends_equal_to_the_source_whatever_happens_on_the_way(
        steps in proptest::collection::vec((0_u8..100, any::<usize>(), any::<u16>()), 0..300),
    ) {
        ends_equal(World::new(), steps)?;
    }

    #[test]
    fn the_target_ends_equal_where_each_change_is_written_by_itself(
        steps in proptest::collection::vec((0_u8..100, any::<usize>(), any::<u16>()), 0..300),
    ) {
        ends_equal(World::with(|pipeline| pipeline.publishing.coalesce = false), steps)?;
    }

    #[test]
    fn the_target_ends_equal_where_counterparts_are_taken_out_of_the_bin(
        steps in proptest::collection::vec((0_u8..100, any::<usize>(), any::<u16>()), 0..300),
        coalesce in any::<bool>(),
    ) {
        let world = World::with(|pipeline| {
            pipeline.publishing.on_undelete = OnUndelete::Restore;
            pipeline.publishing.coalesce = coalesce;
        });
        ends_equal(world, steps)?;
    }

    #[test]
    fn the_target_ends_equal_where_lookups_are_filled_later(
        steps in proptest::collection::vec((0_u8..100, any::<usize>(), any::<u16>()), 0..300),
    ) {
        ends_equal(World::with(fill_later), steps)?;
    }

    #[test]
    fn the_target_ends_equal_where_each_change_is_written_by_itself_and_lookups_are_filled_later(
        steps in proptest::collection::vec((0_u8..100, any::<usize>(), any::<u16>()), 0..300),
    ) {
        let differently = |pipeline: &mut PipelineConfig| {
            fill_later(pipeline);
            pipeline.publishing.coalesce = false;
        };
        ends_equal(World::with(differently), steps)?;
    }
}

fn fill_later(pipeline: &mut PipelineConfig) {
    for (_, rule) in &mut pipeline.fields {
        rule.if_missing = Some(IfMissing::FillLater);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_target_ends_equal_where_the_types_change_meanwhile(
        steps in proptest::collection::vec((0_u8..108, any::<usize>(), any::<u16>()), 0..300),
        coalesce in any::<bool>(),
    ) {
        ends_equal(World::with(|pipeline| pipeline.publishing.coalesce = coalesce), steps)?;
    }
}

fn ends_equal(mut world: World, steps: Vec<(u8, usize, u16)>) -> Result<(), TestCaseError> {
    for (op, pick, how) in steps {
        world.step(op, pick, how);
    }
    world.finish();
    let (mut held, mut expected) = (world.target.mirror(), world.expected());
    if world.regions != [0; 2] {
        // Records keep the region that they were written with.
        held.values_mut().chain(expected.values_mut()).for_each(|row| drop(row.remove("Region__c")));
    }
    prop_assert_eq!(shown(&held), shown(&expected));
    prop_assert!(world.memory.sent.is_empty(), "something is still suspect");
    prop_assert!(world.memory.parked.is_empty(), "{:?}", world.memory.parked);
    prop_assert!(world.memory.unfilled.is_empty(), "{:?}", world.memory.unfilled);
    prop_assert_eq!(world.memory.watermarks.get(&ACCOUNTS).copied().unwrap_or_default(), world.head());
    prop_assert_eq!(world.machine.held, 0);
    Ok(())
}

/// A condition of which a change of other fields does not tell.
const RESTS_ON_B: &str = "B != \"out\"";
/// Ways to change account 0 in the source: see `World::change_source`.
const CREATE_AS_GAP: u16 = 4;
const DELETE: u16 = 5;
const DELETE_AS_GAP: u16 = 20;
const UNDELETE: u16 = 1;
const UNDELETE_AS_GAP: u16 = 4;

/// Changes field B of an account, which comes as a whole event.
fn change_b(world: &mut World, n: usize, value: &str) {
    let value = Value::text(value);
    world.source.get_mut(&n).unwrap().fields.insert("B".to_owned(), value.clone());
    world.emit(n, 1, ChangeKind::Update, Fields::from([("B".to_owned(), Field::New(value))]));
}

fn written_to_b(world: &World, n: usize) -> Vec<String> {
    let id = world.memory.links[&record_id(n)];
    let log = world.target.log.iter().filter(|(to, _)| *to == id);
    log.filter_map(|(_, values)| values.get("B")?.as_text().map(str::to_owned)).collect()
}

fn left_gone(world: &World) -> u64 {
    world.machine.pipelines().map(|(_, counts, _)| counts.left_gone).sum()
}

/// Account 0, written, and then deleted in the target by somebody else.
fn gone_in_target(differently: impl Fn(&mut PipelineConfig)) -> World {
    let mut world = World::with(differently);
    world.change_source(0, 1);
    world.finish();
    assert_eq!(world.target.rows.len(), 1);
    world.target.rows.clear();
    world
}

fn when_gone(policy: WhenTargetGone) -> impl Fn(&mut PipelineConfig) {
    move |pipeline| pipeline.publishing.when_target_gone = policy
}

#[test]
fn each_change_is_written_by_itself_where_changes_are_not_to_be_merged() {
    for coalesce in [true, false] {
        let mut world = World::with(|pipeline| pipeline.publishing.coalesce = coalesce);
        world.change_source(0, 1);
        world.finish();
        ["one", "two", "three"].iter().for_each(|value| change_b(&mut world, 0, value));
        world.finish();
        let expected: &[&str] = if coalesce { &["three"] } else { &["one", "two", "three"] };
        assert_eq!(written_to_b(&world, 0), expected, "coalesce: {coalesce}");
    }
}

#[test]
fn the_steps_of_a_pipeline_that_halts_are_parked_with_the_one_that_halted_it_and_not_read_before_it_goes_on() {
    // Without children a delete is not read before it is made.
    let mut world = World::with(|pipeline| {
        pipeline.publishing.coalesce = false;
        pipeline.fields.retain(|(name, _)| name.as_str() != "AccountId");
    });
    world.change_source(0, 1);
    world.finish();
    let limit = Limit { most: 0, within: Duration::from_secs(600) };
    let brakes = Brakes { deletes: Some(limit), creates: None, failures: None };
    world.machine.set_brakes(ACCOUNTS, &brakes, false, Seq::ZERO);
    change_b(&mut world, 0, "b");
    world.change_source(0, DELETE);
    world.change_source(0, UNDELETE);
    change_b(&mut world, 0, "c");
    world.finish();
    assert_eq!(written_to_b(&world, 0), ["b"]);
    let row = &world.memory.parked[&(ACCOUNTS, record_id(0))];
    assert_eq!((row.code.as_str(), row.to, world.machine.held), (PIPELINE_HALTED, world.head(), 0));
    let from = row.from;
    assert_eq!(world.machine.pipelines().map(|(_, counts, _)| counts.reads).sum::<u64>(), 0);

    world.machine.set_brakes(ACCOUNTS, &brakes, false, world.head());
    world.machine.release(Source { pipeline: ACCOUNTS, record: record_id(0) }, from, world.now);
    world.finish();
    assert!(world.memory.parked.is_empty());
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
}

#[test]
fn what_was_refused_or_waits_is_mapped_anew_when_the_types_change() {
    let reads = |world: &World| world.machine.pipelines().map(|(_, counts, _)| counts.reads).sum::<u64>();
    let later = |world: &World| vec![Verdict::Held { at: world.now + Duration::from_secs(3_600) }];
    for in_flight in [false, true] {
        let mut world = World::new();
        world.change_source(0, 1);
        world.deliver();
        world.page(5);
        assert!(world.send());
        let batch = world.flights.remove(0);
        if !in_flight {
            world.machine.batch_done(batch.flight, later(&world), world.now);
        }
        world.remap(0);
        if in_flight {
            world.machine.batch_done(batch.flight, later(&world), world.now);
        }
        world.commit();
        assert!(world.ask(), "the record is read at once");
        world.finish();
        assert_eq!((shown(&world.target.mirror()), reads(&world)), (shown(&world.expected()), 1));
        // A refusal of what was mapped since is held as ever.
        change_b(&mut world, 0, "b");
        world.deliver();
        world.page(5);
        assert!(world.send());
        let batch = world.flights.remove(0);
        world.machine.batch_done(batch.flight, later(&world), world.now);
        world.commit();
        assert!(!world.ask());
    }
}

#[test]
fn a_counterpart_that_is_gone_is_made_anew_unless_told_otherwise() {
    let mut world = gone_in_target(|_| {});
    change_b(&mut world, 0, "b");
    world.finish();
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
}

#[test]
fn a_counterpart_that_is_gone_stays_so_however_often_its_record_changes() {
    let mut world = gone_in_target(when_gone(WhenTargetGone::Skip));
    let link = world.memory.links[&record_id(0)];
    for (n, value) in ["b", "c", "d"].into_iter().enumerate() {
        change_b(&mut world, 0, value);
        world.finish();
        assert_eq!((world.target.rows.len(), left_gone(&world)), (0, n as u64 + 1));
    }
    // A gap is read whole, and is no reason to make it anew either.
    world.emit(0, 4, ChangeKind::Update, Fields::new());
    world.finish();
    assert!(world.target.rows.is_empty() && world.memory.parked.is_empty());
    assert_eq!(world.memory.links[&record_id(0)], link, "the link is kept");
}

#[test]
fn a_child_of_a_counterpart_that_was_left_gone_waits_and_goes_round_in_no_circle() {
    let mut world = gone_in_target(when_gone(WhenTargetGone::Skip));
    // A contact of account 0.
    world.change_source(4, 1);
    world.finish();
    assert!(world.target.rows.is_empty());
    let row = &world.memory.parked[&(CONTACTS, record_id(4))];
    assert_eq!(row.state, ParkedState::Waiting);
    assert_eq!(row.waits_for.as_ref().map(|parent| parent.record), Some(record_id(0)));
    assert_eq!(left_gone(&world), 4, "the parent was asked about once, and once at each later look");
}

#[test]
fn what_comes_back_from_the_bin_is_made_anew_though_its_counterpart_was_left_gone() {
    for undelete in [UNDELETE, UNDELETE_AS_GAP] {
        for policy in [WhenTargetGone::Skip, WhenTargetGone::Fail] {
            let mut world = gone_in_target(|pipeline| {
                pipeline.on_delete = OnDelete::Ignore;
                pipeline.publishing.when_target_gone = policy;
            });
            world.change_source(0, DELETE);
            world.finish();
            world.change_source(0, undelete);
            world.finish();
            assert_eq!(shown(&world.target.mirror()), shown(&world.expected()), "{undelete} {policy:?}");
        }
    }
}

#[test]
fn a_change_on_its_way_and_the_undelete_behind_it_make_the_record_anew() {
    let mut world = gone_in_target(|pipeline| {
        pipeline.on_delete = OnDelete::Ignore;
        pipeline.publishing.when_target_gone = WhenTargetGone::Skip;
    });
    change_b(&mut world, 0, "b");
    world.deliver();
    world.page(1);
    assert!(world.send());
    world.change_source(0, DELETE);
    world.change_source(0, UNDELETE);
    world.finish();
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
}

#[test]
fn a_counterpart_that_is_gone_while_its_record_is_suspect_is_made_anew() {
    let mut world = gone_in_target(when_gone(WhenTargetGone::Skip));
    change_b(&mut world, 0, "b");
    world.deliver();
    world.page(1);
    assert!(world.send());
    // Done or not: the answer is lost.
    world.answer_batch(0, 1);
    world.finish();
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
    assert_eq!(left_gone(&world), 0);
}

#[test]
fn a_counterpart_that_is_gone_is_a_failed_record_until_it_is_back() {
    let mut world = World::with(when_gone(WhenTargetGone::Fail));
    world.change_source(0, 1);
    world.finish();
    let rows = std::mem::take(&mut world.target.rows);
    change_b(&mut world, 0, "b");
    world.finish();
    let row = &world.memory.parked[&(ACCOUNTS, record_id(0))];
    assert_eq!((row.code.as_str(), row.state), (TARGET_GONE, ParkedState::Failed));
    assert!(row.evidence.contains(rows.keys().next().unwrap().as_str()), "{}", row.evidence);
    assert!(world.target.rows.is_empty());
    // Somebody takes it out of the bin, and redrives.
    world.target.rows = rows;
    world.machine.wake(Source { pipeline: ACCOUNTS, record: record_id(0) }, world.now);
    world.finish();
    assert!(world.memory.parked.is_empty());
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
}

#[test]
fn an_undelete_that_is_ignored_leaves_its_record_deleted_whatever_comes_later() {
    for (delete, undelete) in [(DELETE, UNDELETE), (DELETE, UNDELETE_AS_GAP), (DELETE_AS_GAP, UNDELETE)] {
        let mut world = World::with(|pipeline| pipeline.publishing.on_undelete = OnUndelete::Ignore);
        world.change_source(0, 1);
        world.finish();
        world.change_source(0, delete);
        world.finish();
        world.change_source(0, undelete);
        world.finish();
        assert!(world.target.rows.is_empty(), "{delete} {undelete}");
        change_b(&mut world, 0, "b");
        world.finish();
        world.emit(0, 4, ChangeKind::Update, Fields::new());
        world.restart();
        world.finish();
        assert!(world.target.rows.is_empty() && world.memory.parked.is_empty(), "{delete} {undelete}");
        // It is deleted once more.
        world.change_source(0, delete);
        world.finish();
        assert!(world.target.rows.is_empty());
    }
}

proptest! {
    #[test]
    fn steps_are_written_in_order_and_none_is_lost_whatever_happens_on_the_way(
        steps in proptest::collection::vec((0_u8..100, any::<usize>(), any::<u16>()), 0..200),
    ) {
        let mut world = World::with(|pipeline| pipeline.publishing.coalesce = false);
        (0..2).for_each(|n| world.change_source(n, 1));
        world.finish();
        let mut expected = [Vec::new(), Vec::new()];
        for (op, pick, how) in steps {
            if op < 30 {
                let steps: &mut Vec<String> = &mut expected[pick % 2];
                steps.push(format!("step {}", steps.len()));
                let value = steps[steps.len() - 1].clone();
                change_b(&mut world, pick % 2, &value);
            } else {
                world.step(op, pick, how);
            }
        }
        world.finish();
        for (n, expected) in expected.iter().enumerate() {
            // A write that was repeated, or landed late, may stand between them.
            let mut written = written_to_b(&world, n).into_iter();
            for step in expected {
                prop_assert!(written.any(|value| value == *step), "{} is not in its place", step);
            }
        }
        prop_assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
    }
}

#[test]
fn a_quiet_machine_wants_nothing() {
    let world = World::new();
    assert_eq!(world.machine.wakeup(true, true), None);
    assert!(world.machine.is_caught_up(Seq::ZERO));
}

#[test]
fn a_pipeline_with_too_many_deletes_halts_parks_what_comes_and_writes_it_when_it_goes_on() {
    let mut world = World::new();
    let tell = |world: &mut World, n: usize, kind: ChangeKind| {
        let empty = ["A", "B"].map(|name| (name.to_owned(), Value::Null)).into();
        let row = Row { fields: empty, deleted: kind.is_delete(), ..Row::default() };
        world.source.insert(n, row);
        world.emit(n, 1, kind, Fields::new());
    };
    for n in 0..4 {
        tell(&mut world, n, ChangeKind::Create);
    }
    world.finish();
    let limit = Limit { most: 2, within: Duration::from_secs(600) };
    let brakes = Brakes { deletes: Some(limit), creates: None, failures: None };
    world.machine.set_brakes(ACCOUNTS, &brakes, false, Seq::ZERO);
    for n in 0..4 {
        tell(&mut world, n, ChangeKind::Delete);
    }
    world.finish();
    assert_eq!(world.memory.halts, ["more than 2 deletes in 10m"]);
    let parked = world.memory.parked.values().map(|row| row.code.as_str()).collect::<Vec<_>>();
    assert_eq!(parked, [PIPELINE_HALTED; 2]);
    assert_eq!(world.target.rows.len(), 2, "two were deleted before");
    assert_eq!(world.memory.watermarks[&ACCOUNTS], world.head(), "it holds nobody up");
    // What comes meanwhile joins the rows, and is not tried.
    tell(&mut world, 3, ChangeKind::Undelete);
    tell(&mut world, 0, ChangeKind::Undelete);
    world.finish();
    assert_eq!((world.memory.parked.len(), world.target.rows.len()), (3, 2));

    world.machine.set_brakes(ACCOUNTS, &brakes, false, world.head());
    let held: Vec<_> = world.memory.parked.values().map(|row| (row.pipeline, row.record, row.from)).collect();
    for (pipeline, record, from) in held {
        world.machine.release(Source { pipeline, record }, from, world.now);
    }
    world.finish();
    assert_eq!(world.memory.parked.len(), 0);
    assert_eq!(world.target.mirror(), world.expected());
}

#[test]
fn when_most_records_fail_their_pipeline_halts_and_what_waits_is_no_failed_record() {
    let mut world = World::new();
    let brakes = Brakes { deletes: None, creates: None, failures: Some(3) };
    world.machine.set_brakes(ACCOUNTS, &brakes, false, Seq::ZERO);
    world.machine.set_batch_size(&"Account".parse().unwrap(), 1, None);
    let refuse = |world: &mut World| {
        assert!(world.send());
        let batch = world.flights.remove(0);
        let refusal = failed("FIELD_CUSTOM_VALIDATION_EXCEPTION");
        world.machine.batch_done(batch.flight, vec![Verdict::Refused(refusal)], world.now);
        world.commit();
    };
    (0..4).for_each(|n| world.change_source(n, 1));
    world.change_source(4, 1);
    while !world.bus.is_empty() {
        world.deliver();
    }
    world.page(10);
    (0..2).for_each(|_| refuse(&mut world));
    // The same ones again tell nothing new.
    for _ in 0..5 {
        world.machine.wake(Source { pipeline: ACCOUNTS, record: record_id(0) }, world.now);
        while world.ask() {
            world.answer_read(0);
        }
        let (mut others, mut own) = (Vec::new(), None);
        while own.is_none() {
            assert!(world.send());
            let batch = world.flights.remove(0);
            if batch.writes[0].covers[0].source.record == record_id(0) { own = Some(batch) } else { others.push(batch) }
        }
        world.flights.extend(own);
        let batch = world.flights.remove(0);
        let refusal = failed("STRING_TOO_LONG");
        world.machine.batch_done(batch.flight, vec![Verdict::Refused(refusal)], world.now);
        let at = world.now;
        for batch in others {
            world.machine.batch_done(batch.flight, vec![Verdict::Held { at }], world.now);
        }
        world.commit();
    }
    assert!(world.memory.halts.is_empty());
    refuse(&mut world);
    assert_eq!(world.memory.halts, ["most records fail, the last one with FIELD_CUSTOM_VALIDATION_EXCEPTION"]);
    let code = |n| world.memory.parked[&(ACCOUNTS, record_id(n))].code.clone();
    let halted = (0..4).filter(|n| code(*n) == PIPELINE_HALTED).count();
    assert_eq!(halted, 1, "what waited is no failed record");
    assert!(world.machine.outbox().waiting() <= 1, "only what is another pipeline's");
}

#[test]
fn what_comes_back_refused_after_its_pipeline_halted_is_no_failed_record_and_is_not_sent_again() {
    let mut world = World::new();
    let brakes = Brakes { deletes: None, creates: None, failures: Some(1) };
    world.machine.set_brakes(ACCOUNTS, &brakes, false, Seq::ZERO);
    (0..4).for_each(|n| world.change_source(n, 1));
    while !world.bus.is_empty() {
        world.deliver();
    }
    world.page(10);
    assert!(world.send());
    let batch = world.flights.remove(0);
    assert_eq!(batch.writes.len(), 4);
    let refusal = failed("STRING_TOO_LONG");
    let at = world.now;
    let verdicts =
        vec![Verdict::Refused(refusal.clone()), Verdict::Refused(refusal), Verdict::Retry { at }, Verdict::Split];
    world.machine.batch_done(batch.flight, verdicts, world.now);
    world.commit();
    let codes: Vec<_> = world.memory.parked.values().map(|row| row.code.as_str()).collect();
    assert_eq!(codes.iter().filter(|code| **code == "STRING_TOO_LONG").count(), 1);
    assert_eq!(codes.iter().filter(|code| **code == PIPELINE_HALTED).count(), 3, "{codes:?}");
    assert!(world.machine.outbox().is_empty());
}

#[test]
fn calls_that_are_refused_for_everybody_do_not_take_the_room_of_other_pipelines() {
    let mut world = World::new();
    let account = "Account".parse().unwrap();
    (0..4).for_each(|n| world.change_source(n, 1));
    while !world.bus.is_empty() {
        world.deliver();
    }
    world.page(10);
    world.machine.keep_room(&account, "refused", world.now);
    assert_eq!(world.machine.outbox().waiting(), 4, "there is room");
    let cover = |n: u64| Cover {
        source: Source { pipeline: ACCOUNTS, record: format!("001{n:012}").parse().unwrap() },
        from: Seq(n),
        to: Seq(n),
        clears_suspect: false,
    };
    for n in 1_000..7_000 {
        let write = Write {
            key: Key::Record { object: account.clone(), id: format!("001{n:012}").parse().unwrap() },
            key_field: "Key__c".parse().unwrap(),
            body: Body::Partial(BTreeMap::new()),
            if_created: false,
            manner: crate::publish::Manner::default(),
            lock_keys: Vec::new(),
            waits_for: Vec::new(),
            covers: vec![cover(n)],
        };
        world.machine.outbox.hold(&Call::Update { object: account.clone(), options: write.manner.options }, world.now);
        let write = Write { body: Body::Partial([("A".parse().unwrap(), Cell::Value(Value::Null))].into()), ..write };
        world.machine.outbox.offer(write, world.now);
    }
    world.machine.keep_room(&account, "refused", world.now);
    world.commit();
    assert_eq!(world.memory.halts, ["refused"]);
    assert!(world.machine.outbox().is_empty());
    assert!(world.memory.parked.values().all(|row| row.code == PIPELINE_HALTED) && world.memory.parked.len() > 6_000);
}

#[test]
fn a_delete_is_tried_at_once_also_where_an_earlier_change_of_a_parked_record_waits_its_minute() {
    let mut world = World::new();
    let tell = |world: &mut World, kind: ChangeKind| {
        let parent = Value::text(record_id(0).as_str());
        let fields: BTreeMap<String, Value> = [("A", Value::Null), ("B", Value::Null), ("AccountId", parent)]
            .map(|(name, value)| (name.into(), value))
            .into();
        let told = fields.iter().map(|(name, value)| (name.clone(), Field::New(value.clone()))).collect();
        world.source.insert(4, Row { fields, deleted: kind.is_delete(), ..Row::default() });
        world.emit(4, 1, kind, if kind.is_delete() { Fields::new() } else { told });
        world.deliver();
        world.page(5);
        world.commit();
    };
    tell(&mut world, ChangeKind::Create);
    world.finish();
    assert_eq!(world.memory.parked.len(), 1, "its parent is nowhere");
    let begin = world.now;
    tell(&mut world, ChangeKind::Update);
    tell(&mut world, ChangeKind::Delete);
    world.finish();
    assert_eq!(world.memory.parked.len(), 0);
    assert!(world.now - begin < TRY_AGAIN / 2, "{:?}", world.now - begin);
}

/// The first account is a failed record.
fn fails(world: &mut World) {
    let row = Parked {
        pipeline: ACCOUNTS,
        record: record_id(0),
        from: Seq(1),
        to: Seq(1),
        state: ParkedState::Failed,
        code: "STRING_TOO_LONG".into(),
        fields: vec![],
        waits_for: None,
        attempts: 1,
        tried_at: Timestamp(0),
        evidence: String::new(),
        request: None,
    };
    world.memory.parked.insert((ACCOUNTS, record_id(0)), row);
}

#[test]
fn the_bridge_s_own_word_on_a_failed_record_is_no_reason_to_try_it_again() {
    let mut world = World::with(|pipeline| pipeline.feedback.error = Some("Error__c".parse().unwrap()));
    world.change_source(0, 1);
    world.finish();
    let calls = world.target.log.len();
    fails(&mut world);
    let tell = |world: &mut World, names: &[&str]| {
        let told = names.iter().map(|name| ((*name).to_owned(), Field::New(Value::text("x"))));
        world.emit(0, 1, ChangeKind::Update, told.collect());
        world.deliver();
        let begin = world.now;
        while world.now < begin + 2 * TRY_AGAIN {
            world.page(5);
            while world.ask() {}
            while !world.asked.is_empty() {
                world.answer_read(0);
            }
            while world.send() {}
            while !world.flights.is_empty() {
                world.answer_batch(0, 7);
            }
            world.commit();
            world.pass(1);
        }
    };
    tell(&mut world, &["Error__c", "LastModifiedDate"]);
    let parked = &world.memory.parked[&(ACCOUNTS, record_id(0))];
    assert_eq!((parked.attempts, parked.to > Seq(1), world.target.log.len()), (1, true, calls));
    // Somebody else's change is one.
    tell(&mut world, &["Error__c", "Other__c"]);
    assert!(world.memory.parked.is_empty());
}

#[test]
fn a_record_that_failed_and_is_flagged_then_is_no_failed_record_any_more() {
    let mut world = World::with(|pipeline| {
        let set = Value::Bool(true);
        pipeline.flag = Some(Flag { field: "Gone__c".parse().unwrap(), set, clear: Value::Bool(false) });
        pipeline.on_delete = OnDelete::Flag;
    });
    let tell = |world: &mut World, kind: ChangeKind| {
        let fields = ["A", "B"].map(|name| (name.to_owned(), Value::Null)).into();
        world.source.insert(0, Row { fields, deleted: kind.is_delete(), ..Row::default() });
        world.emit(0, 1, kind, Fields::new());
    };
    tell(&mut world, ChangeKind::Create);
    world.finish();
    fails(&mut world);
    tell(&mut world, ChangeKind::Delete);
    world.finish();
    let held = world.target.mirror();
    assert_eq!(held[record_id(0).as_str()]["Gone__c"], Value::Bool(true));
    assert_eq!(world.memory.parked.len(), 0);
}

#[test]
fn an_owner_that_is_not_active_any_more_is_looked_for_again_once() {
    let ada = "ada@hq.example";
    let mut world = World::with(|pipeline| {
        let owner = Fill::Owner(crate::config::OwnerName::of(ada));
        pipeline.fields.push(("OwnerId".parse().unwrap(), owner.into()));
    });
    let ask = Ask {
        of: Asked {
            org: "target".parse().unwrap(),
            object: "User".parse().unwrap(),
            by: "Username".parse().unwrap(),
            want: "Id".parse().unwrap(),
            only: Only::ActiveUsers,
        },
        value: ada.to_owned(),
    };
    let refused = |world: &mut World, n| {
        let found = Reply::One("005T00000000001IAA".to_owned());
        world.machine.learn([(ask.clone(), found)].into(), world.now);
        world.change_source(n, 1);
        world.deliver();
        world.page(5);
        assert!(world.send());
        let batch = world.flights.remove(0);
        let refusal = failed(OUTDATED[0]);
        world.machine.batch_done(batch.flight, vec![Verdict::Refused(refusal)], world.now);
        world.commit();
        (world.machine.next_read(world.now).is_some(), world.memory.parked.len())
    };
    assert_eq!(refused(&mut world, 0), (true, 0));
    assert_eq!(refused(&mut world, 1), (false, 1), "it was looked for just now");
}
