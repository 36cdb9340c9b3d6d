//! The config, checked: what the rest of the bridge may rely on.
//!
//! `tree` reads the YAML with the place of each value, `check` walks it and finds all problems at once, `report`
//! shows them, `secret` says what must never be shown. `raw` documents the keys and is where the JSON Schema comes from.

mod action;
mod check;
mod env;
mod places;
pub mod raw;
mod report;
pub mod schema;
mod secret;
#[cfg(test)]
mod tests;
mod tree;
mod walk;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

pub use self::action::{
    ActionConfig, AnswerTo, Delivery, Does, FireOn, KeyPlace, Method, OnRead, OrderBy, Via, Webhook,
};
pub use self::places::{Found, located};
pub use self::report::{ConfigProblems, Problem, Severity};
use crate::event::{
    ChangeKind, Channel, FieldName, FieldPath, ObjectName, OrgName, PipelineName, RecordId, Timestamp, Transport, Value,
};
use crate::mapping::Expression;
use crate::privacy::Privacy;

/// Reads a config file, with the variables of this process and the secret files that it names; and the tests beside it.
///
/// # Errors
/// All that is wrong with the first file that has something wrong.
pub fn load(path: &Path) -> Result<Config, ConfigProblems> {
    load_with(path, Logins::Needed)
}

/// The same for those who ask no org: an org is left out where a variable or a secret file that it needs is not there.
///
/// # Errors
/// All else that is wrong with the first file that has something wrong.
pub fn load_mapping(path: &Path) -> Result<Config, ConfigProblems> {
    load_with(path, Logins::MayLack)
}

/// Whether the variables and secret files under `orgs` must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logins {
    Needed,
    MayLack,
}

fn load_with(path: &Path, logins: Logins) -> Result<Config, ConfigProblems> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let mut config = parse_with(
                &text,
                path,
                &|name| std::env::var(name).ok(),
                &|file| std::fs::read_to_string(file),
                logins,
            )?;
            let beside = tests_beside(path);
            match std::fs::read_to_string(&beside) {
                Ok(text) => config.cases.extend(parse_cases(&text, &beside, &config)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let message = format!("the tests beside the config cannot be read: {}", why(&error));
                    return Err(ConfigProblems::about_file(&beside, message, "make it readable, as UTF-8 text"));
                }
            }
            Ok(config)
        }
        Err(error) => {
            let message = format!("the config cannot be read: {}", why(&error));
            Err(ConfigProblems::about_file(path, message, "name the file with --config, as UTF-8 text"))
        }
    }
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        kind => kind.to_string(),
    }
}

/// Where the tests of a config are, if not in it: `bridge.tests.yaml` beside `bridge.yaml`.
pub fn tests_beside(config: &Path) -> PathBuf {
    config.with_extension("tests.yaml")
}

/// Checks the text of a file of tests: one key, `tests`.
pub fn parse_cases(text: &str, path: &Path, config: &Config) -> Result<Vec<Case>, ConfigProblems> {
    let mut parsed = tree::parse(text);
    let findings = std::mem::take(&mut parsed.findings);
    let (env, read) = (|_: &str| None, |_: &Path| Err(io::ErrorKind::NotFound.into()));
    let mut walk = walk::Walk { source: text, env: &env, read: &read, without: false, findings };
    let cases = parsed.tree.as_deref().and_then(|root| check::cases(&mut walk, root, path, config));
    match cases {
        Some(cases) if walk.findings.is_empty() => Ok(cases),
        _ => Err(ConfigProblems::new(path, text, &secret::hidden(text, &parsed), walk.findings)),
    }
}

