//! A source, a target that refuses, loses answers and does the work later, and the outbox between them, all in one
//! thread and driven by drawn numbers.

use proptest::prelude::*;

use super::*;

const LATE: Duration = Duration::from_secs(30);
/// Two pipelines write the accounts, each its own fields; one writes the contacts.
const ACCOUNTS: PipelineId = PipelineId(1);
const RATINGS: PipelineId = PipelineId(2);
const CONTACTS: PipelineId = PipelineId(3);
/// Records below are accounts, the others contacts.
const FIRST_CONTACT: u32 = 3;
const RECORDS: u32 = 7;

type Fields = BTreeMap<&'static str, String>;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Create,
    Update,
    Delete,
    Undelete,
}

#[derive(Debug, Clone)]
struct Event {
    n: u32,
    kind: Kind,
    /// What changed; empty is null.
    fields: Fields,
}

#[derive(Default)]
struct Row {
    fields: Fields,
    deleted: bool,
}

/// A record that the driver reads; the answer is the source as it is then.
#[derive(Debug, Default)]
struct Reading {
    clears_suspect: bool,
}

#[derive(Default)]
struct Target {
    rows: BTreeMap<RecordId, BTreeMap<String, String>>,
    made: u32,
}

impl Target {
    fn holder(&self, key: &str) -> Option<RecordId> {
        self.rows.iter().find(|(_, fields)| fields.get("Key__c").is_some_and(|held| held == key)).map(|(id, _)| *id)
    }

    /// The record that a write speaks of.
    fn row_of(&self, key: &Key) -> Option<RecordId> {
        match key {
            Key::Record { id, .. } => Some(*id),
            Key::External { value, .. } => self.holder(value),
        }
    }

    fn apply(&mut self, call: &Call, write: &Write) -> Verdict {
        let mut values = BTreeMap::new();
        for (name, cell) in write.fields().into_iter().flatten() {
            let value = match cell {
                Cell::Value(value) => value.as_text().unwrap_or_default().to_owned(),
                Cell::Parent(Reference { parent, by_key: Some(_), .. }) => {
                    if self.holder(parent.record.as_str()).is_none() {
                        let (state, code) = (ParkedState::Waiting, "INVALID_FIELD");
                        return Verdict::Refused(Refusal { state, waits_for: Some(parent.clone()), ..failed(code) });
                    }
                    parent.record.to_string()
                }
                Cell::Parent(Reference { link, .. }) => match link.and_then(|link| self.rows.get(&link)) {
                    Some(row) => row["Key__c"].clone(),
                    None => return Verdict::Reread,
                },
                Cell::Unfilled { .. } => String::new(),
            };
            values.insert(name.to_string(), value);
        }
        match call {
            Call::Upsert { .. } => {
                let id = self.holder(&values["Key__c"]).unwrap_or_else(|| {
                    self.made += 1;
                    format!("a01T{:011}", self.made).parse().unwrap()
                });
                self.rows.entry(id).or_default().extend(values);
                Verdict::Saved { id, created: None }
            }
            Call::Update { .. } => match write.key.linked().and_then(|id| Some((id, self.rows.get_mut(&id)?))) {
                Some((id, row)) => {
                    row.extend(values);
                    Verdict::Saved { id, created: None }
                }
                None => Verdict::Gone,
            },
            Call::Delete { .. } => {
                self.rows.remove(&write.key.linked().unwrap());
                Verdict::Deleted
            }
        }
    }
}

struct World {
    now: Instant,
    outbox: Outbox,
    source: BTreeMap<u32, Row>,
    journal: std::collections::VecDeque<Event>,
    target: Target,
    /// Whether contacts name their accounts by key or by link.
    by_key: bool,
    /// The second pipeline of the accounts has other options than the first.
    differ: bool,
    flights: Vec<Batch>,
    /// Requests without an answer that the target does by then.
    late: Vec<(Instant, Call, Write)>,
    links: BTreeMap<RecordId, RecordId>,
    reading: BTreeMap<Source, Reading>,
    /// Why, and up to where.
    parked: BTreeMap<Source, (Refusal, Seq)>,
    suspects: BTreeMap<Source, Instant>,
    /// Suspects whose last word was parked.
    unsure: BTreeSet<Source>,
    offers: u64,
    /// Offers that were not handed out yet.
    open: BTreeMap<Source, BTreeSet<Seq>>,
}

