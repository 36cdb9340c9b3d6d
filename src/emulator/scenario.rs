//! What an emulated org is made of: objects, fields, rules, users, automation and first records, from YAML.
//!
//! [`spec`] is the file as it is written, [`build`] what the org needs of it. The standard scenario is built in; a
//! user's file builds upon it unless it says `base: empty`.

mod build;
mod fields;
mod objects;
mod spec;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::faults::Rule;
use super::oauth::{Login, RunAs};
use super::org::schema::Field;
use super::org::{Identity, Org};

pub use build::HOURLY_EVENTS;
pub use spec::LimitsSpec;
use spec::{Base, FieldSpec, Name, Spec};

const CORE: &str = include_str!("scenario/core.yaml");
const STANDARD: &str = include_str!("scenario/standard.yaml");

/// A scenario whose names fit together.
#[derive(Debug, Clone)]
pub struct Scenario {
    file: String,
    spec: Spec,
}

/// What is wrong with a scenario, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// `FILE` or `FILE:LINE`.
    pub place: String,
    pub problem: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl std::error::Error for ScenarioError {}

/// A problem with a name of the file.
#[derive(Debug)]
struct Problem {
    line: Option<u64>,
    text: String,
}

impl Problem {
    fn at(name: &Name, text: impl fmt::Display) -> Self {
        Self { line: Some(name.referenced.line()), text: format!("{}: {text}", name.value) }
    }
}

impl Problem {
    fn in_file(self, file: &str) -> ScenarioError {
        let place = match self.line.filter(|line| *line > 0) {
            Some(line) => format!("{file}:{line}"),
            None => file.to_owned(),
        };
        ScenarioError { place, problem: self.text }
    }
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self { line: None, text }
    }
}

impl Scenario {
    /// The scenario that is built in.
    pub fn standard() -> &'static Self {
        static STANDARD_SCENARIO: OnceLock<Scenario> = OnceLock::new();
        STANDARD_SCENARIO.get_or_init(|| {
            // Both texts are part of the program, and a test reads them: the fallback is never seen.
            let spec = parse::<Spec>(CORE).and_then(|core| Ok(core.with(parse(STANDARD)?)));
            Scenario { file: "standard scenario".into(), spec: spec.unwrap_or_else(|_| Spec::default()) }
        })
    }

    /// Reads a scenario file.
    ///
    /// # Errors
    /// What is wrong with it, with file and line.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ScenarioError { place: file.clone(), problem: error.to_string() })?;
        Self::read(&file, &text)
    }

    /// Reads a scenario's text; `file` is its name in errors.
    ///
    /// # Errors
    /// What is wrong with it, with file and line.
    pub fn read(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let failed = |problem: Problem| problem.in_file(file);
        let own: Spec = parse(text).map_err(failed)?;
        let base = match own.base {
            Base::Standard => Self::standard().spec.clone(),
            Base::Empty => parse(CORE).map_err(failed)?,
        };
        let scenario = Self { file: file.into(), spec: base.with(own) };
        // Some parts concern only the orgs of these names.
        for name in ["source", "target"] {
            scenario.org(name, 1, Duration::ZERO..=Duration::ZERO, 0)?;
            scenario.login(name, 1)?;
            scenario.faults(name)?;
        }
        Ok(scenario)
    }

    /// How much the org may be asked for.
    pub fn limits(&self) -> &LimitsSpec {
        &self.spec.limits
    }

    /// The org of this name, with its first records. The same seed gives the same ids.
    ///
    /// # Errors
    /// What is wrong with the scenario, as [`Self::read`] finds it.
    pub fn org(
        &self,
        name: &str,
        seed: u64,
        bus_delay: RangeInclusive<Duration>,
        now: i64,
    ) -> Result<Org, ScenarioError> {
        let identity = Identity::new(seed);
        let setup = self.build(name, &identity.pod)?;
        Org::new(identity, setup, bus_delay, now).map_err(|(place, error)| {
            let mut records = self.spec.records.iter().filter(|record| build::concerns(&record.orgs, name));
            let problem = match records.nth(place) {
                Some(record) => Problem::at(&record.object, format!("{}: {}", error.code, error.message)),
                None => Problem::from(error.message),
            };
            self.error(problem)
        })
    }

    /// The apps of the org of this name, the usual one where the scenario names none. Keys and secrets that are
    /// not given follow from the seed.
    ///
    /// # Errors
    /// What is wrong with an app.
    pub fn login(&self, org: &str, seed: u64) -> Result<Login, ScenarioError> {
        let mut login = Login::new(seed);
        let own = |name: &String| name.replace("{org}", org);
        let mut apps = self.spec.apps.clone();
        for app in &mut apps {
            app.approved_users = app.approved_users.iter().map(own).collect();
            if let RunAs::User(name) = &app.client_credentials_user {
                app.client_credentials_user = RunAs::User(own(name));
            }
        }
        if !apps.is_empty() {
            login.set_apps(apps).map_err(|problem| self.error(Problem::from(format!("apps: {problem}"))))?;
        }
        Ok(login)
    }

    /// The rules of faults of the org of this name.
    ///
    /// # Errors
    /// What is wrong with a rule, with its place.
    pub fn faults(&self, org: &str) -> Result<Vec<Rule>, ScenarioError> {
        let mut rules: Vec<Rule> = Vec::new();
        for spec in &self.spec.faults {
            let at = |text: String| {
                self.error(Problem { line: Some(spec.referenced.line()), text: format!("faults: {text}") })
            };
            let mut given = spec.value.clone();
            let orgs = given.as_object_mut().and_then(|given| given.remove("orgs")).unwrap_or_default();
            let orgs: Option<Vec<String>> =
                serde_json::from_value(orgs).map_err(|error| at(format!("orgs: {error}")))?;
            let rule = Rule::read(given).map_err(at)?;
            if !build::concerns(&orgs.unwrap_or_default(), org) {
                continue;
            }
            if rule.name.is_some() && rules.iter().any(|other| other.name == rule.name) {
                return Err(at(format!("name: two rules are called {}", rule.name.unwrap_or_default())));
            }
            rules.push(rule);
        }
        Ok(rules)
    }

    fn error(&self, problem: Problem) -> ScenarioError {
        problem.in_file(&self.file)
    }
}

/// What a field of a scenario becomes, given as JSON with the same keys: an address is several fields.
///
/// # Errors
/// What is wrong with it.
pub fn fields_of(json: &Json) -> Result<Vec<Field>, String> {
    let spec: FieldSpec = parse(&json.to_string()).map_err(|problem| problem.text)?;
    fields::fields(&spec).map_err(|problem| problem.text)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    // `no` and `on` are words here, as in the bridge's own config.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map(|at| at.line());
        let text = error.without_snippet().to_string();
        // The place is told in front of it.
        let told = text.split_once(": ").filter(|(place, _)| place.starts_with("line ")).map(|(_, rest)| rest);
        Problem { line, text: told.unwrap_or(&text).to_owned() }
    })
}
