//! A running bridge between two emulated orgs, and ways to wait for what it does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use orgbridge::bridge;
use orgbridge::config::{
    Backfill, Brakes, Config, Feedback, Fill, From, Login, MayDelete, NoLongerMatching, OnDelete, OrgConfig,
    PipelineConfig, Publishing, PubsubEndpoint, Retain, Start, To, Verify,
};
use orgbridge::emulator::{Emulator, Options, RunningOrg, Scenario};
use orgbridge::event::{OrgName, Timestamp, Transport, Value};
use orgbridge::org::Org;
use orgbridge::past::whole;
use orgbridge::status::{Board, Status};
use orgbridge::store::{Sqlite, Store};
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longer than anything should take on a busy machine; reached only when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(120);
const BUS_DELAY: Duration = Duration::from_millis(500);

/// Two orgs, a state file, and a bridge that can be stopped and started again.
pub struct World {
    pub emulator: Emulator,
    pub config: Config,
    pub orgs: BTreeMap<OrgName, Org>,
    pub board: Board,
    pub http: reqwest::Client,
    /// Goes with the test.
    _state: tempfile::TempDir,
    stop: CancellationToken,
    running: JoinSet<Result<(), bridge::BridgeError>>,
    commands: Option<mpsc::Sender<bridge::Command>>,
}

impl World {
    /// As `new`, by the Streaming API.
    pub async fn by_cometd() -> Self {
        Self::with(|config| config.orgs.values_mut().for_each(|org| org.transport = Some(Transport::Cometd))).await
    }

    /// The orgs, and no bridge yet. Events come by the Pub/Sub API, as a new config has it.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// As `new`, with a config that differs from the usual one.
    pub async fn with(differently: impl FnOnce(&mut Config)) -> Self {
        Self::of(None, differently).await
    }