impl World {
    fn new(by_key: bool, differ: bool) -> Self {
        Self {
            now: Instant::now(),
            outbox: Outbox::default(),
            source: BTreeMap::new(),
            journal: Default::default(),
            target: Target::default(),
            by_key,
            differ,
            flights: Vec::new(),
            late: Vec::new(),
            links: BTreeMap::new(),
            reading: BTreeMap::new(),
            parked: BTreeMap::new(),
            suspects: BTreeMap::new(),
            unsure: BTreeSet::new(),
            offers: 0,
            open: BTreeMap::new(),
        }
    }

    fn emit(&mut self, n: u32, kind: Kind, fields: Fields) {
        self.journal.push_back(Event { n, kind, fields });
    }

    fn live_accounts(&self) -> Vec<u32> {
        self.source.iter().filter(|(n, row)| **n < FIRST_CONTACT && !row.deleted).map(|(n, _)| *n).collect()
    }

    fn change_source(&mut self, n: u32, how: u16) {
        let value = if how.is_multiple_of(7) { String::new() } else { format!("v{how}") };
        let accounts = self.live_accounts();
        let account = match accounts.len() {
            0 => String::new(),
            count => record(accounts[usize::from(how) % count]).to_string(),
        };
        match self.source.get_mut(&n) {
            None => {
                let other = if n < FIRST_CONTACT { ("Rating", value.clone()) } else { ("Account__c", account) };
                let fields = Fields::from([("A", value), ("B", String::new()), other]);
                self.source.insert(n, Row { fields: fields.clone(), deleted: false });
                self.emit(n, Kind::Create, fields);
            }
            Some(row) if row.deleted => {
                row.deleted = false;
                let is_orphan = |id: &String| !accounts.iter().any(|n| record(*n).as_str() == id);
                if row.fields.get("Account__c").is_some_and(is_orphan) {
                    row.fields.insert("Account__c", String::new());
                }
                let fields = row.fields.clone();
                self.emit(n, Kind::Undelete, fields);
            }
            Some(row) if how.is_multiple_of(5) => {
                row.deleted = true;
                let gone = record(n).to_string();
                let mut orphans = Vec::new();
                for (child, row) in self.source.iter_mut().filter(|(_, row)| !row.deleted) {
                    if row.fields.get("Account__c") == Some(&gone) {
                        row.fields.insert("Account__c", String::new());
                        orphans.push(*child);
                    }
                }
                for child in orphans {
                    self.emit(child, Kind::Update, Fields::from([("Account__c", String::new())]));
                }
                self.emit(n, Kind::Delete, Fields::new());
            }
            Some(row) => {
                let (field, value) = match (how % 3, n < FIRST_CONTACT) {
                    (0, _) => ("A", value),
                    (1, _) => ("B", value),
                    (_, true) => ("Rating", value),
                    (_, false) => ("Account__c", account),
                };
                row.fields.insert(field, value.clone());
                self.emit(n, Kind::Update, Fields::from([(field, value)]));
            }
        }
    }

    /// Whether the second pipeline of the accounts writes with other options than the first.
    fn manner(&self, source: Source) -> Manner {
        let assignment_rules = match self.differ && source.pipeline == RATINGS {
            true => AssignmentRules::Active,
            false => AssignmentRules::Off,
        };
        Manner { options: SaveOptions { assignment_rules, ..SaveOptions::default() }, ..Manner::default() }
    }