/// Checks the text of a config. `path` is where it came from: relative paths start at its folder, problems name it.
/// `env` gives variables, `read` the content of secret files; nothing else of the outside is asked.
pub fn parse(
    text: &str,
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Config, ConfigProblems> {
    parse_with(text, path, env, read, Logins::Needed)
}

fn parse_with(
    text: &str,
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    read: &dyn Fn(&Path) -> io::Result<String>,
    logins: Logins,
) -> Result<Config, ConfigProblems> {
    let mut parsed = tree::parse(text);
    let findings = std::mem::take(&mut parsed.findings);
    let mut walk = walk::Walk { source: text, env, read, without: false, findings };
    let config = parsed.tree.as_deref().and_then(|root| check::check(&mut walk, root, path, logins));
    match config {
        Some(config) => Ok(config),
        None => Err(ConfigProblems::new(path, text, &secret::hidden(text, &parsed), walk.findings)),
    }
}

/// A config in which every reference leads somewhere.
#[derive(Debug, Clone)]
pub struct Config {
    pub orgs: BTreeMap<OrgName, OrgConfig>,
    /// In the order of the file; names are unique.
    pub pipelines: Vec<PipelineConfig>,
    /// The same, of those that do something for each event. A name is that of one pipeline or of one action.
    pub actions: Vec<ActionConfig>,
    /// The state file; by default the config's own name with `.db`, beside it.
    pub state: PathBuf,
    /// How long after a lost answer the request may still land in the target (default 10 minutes).
    pub late_landing: Duration,
    /// How soon what waits, or lacks a lookup, is looked at again (default 1 minute); then each time after twice as long.
    pub look_again: Duration,
    /// How long a record waits for its parent before it is a failed record (default 1 day).
    pub parent_wait: Duration,
    /// From how many waiting records of an object on they go by the Bulk API (default 5,000); none: never.
    pub bulk_from: Option<usize>,
    /// The tests of the mapping: those of the config, and those of the file beside it.
    pub cases: Vec<Case>,
    /// How often a truth probe compares what changed in a source org with what its events told (default 15 minutes).
    pub probe_every: Duration,
    /// How long the first waiting write of a call waits for company (default: not at all).
    pub linger: Duration,
    /// How long it is remembered what happened to each record (default 30 days).
    pub history_age: Duration,
    /// What is kept of the journal when all of it is settled.
    pub journal_retain: Retain,
    pub digest: Option<Digest>,
}

/// How much of the journal is kept. What is not settled stays in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retain {
    /// Older events are deleted; none: none is (default 30 days).
    pub age: Option<Duration>,
    /// About so many bytes of the state file; none: as many as there are (default).
    pub size: Option<u64>,
}

impl Retain {
    /// An event is kept for so long whatever was configured: up to the end of its retention the org may deliver it again, and
    /// then it must be known as a double. A day more is for clocks and for orgs that are late.
    pub const AT_LEAST: Duration = Channel::RETENTION_MAX.saturating_add(Duration::from_secs(24 * 3_600));
}

impl Default for Retain {
    fn default() -> Self {
        Self { age: Some(Duration::from_secs(30 * 24 * 3_600)), size: None }
    }
}

#[derive(Debug, Clone)]
pub struct OrgConfig {
    pub name: OrgName,
    /// My Domain: `https://acme.my.salesforce.com`. Plain http is accepted on loopback only.
    pub login_url: Url,
    pub login: Login,
    /// What `Sforce-Call-Options: client=` says, and so `changeOrigin` in the events that our writes cause.
    pub client_name: String,
    /// `66.0`.
    pub api_version: String,
    /// How events are received; None: as the state file says, else by the Pub/Sub API.
    pub transport: Option<Transport>,
    pub pubsub: PubsubEndpoint,
    /// Channels that are received and journaled although no pipeline reads them.
    pub journal: Vec<Channel>,
    /// Which of its values the bridge must not know, or not as they are.
    pub privacy: Privacy,
    pub api_budget: ApiBudget,
}

/// How many of an org's API calls of 24 hours the bridge leaves to people and other systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiBudget {
    /// It counts nothing, and stops only when the org itself refuses more calls.
    Off,
    Calls(u64),
    /// Of the org's limit; at most 100.
    Percent(u8),
}

impl Default for ApiBudget {
    fn default() -> Self {
        Self::Percent(10)
    }
}

