//! An org as it is set up, before anybody works in it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::action::Action;
use super::bus::Bus;
use super::lock::Locks;
use super::person::PersonAccounts;
use super::push::Streams;
use super::rules::Rules;
use super::schema::{ObjectIndex, Schema};
use super::table::{Row, Table};
use super::user::User;
use super::{Caller, Filter, Id, Mishaps, Org, Write};

/// Setup's own records get the first serial numbers of their prefix.
pub(super) const FIRST_ID: u64 = 1_000_001;

/// Changes of one transaction that are told one by one (streaming-cometd.md section 14).
pub const OVERFLOW: u64 = 100_000;

/// What an org is made of; ids in it belong to the org's pod.
#[derive(Debug)]
pub struct Setup {
    pub schema: Schema,
    /// By object.
    pub rules: Vec<Rules>,
    /// Absent: the org has no person accounts.
    pub persons: Option<PersonAccounts>,
    pub users: Vec<User>,
    /// Rows of setup objects that no request made: users, queues, record types.
    pub rows: Vec<(ObjectIndex, Id, Map<String, Json>)>,
    /// First records, in order: parents before their children.
    pub records: Vec<(ObjectIndex, Map<String, Json>)>,
    pub channels: Vec<Channel>,
    pub actions: Vec<Action>,
    /// Platform events that may be published in an hour.
    pub hourly_events: u64,
}

/// A custom channel with its members, or the standard one.
#[derive(Debug, Clone)]
pub struct Channel {
    pub id: Id,
    pub name: String,
    pub label: String,
    /// Of platform events; otherwise of change events.
    pub events: bool,
    pub members: Vec<Member>,
}

#[derive(Debug, Clone)]
pub struct Member {
    pub id: Id,
    pub entity: String,
    pub enriched_fields: Vec<String>,
    pub filter: Option<Filter>,
}

/// Ids and secrets of one org: which pod it lives in, and what it draws its numbers from.
#[derive(Debug)]
pub struct Identity {
    pub pod: String,
    pub rng: fastrand::Rng,
}

impl Identity {
    pub fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let pod = [rng.alphanumeric(), rng.alphanumeric(), '0'].iter().collect();
        Self { pod, rng }
    }
}

impl Org {
    /// An org with its setup and its first records. The same identity and setup give the same ids.
    ///
    /// # Errors
    /// A first record that the org's own rules refuse: its place, and why.
    pub fn new(
        identity: Identity,
        setup: Setup,
        bus_delay: RangeInclusive<Duration>,
        now: i64,
    ) -> Result<Self, (usize, super::SaveError)> {
        let Identity { pod, mut rng } = identity;
        let schema_ids = (0..setup.schema.len()).map(|_| (0..22).map(|_| rng.alphanumeric()).collect()).collect();
        let id = Id::new("00D", &pod, rng.u64(1_000_000..1_000_000_000));
        let mut org = Self {
            automated_process: Id::new("005", &pod, 1_000_000),
            bus: Bus::new(rng.fork(), bus_delay),
            pushed: Streams::default(),
            tables: setup.schema.objects().map(|_| Table::default()).collect(),
            serials: vec![1_000_000; setup.schema.len()],
            commit_number: 1_725_000_000_000_000_000 + rng.i64(0..1_000_000_000),
            rules: setup.rules.into_iter().map(Arc::new).collect(),
            persons: setup.persons.map(Arc::new),
            users: setup.users,
            channels: setup.channels,
            channels_made: 0,
            members_made: 0,
            managed: Vec::new(),
            managed_made: 0,
            actions: setup.actions,
            action_calls: VecDeque::new(),
            action_calls_made: 0,
            hourly_events: setup.hourly_events,
            events_this_hour: (0, 0),
            setup_changed: now,
            id,
            pod,
            schema_ids,
            event_schemas: setup.schema.objects().map(|_| OnceLock::new()).collect(),
            old_schemas: Vec::new(),
            schema: setup.schema,
            rng,
            transactions: 0,
            commits: Vec::new(),
            rows_written: 0,
            duplicate_rows: 0,
            forgotten: None,
            auto_numbers: HashMap::new(),
            locks: Locks::default(),
            transaction_time: 0,
            roll_ups_in_events: true,
            split_updates: false,
            field_security_in_events: true,
            overflow_after: OVERFLOW,
            mishaps: Mishaps::default(),
            waiting_flows: BTreeMap::new(),
            flows_started: 0,
        };
        org.put_setup_rows(setup.rows, now);
        let caller = Caller::system(org.ordinary_user(), "");
        for (place, (object, fields)) in setup.records.into_iter().enumerate() {
            let mut unit = org.begin(now);
            let write = vec![Ok(Write::Create { object, fields })];
            let results = org.run(&mut unit, &caller, write, &super::Options::default());
            match results.and_then(|mut results| results.pop().unwrap_or_else(|| Err(super::SaveError::unknown_id()))) {
                // Nobody subscribes yet, and no figure counts them.
                Ok(_) => drop(unit),
                Err(error) => return Err((place, error)),
            }
        }
        Ok(org)
    }

    /// The org gets another id, also in its record; everything else stays as it is.
    pub fn change_id(&mut self, now: i64) {
        let id = Id::new("00D", &self.pod, self.rng.u64(1_000_000_000..2_000_000_000));
        let before = std::mem::replace(&mut self.id, id.clone());
        let table = self.schema.find("Organization").map(|(index, _)| index);
        if let Some((object, row)) =
            table.and_then(|object| Some((object, self.table(object).live_row(&before)?.clone())))
        {
            self.remove(object, &before);
            self.put(object, Arc::new(Row { id, ..row }));
        }
        self.note_setup_change(now);
    }

    fn put_setup_rows(&mut self, rows: Vec<(ObjectIndex, Id, Map<String, Json>)>, now: i64) {
        let second = now.div_euclid(super::time::SECOND);
        if let Some((object, _)) = self.schema.find("Organization") {
            let fields = json!({"Name": "Emulated", "IsSandbox": false, "OrganizationType": "Enterprise Edition",
                "InstanceName": "EMU1", "TimeZoneSidKey": "Europe/Berlin", "LanguageLocaleKey": "en_US",
                "DefaultCurrencyIsoCode": "EUR"});
            let (id, fields) = (self.id.clone(), fields.as_object().cloned().unwrap_or_default());
            self.put_setup_row(object, id, &fields, second);
        }
        for (object, id, fields) in rows {
            self.put_setup_row(object, id, &fields, second);
        }
    }

    fn put_setup_row(&mut self, object: ObjectIndex, id: Id, fields: &Map<String, Json>, second: i64) {
        let definition = self.schema.object(object);
        let values = fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .filter_map(|(name, value)| Some((definition.find(name)?.0, value.clone())))
            .collect();
        let by = self.automated_process.clone();
        let (created_by, modified_by) = (by.clone(), by);
        let row = Row { id, values, created: second, created_by, modified: second, modified_by, deleted_in: None };
        self.put(object, Arc::new(row));
    }
}
