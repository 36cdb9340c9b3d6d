//! The keys of the config as its readers see them: the source of `schemas/bridge.schema.json`.
//!
//! The config itself is read by walking a tree, so that all problems are found at once; tests in `schema` prove that
//! the walk knows the same keys.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// The config of orgbridge. Wherever a text is expected, ${NAME} stands for an environment variable, and $${ for ${
/// itself; between { and } it needs quotes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "orgbridge config")]
pub struct Document {
    /// The version of this file's format.
    #[schemars(extend("const" = 1))]
    pub version: u32,
    /// The state file: what was received, how far each pipeline is, failed records. A relative path starts at the
    /// folder of the config. If absent: the config's own name with .db, beside it.
    #[serde(default)]
    pub state: Option<String>,
    /// How records are written into the target orgs.
    #[serde(default)]
    pub publish: Option<Publish>,
    /// How changes are received from the source orgs.
    #[serde(default)]
    pub subscribe: Option<Subscribe>,
    /// What is kept of the events that came.
    #[serde(default)]
    pub journal: Option<Journal>,
    /// What is remembered of each record, for `orgbridge trace`.
    #[serde(default)]
    pub history: Option<History>,
    /// What failed, told to a webhook at intervals. See docs/feedback.md. If absent: nobody is told.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// The orgs, by names of your choice.
    #[schemars(extend("minProperties" = 1, "propertyNames" = { "pattern": "^[A-Za-z0-9_-]{1,64}$" }))]
    pub orgs: BTreeMap<String, Org>,
    /// What is brought from where to where, one pipeline for each object; and what is done for which events.
    #[schemars(length(min = 1))]
    pub pipelines: Vec<Entry>,
    /// Tests of the mapping, for `orgbridge test`. They may stand in a file of their own, too: bridge.tests.yaml beside
    /// bridge.yaml.
    #[serde(default)]
    pub tests: Option<Vec<Case>>,
}

/// What happened in the source, and what should come of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, in a sentence.
    pub name: String,
    /// The pipeline whose mapping is tested.
    pub pipeline: String,
    /// The id of the record in the source. If absent: the `Id` of `record`, else some id.
    #[serde(default)]
    pub id: Option<String>,
    /// For an action of a platform event: its fields.
    #[serde(default)]
    pub event: Option<BTreeMap<String, Datum>>,
    /// What a change event says.
    #[serde(default)]
    pub change: Option<CaseChange>,
    /// The fields of the whole record, by the names of events or of REST: what a read of it finds, also where the change
    /// does not say enough.
    #[serde(default)]
    pub record: Option<BTreeMap<String, Datum>>,
    /// The id of its counterpart in the target. If absent: it has none.
    #[serde(default)]
    pub link: Option<String>,
    /// The counterparts of parents: their ids in the source, a colon, their ids in the target.
    #[serde(default)]
    pub parents: Option<BTreeMap<String, String>>,
    /// What the orgs answer where a lookup asks them. A test that lacks an answer says which.
    #[serde(default)]
    pub lookups: Option<Vec<Answer>>,
    /// What should be done in the target.
    pub expect: Expect,
}