    /// The next event goes to each pipeline that wants it.
    fn deliver(&mut self) {
        let Some(event) = self.journal.pop_front() else { return };
        let pipelines: &[_] = if event.n < FIRST_CONTACT { &[ACCOUNTS, RATINGS] } else { &[CONTACTS] };
        for pipeline in pipelines {
            let source = Source { pipeline: *pipeline, record: record(event.n) };
            if self.parked.contains_key(&source) {
                self.read(source, false);
            }
            // The answer will be as new as this event.
            if !self.reading.contains_key(&source) {
                self.map(source, &event);
            }
            self.collect();
        }
    }

    /// The key of what is on its way, or of the link. `None`: no counterpart is known.
    fn key_of(&self, source: Source) -> Option<Key> {
        let linked = || Some(Key::Record { object: object_of(source), id: *self.links.get(&source.record)? });
        self.outbox.key_of(source).cloned().or_else(linked)
    }

    fn map(&mut self, source: Source, event: &Event) {
        let key = self.key_of(source);
        match event.kind {
            Kind::Create => {
                self.offer(source, key.unwrap_or_else(|| key_value(source)), Body::Whole, &event.fields, false)
            }
            Kind::Undelete => self.offer(source, key_value(source), Body::Whole, &event.fields, false),
            Kind::Delete => self.delete(source, false),
            Kind::Update => match key {
                _ if !event.fields.keys().any(|field| is_mapped(source.pipeline, field)) => {}
                Some(key) => self.offer(source, key, Body::Partial, &event.fields, false),
                None => self.read(source, false),
            },
        }
    }

    fn offer(
        &mut self,
        source: Source,
        key: Key,
        body: impl FnOnce(BTreeMap<FieldName, Cell>) -> Body,
        fields: &Fields,
        clears_suspect: bool,
    ) {
        let (mut cells, mut parents) = (BTreeMap::new(), Vec::new());
        for (name, value) in fields.iter().filter(|(name, _)| is_mapped(source.pipeline, name)) {
            let cell = match value.as_str() {
                "" => Cell::Value(Value::Null),
                id if *name == "Account__c" => {
                    let parent = Parent { target_object: object(), record: id.parse().unwrap() };
                    let by_key = self.by_key.then(|| ByKey {
                        relationship: "Account__r".to_owned(),
                        key: "Key__c".parse().unwrap(),
                        typed: false,
                    });
                    let link = self.links.get(&parent.record).copied();
                    parents.push(parent.clone());
                    Cell::Parent(Reference { parent, by_key, link, if_missing: IfMissing::Wait })
                }
                text => Cell::Value(Value::text(text)),
            };
            cells.insert(name.parse().unwrap(), cell);
        }
        let mut body = body(cells);
        if let Body::Whole(cells) = &mut body {
            cells.insert("Key__c".parse().unwrap(), Cell::Value(Value::text(source.record.as_str())));
        }
        self.offers += 1;
        let seq = Seq(self.offers);
        self.open.entry(source).or_default().insert(seq);
        let covers = vec![Cover { source, from: seq, to: seq, clears_suspect }];
        let (key_field, lock_keys) = ("Key__c".parse().unwrap(), parents.clone());
        let manner = self.manner(source);
        let write = Write { key, key_field, body, if_created: false, manner, lock_keys, waits_for: parents, covers };
        self.outbox.offer(write, self.now);
    }

    fn delete(&mut self, source: Source, clears_suspect: bool) {
        let held = || Some(Key::Record { object: object_of(source), id: self.target.holder(source.record.as_str())? });
        match self.key_of(source).or_else(held) {
            Some(key) => self.offer(source, key, |_| Body::Delete, &Fields::new(), clears_suspect),
            None if clears_suspect => self.clear(source),
            None => {}
        }
    }

    fn read(&mut self, source: Source, clears_suspect: bool) {
        self.parked.remove(&source);
        let clears = clears_suspect || self.unsure.contains(&source);
        self.reading.entry(source).or_default().clears_suspect |= clears;
    }

