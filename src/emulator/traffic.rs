//! Lively, seeded traffic inside an org, as its own users make it.
//!
//! Accounts and contacts come, change in bursts, lose values, move, go and come back. The sequence follows from the
//! seed and not from the clock. Accounts that are another account's parent are never deleted, and parents have none
//! themselves.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::host::Host;
use super::org::{Caller, Id, ObjectIndex, Options, Org, Write};

/// What to do, and how fast.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrafficPlan {
    /// Record changes until it ends; one that takes others along (a deletion) may pass the mark by these.
    pub changes: u64,
    /// About so many live records.
    pub records: usize,
    pub per_second: u32,
    pub seed: u64,
    /// Records are deleted and undeleted too.
    pub deletes: bool,
}

impl Default for TrafficPlan {
    fn default() -> Self {
        Self { changes: 1_000, records: 100, per_second: 100, seed: 1, deletes: true }
    }
}

#[derive(Debug, Default)]
pub struct TrafficState {
    running: bool,
    done: u64,
    stop: CancellationToken,
}

impl TrafficState {
    /// `{"running": bool, "done": n}`.
    pub fn show(&self) -> Json {
        json!({"running": self.running, "done": self.done})
    }

    pub fn running(&self) -> bool {
        self.running
    }

    pub fn done(&self) -> u64 {
        self.done
    }

    /// No change comes after this, unless traffic is started again.
    pub fn stop(&mut self) {
        self.stop.cancel();
        self.running = false;
    }
}

/// Starts traffic; what ran before ends.
pub fn start(host: &Arc<Host>, plan: TrafficPlan) {
    let stop = CancellationToken::new();
    {
        let mut state = host.traffic();
        state.stop();
        *state = TrafficState { running: true, done: 0, stop: stop.clone() };
    }
    let task_host = host.clone();
    host.spawn(async move {
        let mut traffic = Traffic::new(&plan);
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut due = 0.0;
        loop {
            tokio::select! { () = stop.cancelled() => return, _ = ticks.tick() => {} }
            due += f64::from(plan.per_second) / 100.0;
            while due >= 1.0 {
                // The state's lock is held over the change, so that a stop leaves no change behind it.
                let mut state = task_host.traffic();
                if stop.is_cancelled() {
                    return;
                }
                let now = task_host.now();
                let done = traffic.step(&mut task_host.org(), now);
                state.done += done;
                state.running = state.done < plan.changes;
                due -= if done == 0 { 0.1 } else { done as f64 };
                if !state.running {
                    task_host.org().finish_flows(now);
                    drop(state);
                    task_host.notify();
                    return;
                }
            }
            task_host.notify();
        }
    });
}

const WORDS: [&str; 12] = [
    "Nordlicht",
    "Acme",
    "Müller & Söhne",
    "Blue \"Bird\"",
    "O'Hara",
    "Čapek",
    "株式会社",
    "Delta",
    "Ångström",
    "Zephyr",
    "Sun;Moon",
    "Río Grande",
];
const CITIES: [&str; 6] = ["Köln", "Paris", "San José", "Oslo", "東京", "Łódź"];
const INDUSTRIES: [&str; 5] = ["Banking", "Energy", "Media", "Retail", "Test"];

/// What comes next, as a function of the seed and of what the org holds.
struct Traffic {
    rng: fastrand::Rng,
    records: usize,
    deletes: bool,
    /// Records that were alive when last seen, and ones that were not.
    accounts: Vec<Id>,
    contacts: Vec<Id>,
    gone: Vec<Id>,
    /// The rest of bursts.
    waiting: VecDeque<Id>,
    serial: u64,
}

