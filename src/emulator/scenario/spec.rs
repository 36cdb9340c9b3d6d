//! A scenario file as it is written: plain data, names not yet looked up.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::oauth::AppSpec;
use crate::org::Sharing;

/// A name that knows its place in the file.
pub type Name = serde_saphyr::Spanned<String>;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    #[serde(default)]
    pub base: Base,
    /// Accounts can be persons, who are contacts as well.
    #[serde(default)]
    pub person_accounts: bool,
    #[serde(default)]
    pub users: Vec<UserSpec>,
    #[serde(default)]
    pub queues: Vec<QueueSpec>,
    #[serde(default)]
    pub objects: Vec<ObjectSpec>,
    #[serde(default)]
    pub triggers: Vec<TriggerSpec>,
    #[serde(default)]
    pub flows: Vec<FlowSpec>,
    #[serde(default)]
    pub assignment_rules: Vec<AssignmentSpec>,
    #[serde(default)]
    pub actions: Vec<ActionSpec>,
    #[serde(default)]
    pub channels: Vec<ChannelSpec>,
    /// The first is the one whose key and secret are printed at the start.
    #[serde(default)]
    pub apps: Vec<AppSpec>,
    #[serde(default)]
    pub limits: LimitsSpec,
    /// Rules of faults, each as a control request gives it, and with `orgs`.
    #[serde(default)]
    pub faults: Vec<serde_saphyr::Spanned<Json>>,
    #[serde(default)]
    pub records: Vec<RecordSpec>,
}

/// What a scenario starts from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// The scenario that is built in; objects that are named again get further fields and rules.
    #[default]
    Standard,
    /// Only the objects that no org is without: users, queues, record types, the organization.
    Empty,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSpec {
    pub username: Name,
    pub last_name: String,
    #[serde(default)]
    pub first_name: Option<String>,
    #[serde(default)]
    pub email: Option<String>,
    #[serde(default)]
    pub alias: Option<String>,
    #[serde(default)]
    pub federation_id: Option<String>,
    #[serde(default = "yes")]
    pub active: bool,
    #[serde(default = "yes")]
    pub api_enabled: bool,
    #[serde(default)]
    pub password: Option<String>,
    #[serde(default)]
    pub security_token: Option<String>,
    #[serde(default)]
    pub access: AccessSpec,
}

/// What a user may do; without an entry, everything.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessSpec {
    /// Sharing does not limit reading, or writing.
    pub view_all_data: bool,
    pub modify_all_data: bool,
    /// What is set up can be looked at: channels, permissions, automation.
    pub view_setup: bool,
    /// Jobs with the operation `hardDelete` are allowed.
    pub bulk_hard_delete: bool,
    /// By object name, of `create`, `read`, `edit`, `delete`, `view_all`, `modify_all`.
    pub objects: BTreeMap<String, Vec<Right>>,
    /// By `Object.Field`.
    pub fields: BTreeMap<String, FieldAccess>,
}