    /// As `with`, between orgs of another scenario than the standard one.
    pub async fn of(scenario: Option<Arc<Scenario>>, differently: impl FnOnce(&mut Config)) -> Self {
        orgbridge::org::install_crypto();
        let options = Options {
            connect_hold: Duration::from_secs(1),
            pubsub_keepalive: Duration::from_secs(1),
            bus_delay: Duration::ZERO..=BUS_DELAY,
            scenario,
            ..Options::default()
        };
        let emulator = Emulator::start(options).await.unwrap();
        let state = tempfile::tempdir().unwrap();
        let mut config = config(&emulator, state.path().join("state.db"));
        differently(&mut config);
        let orgs = bridge::orgs(&config).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            emulator,
            config,
            orgs,
            board: Board::default(),
            http,
            _state: state,
            stop: CancellationToken::new(),
            running: JoinSet::new(),
            commands: None,
        }
    }

    /// As `new`, with a bridge that is live on every channel.
    pub async fn started() -> Self {
        let mut world = Self::new().await;
        world.start();
        world.live_since(Timestamp(0)).await;
        world
    }

    pub fn start(&mut self) {
        let store = Sqlite::open(&self.config.state).unwrap();
        self.board = Board::default();
        self.stop = CancellationToken::new();
        let (config, orgs, board, stop) =
            (self.config.clone(), self.orgs.clone(), self.board.clone(), self.stop.clone());
        let (commands, asked) = mpsc::channel(1);
        self.commands = Some(commands);
        self.running.spawn(async move { bridge::steered(&config, &orgs, store, board, asked, stop).await });
    }

    /// As SIGTERM would.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap().unwrap();
        }
    }

    /// As a person says that another org is meant.
    pub async fn accept(&self, org: &str, org_id: &str) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        let command = bridge::Command::AcceptOrg { org: org.parse().unwrap(), org_id: org_id.to_owned(), done };
        self.commands.as_ref().unwrap().send(command).await.unwrap();
        tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap()
    }

    /// As a person asks for something else, and waits until it is done.
    pub async fn told<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, String>>) -> bridge::Command,
    ) -> Result<T, String> {
        let (done, answer) = oneshot::channel();
        self.commands.as_ref().unwrap().send(command(done)).await.unwrap();
        tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap()
    }

    /// As a person lets a halted pipeline go on: whether it was halted.
    pub async fn resume(&self, pipeline: &str) -> Result<bool, String> {
        let (done, answer) = oneshot::channel();
        let command = bridge::Command::Resume { pipeline: pipeline.parse().unwrap(), done };
        self.commands.as_ref().unwrap().send(command).await.unwrap();
        tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap()
    }

    /// How a bridge ends that cannot run.
    pub async fn ends(&mut self) -> String {
        self.start();
        let ended = tokio::time::timeout(PATIENCE, self.running.join_next()).await.unwrap().unwrap().unwrap();
        ended.unwrap_err().to_string()
    }

    pub fn source(&self) -> &RunningOrg {
        self.emulator.org("source").unwrap()
    }

    pub fn target(&self) -> &RunningOrg {
        self.emulator.org("target").unwrap()
    }

    /// Waits until the status is as wished. The bridge stopping by itself fails the test.
    pub async fn until(&mut self, what: &str, wished: impl Fn(&Status) -> bool) -> Status {
        let mut watch = self.board.watch();
        let waiting = watch.wait_for(|status| wished(status));
        tokio::select! {
            status = waiting => status.unwrap().clone(),
            Some(ended) = self.running.join_next() => panic!("while waiting for {what} the bridge ended: {ended:?}"),
            () = tokio::time::sleep(PATIENCE) => panic!("waited in vain for {what}: {:#?}", self.board.watch().borrow()),
        }
    }

    /// What is subscribed by this config.
    fn channels(&self) -> usize {
        let of_actions = self.config.actions.iter().map(|action| &action.from);
        let read = self.config.pipelines.iter().map(|line| &line.from).chain(of_actions);
        let read = read.map(|from| (&from.org, &from.channel));
        let kept = self.config.orgs.iter().flat_map(|(name, org)| org.journal.iter().map(move |one| (name, one)));
        read.chain(kept).collect::<BTreeSet<_>>().len()
    }

    /// Every subscription was seen live after this time.
    pub async fn live_since(&mut self, since: Timestamp) {
        let channels = self.channels();
        self.until("live subscriptions", |status| {
            status.subscriptions.len() == channels
                && status.subscriptions.values().all(|one| one.live_until.is_some_and(|until| until >= since))
        })
        .await;
    }

    /// All that has happened in the source by now is journaled and settled, and nothing is suspect.
    pub async fn caught_up(&mut self) {
        // By the source's own clock, which has whole seconds.
        let source: OrgName = "source".parse().unwrap();
        // Its answer says what time it is there: tests move it.
        while self.orgs[&source].query("SELECT Id FROM Account LIMIT 1").await.is_err() {
            // A fault struck this very request.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let now = self.orgs[&source].server_time();
        self.live_since(now.plus(BUS_DELAY + Duration::from_secs(1))).await;
        self.until("a caught-up bridge", |status| status.targets.values().all(|target| target.caught_up)).await;
    }

    /// Of a bridge that was stopped.
    pub async fn open_gaps(&self) -> Vec<orgbridge::store::Gap> {
        Sqlite::open(&self.config.state).unwrap().gaps().await.unwrap()
    }

    pub async fn assert_equal(&self) -> u64 {
        let comparison = whole::compare(&self.config, &self.orgs).await.unwrap();
        let shown: Vec<String> = comparison.differences.iter().map(ToString::to_string).collect();
        assert!(comparison.is_equal(), "{} of {} differ: {shown:#?}", shown.len(), comparison.records);
        comparison.records
    }

    /// A control call of an emulated org.
    pub async fn control(&self, org: &RunningOrg, path: &str, body: Json) -> Json {
        let url = format!("{}/emulator/{path}", org.base_url);
        let answer = self.http.post(url).body(body.to_string()).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Json::Null)
    }

    /// What an emulated org shows of itself.
    pub async fn control_get(&self, org: &RunningOrg, path: &str) -> Json {
        let url = format!("{}/emulator/{path}", org.base_url);
        let text = self.http.get(url).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    pub async fn faults(&self, org: &RunningOrg, faults: Json) {
        self.control(org, "faults", faults).await;
    }

    /// These rules of faults, and no others.
    pub async fn rules(&self, org: &RunningOrg, rules: Json) {
        self.faults(org, json!({"rules": rules})).await;
    }

    pub async fn no_faults(&self, org: &RunningOrg) {
        let url = format!("{}/emulator/faults", org.base_url);
        assert!(self.http.delete(url).send().await.unwrap().status().is_success());
    }

    /// Creates records in the source, 200 in a call, as somebody else than the bridge.
    pub async fn create(&self, object: &str, records: Vec<Json>) -> Vec<String> {
        let source = self.orgs.get(&"source".parse().unwrap()).unwrap();
        let session = source.session().await.unwrap();
        let mut ids = Vec::new();
        for chunk in records.chunks(200) {
            let records: Vec<Json> = chunk
                .iter()
                .map(|record| {
                    let mut record = record.clone();
                    record["attributes"] = json!({"type": object});
                    record
                })
                .collect();
            let body = json!({"allOrNone": true, "records": records});
            let saved = self.composite(&session, reqwest::Method::POST, &body).await;
            ids.extend(saved.iter().map(|result| result["id"].as_str().unwrap().to_owned()));
        }
        ids
    }

    /// Changes records of the source, each on its own: (id, fields).
    pub async fn update(&self, object: &str, records: Vec<(String, Json)>) {
        let source = self.orgs.get(&"source".parse().unwrap()).unwrap();
        let session = source.session().await.unwrap();
        for chunk in records.chunks(200) {
            let records: Vec<Json> = chunk
                .iter()
                .map(|(id, fields)| {
                    let mut record = fields.clone();
                    record["attributes"] = json!({"type": object});
                    record["id"] = json!(id);
                    record
                })
                .collect();
            self.composite(&session, reqwest::Method::PATCH, &json!({"records": records})).await;
        }
    }

    /// Deletes every record of an object in the target, as somebody there might.
    pub async fn delete_in_target(&self, object: &str) {
        let target = &self.orgs[&"target".parse::<OrgName>().unwrap()];
        let rows = target.query(&format!("SELECT Id FROM {object}")).await.unwrap();
        let ids: Vec<_> = rows.iter().map(|row| row["Id"].as_str().unwrap().parse().unwrap()).collect();
        target.delete(&ids).await.unwrap();
    }

    /// Deletes these records of the source.
    pub async fn delete_in_source(&self, ids: &[String]) {
        let source = &self.orgs[&"source".parse::<OrgName>().unwrap()];
        let ids: Vec<_> = ids.iter().map(|id| id.parse().unwrap()).collect();
        source.delete(&ids).await.unwrap();
    }

    /// What is deleted there is gone for good.
    pub async fn empty_bin(&self, org: &RunningOrg) {
        let url = format!("{}/emulator/recycle-bin", org.base_url);
        assert!(self.http.delete(url).send().await.unwrap().status().is_success());
    }

    /// Creates a record, as somebody in the org of this session.
    pub async fn create_there(&self, session: &orgbridge::org::Session, object: &str, mut record: Json) {
        record["attributes"] = json!({"type": object});
        let body = json!({"allOrNone": true, "records": [record]});
        self.composite(session, reqwest::Method::POST, &body).await;
    }

    async fn composite(&self, session: &orgbridge::org::Session, method: reqwest::Method, body: &Json) -> Vec<Json> {
        use secrecy::ExposeSecret;
        let url = format!("{}services/data/v66.0/composite/sobjects", session.instance_url);
        let request = self.http.request(method, url).bearer_auth(session.token.expose_secret());
        let request = request.header("Content-Type", "application/json").body(body.to_string());
        let text = request.send().await.unwrap().text().await.unwrap();
        let results: Vec<Json> = serde_json::from_str(&text).unwrap();
        assert!(results.iter().all(|result| result["success"] == json!(true)), "{text}");
        results
    }
}