impl Traffic {
    fn new(plan: &TrafficPlan) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(plan.seed),
            records: plan.records.max(2),
            deletes: plan.deletes,
            accounts: Vec::new(),
            contacts: Vec::new(),
            gone: Vec::new(),
            waiting: VecDeque::new(),
            serial: 0,
        }
    }

    /// Does one thing; how many records it changed.
    fn step(&mut self, org: &mut Org, now: i64) -> u64 {
        let before = org.last_commit();
        let live: usize = [true, false].map(|is_account| org.table(object(org, is_account)).live()).iter().sum();
        if let Some(id) = self.waiting.pop_front() {
            self.update(org, now, &[id]);
        } else if live < self.records / 2 || (live < self.records && self.rng.u8(..100) < 15) {
            self.create(org, now);
        } else {
            match self.rng.u8(..100) {
                0..60 => self.burst(org, now),
                60..70 => self.alike(org, now),
                70..80 => self.move_one(org, now),
                80..90 if self.deletes => self.delete(org, now),
                90..100 if self.deletes => self.undelete(org, now),
                _ => self.burst(org, now),
            }
        }
        org.last_commit() - before
    }

    fn transact(&self, org: &mut Org, now: i64, writes: Vec<Write>) -> Vec<Id> {
        let user = org.ordinary_user();
        let caller = Caller::system(user, "com/salesforce/api/soap/66.0;client=SfdcInternalAPI/");
        let writes = writes.into_iter().map(Ok).collect();
        let results = org.transact(&caller, writes, &Options::default(), now).unwrap_or_default();
        results.into_iter().flatten().map(|saved| saved.id).collect()
    }

    fn create(&mut self, org: &mut Org, now: i64) {
        self.serial += 1;
        let is_account = self.accounts.len() < 2 || self.rng.u8(..100) < 35;
        let object = object(org, is_account);
        let mut fields = Map::new();
        if is_account {
            fields.insert("Name".into(), json!(format!("{} {}", self.word(&WORDS), self.serial)));
            if self.rng.u8(..100) < 20
                && let Some(parent) = self.top_account(org)
            {
                fields.insert("ParentId".into(), json!(parent.as_str()));
            }
        } else {
            fields.insert("LastName".into(), json!(format!("{} {}", self.word(&WORDS), self.serial)));
            if self.rng.u8(..100) < 80
                && let Some(account) = self.pick(org, true)
            {
                fields.insert("AccountId".into(), json!(account.as_str()));
            }
        }
        for _ in 0..self.rng.usize(1..6) {
            let (name, value) = self.value(is_account);
            fields.insert(name.into(), value);
        }
        let ids = self.transact(org, now, vec![Write::Create { object, fields }]);
        if is_account { self.accounts.extend(ids) } else { self.contacts.extend(ids) }
    }

    /// Several updates of one record, shortly after one another.
    fn burst(&mut self, org: &mut Org, now: i64) {
        let is_account = self.rng.u8(..100) < 45;
        let Some(id) = self.pick(org, is_account) else { return };
        for _ in 0..self.rng.usize(..5) {
            self.waiting.push_back(id.clone());
        }
        self.update(org, now, &[id]);
    }

    /// One request that changes several records in the same way.
    fn alike(&mut self, org: &mut Org, now: i64) {
        let is_account = self.rng.bool();
        let mut ids: Vec<Id> = (0..self.rng.usize(2..8)).filter_map(|_| self.pick(org, is_account)).collect();
        ids.sort();
        ids.dedup();
        self.update(org, now, &ids);
    }

    fn update(&mut self, org: &mut Org, now: i64, ids: &[Id]) {
        let Some(first) = ids.first() else { return };
        let Some((object, definition)) = org.schema.of_id(first) else { return };
        let is_account = definition.name == "Account";
        let mut fields = Map::new();
        for _ in 0..self.rng.usize(1..4) {
            let (name, value) = self.value(is_account);
            let value = if self.rng.u8(..100) < 15 { Json::Null } else { value };
            fields.insert(name.into(), value);
        }
        let write = |id: &Id| Write::Update { object, id: id.clone(), fields: fields.clone() };
        self.transact(org, now, ids.iter().map(write).collect());
    }

    /// A contact goes to another account or to none; an account gets another parent or none.
    fn move_one(&mut self, org: &mut Org, now: i64) {
        let is_account = self.rng.u8(..100) < 30;
        let Some(id) = self.pick(org, is_account) else { return };
        if is_account && is_parent(org, &id) {
            return;
        }
        let target = if is_account { self.top_account(org) } else { self.pick(org, true) };
        let target = target.filter(|target| *target != id && self.rng.u8(..100) < 80);
        let name = if is_account { "ParentId" } else { "AccountId" };
        let fields = Map::from_iter([(name.to_owned(), json!(target.as_ref().map(Id::as_str)))]);
        self.transact(org, now, vec![Write::Update { object: object(org, is_account), id, fields }]);
    }

    fn delete(&mut self, org: &mut Org, now: i64) {
        let is_account = self.rng.u8(..100) < 25;
        let Some(id) = self.pick(org, is_account) else { return };
        if !(is_account && is_parent(org, &id)) {
            self.gone.push(id.clone());
            self.transact(org, now, vec![Write::Delete { id }]);
        }
    }

    fn undelete(&mut self, org: &mut Org, now: i64) {
        if self.gone.is_empty() {
            return;
        }
        let id = self.gone.swap_remove(self.rng.usize(..self.gone.len()));
        let Some((_, definition)) = org.schema.of_id(&id) else { return };
        let is_account = definition.name == "Account";
        if org.table(object(org, is_account)).live_row(&id).is_none() {
            self.transact(org, now, vec![Write::Undelete { id: id.clone() }]);
        }
        let list = if is_account { &mut self.accounts } else { &mut self.contacts };
        if !list.contains(&id) {
            list.push(id);
        }
    }

    /// A live record of those that this traffic made.
    fn pick(&mut self, org: &Org, is_account: bool) -> Option<Id> {
        let table = org.table(object(org, is_account));
        loop {
            let list = if is_account { &mut self.accounts } else { &mut self.contacts };
            if list.is_empty() {
                return None;
            }
            let place = self.rng.usize(..list.len());
            let id = list.get(place).cloned()?;
            if table.live_row(&id).is_some() {
                return Some(id);
            }
            list.swap_remove(place);
            if !self.gone.contains(&id) {
                self.gone.push(id); // it went with its account
            }
        }
    }

    /// An account without a parent, so that no chain of parents closes.
    fn top_account(&mut self, org: &Org) -> Option<Id> {
        let id = self.pick(org, true)?;
        let (object, definition) = org.schema.find("Account")?;
        let (parent, _) = definition.find("ParentId")?;
        org.table(object).live_row(&id)?.reference(parent).is_none().then_some(id)
    }

    fn word<'a>(&mut self, words: &[&'a str]) -> &'a str {
        self.rng.choice(words).copied().unwrap_or_default()
    }

    fn value(&mut self, is_account: bool) -> (&'static str, Json) {
        let n = self.rng.u32(..100_000);
        match (is_account, self.rng.u8(..8)) {
            (true, 0) => ("Phone", json!(format!("+49 221 {n}"))),
            (true, 1) => ("Website", json!(format!("https://WWW.Example.com/{n}"))),
            (true, 2) => ("Industry", json!(self.word(&INDUSTRIES))),
            (true, 3) => ("NumberOfEmployees", json!(n)),
            (true, 4) => ("AnnualRevenue", json!(f64::from(n) / 4.0)),
            (true, 5) => ("Description", json!(format!("{}, note {n}\nsecond line", self.word(&WORDS)))),
            (true, 6) => ("BillingCity", json!(self.word(&CITIES))),
            (true, _) => ("BillingStreet", json!(format!("{n} Main Street"))),
            (false, 0) => ("FirstName", json!(self.word(&["Ada", "Zoë", "Björn", "Mary-Ann"]))),
            (false, 1) => ("Salutation", json!(self.word(&["Mr.", "Ms.", "Dr."]))),
            (false, 2) => ("Email", json!(format!("user{n}@example.com"))),
            (false, 3) => ("Phone", json!(format!("0{n}"))),
            (false, 4) => ("Title", json!(format!("{} {n}", self.word(&["Head", "Clerk", "Chef"])))),
            (false, 5) => ("Birthdate", json!(format!("{}-{:02}-{:02}", 1950 + n % 50, 1 + n % 12, 1 + n % 28))),
            (false, 6) => ("MailingCity", json!(self.word(&CITIES))),
            (false, _) => ("MailingPostalCode", json!(format!("{n:05}"))),
        }
    }
}