impl ApiBudget {
    /// So many of `limit` calls are for others; none: nothing is counted.
    pub fn kept(self, limit: u64) -> Option<u64> {
        match self {
            Self::Off => None,
            Self::Calls(calls) => Some(calls.min(limit)),
            Self::Percent(percent) => Some(limit.saturating_mul(u64::from(percent)).div_ceil(100).min(limit)),
        }
    }
}

/// Where the Pub/Sub API is (facts: streaming-pubsub.md section 1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PubsubEndpoint {
    /// `api.pubsub.salesforce.com`, ports 7443 and 443.
    #[default]
    Global,
    /// `api.deu.pubsub.salesforce.com`: processed in Germany; ports 7443 and 443.
    Germany,
    /// One address: an emulator, or a proxy. Plain http is accepted on loopback only.
    Address(Url),
}

impl PubsubEndpoint {
    /// The addresses to try, in this order.
    pub fn addresses(&self) -> Vec<String> {
        let both = |host: &str| [7443, 443].map(|port| format!("https://{host}:{port}")).to_vec();
        match self {
            Self::Global => both("api.pubsub.salesforce.com"),
            Self::Germany => both("api.deu.pubsub.salesforce.com"),
            Self::Address(url) => vec![url.to_string()],
        }
    }
}

#[derive(Debug, Clone)]
pub enum Login {
    ClientCredentials { key: String, secret: SecretString },
}

#[derive(Debug, Clone)]
pub struct PipelineConfig {
    pub name: PipelineName,
    pub from: From,
    pub to: To,
    /// Which records are written; none: all.
    pub when: Option<Expression>,
    pub when_no_longer_matching: NoLongerMatching,
    /// In the order of the file; each target field once.
    pub fields: Vec<(FieldName, FieldRule)>,
    pub flag: Option<Flag>,
    pub on_delete: OnDelete,
    pub brakes: Brakes,
    pub publishing: Publishing,
    pub backfill: Backfill,
    pub verify: Verify,
    pub feedback: Feedback,
}

/// How the records of a pipeline get into the target, apart from what is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publishing {
    pub options: SaveOptions,
    pub may_delete: MayDelete,
    pub when_target_gone: WhenTargetGone,
    pub on_undelete: OnUndelete,
    pub key_changes: KeyChanges,
    /// Changes that wait for the target become one write. Otherwise each is written by itself, in order.
    pub coalesce: bool,
    /// The most records of the target object in one call, 1 to 200. Of several pipelines to one object the least holds.
    pub batch_size: usize,
}

impl Default for Publishing {
    fn default() -> Self {
        Self {
            options: SaveOptions::default(),
            may_delete: MayDelete::default(),
            when_target_gone: WhenTargetGone::default(),
            on_undelete: OnUndelete::default(),
            key_changes: KeyChanges::default(),
            coalesce: true,
            batch_size: BATCH_MAX,
        }
    }
}

/// Records in one sObject Collections call (facts: rest.md section 6).
pub const BATCH_MAX: usize = 200;

/// What a call that saves records asks of the target org. They are headers, so they hold for all records of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SaveOptions {
    pub assignment_rules: AssignmentRules,
    pub duplicates: Duplicates,
}

/// Whether the target's assignment rules give records another owner. By default they do not, although the platform's own
/// default is that they do: a replica has the owner that it is given, and the same again when it is written again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AssignmentRules {
    #[default]
    Off,
    /// Those that are active for the object.
    Active,
    /// This one.
    Rule(RecordId),
}

/// What becomes of a record that a duplicate rule of the target finds twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Duplicates {
    /// It is a failed record.
    #[default]
    Fail,
    /// It is saved where the rule only alerts; a rule that blocks refuses it all the same.
    SaveAlerts,
}

/// Which records of the target a pipeline that deletes may delete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MayDelete {
    /// Those that the bridge is known to have created. Others are kept.
    #[default]
    Created,
    /// Any counterpart.
    Any,
}

