//! One rule as a control request or a scenario gives it: its kind, with the keys of that kind, and its matcher.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::glob;
use super::records::{ItemRefusal, Where, lasting};
use super::refusal::Refusal;
use super::target::{Target, Work};

/// Every kind of rule.
pub const KINDS: [&str; 8] = ["refuse", "do_then_fail", "cut_then_apply", "hold", "answer_late", "cut", "lock", "item"];
/// The keys of every kind.
pub const KEYS: [&str; 12] =
    ["name", "kind", "of", "method", "path", "rpc", "channel", "where", "nth", "times", "percent", "seed"];
const REFUSAL: [&str; 7] = ["status", "code", "message", "retry_after", "body", "grpc_status", "error_code"];
const RPCS: [&str; 6] = ["GetTopic", "GetSchema", "Publish", "PublishStream", "Subscribe", "ManagedSubscribe"];

/// A rule whose keys fit together.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub name: Option<String>,
    pub kind: Kind,
    pub matcher: Matcher,
    /// Records that it means: requests with one of them, or these alone where it strikes records.
    pub records: Option<Where>,
    /// Which of the matching requests, from 1 on; empty: each.
    pub nth: Vec<u64>,
    /// It strikes at most so often.
    pub times: Option<u64>,
    /// Of what it may strike; of records where it strikes records.
    pub percent: f64,
    pub seed: Option<u64>,
    /// As it was given.
    pub given: Map<String, Json>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Refuse(Refusal),
    /// Without a refusal the line is cut.
    DoThenFail(Option<Refusal>),
    CutThenApply(Delay),
    Hold,
    AnswerLate(Delay),
    Cut,
    /// Records of writes fail with UNABLE_TO_LOCK_ROW.
    Lock,
    /// Records of writes fail with this.
    Item(ItemRefusal),
}

impl Kind {
    /// It strikes single records; the request itself goes on.
    pub fn is_of_records(&self) -> bool {
        match self {
            Self::Lock | Self::Item(_) => true,
            Self::Refuse(_)
            | Self::DoThenFail(_)
            | Self::CutThenApply(_)
            | Self::Hold
            | Self::AnswerLate(_)
            | Self::Cut => false,
        }
    }
}

/// The shortest and the longest, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    least: u64,
    most: u64,
}

impl Delay {
    pub fn draw(self, rng: &mut fastrand::Rng) -> Duration {
        Duration::from_millis(rng.u64(self.least..=self.most))
    }
}

/// Which requests a rule concerns: those that all its parts fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Matcher {
    of: Of,
    method: Option<String>,
    path: Option<String>,
    rpc: Option<String>,
    channel: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Of {
    /// Of the data API.
    Writes,
    /// Of the data API.
    Reads,
    /// The whole data API.
    Data,
    /// Everything but what steers the emulator.
    All,
}

impl Matcher {
    pub fn matches(&self, target: &Target) -> bool {
        let of = match self.of {
            Of::Writes => target.data == Some(Work::Write),
            Of::Reads => target.data == Some(Work::Read),
            Of::Data => target.data.is_some(),
            Of::All => true,
        };
        of && self.method.as_ref().is_none_or(|method| method.eq_ignore_ascii_case(target.method))
            && self.path.as_ref().is_none_or(|path| glob::fits(path, &target.path))
            && self.rpc.as_ref().is_none_or(|rpc| target.rpc == Some(rpc.as_str()))
            && self.channel.as_ref().is_none_or(|channel| target.channels.iter().any(|one| glob::fits(channel, one)))
    }
}

impl Rule {
    /// Reads a rule from its JSON.
    ///
    /// # Errors
    /// What is wrong, with the key.
    pub fn read(json: Json) -> Result<Self, String> {
        let Json::Object(given) = json else { return Err("a rule is a JSON object".into()) };
        let mut keys = Keys(given.clone());
        let kind: String = keys.take("kind")?.ok_or_else(|| format!("kind: one of {}", KINDS.join(", ")))?;
        let (own, allowed): (Kind, &[&str]) = match kind.as_str() {
            "refuse" => (Kind::Refuse(keys.refusal(503)?), &REFUSAL),
            "do_then_fail" => match keys.take::<String>("how")?.as_deref() {
                None | Some("cut") => (Kind::DoThenFail(None), &["how"]),
                Some("status") => (Kind::DoThenFail(Some(keys.refusal(500)?)), &REFUSAL),
                Some(_) => return Err("how: `cut` or `status`".into()),
            },
            "cut_then_apply" => (Kind::CutThenApply(keys.delay()?), &["delay_ms"]),
            "hold" => (Kind::Hold, &[]),
            "answer_late" => (Kind::AnswerLate(keys.delay()?), &["delay_ms"]),
            "cut" => (Kind::Cut, &[]),
            "lock" => (Kind::Lock, &[]),
            "item" => (Kind::Item(keys.item()?), &["code", "message", "fields"]),
            other => return Err(format!("kind: {other} is none of {}", KINDS.join(", "))),
        };
        let rule = Self {
            name: keys.name()?,
            kind: own,
            matcher: keys.matcher()?,
            records: keys.take("where")?.map(Where::read).transpose()?,
            nth: keys.nth()?,
            times: keys.take("times")?,
            percent: keys.take("percent")?.unwrap_or(100.0),
            seed: keys.take("seed")?,
            given,
        };
        if !(0.0..=100.0).contains(&rule.percent) {
            return Err("percent: a number from 0 to 100".into());
        }
        match keys.0.keys().next() {
            None => Ok(rule),
            Some(unknown) => {
                let known: Vec<&str> = KEYS.iter().chain(allowed).copied().collect();
                Err(format!("{unknown}: no key of {kind}, which has {}", known.join(", ")))
            }
        }
    }