impl Default for AccessSpec {
    fn default() -> Self {
        Self {
            view_all_data: true,
            modify_all_data: true,
            view_setup: true,
            bulk_hard_delete: false,
            objects: BTreeMap::new(),
            fields: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    Create,
    Read,
    Edit,
    Delete,
    ViewAll,
    ModifyAll,
}

/// Field-level security.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldAccess {
    None,
    Read,
    Edit,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueSpec {
    pub name: String,
    pub developer_name: String,
    /// The objects whose records it may own; absent: all that a queue can own.
    #[serde(default)]
    pub objects: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectSpec {
    pub name: Name,
    /// Absent: as it was, or drawn for a custom object.
    #[serde(default)]
    pub prefix: Option<String>,
    #[serde(default)]
    pub label: Option<String>,
    #[serde(default)]
    pub plural: Option<String>,
    #[serde(default)]
    pub owner: Option<OwnerKind>,
    #[serde(default)]
    pub sharing: Option<Sharing>,
    #[serde(default)]
    pub change_events: Option<bool>,
    #[serde(default)]
    pub mergeable: Option<bool>,
    #[serde(default)]
    pub fields: Vec<FieldSpec>,
    #[serde(default)]
    pub record_types: Vec<RecordTypeSpec>,
    #[serde(default)]
    pub validation_rules: Vec<ValidationSpec>,
    #[serde(default)]
    pub duplicate_rules: Vec<DuplicateSpec>,
}

/// Who owns the records of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerKind {
    User,
    UserOrQueue,
    /// No owner of its own: a detail, or a setup object.
    None,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldSpec {
    pub name: Name,
    #[serde(rename = "type")]
    pub kind: FieldType,
    #[serde(default)]
    pub label: Option<String>,
    #[serde(default)]
    pub length: Option<usize>,
    /// Digits in all, as Setup counts them: with the ones behind the point.
    #[serde(default)]
    pub precision: Option<usize>,
    #[serde(default)]
    pub scale: Option<usize>,
    #[serde(default)]
    pub required: bool,
    #[serde(default)]
    pub default: Option<Json>,
    #[serde(default)]
    pub unique: bool,
    #[serde(default)]
    pub external_id: bool,
    #[serde(default)]
    pub id_lookup: bool,
    #[serde(default)]
    pub case_sensitive: bool,
    #[serde(default)]
    pub create_only: bool,
    #[serde(default)]
    pub read_only: bool,
    /// Of a picklist.
    #[serde(default)]
    pub values: Vec<String>,
    #[serde(default)]
    pub restricted: bool,
    /// Of a lookup or master-detail.
    #[serde(default)]
    pub to: Vec<String>,
    #[serde(default)]
    pub relationship: Option<String>,
    /// The children's name at the parent.
    #[serde(default)]
    pub children: Option<String>,
    #[serde(default)]
    pub on_parent_delete: OnParentDelete,
    #[serde(default)]
    pub reparentable: bool,
    /// Saving the record locks the one that it refers to.
    #[serde(default)]
    pub locks_parent: bool,
    /// Of a person's name: the part of `Name` that it is.
    #[serde(default)]
    pub name_part: bool,
    /// Of a formula: text with field names in braces.
    #[serde(default)]
    pub formula: Option<String>,
    /// Of an auto number.
    #[serde(default)]
    pub format: Option<String>,
    /// Of a roll-up.
    #[serde(default)]
    pub summary: Option<SummarySpec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnParentDelete {
    /// The child stays and refers to nothing.
    #[default]
    Clear,
    Delete,
    Refuse,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SummarySpec {
    pub function: SummaryFunction,
    /// `Contact.AccountId`: the child object and its reference.
    pub of: String,
    #[serde(default)]
    pub field: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SummaryFunction {
    Count,
    Sum,
    Min,
    Max,
}

/// The names of the describe, and what Setup has beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    String,
    Textarea,
    Richtext,
    Email,
    Phone,
    Url,
    Encryptedstring,
    Picklist,
    Multipicklist,
    Boolean,
    Int,
    Double,
    Currency,
    Percent,
    Date,
    Datetime,
    Time,
    Lookup,
    MasterDetail,
    Autonumber,
    Formula,
    Rollup,
    /// Five fields and the compound; the name is the compound's: `BillingAddress`.
    Address,
    /// Two fields and the compound: `Place__c`.
    Location,
    /// First and last name as one.
    FullName,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordTypeSpec {
    pub developer_name: String,
    #[serde(default)]
    pub label: Option<String>,
    #[serde(default)]
    pub default: bool,
    #[serde(default = "yes")]
    pub active: bool,
    /// By field, the values that it has; other picklists have all of theirs.
    #[serde(default)]
    pub picklists: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationSpec {
    pub name: Name,
    /// The record is refused when this holds.
    pub when: String,
    pub message: String,
    #[serde(default)]
    pub field: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DuplicateSpec {
    pub name: Name,
    /// Records that agree in all of these (without case) are duplicates.
    pub fields: Vec<String>,
    #[serde(default)]
    pub when: Option<String>,
    pub action: DuplicateAction,
    #[serde(default)]
    pub message: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateAction {
    /// Refused unless the request's header says `allowSave=true`.
    Alert,
    Block,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    Create,
    Update,
    Delete,
}

/// Runs within the transaction.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerSpec {
    pub name: Name,
    pub object: String,
    /// Only in the orgs of these names; absent: in each.
    #[serde(default)]
    pub orgs: Vec<String>,
    #[serde(default = "create_and_update")]
    pub on: Vec<On>,
    #[serde(default)]
    pub when: Option<String>,
    #[serde(default)]
    pub set: BTreeMap<String, Assigned>,
    /// The one record is refused with this message.
    #[serde(default)]
    pub error: Option<String>,
    /// All records of the chunk are refused, as by an exception that nobody catches.
    #[serde(default)]
    pub exception: Option<String>,
}

/// Runs some time after the transaction, in one of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowSpec {
    pub name: Name,
    pub object: String,
    #[serde(default)]
    pub orgs: Vec<String>,
    #[serde(default = "create_and_update")]
    pub on: Vec<On>,
    #[serde(default)]
    pub when: Option<String>,
    #[serde(default = "one_second", deserialize_with = "duration")]
    pub after: Duration,
    pub set: BTreeMap<String, Assigned>,
}

/// What automation writes into a field.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Assigned {
    Computed(Computed),
    Value(Json),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Computed {
    /// Another field's value.
    From(String),
    Upper(String),
    Lower(String),
    /// Text with field names in braces.
    Text(String),
    /// The moment of the change.
    Now(bool),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssignmentSpec {
    pub object: Name,
    /// The first entry whose condition holds decides.
    pub entries: Vec<AssignmentEntry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssignmentEntry {
    #[serde(default)]
    pub when: Option<String>,
    /// A queue's developer name, or a username.
    pub owner: String,
}

/// A flow or an Apex method that can be called by name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionSpec {
    pub name: Name,
    #[serde(rename = "type", default)]
    pub kind: ActionType,
    #[serde(default)]
    pub label: Option<String>,
    /// Inputs by name, and whether they are required.
    #[serde(default)]
    pub inputs: BTreeMap<String, InputSpec>,
    /// Outputs by name; `{name}` in a text is an input.
    #[serde(default)]
    pub outputs: BTreeMap<String, Json>,
    /// It fails when the input of this name has this value.
    #[serde(default)]
    pub fails_when: BTreeMap<String, Json>,
    #[serde(default)]
    pub fault: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionType {
    #[default]
    Flow,
    Apex,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub required: bool,
}

/// A custom channel of change events or platform events.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSpec {
    /// `SalesEvents__chn`, or `ChangeEvents` for members of the standard channel.
    pub name: Name,
    #[serde(default)]
    pub label: Option<String>,
    #[serde(rename = "type", default)]
    pub kind: ChannelType,
    #[serde(default)]
    pub members: Vec<MemberSpec>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelType {
    #[default]
    Data,
    Event,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberSpec {
    /// `AccountChangeEvent`, `Order_Shipped__e`.
    pub entity: String,
    #[serde(default)]
    pub enriched_fields: Vec<String>,
    #[serde(default)]
    pub filter: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSpec {
    /// Calls in 24 hours; above it 403 REQUEST_LIMIT_EXCEEDED.
    pub daily_api_requests: Option<u64>,
    pub data_storage_mb: Option<u64>,
    pub hourly_published_events: Option<u64>,
    /// Events that go out in 24 hours; absent: without end.
    pub daily_delivered_events: Option<u64>,
    /// Clients of the Streaming API at once.
    pub concurrent_clients: Option<u64>,
}

/// A record that is there from the start.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordSpec {
    pub object: Name,
    #[serde(default)]
    pub orgs: Vec<String>,
    /// As in the body of a REST request.
    pub fields: serde_json::Map<String, Json>,
}

fn yes() -> bool {
    true
}

fn create_and_update() -> Vec<On> {
    vec![On::Create, On::Update]
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(serde::de::Error::custom)
}