/// What happens when the counterpart was deleted in the target by somebody else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenTargetGone {
    /// It is made anew, from the whole record.
    #[default]
    Recreate,
    /// It stays deleted; this change and later ones are skipped.
    Skip,
    /// The record is a failed record.
    Fail,
}

/// What happens in the target when a record comes back from the recycle bin of the source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnUndelete {
    /// Its counterpart is found by its key, or made anew.
    #[default]
    Recreate,
    /// It is taken out of the recycle bin of the target; one that is not there any more is made anew.
    Restore,
    /// Nothing: the counterpart stays deleted, also when the record changes later.
    Ignore,
}

/// What happens when a change gives the key of a record with a counterpart another value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyChanges {
    /// The counterpart gets the new value, by its link.
    #[default]
    Update,
    /// The pipeline halts.
    Halt,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    pub org: OrgName,
    /// `/poll/Account` where the org is asked.
    pub channel: Channel,
    pub object: ObjectName,
    pub start: Start,
    /// `source: poll`: how often the org is asked what changed. None: its events tell.
    pub poll: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct To {
    pub org: OrgName,
    pub object: ObjectName,
    /// An External ID field of the target object; one of `fields` fills it.
    pub key: FieldName,
}

/// Where a pipeline that never ran begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    #[default]
    Tip,
    /// With the oldest event that the org still keeps (72 hours).
    Earliest,
}

/// How one field of the target is filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRule {
    pub fill: Fill,
    pub write_on: WriteOn,
    pub on_null: OnNull,
    /// How longer text is cut. None: it is written as it is, and the org refuses what is too long.
    pub truncate: Option<Truncate>,
    /// What happens when a lookup finds no record of the target. None: as its field demands.
    pub if_missing: Option<IfMissing>,
}

/// What happens to a record of which a lookup finds no record of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMissing {
    /// It is not written before that record is there.
    Wait,
    /// It is written with the field empty, and once more when that record is there.
    FillLater,
    /// It is written without the field.
    Skip,
    /// It is a failed record.
    Fail,
}

/// Where a field's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fill {
    /// A source field or a part of a compound one. `Id` is the id of the source record.
    Source(FieldPath),
    Constant(Value),
    /// One value for another. A value without an entry gets the default; without one the record fails.
    Table {
        from: FieldPath,
        entries: BTreeMap<String, Value>,
        default: Option<Value>,
    },
    Expression(Expression),
    /// The target record that one of the pipelines made of the source record that the source field `from` names: the first
    /// whose object it is of.
    Parent {
        pipelines: Vec<PipelineName>,
        from: FieldPath,
    },
    /// The target record of `object` that holds a value in the field `by`.
    Find {
        object: ObjectName,
        by: FieldName,
        value: Sought,
    },
    /// The record type of the target object with this developer name.
    RecordType(String),
    /// The record type of the target object for that of the source record: by a table of developer names, or of the same
    /// name. `default` is for those that the table does not list, or that the target does not have.
    RecordTypeOf {
        from: FieldPath,
        table: BTreeMap<String, String>,
        default: Option<String>,
    },
    Owner(OwnerName),
    OwnerOf {
        from: FieldPath,
        by: OwnerKey,
        /// User names and developer names of queues of the source, with those of the target.
        table: BTreeMap<String, OwnerName>,
        /// For owners that are not found, or not active.
        fallback: Option<OwnerName>,
    },
}

impl Fill {
    /// The one field of the source that it takes as it is.
    pub fn from(&self) -> Option<&FieldPath> {
        match self {
            Self::Source(from)
            | Self::Table { from, .. }
            | Self::Parent { from, .. }
            | Self::Find { value: Sought::Field(from), .. }
            | Self::RecordTypeOf { from, .. }
            | Self::OwnerOf { from, .. } => Some(from),
            Self::Constant(_)
            | Self::Expression(_)
            | Self::Find { value: Sought::Expression(_), .. }
            | Self::RecordType(_)
            | Self::Owner(_) => None,
        }
    }