    /// Reads a list of rules.
    ///
    /// # Errors
    /// What is wrong, with the number of the rule and the key; or that two have one name.
    pub fn read_all(list: Vec<Json>) -> Result<Vec<Self>, String> {
        let read = |(place, json): (usize, Json)| {
            Self::read(json).map_err(|problem| format!("rule {}: {problem}", place.saturating_add(1)))
        };
        let rules = list.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        let names: Vec<&String> = rules.iter().filter_map(|rule| rule.name.as_ref()).collect();
        match names.iter().enumerate().find(|(place, name)| names.iter().take(*place).any(|other| other == *name)) {
            Some((_, name)) => Err(format!("name: two rules are called {name}")),
            None => Ok(rules),
        }
    }
}

/// What of a rule was not read yet.
struct Keys(Map<String, Json>);

impl Keys {
    /// Null is as good as nothing.
    fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, String> {
        let value = self.0.remove(key).filter(|value| !value.is_null());
        value.map(serde_json::from_value).transpose().map_err(|error| format!("{key}: {error}"))
    }

    /// It has to fit into a path.
    fn name(&mut self) -> Result<Option<String>, String> {
        let name: Option<String> = self.take("name")?;
        let fits = |name: &String| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        if name.as_ref().is_none_or(fits) { Ok(name) } else { Err("name: letters, digits, `-`, `_`, `.`".into()) }
    }

    fn matcher(&mut self) -> Result<Matcher, String> {
        let (of, method, path) = (self.take("of")?, self.take("method")?, self.take("path")?);
        let (rpc, channel): (Option<String>, Option<String>) = (self.take("rpc")?, self.take("channel")?);
        if let Some(rpc) = rpc.as_ref().filter(|rpc| !RPCS.contains(&rpc.as_str())) {
            return Err(format!("rpc: {rpc} is none of {}", RPCS.join(", ")));
        }
        let named = path.is_some() || rpc.is_some() || channel.is_some();
        let usual = match (named, &method) {
            (true, _) => Of::All,
            (false, Some(_)) => Of::Data,
            (false, None) => Of::Writes,
        };
        Ok(Matcher { of: of.unwrap_or(usual), method, path, rpc, channel })
    }

    fn nth(&mut self) -> Result<Vec<u64>, String> {
        let wrong = || "nth: a number from 1 up, or a list of them".to_owned();
        let numbers = match self.0.remove("nth") {
            None | Some(Json::Null) => return Ok(Vec::new()),
            Some(Json::Array(numbers)) => numbers,
            Some(number) => vec![number],
        };
        let read = |number: &Json| number.as_u64().filter(|number| *number > 0).ok_or_else(wrong);
        let nth = numbers.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if nth.is_empty() { Err(wrong()) } else { Ok(nth) }
    }

    fn delay(&mut self) -> Result<Delay, String> {
        let delay = match self.0.remove("delay_ms") {
            Some(Json::Array(both)) => match both.as_slice() {
                [least, most] => least.as_u64().zip(most.as_u64()),
                _ => None,
            },
            Some(one) => one.as_u64().map(|one| (one, one)),
            None => None,
        };
        match delay.filter(|(least, most)| least <= most) {
            Some((least, most)) => Ok(Delay { least, most }),
            None => Err("delay_ms: milliseconds, or a list of the least and the most".into()),
        }
    }

    fn item(&mut self) -> Result<ItemRefusal, String> {
        let code: String = self.take("code")?.ok_or("code: what the record fails with")?;
        let message = self.take("message")?.unwrap_or_else(|| "refused by command".to_owned());
        Ok(ItemRefusal { code: lasting(&code), message, fields: self.take("fields")?.unwrap_or_default() })
    }

    fn refusal(&mut self, usual: u16) -> Result<Refusal, String> {
        let status: Option<u16> = self.take("status")?;
        let code: Option<String> = self.take("code")?;
        let status = status.or_else(|| code.as_deref().and_then(Refusal::status_of)).unwrap_or(usual);
        if !(400..=599).contains(&status) {
            return Err("status: a number from 400 to 599".into());
        }
        let grpc = match self.take::<String>("grpc_status")? {
            None => None,
            Some(name) => Some(Refusal::grpc_code(&name).ok_or_else(|| format!("grpc_status: {name} is no status"))?),
        };
        // Null is what a proxy sends: a status alone.
        let error_code = match self.0.remove("error_code") {
            None => Refusal::usual_error_code(status).map(str::to_owned),
            Some(Json::Null) => None,
            Some(Json::String(suffix)) => Some(suffix),
            Some(_) => return Err("error_code: what follows sfdc.platform.eventbus.grpc., or null".into()),
        };
        Ok(Refusal {
            status,
            code,
            message: self.take("message")?,
            retry_after: self.take("retry_after")?,
            body: self.take("body")?,
            grpc: grpc.unwrap_or_else(|| Refusal::usual_grpc(status)),
            error_code,
        })
    }
}