    fn answer_read(&mut self, pick: usize) {
        let Some((&source, _)) = self.reading.iter().nth(pick % self.reading.len().max(1)) else { return };
        let Reading { clears_suspect } = self.reading.remove(&source).unwrap();
        // What was parked since the question is older than the answer.
        self.parked.remove(&source);
        let row = self.source.values().zip(self.source.keys()).find(|(_, n)| record(**n) == source.record).unwrap().0;
        if row.deleted {
            self.delete(source, clears_suspect);
        } else {
            let fields = row.fields.clone();
            let key = self.key_of(source).unwrap_or_else(|| key_value(source));
            self.offer(source, key, Body::Whole, &fields, clears_suspect);
        }
        self.collect();
    }

    fn collect(&mut self) {
        for handed in self.outbox.take_handed() {
            match handed {
                Handed::Settled { write, id, .. } => {
                    for cover in &write.covers {
                        self.close(cover);
                        let is_partial = matches!(write.body, Body::Partial(_));
                        if !is_partial && self.parked.get(&cover.source).is_some_and(|(_, to)| *to <= cover.to) {
                            self.parked.remove(&cover.source);
                        }
                        let record = cover.source.record;
                        match (id, &write.body) {
                            (Some(id), Body::Whole(_)) => self.link(record, id),
                            (_, Body::Delete) if self.links.get(&record).copied() == write.key.linked() => {
                                self.links.remove(&record);
                            }
                            _ => {}
                        }
                        // The link may be older than a lost upsert that made the record anew: the key tells.
                        let still_there = id.is_none() && self.target.holder(record.as_str()).is_some();
                        match (cover.clears_suspect, still_there) {
                            (true, true) => self.read(cover.source, true),
                            (true, false) => self.clear(cover.source),
                            (false, _) => {}
                        }
                    }
                }
                Handed::Parked { covers, refusal, .. } => {
                    for cover in covers {
                        self.close(&cover);
                        if cover.clears_suspect {
                            self.suspects.remove(&cover.source);
                            self.unsure.insert(cover.source);
                        }
                        let has_come = |parent: &Parent| self.links.contains_key(&parent.record);
                        match refusal.waits_for.as_ref().is_some_and(has_come) {
                            true => self.read(cover.source, false),
                            false => drop(self.parked.insert(cover.source, (refusal.clone(), cover.to))),
                        }
                    }
                }
                Handed::Read { covers, .. } => {
                    for cover in covers {
                        self.close(&cover);
                        self.read(cover.source, cover.clears_suspect);
                    }
                }
                Handed::Gone { covers, target, .. } => {
                    for cover in covers {
                        self.close(&cover);
                        if self.links.get(&cover.source.record).copied() == target {
                            self.links.remove(&cover.source.record);
                        }
                        self.read(cover.source, cover.clears_suspect);
                        // It is made anew, so who writes its other fields must write them again.
                        all_of(cover.source).for_each(|other| self.read(other, false));
                    }
                }
                Handed::Lost { sources } => {
                    // A delete that lands late takes the fields of all pipelines with it.
                    for source in sources.into_iter().flat_map(all_of) {
                        self.suspects.insert(source, self.now + LATE);
                        self.unsure.remove(&source);
                        if let Some(reading) = self.reading.get_mut(&source) {
                            reading.clears_suspect = false;
                        }
                    }
                }
                Handed::Answered { .. } | Handed::Resized { .. } => {}
            }
        }
    }

    fn clear(&mut self, source: Source) {
        self.suspects.remove(&source);
        self.unsure.remove(&source);
    }

    fn link(&mut self, record: RecordId, id: RecordId) {
        self.links.insert(record, id);
        let waits = |refusal: &Refusal| refusal.waits_for.as_ref().is_some_and(|parent| parent.record == record);
        let woken: Vec<Source> =
            self.parked.iter().filter(|(_, (refusal, _))| waits(refusal)).map(|(source, _)| *source).collect();
        woken.into_iter().for_each(|source| self.read(source, false));
    }

    /// What a cover stands for is handed out now, and was not before.
    fn close(&mut self, cover: &Cover) {
        let open = self.open.entry(cover.source).or_default();
        assert!(open.remove(&cover.from), "{cover:?} is handed out a second time");
        assert!(cover.from == cover.to || open.remove(&cover.to), "{cover:?} is handed out a second time");
        open.retain(|seq| *seq < cover.from || *seq > cover.to);
    }