fn object(org: &Org, is_account: bool) -> ObjectIndex {
    let name = if is_account { "Account" } else { "Contact" };
    org.schema.find(name).map_or(0, |(index, _)| index)
}

fn is_parent(org: &Org, account: &Id) -> bool {
    let Some((object, definition)) = org.schema.find("Account") else { return false };
    definition.find("ParentId").is_some_and(|(parent, _)| org.table(object).child_count(parent, account) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::org::ChangeKind;
    use crate::scenario::Scenario;

    fn run(seed: u64, steps: usize) -> (Org, Vec<String>) {
        let mut org = Scenario::standard().org("source", 5, Duration::ZERO..=Duration::ZERO, 0).unwrap();
        let mut traffic = Traffic::new(&TrafficPlan { seed, records: 100, ..TrafficPlan::default() });
        for step in 0..steps {
            traffic.step(&mut org, step as i64 * 1_000);
        }
        let commits = org.commits_after(0).iter().map(|c| format!("{} {}", c.id, c.kind.name())).collect();
        (org, commits)
    }

    #[test]
    fn the_same_seed_makes_the_same_changes() {
        assert_eq!(run(1, 500).1, run(1, 500).1);
        assert_ne!(run(1, 500).1, run(2, 500).1);
    }

    #[test]
    fn all_kinds_of_changes_come_and_the_org_stays_about_as_large_as_asked() {
        let (org, _) = run(3, 5_000);
        for kind in [ChangeKind::Create, ChangeKind::Update, ChangeKind::Delete, ChangeKind::Undelete] {
            let count = org.commits_after(0).iter().filter(|commit| commit.kind == kind).count();
            assert!(count > 50, "{} {count}", kind.name());
        }
        let live: usize = org.counts().values().sum();
        assert!((40..=130).contains(&live), "{live}");
    }

    #[test]
    fn no_account_with_children_is_ever_deleted() {
        let mut org = Scenario::standard().org("source", 5, Duration::ZERO..=Duration::ZERO, 0).unwrap();
        let mut traffic = Traffic::new(&TrafficPlan { records: 60, ..TrafficPlan::default() });
        let (object, definition) = org.schema.find("Account").unwrap();
        let parent = definition.find("ParentId").unwrap().0;
        let mut had_children = false;
        for step in 0..5_000 {
            let parents: Vec<Id> = org.table(object).rows().filter_map(|row| row.reference(parent)).collect();
            let live: Vec<Id> = parents.into_iter().filter(|id| is_parent(&org, id)).collect();
            had_children |= !live.is_empty();
            traffic.step(&mut org, step * 1_000);
            assert!(live.iter().all(|id| org.table(object).live_row(id).is_some()));
        }
        assert!(had_children);
    }
}