    pub fn expression(&self) -> Option<&Expression> {
        match self {
            Self::Expression(expression) | Self::Find { value: Sought::Expression(expression), .. } => Some(expression),
            Self::Source(_)
            | Self::Table { .. }
            | Self::Parent { .. }
            | Self::Find { value: Sought::Field(_), .. }
            | Self::RecordTypeOf { .. }
            | Self::OwnerOf { .. }
            | Self::Constant(_)
            | Self::RecordType(_)
            | Self::Owner(_) => None,
        }
    }

    /// The source fields that it reads.
    pub fn reads(&self) -> impl Iterator<Item = &FieldPath> {
        self.from().into_iter().chain(self.expression().into_iter().flat_map(Expression::reads))
    }

    /// Whether it is found in the target.
    pub fn is_lookup(&self) -> bool {
        match self {
            Self::Source(_) | Self::Constant(_) | Self::Table { .. } | Self::Expression(_) => false,
            Self::Parent { .. }
            | Self::Find { .. }
            | Self::RecordType(_)
            | Self::RecordTypeOf { .. }
            | Self::Owner(_)
            | Self::OwnerOf { .. } => true,
        }
    }
}

/// A value that a lookup looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sought {
    Field(FieldPath),
    Expression(Expression),
}

/// Who owns a record in the target: a user by the user name, or a queue by the developer name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerName {
    User(String),
    Queue(String),
}

impl OwnerName {
    /// Only user names have an @.
    pub fn of(name: &str) -> Self {
        if name.contains('@') { Self::User(name.to_owned()) } else { Self::Queue(name.to_owned()) }
    }
}

/// By what a user of the source is found again in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerKey {
    Username,
    FederationId,
    Email,
}

impl OwnerKey {
    /// The field of User.
    pub fn column(self) -> FieldName {
        FieldName::known(match self {
            Self::Username => "Username",
            Self::FederationId => "FederationIdentifier",
            Self::Email => "Email",
        })
    }
}

impl std::convert::From<Fill> for FieldRule {
    fn from(fill: Fill) -> Self {
        Self { fill, write_on: WriteOn::default(), on_null: OnNull::default(), truncate: None, if_missing: None }
    }
}

/// Where longer text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncate {
    /// After so many characters.
    To(usize),
    /// After as many as the target's field takes.
    Field,
}

impl Truncate {
    /// As far as the config says it.
    pub fn length(self) -> Option<usize> {
        match self {
            Self::To(length) => Some(length),
            Self::Field => None,
        }
    }
}

/// At which writes a field is written. A first write that finds the record in the target by its key counts as a create.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WriteOn {
    #[default]
    Both,
    Create,
    Update,
}

/// What is written where nothing comes from the source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum OnNull {
    /// Null: the field is emptied.
    #[default]
    Send,
    /// Nothing: the field keeps what it has.
    Skip,
    Value(Value),
}

/// Fields of the source object that tell people there how their records are doing in the target. A change of them is none
/// that a pipeline maps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feedback {
    /// Text: why the record is a failed one; empty: it is not.
    pub error: Option<FieldName>,
    /// Date/Time: when it was written last.
    pub last_synced: Option<FieldName>,
}

impl Feedback {
    pub fn fields(&self) -> impl Iterator<Item = &FieldName> {
        self.error.iter().chain(&self.last_synced)
    }
}

/// How often a webhook is told what has failed.
#[derive(Debug, Clone)]
pub struct Digest {
    pub webhook: Webhook,
    pub every: Duration,
}

/// How often the two sides of a pipeline are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// None: only when a person wants it.
    pub every: Option<Duration>,
    /// What differs is read and written again.
    pub repair: bool,
}

impl Default for Verify {
    fn default() -> Self {
        Self { every: Some(Duration::from_secs(7 * 24 * 3_600)), repair: false }
    }
}

/// When all records of the source are written, whether they change or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Backfill {
    /// When a person wants it.
    #[default]
    OnCommand,
    /// Also once by itself, where the pipeline never had one.
    OnFirstRun,
}

