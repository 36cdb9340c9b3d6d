//! What goes wrong in one org, by command: a list of rules, each of a kind and with a matcher.
//!
//! What the request of a cut line wanted may be done, not done yet, or never done: the client cannot tell, and that is
//! the point. The list is pure: [`Faults::plan`] says what happens to a request, [`strike`] lets it happen.

mod glob;
mod records;
mod refusal;
mod rule;
mod strike;
mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

pub use refusal::Refusal;
use rule::Kind;
pub use rule::Rule;
#[cfg(test)]
pub use rule::{KEYS, KINDS};
pub use strike::{bars_stream, strike, wait, when_released};
pub use target::Target;

use crate::org::{SaveError, Write};

/// The writes of one request; what was found wrong already keeps its place.
pub type Writes = Vec<Result<Write, SaveError>>;

/// What happens to one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    Normal,
    /// Nothing is done.
    Refuse(Refusal),
    /// Everything is done; then this is the answer, or the line is cut.
    DoThenFail(Option<Refusal>),
    /// The line is cut now, and the work is done later.
    CutThenApply(Duration),
    /// Nothing is done until [`Faults::holds`] says no.
    Hold(Held),
    /// The work is done now, and the answer comes later.
    AnswerLate(Duration),
    /// The line is cut, and nothing is ever done.
    Cut,
}

/// What a held request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    rule: u64,
    releases: u64,
}

/// The rules of one org, in their order.
#[derive(Debug)]
pub struct Faults {
    rules: Vec<Active>,
    set: u64,
    rng: fastrand::Rng,
}

/// A rule at work.
#[derive(Debug)]
struct Active {
    /// No other rule had or gets it.
    id: u64,
    name: String,
    rule: Rule,
    matched: u64,
    struck: u64,
    releases: u64,
    chances: fastrand::Rng,
    delays: fastrand::Rng,
}

impl Faults {
    /// `rng`: for what rules without a seed of their own draw.
    pub fn new(rng: fastrand::Rng, rules: Vec<Rule>) -> Self {
        let mut faults = Self { rules: Vec::new(), set: 0, rng };
        faults.replace(rules);
        faults
    }

    /// These rules instead of those before. Their counts start at nothing, and what was held goes on.
    pub fn replace(&mut self, rules: Vec<Rule>) {
        self.rules.clear();
        for rule in rules {
            self.put(rule);
        }
    }

    /// Adds a rule, in the place of the one that has its name.
    pub fn put(&mut self, rule: Rule) {
        self.set += 1;
        let mut chances = match rule.seed {
            Some(seed) => fastrand::Rng::with_seed(seed),
            None => self.rng.fork(),
        };
        let delays = chances.fork();
        let name = rule.name.clone().unwrap_or_else(|| format!("rule-{}", self.set));
        let active = Active { id: self.set, name, rule, matched: 0, struck: 0, releases: 0, chances, delays };
        match self.rules.iter_mut().find(|known| known.name == active.name) {
            Some(known) => *known = active,
            None => self.rules.push(active),
        }
    }

    /// Takes every rule out.
    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// Takes one rule out; whether there was one of this name.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.rules.len();
        self.rules.retain(|active| active.name != name);
        self.rules.len() < before
    }

    /// Lets go what a rule holds now, not what comes; whether there is a rule of this name.
    pub fn release(&mut self, name: &str) -> bool {
        let found = self.rules.iter_mut().find(|active| active.name == name);
        found.map(|active| active.releases += 1).is_some()
    }

    /// No rule can strike.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What happens to a request. Every rule that matches counts it; the first that strikes has it.
    pub fn plan(&mut self, target: &Target) -> Plan {
        let mut plan = Plan::Normal;
        for active in self.rules.iter_mut().filter(|active| !active.rule.kind.is_of_records()) {
            if active.is_hit(target) && active.draws() && plan == Plan::Normal {
                active.struck += 1;
                plan = active.plan();
            }
        }
        plan
    }

    /// Lets single records of one request fail: the writes with those that are refused, and which of them cannot be locked.
    /// What is refused already is left so.
    pub fn strike_records(&mut self, target: &Target, mut writes: Writes) -> (Writes, Vec<bool>) {
        let mut locked = vec![false; writes.len()];
        for active in self.rules.iter_mut().filter(|active| active.rule.kind.is_of_records()) {
            if !active.is_hit(target) {
                continue;
            }
            let mut any = false;
            for (write, locked) in writes.iter_mut().zip(&mut locked) {
                let meant =
                    |write: &Write| active.rule.records.as_ref().is_none_or(|records| records.fits_write(write));
                if !write.as_ref().is_ok_and(meant) || !active.draws() {
                    continue;
                }
                any = true;
                match &active.rule.kind {
                    Kind::Item(refusal) => *write = Err(refusal.error()),
                    Kind::Lock => *locked = true,
                    Kind::Refuse(_)
                    | Kind::DoThenFail(_)
                    | Kind::CutThenApply(_)
                    | Kind::Hold
                    | Kind::AnswerLate(_)
                    | Kind::Cut => {}
                }
            }
            active.struck += u64::from(any);
        }
        (writes, locked)
    }

    /// Whether a held request has to wait on.
    pub fn holds(&self, held: Held) -> bool {
        self.rules.iter().any(|active| active.id == held.rule && active.releases == held.releases)
    }

    /// The rules as they were given, each with its name and with how often it matched and struck.
    pub fn shown(&self) -> Json {
        let show = |active: &Active| {
            let mut shown = Map::from_iter([("name".to_owned(), json!(active.name))]);
            shown.extend(active.rule.given.clone());
            shown.insert("matched".into(), json!(active.matched));
            shown.insert("struck".into(), json!(active.struck));
            Json::Object(shown)
        };
        json!({"rules": self.rules.iter().map(show).collect::<Json>()})
    }
}

impl Active {
    /// Counts a request that matches; whether it is one that the rule may strike.
    fn is_hit(&mut self, target: &Target) -> bool {
        let records = self.rule.records.as_ref().filter(|_| !self.rule.kind.is_of_records());
        if !self.rule.matcher.matches(target) || records.is_some_and(|records| !target.names(records)) {
            return false;
        }
        self.matched += 1;
        let nth = &self.rule.nth;
        (nth.is_empty() || nth.contains(&self.matched)) && self.rule.times.is_none_or(|times| self.struck < times)
    }

    fn draws(&mut self) -> bool {
        self.rule.percent >= 100.0 || self.chances.f64() * 100.0 < self.rule.percent
    }

    fn plan(&mut self) -> Plan {
        match &self.rule.kind {
            Kind::Refuse(refusal) => Plan::Refuse(refusal.clone()),
            Kind::DoThenFail(refusal) => Plan::DoThenFail(refusal.clone()),
            Kind::CutThenApply(delay) => Plan::CutThenApply(delay.draw(&mut self.delays)),
            Kind::Hold => Plan::Hold(Held { rule: self.id, releases: self.releases }),
            Kind::AnswerLate(delay) => Plan::AnswerLate(delay.draw(&mut self.delays)),
            Kind::Cut => Plan::Cut,
            Kind::Lock | Kind::Item(_) => Plan::Normal,
        }
    }
}