    fn send(&mut self) -> bool {
        let batch = self.outbox.next_batch(self.now);
        self.collect();
        let Some(batch) = batch else { return false };
        let in_flight = || self.flights.iter().flat_map(|batch| batch.writes.iter());
        for (n, write) in batch.writes.iter().enumerate() {
            let row = self.target.row_of(&write.key);
            for other in in_flight().chain(&batch.writes[..n]) {
                let shares_source = sources(write).iter().any(|source| sources(other).contains(source));
                let shares_row = row.is_some() && row == self.target.row_of(&other.key);
                assert!(!shares_source && !shares_row && write.key != other.key, "two in flight: {write:?} {other:?}");
            }
            let locks = |write: &Write| write.lock_keys.iter().cloned().chain(write.makes()).collect::<HashSet<_>>();
            for other in in_flight() {
                assert!(locks(write).is_disjoint(&locks(other)), "two hold one lock");
            }
        }
        self.flights.push(batch);
        true
    }

    /// The answer to a batch comes, or is known not to come. `fault` draws what goes wrong with each write.
    fn answer(&mut self, pick: usize, mut fault: impl FnMut() -> u16) {
        if self.flights.is_empty() {
            return;
        }
        let batch = self.flights.remove(pick % self.flights.len());
        let at = self.now + SECOND_OF_TIME;
        let mut verdicts = Vec::new();
        if batch.lane == Lane::Bulk {
            let troubles = [JobTrouble::TooMuch, JobTrouble::LineBreaks, JobTrouble::Quota, JobTrouble::Failing];
            let trouble = troubles.get(usize::from(fault())).copied();
            self.outbox.job_told(batch.flight, &batch.call, trouble, self.now);
        }
        for write in batch.writes.iter() {
            verdicts.push(match fault() {
                0 => {
                    self.late.push((self.now + LATE / 2, batch.call.clone(), write.clone()));
                    Verdict::Unknown { at: self.now }
                }
                1 => {
                    self.target.apply(&batch.call, write);
                    Verdict::Unknown { at }
                }
                2 => Verdict::Retry { at },
                3 => Verdict::Split,
                4 => Verdict::Refused(failed("FIELD_CUSTOM_VALIDATION_EXCEPTION")),
                5 => Verdict::Reread,
                // It was in a job that ended before.
                6 if batch.lane == Lane::Bulk => Verdict::Held { at: self.now },
                8 => {
                    let named = self.target.rows.keys().next().copied();
                    Verdict::Locked { at, records: named.into_iter().collect() }
                }
                7 => Verdict::TooMuch,
                _ => self.target.apply(&batch.call, write),
            });
        }
        self.outbox.settle(batch.flight, verdicts, self.now);
        self.collect();
    }