fn config(emulator: &Emulator, state: PathBuf) -> Config {
    let org = |name: &str| {
        let running = emulator.org(name).unwrap();
        let name: OrgName = name.parse().unwrap();
        let config = OrgConfig {
            name: name.clone(),
            login_url: running.base_url.parse().unwrap(),
            login: Login::ClientCredentials {
                key: running.client_id.clone(),
                secret: SecretString::from(running.client_secret.clone()),
            },
            client_name: "OrgBridge".to_owned(),
            api_version: "66.0".to_owned(),
            transport: None,
            pubsub: PubsubEndpoint::Address(format!("http://{}", emulator.pubsub).parse().unwrap()),
            journal: Vec::new(),
            privacy: orgbridge::privacy::Privacy::default(),
            api_budget: orgbridge::config::ApiBudget::default(),
        };
        (name, config)
    };
    Config {
        orgs: [org("source"), org("target")].into(),
        pipelines: vec![
            pipeline(
                "accounts",
                "Account",
                "ParentId",
                &[
                    "Name",
                    "Phone",
                    "Website",
                    "Rating",
                    "Industry",
                    "NumberOfEmployees",
                    "AnnualRevenue",
                    "Description",
                ],
                &[("BillingCity", "BillingAddress.City"), ("BillingStreet", "BillingAddress.Street")],
            ),
            pipeline(
                "contacts",
                "Contact",
                "AccountId",
                &["Email", "Phone", "Title", "Birthdate"],
                &[
                    ("FirstName", "Name.FirstName"),
                    ("LastName", "Name.LastName"),
                    ("MailingCity", "MailingAddress.City"),
                ],
            ),
        ],
        actions: Vec::new(),
        state,
        late_landing: Duration::from_secs(3),
        look_again: Duration::from_secs(60),
        parent_wait: Duration::from_secs(24 * 3600),
        bulk_from: None,
        cases: Vec::new(),
        probe_every: Duration::from_secs(900),
        journal_retain: Retain::default(),
        linger: Duration::ZERO,
        history_age: Duration::from_secs(30 * 24 * 3_600),
        digest: None,
    }
}

fn pipeline(name: &str, object: &str, parent: &str, same: &[&str], other: &[(&str, &str)]) -> PipelineConfig {
    let source = |target: &str, path: &str| (target.parse().unwrap(), Fill::Source(path.parse().unwrap()).into());
    let mut fields = vec![source("Source_Id__c", "Id")];
    fields.extend(same.iter().map(|field| source(field, field)));
    fields.extend(other.iter().map(|(target, path)| source(target, path)));
    let lookup = Fill::Parent { pipelines: vec!["accounts".parse().unwrap()], from: parent.parse().unwrap() };
    fields.push((parent.parse().unwrap(), lookup.into()));
    if object == "Account" {
        fields.push(("Region__c".parse().unwrap(), Fill::Constant(Value::text("EMEA")).into()));
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
        to: To {
            org: "target".parse().unwrap(),
            object: object.parse().unwrap(),
            key: "Source_Id__c".parse().unwrap(),
        },
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