/// What an org answers when it is asked for a record that holds a value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The org that is asked.
    pub org: String,
    /// The object that is looked into: Contact, User, Group (queues), RecordType.
    pub object: String,
    /// The field that holds the value.
    pub by: String,
    /// The value that is looked for.
    pub value: String,
    /// The field that is asked for. If absent: Id.
    #[serde(default)]
    pub field: Option<String>,
    /// What that field holds. null: there is no such record. A list: there are several.
    pub gives: Gives,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Gives {
    Nothing(()),
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseChange {
    pub kind: CaseKind,
    /// What changed, or all of a new record. A part of a compound field: BillingAddress.City, or BillingCity.
    #[serde(default)]
    pub fields: Option<BTreeMap<String, Datum>>,
    /// Fields that did not change and came along (enrichment).
    #[serde(default)]
    pub unchanged: Option<BTreeMap<String, Datum>>,
    /// The id of the user who made the change.
    #[serde(default)]
    pub user: Option<String>,
    /// The name of the client that made the change.
    #[serde(default)]
    pub client: Option<String>,
    /// When it was committed: 2026-11-29T08:30:00Z.
    #[serde(default)]
    pub time: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaseKind {
    Create,
    Update,
    Delete,
    Undelete,
}

/// Exactly one of these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Expect {
    /// The record is found by its key or made, with exactly these fields. A lookup is the id of the parent's counterpart
    /// where `parents` names it, else the parent's id in the source.
    #[serde(default)]
    pub upsert: Option<BTreeMap<String, Datum>>,
    /// The counterpart gets exactly these fields.
    #[serde(default)]
    pub update: Option<BTreeMap<String, Datum>>,
    /// The counterpart is deleted.
    #[serde(default)]
    pub delete: Option<bool>,
    /// The action is done, with exactly these inputs.
    #[serde(default)]
    pub call: Option<BTreeMap<String, Datum>>,
    /// Nothing is written or done.
    #[serde(default)]
    pub skip: Option<bool>,
    /// It is a failed record or action with this code, or with any: true.
    #[serde(default)]
    #[schemars(extend("type" = ["string", "boolean", "null"]))]
    pub fail: Option<serde_json::Value>,
    /// It is not written before what a lookup leads to is there: with this code (LOOKUP_MISSING), or with any: true.
    #[serde(default)]
    #[schemars(extend("type" = ["string", "boolean", "null"]))]
    pub wait: Option<serde_json::Value>,
}

/// A value in a test: text, a number, true, false, null, or the parts of a compound field.
#[derive(Debug, Deserialize)]
pub struct Datum(#[allow(dead_code)] serde_json::Value);

impl JsonSchema for Datum {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Datum".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number", "boolean", "null", "object"] })
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// How long after a lost answer a request may still be carried out by the target org. Records whose answer was
    /// lost are written once more after that time. A number and a unit: 10s, 10m. If absent: 10m, at most a day.
    #[serde(default)]
    pub late_landing: Option<String>,
    /// How soon a record that waits for another, or was written without a lookup, is looked at again if nothing tells of it;
    /// each further time comes after twice as long, at most a day. If absent: 1m.
    #[serde(default)]
    pub look_again: Option<String>,
    /// How long a record waits for its parent. Then it is a failed record, which still goes on when the parent comes. If
    /// absent: 1d; at most 30d.
    #[serde(default)]
    pub parent_wait: Option<String>,
    /// How long the first waiting write of a call waits for company, so that fewer and larger calls are made. A number and a
    /// unit: 500ms, 5s. If absent: 0s, nothing waits; at most 1m.
    #[serde(default)]
    pub linger: Option<String>,
    /// When so many records of one object wait for a target, they go there by Bulk API 2.0, which costs about eight calls for up
    /// to 10,000 records instead of one for 200. At least 2000, below which it would not be cheaper. If absent: 5000. off:
    /// never.
    #[serde(default)]
    #[schemars(extend("type" = ["string", "integer", "null"]))]
    pub bulk_from: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// How often each source object is asked for what changed, to see whether its events told all of it. One query an
    /// object. A number and a unit: 5m, 1h. If absent: 15m, at most a day.
    #[serde(default)]
    pub probe_every: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// When events are deleted from the state file. What is not settled stays in any case. See docs/journal.md.
    #[serde(default)]
    pub retain: Option<Retain>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// How long it is kept.
    #[serde(default)]
    pub retain: Option<HistoryRetain>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retain {
    /// Older events are deleted: 14d, 90d. At least 4d, for an org may deliver an event again for three days; at most 10years. forever: none is.
    /// If absent: 30d.
    #[serde(default)]
    pub age: Option<String>,
    /// When the events take more of the state file than this, the oldest are deleted, but none that came in the last 4 days:
    /// 500MB, 2GB, 1TB. If absent: unlimited.
    #[serde(default)]
    pub size: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryRetain {
    /// What happened longer ago is forgotten, but for the last thing that happened to a record and the last write of it. A number
    /// and a unit: 12h, 30d. At least 1h, at most 10years. If absent: 30d.
    #[serde(default)]
    pub age: Option<String>,
}

/// One org and how to log in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Org {
    /// The My Domain URL, as in Setup > My Domain: https://acme.my.salesforce.com. Not the lightning.force.com
    /// address of the browser, and not login.salesforce.com.
    pub login_url: String,
    /// The app (External Client App or Connected App) with the client credentials flow.
    pub client_credentials: ClientCredentials,
    /// Marks what the bridge writes, so that its own changes are recognised when they come back. If absent:
    /// OrgBridge. Without blanks, commas or semicolons.
    #[serde(default)]
    pub client_name: Option<String>,
    /// The version of Salesforce's API, 46.0 or later. If absent: "66.0".
    #[serde(default)]
    #[schemars(extend("type" = ["string", "number", "null"]))]
    pub api_version: Option<String>,
    /// How events are received. If absent: as before, and pubsub for a new state file.
    #[serde(default)]
    pub transport: Option<Transport>,
    /// Where the Pub/Sub API is: global, germany, or an address (https://host:port; http:// for an emulator on this
    /// machine). If absent: global.
    #[serde(default)]
    pub pubsub: Option<String>,
    /// Channels that are received and kept although no pipeline reads them: platform events (/event/Order__e),
    /// PushTopics (/topic/Name) and generic channels (/u/name) by the Streaming API, or changes (/data/...).
    #[serde(default)]
    pub journal: Option<Vec<String>>,
    /// Which values of this org the bridge must not know, or not as they are. For all pipelines that read it; applied
    /// before anything is stored.
    #[serde(default)]
    pub privacy: Option<Privacy>,
    /// How many of the org's API calls of 24 hours the bridge leaves to people and other systems. If absent: { keep: 10% }.
    #[serde(default)]
    pub api_budget: Option<ApiBudget>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ApiBudget {
    Off(BudgetOff),
    Keep(BudgetKeep),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetOff {
    /// The bridge counts nothing and stops only when the org itself refuses more calls.
    Off,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetKeep {
    /// A share of the org's limit (20%), or a number of calls (5000). When no more than that is left, the bridge waits.
    #[schemars(extend("type" = ["string", "integer"]))]
    pub keep: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// The secret of `hash`, here and in expressions: at least 16 bytes. Better not written here: take ${NAME} or a file.
    #[serde(default)]
    pub hash_secret: Option<Secret>,
    /// By the API name of an object (Contact, Employee__c) or of a platform event (Order__e).
    #[serde(default)]
    pub objects: Option<BTreeMap<String, ObjectPrivacy>>,
}

/// Fields of the source, or parts of compound ones: MailingAddress.Street. A compound field stands for all its parts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct ObjectPrivacy {
    /// These are not taken at all. No pipeline may use them.
    #[serde(default)]
    pub leave_out: Option<Vec<String>>,
    /// Of these only a keyed hash is taken (HMAC-SHA256, 64 hexadecimal digits): equal for equal values.
    #[serde(default)]
    pub hash: Option<Vec<String>>,
    /// Of these only the first and last character are taken, the others as *. An e-mail address keeps its domain.
    #[serde(default)]
    pub mask: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// The Pub/Sub API (gRPC).
    Pubsub,
    /// The Streaming API.
    Cometd,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCredentials {
    /// The consumer key of the app.
    pub key: String,
    /// The consumer secret of the app. Better not written here: take ${NAME} or a file.
    pub secret: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Secret {
    /// The secret itself, or ${NAME}.
    Text(String),
    File(SecretFile),
}

/// Never prints the secret.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretFile {
    /// A file that holds nothing but the secret. A relative path starts at the folder of the config.
    pub file: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Entry {
    Records(Box<Pipeline>),
    Action(Box<ActionPipeline>),
}

/// Does something for each event. See docs/actions.md.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionPipeline {
    /// A name of your choice, unique in the config.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// What triggers it.
    pub from: Trigger,
    /// For which events: a condition (CEL) over the fields of the event or of the changed record, and over who made the change.
    /// If absent: all.
    #[serde(default)]
    pub when: Option<String>,
    /// What must have changed in a record, besides that `when` holds. New, deleted and undeleted records always count. If absent:
    /// condition where `when` reads a field, else fields where a field of the record is handed over, else any.
    #[serde(default)]
    pub fire_on: Option<FireOn>,
    /// What is handed over: the name of an input, and what fills it. Nothing that is looked up in an org.
    #[serde(default)]
    pub fields: Option<BTreeMap<String, Rule>>,
    /// What is done.
    pub action: Action,
}

/// Platform events of a channel, or changes of an object.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The source org, one of the names under `orgs`.
    pub org: String,
    /// /event/Order_Shipped__e for a platform event; for changes as with any pipeline: /data/CaseChangeEvent. Required, but for
    /// source: poll.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(/data/|/event/|.*\$\{)"))]
    pub channel: Option<String>,
    /// The API name of the object whose changes trigger it. None for a platform event.
    #[serde(default)]
    pub object: Option<String>,
    /// How the bridge learns what changed. If absent: events.
    #[serde(default)]
    pub source: Option<Source>,
    /// For source: poll, how often the org is asked. A number and a unit: 30s, 5m. If absent: 1m.
    #[serde(default)]
    pub every: Option<String>,
    /// Where an action begins that never ran. If absent: tip.
    #[serde(default)]
    pub start: Option<Start>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FireOn {
    /// Something that `when` reads: it has become true.
    Condition,
    /// Something that is handed over.
    Fields,
    /// Anything.
    Any,
}

/// Exactly one of flow, apex, apex_rest, event and webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["org", "flow"] }, { "required": ["org", "apex"] }, { "required": ["org", "apex_rest"] },
    { "required": ["org", "event"] }, { "required": ["webhook"], "not": { "required": ["org"] } },
]))]
pub struct Action {
    /// The org in which it is done, one of the names under `orgs`. None for a webhook.
    #[serde(default)]
    pub org: Option<String>,
    /// An autolaunched flow, by its API name. `fields` are its variables that are available for input.
    #[serde(default)]
    pub flow: Option<String>,
    /// An Apex class with an invocable method, by its name. `fields` are its variables.
    #[serde(default)]
    pub apex: Option<String>,
    /// A method of an Apex REST class. `fields` are the JSON object of its body.
    #[serde(default)]
    pub apex_rest: Option<ApexRest>,
    /// A platform event, by its API name. `fields` are the event's.
    #[serde(default)]
    pub event: Option<String>,
    /// How a platform event is published. If absent: rest.
    #[serde(default)]
    pub via: Option<Via>,
    /// An HTTPS address, which gets a signed POST.
    #[serde(default)]
    pub webhook: Option<Webhook>,
    /// Where the idempotency key goes along: an input that takes it, or a header. If absent: nowhere, and with a webhook in
    /// Idempotency-Key.
    #[serde(default)]
    pub idempotency_key: Option<KeyPlace>,
    /// What happens when nobody knows whether it was done, because the answer was lost.
    pub delivery: Delivery,
    /// What is done one after the other: record, channel, or a field whose equal values keep their order. If absent: record, and for
    /// platform events channel.
    #[serde(default)]
    pub order_by: Option<String>,
    /// Whether a change triggers of which the bridge learned by asking the org, and not by an event. If absent: skip.
    #[serde(default)]
    pub on_read: Option<OnRead>,
    /// How long a call may take, 1s to 2m. If absent: 30s.
    #[serde(default)]
    pub timeout: Option<String>,
    /// What of the answer is brought back to the source org. If absent: nothing.
    #[serde(default)]
    pub answer: Option<AnswerTo>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApexRest {
    pub method: Method,
    /// What is behind /services/apexrest: /accounts, or /accounts/{Number} with one of the `fields`.
    #[schemars(regex(pattern = r"^(/|.*\$\{)"))]
    pub path: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Post,
    Put,
    Patch,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// Up to 200 in an API call.
    Rest,
    /// The Pub/Sub API, which costs no API calls.
    Pubsub,
}

/// An address that gets a POST with JSON, signed with HMAC-SHA256.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// https://host/path. It may hold a secret, so it is shown nowhere.
    pub url: String,
    /// The secret that signs, at least 16 bytes. Better not written here: take ${NAME} or a file.
    pub secret: Secret,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum KeyPlace {
    /// An input that takes it; none of the `fields`.
    Input(String),
    Header(KeyHeader),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyHeader {
    /// For apex_rest and webhook: a header that takes it.
    pub header: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// It is a failed action, and a person decides.
    AtMostOnce,
    /// It is done again, with the same idempotency key.
    AtLeastOnce,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnRead {
    /// It does not; where an event was missed it is a failed action.
    Skip,
    /// It does, by the record as it is read.
    Fire,
}

/// Fields of a record of the source org, or of a platform event that is published there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerTo {
    /// The object of the record. If absent: that of the changed record.
    #[serde(default)]
    pub object: Option<String>,
    /// The field that holds the record's id. If absent: the changed record itself.
    #[serde(default)]
    pub record: Option<String>,
    /// A platform event that is published, instead.
    #[serde(default)]
    pub event: Option<String>,
    /// The field, a colon, and the output of the flow or of Apex, or the name in the JSON of an answer.
    #[schemars(extend("minProperties" = 1))]
    pub fields: BTreeMap<String, String>,
}

/// Brings records over.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// A name of your choice, unique in the config.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Where changes come from.
    pub from: From,
    /// Where records are written.
    pub to: To,
    /// Which records are written: a condition (CEL) over the fields of the source and over who changed them. If absent:
    /// all.
    #[serde(default)]
    pub when: Option<String>,
    /// What happens in the target when a record that was written does not match `when` any more. If absent: keep.
    #[serde(default)]
    pub when_no_longer_matching: Option<NoLongerMatching>,
    /// The fields of the target object, each with what fills it.
    pub fields: BTreeMap<String, Rule>,
    /// A field of the target that is set when the record is deleted in the source, or does not match any more, and
    /// cleared otherwise: the name of a checkbox, or a field with its values.
    #[serde(default)]
    pub flag: Option<FlagField>,
    /// What happens in the target when the record is deleted in the source. If absent: flag where a `flag` is named, else
    /// ignore.
    #[serde(default)]
    pub on_delete: Option<OnDelete>,
    /// Which records of the target `on_delete: delete` and `when_no_longer_matching: delete` may delete. If absent: created.
    #[serde(default)]
    pub may_delete: Option<MayDelete>,
    /// When the pipeline stops by itself, so that a mistake in the source does not reach the target whole. What comes then
    /// waits, until `orgbridge resume PIPELINE`.
    #[serde(default)]
    pub brakes: Option<Brakes>,
    /// What happens in the target when the record comes back from the source's recycle bin. If absent: recreate.
    #[serde(default)]
    pub on_undelete: Option<OnUndelete>,
    /// What happens when a record that was written is found deleted in the target, by somebody else than the bridge. If
    /// absent: recreate.
    #[serde(default)]
    pub when_target_gone: Option<WhenTargetGone>,
    /// What happens when a change gives the key of a record that was written another value. If absent: update.
    #[serde(default)]
    pub key_changes: Option<KeyChanges>,
    /// Whether the assignment rules of the target org may give the records another owner: true for the active ones, or
    /// the id of one (01Q...). If absent: false, so that a record has the owner that it is given here.
    #[serde(default)]
    pub assignment_rules: Option<AssignmentRules>,
    /// What becomes of a record that a duplicate rule of the target org finds twice. If absent: fail.
    #[serde(default)]
    pub duplicates: Option<Duplicates>,
    /// Whether changes of a record that wait for the target become one write. false: each is written by itself, in order,
    /// for a target whose automation needs every step; this costs more calls. If absent: true.
    #[serde(default)]
    pub coalesce: Option<bool>,
    /// The most records of the target object in one call, 1 to 200. Fewer where the org's automation cannot do so many at
    /// once; when it says so the bridge finds out by itself how many it can. If absent: 200.
    #[serde(default)]
    pub batch_size: Option<u32>,
    /// When all records of the source are written, whether they change or not: on_first_run does it once by itself, where the
    /// pipeline never had a backfill that did not fail. If absent: on_command, that is by `orgbridge backfill` alone.
    #[serde(default)]
    pub backfill: Option<Backfill>,
    /// How often both sides are compared, record by record (as by `orgbridge verify`), and what comes of that. If absent: every 7
    /// days, and differences are told.
    #[serde(default)]
    pub verify: Option<Verify>,
    /// Fields of the source record that say how it is doing in the target. If absent: none. See docs/feedback.md.
    #[serde(default)]
    pub feedback: Option<Feedback>,
}

/// None of them is read by the pipeline. They cost one call to the source org for up to 200 records.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Feedback {
    /// A text field: why the record is a failed record; empty while it is not.
    #[serde(default)]
    pub error: Option<String>,
    /// A Date/Time field: when the record was written in the target last.
    #[serde(default)]
    pub last_synced: Option<String>,
}