    fn land_late(&mut self, pick: usize) {
        if !self.late.is_empty() {
            let (_, call, write) = self.late.remove(pick % self.late.len());
            self.target.apply(&call, &write);
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        while let Some(n) = self.late.iter().position(|(until, ..)| *until <= self.now) {
            self.land_late(n);
        }
        let due: Vec<Source> =
            self.suspects.iter().filter(|(_, at)| **at <= self.now).map(|(source, _)| *source).collect();
        due.into_iter().for_each(|source| self.read(source, true));
    }

    fn step(&mut self, (op, pick, how): (u8, usize, u16)) {
        match op {
            0..=34 => self.change_source(pick as u32 % RECORDS, how),
            35..=64 => self.deliver(),
            65..=69 => self.answer_read(pick),
            70..=79 => drop(self.send()),
            80..=89 => {
                let mut drawn = how;
                self.answer(pick, || {
                    drawn = drawn.wrapping_mul(25_173).wrapping_add(13_849);
                    (drawn >> 8) % 14
                });
            }
            90..=93 => self.land_late(pick),
            94 if how.is_multiple_of(2) => self.outbox.pause(self.now + Duration::from_secs(u64::from(how) % 5)),
            94 => {
                let call = self.flights.first().map(|batch| batch.call.clone());
                let until = self.now + Duration::from_secs(u64::from(how) % 5);
                call.into_iter().for_each(|call| {
                    self.outbox.hold(&call, until);
                });
            }
            _ => self.pass(1 + u64::from(how) % 20),
        }
        self.check();
    }

    /// What holds at any time.
    fn check(&self) {
        let mut keys = HashSet::new();
        let mut held = HashSet::new();
        for (id, waiting) in &self.outbox.waiting {
            let write = &waiting.write;
            assert!(keys.insert((&write.key, write.manner.options)), "two wait under {:?}", write.key);
            for source in sources(&waiting.write) {
                assert!(held.insert(source), "two wait for {source:?}");
                assert_eq!(self.outbox.by_source.get(&source), Some(id));
            }
            if let Place::Blocked(token) = &waiting.place {
                let ends = match token {
                    Token::Deciding(parent) => self.outbox.is_undecided(parent),
                    Token::Record(_) | Token::Key(_) | Token::Source(_) | Token::Counterpart(_) => {
                        self.outbox.busy.contains_key(token)
                    }
                };
                assert!(ends, "{:?} waits for {token:?}, which nobody holds", waiting.write);
            }
        }
    }

    /// No more faults: everything is delivered and answered.
    fn finish(&mut self) {
        for _ in 0..200 {
            while !self.journal.is_empty() {
                self.deliver();
            }
            // A person looks after the failed records.
            let failed: Vec<Source> =
                self.parked.iter().filter(|(_, (refusal, _))| refusal.waits_for.is_none()).map(|(s, _)| *s).collect();
            failed.into_iter().for_each(|source| self.read(source, false));
            for _ in 0..self.reading.len() {
                self.answer_read(0);
            }
            while self.send() {}
            while !self.flights.is_empty() {
                self.answer(0, || 99);
            }
            self.check();
            let is_quiet = self.outbox.is_empty() && self.reading.is_empty() && self.parked.is_empty();
            if is_quiet && self.suspects.is_empty() {
                return;
            }
            self.pass(1);
        }
        panic!("it never ends: {:?} {:?} {:?} {:?}", self.outbox, self.reading, self.parked, self.suspects);
    }

    fn expected(&self) -> Vec<String> {
        let live = self.source.iter().filter(|(_, row)| !row.deleted);
        live.map(|(n, row)| shown(record(*n).as_str(), row.fields.iter().map(|(name, value)| (*name, value.as_str()))))
            .collect()
    }

    fn actual(&self) -> Vec<String> {
        let row = |fields: &BTreeMap<String, String>| {
            let others = fields.iter().filter(|(name, _)| *name != "Key__c");
            shown(&fields["Key__c"], others.map(|(name, value)| (name.as_str(), value.as_str())))
        };
        let mut rows: Vec<String> = self.target.rows.values().map(row).collect();
        rows.sort();
        rows
    }
}

fn shown<'a>(key: &str, fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let fields: Vec<String> = fields.map(|(name, value)| format!("{name}={value}")).collect();
    format!("{key}: {}", fields.join(" "))
}

fn is_mapped(pipeline: PipelineId, field: &str) -> bool {
    (field == "Rating") == (pipeline == RATINGS)
}

/// A record as each pipeline sees it that writes its counterpart.
fn all_of(source: Source) -> impl Iterator<Item = Source> {
    let pipelines = if source.pipeline == CONTACTS { vec![CONTACTS] } else { vec![ACCOUNTS, RATINGS] };
    pipelines.into_iter().map(move |pipeline| Source { pipeline, ..source })
}

fn object_of(source: Source) -> ObjectName {
    if source.pipeline == CONTACTS { "Contact".parse().unwrap() } else { object() }
}