/// What happens in the target to the counterpart of a record that was deleted in the source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnDelete {
    #[default]
    Ignore,
    /// The pipeline's flag is set.
    Flag,
    Delete,
}

/// What happens to a counterpart whose record does not match `when` any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NoLongerMatching {
    /// It stays as it is, and is no longer updated.
    #[default]
    Keep,
    /// The pipeline's flag is set.
    Flag,
    Delete,
}

/// When a pipeline stops by itself and waits for a person. None: never because of this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brakes {
    pub deletes: Option<Limit>,
    pub creates: Option<Limit>,
    /// So many failed records more than records that were written.
    pub failures: Option<u64>,
}

impl Default for Brakes {
    fn default() -> Self {
        let within = Duration::from_secs(600);
        Self {
            deletes: Some(Limit { most: 500, within }),
            creates: Some(Limit { most: 50_000, within }),
            failures: Some(100),
        }
    }
}

/// So many within a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub most: u64,
    pub within: Duration,
}

/// A field of the target that says that the record is gone in the source, or does not match any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    pub field: FieldName,
    /// What it says then, and what it says of all others.
    pub set: Value,
    pub clear: Value,
}

/// A test of the mapping: what happened in the source, and what should come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub name: String,
    pub pipeline: PipelineName,
    /// The config, or the file of tests beside it.
    pub file: PathBuf,
    /// The line in its file, counted from 1.
    pub line: usize,
    /// The id of the record in the source.
    pub id: RecordId,
    /// What a platform event says.
    pub event: Option<BTreeMap<String, Value>>,
    pub change: Option<CaseChange>,
    /// The fields of the whole record: as it is read, also where the change does not say enough.
    pub record: Option<BTreeMap<String, Value>>,
    /// The id of its counterpart, if it has one.
    pub link: Option<RecordId>,
    /// The counterparts of parents, by the parents' ids in the source.
    pub parents: BTreeMap<RecordId, RecordId>,
    /// What the orgs answer to lookups.
    pub lookups: Vec<Answer>,
    pub expect: Expect,
}

/// What an org answers: which values the rows of an object, that hold a value in a field, hold in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub org: OrgName,
    pub object: ObjectName,
    pub by: FieldName,
    pub value: String,
    pub field: FieldName,
    /// None: there is no such row. Several: there are, and they differ.
    pub gives: Vec<String>,
}

/// A change event, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseChange {
    pub kind: ChangeKind,
    /// What changed, or all of a new record.
    pub fields: BTreeMap<String, Value>,
    /// What did not, but came along (enriched fields).
    pub unchanged: BTreeMap<String, Value>,
    /// Who made it (a user's id), and with which client; empty: not said.
    pub user: String,
    pub client: String,
    /// When it was committed.
    pub time: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Of a record without a counterpart: exactly these fields.
    Upsert(BTreeMap<FieldName, Value>),
    /// Of the counterpart: exactly these fields.
    Update(BTreeMap<FieldName, Value>),
    Delete,
    /// Of an action: it is done, with exactly these inputs.
    Call(BTreeMap<FieldName, Value>),
    Skip,
    /// A failed record or action, with this code.
    Fail(Option<String>),
    /// It waits for what a lookup leads to, with this code.
    Wait(Option<String>),
}

/// For tests of others: a config without a file.
#[cfg(test)]
pub(crate) mod testing {
    use std::path::Path;

    use super::Config;

    /// Two orgs, `a` and `b`, that nobody can reach, and the keys that follow: `pipelines:` and others.
    pub fn between_two_orgs(keys: &str) -> Config {
        let org = |port: u8| {
            format!("{{ login_url: \"http://127.0.0.1:{port}\", client_credentials: {{ key: k, secret: s }} }}")
        };
        let text = format!("version: 1\norgs:\n  a: {}\n  b: {}\n{keys}", org(1), org(2));
        super::parse(&text, Path::new("b.yaml"), &|_| None, &|_| unreachable!()).unwrap()
    }
}