/// One message for all that changed since the last one; none where nothing did.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    pub webhook: Webhook,
    /// At most so often: 15m, 1h; 1s to 7d. If absent: 1h.
    #[serde(default)]
    pub every: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// How long after the last one: 7d, 24h; at least 1m. off: only by `orgbridge verify`. If absent: 7d.
    #[serde(default)]
    pub every: Option<String>,
    /// true: records that differ are read and written again, but for those that somebody changed in the target, or of which it does
    /// not accept what was written. So what no event tells of (formula and roll-up fields) is brought over. If absent: false.
    #[serde(default)]
    pub repair: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Brakes {
    /// More deletes than this: 500 in 10m. If absent: just that. off: any number.
    #[serde(default)]
    pub deletes: Option<String>,
    /// More new records than this: 50000 in 10m. If absent: just that. off: any number.
    #[serde(default)]
    pub creates: Option<String>,
    /// So many failed records more than records that were written: most of them fail, so something else than their values
    /// is wrong. If absent: 100. off: any number.
    #[serde(default)]
    #[schemars(extend("type" = ["string", "integer", "null"]))]
    pub failures: Option<Scalar>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MayDelete {
    /// Those that the bridge created, as far as it knows for sure. Others are kept.
    Created,
    /// Any counterpart, also one that was there before the bridge.
    Any,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backfill {
    /// Only by `orgbridge backfill`.
    OnCommand,
    /// Once by itself. It writes whatever differs, and what automation the target has for that runs.
    OnFirstRun,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUndelete {
    /// Its counterpart is found by its key, or made anew.
    Recreate,
    /// It is taken out of the recycle bin of the target, with its id and its history; one that is not there any more is
    /// made anew.
    Restore,
    /// Nothing: the counterpart stays deleted, also when the record changes later.
    Ignore,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenTargetGone {
    /// It is made anew.
    Recreate,
    /// It stays deleted, and later changes of the record are skipped likewise.
    Skip,
    /// The record is a failed record, with the code TARGET_GONE.
    Fail,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyChanges {
    /// Its counterpart gets the new value, and stays its counterpart.
    Update,
    /// The pipeline halts before it is written, and waits for `orgbridge resume PIPELINE`.
    Halt,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AssignmentRules {
    Switch(bool),
    /// The id of an assignment rule of the target org.
    Rule(#[schemars(regex(pattern = r"^(01Q[a-zA-Z0-9]{12}([a-zA-Z0-9]{3})?|.*\$\{.*)$"))] String),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// It is a failed record, with the code DUPLICATES_DETECTED.
    Fail,
    /// It is saved where the rule only alerts. A rule that blocks refuses it all the same.
    SaveAlerts,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoLongerMatching {
    /// It stays as it is, and is no longer updated.
    Keep,
    /// The pipeline's `flag` is set.
    Flag,
    /// It is deleted.
    Delete,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum FlagField {
    /// A checkbox.
    Checkbox(String),
    Flag(Flag),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flag {
    /// The field of the target.
    pub field: String,
    /// Its value for records that are gone or do not match any more.
    pub set: Scalar,
    /// Its value for all others. If absent: null.
    #[serde(default)]
    pub clear: Option<Scalar>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// The source org, one of the names under `orgs`.
    pub org: String,
    /// The channel of Change Data Capture: /data/AccountChangeEvent, /data/Employee__ChangeEvent for Employee__c,
    /// /data/Name__chn for a channel of your own, /data/ChangeEvents for all. Required, but for source: poll.
    #[serde(default)]
    #[schemars(regex(pattern = r"^(/data/|.*\$\{)"))]
    pub channel: Option<String>,
    /// How the bridge learns what changed. If absent: events.
    #[serde(default)]
    pub source: Option<Source>,
    /// For source: poll, how often the org is asked. A number and a unit: 30s, 5m. If absent: 1m.
    #[serde(default)]
    pub every: Option<String>,
    /// The API name of the object: Account, Employee__c.
    pub object: String,
    /// Where a pipeline begins that never ran. If absent: tip.
    #[serde(default)]
    pub start: Option<Start>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// By the change events of `channel`.
    Events,
    /// By asking which records changed, for objects that have no change events.
    Poll,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// With what happens from now on.
    Tip,
    /// With the oldest event that the org still keeps (72 hours).
    Earliest,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct To {
    /// The target org, one of the names under `orgs`.
    pub org: String,
    /// The API name of the object: Account, Employee__c.
    pub object: String,
    /// The field of the target object that finds the record again: External ID and unique. One of `fields` fills it.
    pub key: String,
}

/// What fills a field of the target.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Rule {
    /// A field of the source, or a part of a compound one: BillingAddress.City, Name.FirstName. Id is the id of the
    /// source record.
    Source(String),
    Constant(Constant),
    Field(Field),
    Computed(Computed),
    Parent(Parent),
    Find(Find),
    RecordType(RecordType),
    Owner(Owner),
    TakenAs(TakenAs),
}

/// The same value for every record.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// Text, a number, true, false or null.
    pub value: Scalar,
    /// At which writes. If absent: at all.
    #[serde(default)]
    pub write_on: Option<WriteOn>,
}

/// A field of the source, with what becomes of its value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The field, or a part of a compound one.
    pub from: String,
    /// One value for another: `source value: target value`.
    #[serde(default)]
    #[schemars(extend("minProperties" = 1))]
    pub table: Option<BTreeMap<String, Scalar>>,
    /// What values get that the `table` does not list. If absent: such a record fails, by name.
    #[serde(default)]
    pub default: Option<Scalar>,
    /// At which writes. If absent: at all.
    #[serde(default)]
    pub write_on: Option<WriteOn>,
    /// What is written where the field is empty. If absent: send.
    #[serde(default)]
    pub on_null: Option<OnNull>,
    /// Longer text is cut to so many characters; true: to what the target's field takes. If absent: the target org refuses
    /// text that is too long.
    #[serde(default)]
    pub truncate: Option<Truncate>,
}

/// A value that is computed from fields of the source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Computed {
    /// An expression in CEL: upper(LastName) + ", " + FirstName. See docs/mapping.md for its functions.
    pub cel: String,
    /// At which writes. If absent: at all.
    #[serde(default)]
    pub write_on: Option<WriteOn>,
    /// What is written where the result is null. If absent: send.
    #[serde(default)]
    pub on_null: Option<OnNull>,
    /// Longer text is cut to so many characters; true: to what the target's field takes. If absent: the target org refuses
    /// text that is too long.
    #[serde(default)]
    pub truncate: Option<Truncate>,
}

/// At which writes a field is written. A first write that finds the record in the target by its key counts as a create.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum WriteOn {
    One(WriteKind),
    Several(#[schemars(length(min = 1))] Vec<WriteKind>),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WriteKind {
    Create,
    Update,
}

/// What is written where nothing comes from the source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OnNull {
    Word(OnNullWord),
    Instead(Instead),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnNullWord {
    /// Null: the field is emptied.
    Send,
    /// Nothing: the field keeps what it has.
    Skip,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Instead {
    /// Written instead of null.
    pub value: Scalar,
}

/// A constant. Its digits and its text stay as they are written.
#[derive(Debug, Deserialize)]
pub struct Scalar(#[allow(dead_code)] serde_json::Value);

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number", "boolean", "null"] })
    }
}

/// A number of characters, or true.
#[derive(Debug, Deserialize)]
pub struct Truncate(#[allow(dead_code)] serde_json::Value);

impl JsonSchema for Truncate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Truncate".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 131_072 }, { "const": true }] })
    }
}

/// The target record that another pipeline made of the source record that a lookup names.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    /// The pipeline that writes the parent records; this one itself for a hierarchy. Several where the lookup names records
    /// of several objects (WhatId, WhoId): [accounts, projects].
    pub parent: OneOrSeveral,
    /// The lookup field of the source.
    pub from: String,
    /// What happens while the parent is not in the target. If absent: wait where the field is required or master-detail,
    /// else fill_later.
    #[serde(default)]
    pub if_missing: Option<IfMissing>,
    /// At which writes. If absent: at all.
    #[serde(default)]
    pub write_on: Option<WriteOn>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrSeveral {
    One(String),
    Several(#[schemars(length(min = 1))] Vec<String>),
}

/// The target record that holds a value in a field: a parent by its External ID or by a natural key such as an e-mail
/// address. It need not come from the source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["from"] }, { "required": ["cel"] }]))]
pub struct Find {
    /// The object of the target.
    pub find: String,
    /// Its field that holds the value.
    pub by: String,
    /// The field of the source that has the value.
    #[serde(default)]
    pub from: Option<String>,
    /// The value as an expression.
    #[serde(default)]
    pub cel: Option<String>,
    /// What happens while there is no such record. If absent: wait where the field is required or master-detail, else
    /// fill_later.
    #[serde(default)]
    pub if_missing: Option<IfMissing>,
    /// What is written where the value is empty. If absent: send.
    #[serde(default)]
    pub on_null: Option<OnNullWord>,
    /// At which writes. If absent: at all.
    #[serde(default)]
    pub write_on: Option<WriteOn>,
}

/// The record type of the target object with this developer name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordType {
    pub record_type: String,
    /// At which writes. If absent: at all.
    #[serde(default)]
    pub write_on: Option<WriteOn>,
}

/// The same owner for every record: the user name of a user, or the developer name of a queue, of the target.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    pub owner: String,
    /// At which writes. If absent: at all.
    #[serde(default)]
    pub write_on: Option<WriteOn>,
}

/// The record type or the owner that stands in the target for that of the source record.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TakenAs {
    /// The field of the source: RecordTypeId, OwnerId.
    pub from: String,
    #[serde(rename = "as")]
    pub taken_as: TakenAsKind,
    /// One name for another. Record types: developer names. Owners: user names and developer names of queues. What is not
    /// listed has the same name in the target; users are found by `match`.
    #[serde(default)]
    #[schemars(extend("minProperties" = 1))]
    pub table: Option<BTreeMap<String, String>>,
    /// Record types: that of records whose own is not found. If absent: such a record fails, by name.
    #[serde(default)]
    pub default: Option<String>,
    /// Owners: by what users are the same in both orgs. If absent: federation_id.
    #[serde(default, rename = "match")]
    pub matched: Option<OwnerKey>,
    /// Owners: that of records whose own is not found or not active. If absent: such a record fails, by name.
    #[serde(default)]
    pub fallback: Option<String>,
    /// What happens where nothing is found, nor a `default` or `fallback` given. If absent: fail.
    #[serde(default)]
    pub if_missing: Option<IfMissing>,
    /// At which writes. If absent: at all.
    #[serde(default)]
    pub write_on: Option<WriteOn>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TakenAsKind {
    RecordType,
    Owner,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OwnerKey {
    /// The Federation ID, which single sign-on uses.
    FederationId,
    Username,
    /// Where two users of the target have the same, neither is taken.
    Email,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IfMissing {
    /// The record is not written before that record is there.
    Wait,
    /// It is written with the field empty, and once more when that record is there. Owners and record types are left as
    /// they are meanwhile.
    FillLater,
    /// It is written without the field.
    Skip,
    /// It is a failed record.
    Fail,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// Nothing: the record stays in the target.
    Ignore,
    /// The pipeline's `flag` is set.
    Flag,
    /// The record is deleted in the target, too.
    Delete,
}