fn key_value(source: Source) -> Key {
    let (object, field) = (object_of(source), "Key__c".parse().unwrap());
    Key::External { object, field, value: source.record.to_string() }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_target_ends_equal_whatever_the_order_of_writes_answers_and_late_landings(
        by_key in any::<bool>(),
        steps in proptest::collection::vec((0_u8..100, any::<usize>(), any::<u16>()), 0..300),
    ) {
        ends_equal(World::new(by_key, false), steps)?;
    }

    #[test]
    fn the_target_ends_equal_where_two_pipelines_write_a_record_with_different_options(
        by_key in any::<bool>(),
        steps in proptest::collection::vec((0_u8..100, any::<usize>(), any::<u16>()), 0..300),
    ) {
        ends_equal(World::new(by_key, true), steps)?;
    }

    #[test]
    fn the_target_ends_equal_where_some_writes_go_by_jobs(
        by_key in any::<bool>(),
        threshold in 1_usize..4,
        steps in proptest::collection::vec((0_u8..100, any::<usize>(), any::<u16>()), 0..300),
    ) {
        let mut world = World::new(by_key, false);
        world.outbox.set_bulk(Some(threshold));
        ends_equal(world, steps)?;
    }

    #[test]
    fn the_target_ends_equal_where_writes_wait_for_company(
        by_key in any::<bool>(),
        seconds in 1_u64..20,
        steps in proptest::collection::vec((0_u8..100, any::<usize>(), any::<u16>()), 0..300),
    ) {
        let mut world = World::new(by_key, false);
        world.outbox.set_linger(std::time::Duration::from_secs(seconds));
        ends_equal(world, steps)?;
    }
}

fn ends_equal(mut world: World, steps: Vec<(u8, usize, u16)>) -> Result<(), TestCaseError> {
    steps.into_iter().for_each(|step| world.step(step));
    world.finish();
    prop_assert_eq!(world.actual(), world.expected());
    prop_assert!(world.open.values().all(BTreeSet::is_empty), "never handed out: {:?}", world.open);
    let rest = world.outbox;
    prop_assert!(rest.waiting.is_empty() && rest.by_source.is_empty() && rest.by_key.is_empty(), "{rest:?}");
    prop_assert!(rest.deciders.is_empty() && rest.ready.is_empty() && rest.blocked.is_empty(), "{rest:?}");
    prop_assert!(rest.delayed.is_empty() && rest.busy.is_empty() && rest.flights.is_empty(), "{rest:?}");
    prop_assert!(rest.handed.is_empty() && rest.freed.is_empty() && rest.weight == 0, "{rest:?}");
    prop_assert_eq!(rest.wakeup(), None);
    Ok(())
}

/// As `pipeline::machine::tests::long`, of the outbox alone.
#[test]
#[ignore = "as long as MODEL_SECONDS says"]
fn millions_of_interleavings_of_writes_end_with_the_target_equal_to_the_source() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let until = Instant::now() + Duration::from_secs(number("MODEL_SECONDS").unwrap_or(60));
    let (mut worlds, mut taken) = (0, 0);
    loop {
        let seed = number("MODEL_SEED").unwrap_or_else(|| fastrand::u64(..));
        let run = || {
            let mut draw = fastrand::Rng::with_seed(seed);
            let mut world = World::new(draw.bool(), draw.bool());
            if draw.bool() {
                world.outbox.set_bulk(Some(draw.usize(1..4)));
            }
            if draw.bool() {
                world.outbox.set_linger(Duration::from_secs(draw.u64(0..20)));
            }
            let steps = draw.usize(10..1_500);
            let drawn = (0..steps).map(|_| (draw.u8(0..100), draw.usize(..), draw.u16(..))).collect();
            (steps, ends_equal(world, drawn))
        };
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
            Ok((steps, Ok(()))) => taken += steps,
            Ok((_, Err(why))) => panic!("MODEL_SEED={seed}: {why}"),
            Err(_) => panic!("MODEL_SEED={seed}: see above"),
        }
        worlds += 1;
        if Instant::now() >= until || number("MODEL_SEED").is_some() {
            break;
        }
    }
    println!("{worlds} worlds of {taken} steps ended equal");
}
