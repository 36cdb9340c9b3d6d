//! Builds the stages from a config and joins them: for each source org a subscription and its journal, for each target
//! org a machine with its requests. Reads top to bottom like the drawing in ARCHITECTURE.md.

mod actions;
mod around;
mod backfill;
mod feedback;
mod history;
mod import;
mod login;
mod reapply;
mod repairs;
mod retention;
mod supervise;
mod sweep;
mod trim;
mod verifies;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::action::call::CallerError;
use crate::budget::Budget;
use crate::config::{Config, OrgConfig, PipelineConfig, Start};
use crate::event::{
    Arrival, Channel, ChannelKind, FieldName, FieldPath, ObjectName, OrgName, PipelineName, Timestamp, Transport,
};
use crate::feedback::digest;
use crate::journal::journal;
use crate::mapping::{Inputs, Mapping};
use crate::org::{Org, OrgError};
use crate::past::reapply::Range;
use crate::pipeline::types::{self, Ends};
use crate::pipeline::{self, Line, PipelineError, Target};
use crate::privacy::PrivacyRule;
use crate::status::{Board, OrgStatus, PipelineStatus};
use crate::store::paused::by_hand;
use crate::store::{
    ListNumber, Paused, PipelineIdentity, PipelineRow, Store, StoreError, Subscription, SubscriptionId, Which,
    WhichActions, Wish,
};
use crate::subscribe::poll::{self, Poll};
use crate::subscribe::position::Plan;
use crate::subscribe::probe::{self, BUS_MARGIN, Probe, SECOND_LOOK, Subject};
use crate::subscribe::{self, ChannelStart, Feed, SILENCE_MAX, State, SubscribeError, Subscriptions};
use crate::webhook::Poster;
use around::Around;
pub use backfill::stop as stop_backfills;
pub use import::import_alone;
use login::{FirstTries, Gate, Pauses};
pub use reapply::{Reapplying, reapply};
use supervise::Stages;
pub use verifies::verify_alone;

/// Arrivals between a subscription and its journal.
const ARRIVALS_MAX: usize = 1_000;
/// How often it is looked whether a gap can be repaired.
const REPAIRS_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether something of the journal is too old.
const TRIM_EVERY: Duration = Duration::from_secs(15 * 60);
/// How long requests in flight may take to be settled when the bridge stops.
pub const GRACE: Duration = Duration::from_secs(30);

/// Why the bridge stopped.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    #[error("org {org}: {error}. {}", error.remedy())]
    Login { org: OrgName, error: OrgError },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("org {org}: {error}")]
    Subscribe { org: OrgName, error: SubscribeError },
    #[error(
        "pipeline {name} is not in the config any more, but work of it is unsettled: put it back until it is done, or \
         give it up with `orgbridge pipeline forget {name}`"
    )]
    Removed { name: PipelineName },
    #[error("`digest`: {0}")]
    Digest(crate::webhook::Unusable),
    #[error("action {name}: {error}")]
    Action { name: PipelineName, error: CallerError },
    #[error("a part of the bridge failed: {0}")]
    Stage(String),
    #[error(
        "did not stop within {GRACE:?}: {0}. What was in flight is in the state file and is looked after at the next start"
    )]
    Grace(String),
}

impl From<PipelineError> for BridgeError {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Store(error) => Self::Store(error),
            PipelineError::Request(reason) => Self::Stage(reason),
        }
    }
}

/// The orgs that a config names.
///
/// # Errors
/// When a client cannot be made from an org's settings.
pub fn orgs(config: &Config) -> Result<BTreeMap<OrgName, Org>, BridgeError> {
    let make = |(name, org): (&OrgName, &OrgConfig)| match Org::new(org.clone()) {
        Ok(made) => Ok((name.clone(), made)),
        Err(error) => Err(BridgeError::Login { org: name.clone(), error }),
    };
    config.orgs.iter().map(make).collect()
}

/// What can be asked of a running bridge.
#[derive(Debug)]
pub enum Command {
    /// The org of this id is behind the login, and that is meant. Answered when it is accepted, or with the reason.
    AcceptOrg { org: OrgName, org_id: String, done: oneshot::Sender<Result<(), String>> },
    /// A halted pipeline is to go on. Answered when it does, with whether it was halted, or with the reason why not.
    Resume { pipeline: PipelineName, done: oneshot::Sender<Result<bool, String>> },
    /// A person pauses a pipeline, for this reason, which may be empty. Answered when it is halted, with whether it was not
    /// before.
    Pause { pipeline: PipelineName, reason: String, done: oneshot::Sender<Result<bool, String>> },
    /// Nothing is to be written into an org. Answered when no call is in flight any more, with whether this
    /// is new. A job of the Bulk API that runs is ended right after, when the stages go on.
    PauseOrg { org: OrgName, reason: String, done: oneshot::Sender<Result<bool, String>> },
    /// An org is to be written into again. Answered with whether it was paused.
    ResumeOrg { org: OrgName, done: oneshot::Sender<Result<bool, String>> },
    /// Failed records are to be tried again. Answered when that is sure to happen, with their number.
    Redrive { which: Which, done: oneshot::Sender<Result<u64, String>> },
    /// Failed actions are to be done again. Answered when that is sure to happen, with their number.
    RedriveActions { which: WhichActions, done: oneshot::Sender<Result<u64, String>> },
    /// Failed actions are to be given up. Answered when they are, with their number.
    DiscardActions { which: WhichActions, done: oneshot::Sender<Result<u64, String>> },
    /// All records of these pipelines' sources are to be written, or those that meet a condition (SOQL). Answered when that is
    /// sure to happen, with the jobs in the order in which they run.
    Backfill {
        pipelines: Vec<PipelineName>,
        condition: Option<String>,
        done: oneshot::Sender<Result<Vec<i64>, String>>,
    },
    /// These pipelines' backfills are to end where they are. Answered with how many there were.
    StopBackfill { pipelines: Vec<PipelineName>, done: oneshot::Sender<Result<u64, String>> },
    /// The records that events named are to be read and applied as they are now; or it is only asked which (`begin: false`).
    Reapply {
        pipelines: Vec<PipelineName>,
        range: Range,
        begin: bool,
        done: oneshot::Sender<Result<Vec<Reapplying>, String>>,
    },
    /// Both sides of these pipelines are to be compared. Answered when that is sure to happen, with the numbers of the comparisons.
    Verify { pipelines: Vec<PipelineName>, wish: Wish, done: oneshot::Sender<Result<Vec<i64>, String>> },
    /// The records of a list, so many pairs, are to be linked with the counterparts that it names. Answered when they are, with
    /// the job that gives those the key.
    Import { pipeline: PipelineName, list: ListNumber, pairs: u64, done: oneshot::Sender<Result<i64, String>> },
    /// Failed records are to be given up. Answered when they are, with their number.
    Discard { which: Which, done: oneshot::Sender<Result<u64, String>> },
}

/// As [`run`], and does what is asked meanwhile. To accept another org, or to let a pipeline go on, all stages are stopped
/// in order and begin anew with what the store says then: progress in memory may speak of what was before.
///
/// # Errors
/// As [`run`].
pub async fn steered<S: Store>(
    config: &Config,
    orgs: &BTreeMap<OrgName, Org>,
    store: S,
    board: Board,
    mut commands: mpsc::Receiver<Command>,
    cancel: CancellationToken,
) -> Result<(), BridgeError> {
    let asked = watch::Sender::new(0);
    let mut first_logins = FirstLogins::MustSucceed;
    loop {
        let round = cancel.child_token();
        let (store_of_round, shown) = (store.clone(), board.clone());
        let mut running = pin!(one_round(config, orgs, store_of_round, shown, &asked, first_logins, round.clone()));
        first_logins = FirstLogins::Passed;
        let while_stopped = loop {
            tokio::select! {
                ended = &mut running => return ended,
                Some(command) = commands.recv() => {
                    if let Some(work) = to_be_done(command, (config, orgs), store.clone(), &asked).await? {
                        break work;
                    }
                }
            }
        };
        round.cancel();
        match running.await {
            Ok(()) => {}
            // What was in flight is in the state file, and the next round looks after it like the next start.
            Err(error @ BridgeError::Grace(_)) if !cancel.is_cancelled() => warn!(%error, "going on all the same"),
            Err(error) => return Err(error),
        }
        if cancel.is_cancelled() {
            return Ok(());
        }
        while_stopped.await?;
    }
}

/// What a command does while no stage runs, and its answer. Who gave up waiting is not answered.
type WhileStopped = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// What is left to do when the stages have stopped. None: the command is done, or answered with why not, and they go on.
async fn to_be_done<S: Store>(
    command: Command,
    (config, orgs): (&Config, &BTreeMap<OrgName, Org>),
    store: S,
    asked: &watch::Sender<u64>,
) -> Result<Option<WhileStopped>, StoreError> {
    match command {
        Command::AcceptOrg { org, org_id, done } => {
            let refused = match orgs.get(&org).map(|org| org.other().borrow().clone()) {
                Some(Some(found)) if found == org_id => {
                    return Ok(Some(Box::pin(async move {
                        store.accept_org(&org, &org_id).await?;
                        warn!(%org, %org_id, "another org was accepted; what is known of the old one is given up");
                        drop(done.send(Ok(())));
                        Ok(())
                    })));
                }
                Some(Some(found)) => format!("org {found} is behind the login of {org}"),
                Some(None) => format!("the login of {org} leads to the same org as before"),
                None => format!("the config names no org {org}"),
            };
            drop(done.send(Err(refused)));
        }
        Command::Resume { pipeline, done } => match is_halted(&store, &pipeline).await? {
            Some(true) => {
                return Ok(Some(Box::pin(async move {
                    store.resume(&pipeline).await?;
                    info!(%pipeline, "resumed");
                    drop(done.send(Ok(true)));
                    Ok(())
                })));
            }
            Some(false) => drop(done.send(Ok(false))),
            None => drop(done.send(Err(format!("the config has no pipeline {pipeline}")))),
        },
        Command::Pause { pipeline, reason, done } => match is_halted(&store, &pipeline).await? {
            Some(false) => {
                return Ok(Some(Box::pin(async move {
                    let halted = store.halt(&pipeline, &by_hand(&reason), Timestamp::now()).await?;
                    info!(%pipeline, "paused by hand");
                    drop(done.send(Ok(halted == Some(true))));
                    Ok(())
                })));
            }
            Some(true) => drop(done.send(Ok(false))),
            None => drop(done.send(Err(format!("the config has no pipeline {pipeline}")))),
        },
        Command::PauseOrg { org, reason, done } => {
            match (orgs.contains_key(&org), store.paused_orgs().await?.contains_key(&org)) {
                (true, false) => {
                    return Ok(Some(Box::pin(async move {
                        let paused = store.pause_org(&org, Paused { reason, at: Timestamp::now() }).await?;
                        info!(%org, "paused by hand");
                        drop(done.send(Ok(paused)));
                        Ok(())
                    })));
                }
                (true, true) => drop(done.send(Ok(false))),
                (false, _) => drop(done.send(Err(format!("the config names no org {org}")))),
            }
        }
        Command::ResumeOrg { org, done } => match store.paused_orgs().await?.contains_key(&org) {
            true => {
                return Ok(Some(Box::pin(async move {
                    let resumed = store.resume_org(&org).await?;
                    info!(%org, "resumed");
                    drop(done.send(Ok(resumed)));
                    Ok(())
                })));
            }
            false => drop(done.send(Ok(false))),
        },
        // Nobody has to stop for it: whoever works for the target takes them as they are marked.
        Command::Redrive { which, done } => {
            let records = store.redrive(&which, Timestamp::now()).await?;
            asked.send_modify(|moved| *moved += 1);
            info!(records, "failed records are tried again");
            drop(done.send(Ok(records)));
        }
        Command::RedriveActions { which, done } => {
            let actions = store.redrive_actions(&which, Timestamp::now()).await?;
            asked.send_modify(|moved| *moved += 1);
            info!(actions, "failed actions are done again");
            drop(done.send(Ok(actions)));
        }
        // Nobody has one in memory that is not marked to be done again.
        Command::DiscardActions { which, done } => {
            let actions = store.discard_actions(&which).await?;
            asked.send_modify(|moved| *moved += 1);
            info!(actions, "failed actions were discarded");
            drop(done.send(Ok(actions)));
        }
        Command::Backfill { pipelines, condition, done } => {
            let numbers = backfill::add(config, &store, &pipelines, condition).await?;
            asked.send_modify(|moved| *moved += 1);
            drop(done.send(numbers));
        }
        Command::Reapply { pipelines, range, begin, done } => {
            let plans = reapply((config, orgs), &store, &pipelines, &range, begin).await?;
            asked.send_modify(|moved| *moved += 1);
            drop(done.send(plans));
        }
        Command::Verify { pipelines, wish, done } => {
            let numbers = verifies::add(config, &store, &pipelines, wish).await?;
            asked.send_modify(|moved| *moved += 1);
            drop(done.send(numbers));
        }
        Command::StopBackfill { pipelines, done } => {
            let stopped = backfill::stop(&store, &pipelines).await?;
            asked.send_modify(|moved| *moved += 1);
            drop(done.send(Ok(stopped)));
        }
        // What is in memory may be about to make a counterpart for a record that is linked now.
        Command::Import { pipeline, list, pairs, done } => {
            match import::wanted(config, &store, &pipeline, (list, pairs)).await? {
                Ok(id) => {
                    return Ok(Some(Box::pin(async move {
                        drop(done.send(import::begin(&store, (id, &pipeline), list).await?));
                        Ok(())
                    })));
                }
                Err(refused) => drop(done.send(Err(refused))),
            }
        }
        Command::Discard { which, done } => match store.failed(&which, None, 1).await?.is_empty() {
            true => drop(done.send(Ok(0))),
            false => {
                return Ok(Some(Box::pin(async move {
                    let records = store.discard(&which, Timestamp::now()).await?;
                    info!(records, "failed records were discarded");
                    drop(done.send(Ok(records)));
                    Ok(())
                })));
            }
        },
    }
    Ok(None)
}

/// None: there is no such pipeline.
async fn is_halted<S: Store>(store: &S, name: &PipelineName) -> Result<Option<bool>, StoreError> {
    match store.pipelines().await?.into_iter().find(|row| row.identity.name == *name) {
        Some(row) => Ok(Some(row.halted.is_some())),
        None => actions::is_halted(store, name).await,
    }
}

/// What every stage of an org waits for, and asks before it calls.
#[derive(Clone)]
struct Entry {
    gate: Gate,
    budget: Budget,
}

/// Runs a config until cancelled. Requests in flight are settled then; what waits stays journaled.
///
/// # Errors
/// The first error of any stage; all others are stopped then.
pub async fn run<S: Store>(
    config: &Config,
    orgs: &BTreeMap<OrgName, Org>,
    store: S,
    board: Board,
    cancel: CancellationToken,
) -> Result<(), BridgeError> {
    one_round(config, orgs, store, board, &watch::Sender::new(0), FirstLogins::MustSucceed, cancel).await
}

/// Whether a bridge of which no org lets it in at the first try ends.
#[derive(Debug, Clone, Copy)]
enum FirstLogins {
    MustSucceed,
    /// It ran before a command stopped its stages: by then it was set up.
    Passed,
}

/// `asked` moves when a person asked for something that the store knows.
async fn one_round<S: Store>(
    config: &Config,
    orgs: &BTreeMap<OrgName, Org>,
    store: S,
    board: Board,
    asked: &watch::Sender<u64>,
    first_logins: FirstLogins,
    cancel: CancellationToken,
) -> Result<(), BridgeError> {
    for (name, org) in orgs {
        if let Some(id) = store.pinned_org(name).await? {
            org.pin(&id);
        }
        let shown = OrgStatus { org_id: org.pinned(), ..OrgStatus::default() };
        board.update(|status| drop(status.orgs.insert(name.clone(), shown)));
    }
    note_privacy(config, &store).await?;
    let rows = pipelines(config, &store).await?;
    let action_rows = actions::rows(config, &store).await?;
    store.redrives_anew().await?;
    backfill::first(config, &store, &rows).await?;
    store.trim_healed(Timestamp::now()).await?;
    let paused = store.paused_orgs().await?;
    let head = Arc::new(watch::Sender::new(store.head().await?));
    for (pipeline, row) in config.pipelines.iter().zip(&rows) {
        board.update(|status| drop(status.pipelines.insert(pipeline.name.clone(), first_status(pipeline, row))));
    }
    for row in &action_rows {
        let (name, first) = (row.identity.name.clone(), actions::first_status(row));
        board.update(|status| drop(status.actions.insert(name, first)));
    }
    let mut stages = Stages::new(cancel.clone());
    let (doubts, doubted) = types::Doubts::new();
    let is_target = |name: &OrgName| config.pipelines.iter().any(|line| line.to.org == *name);
    let is_asked = |org: &OrgConfig| actions::need(config, org) || !channels(config, org).is_empty();
    let at_work: Vec<_> = orgs.iter().filter(|(name, org)| is_target(name) || is_asked(org.config())).collect();
    let first_tries = match first_logins {
        FirstLogins::MustSucceed => FirstTries::of(at_work.len()),
        FirstLogins::Passed => FirstTries::passed(),
    };
    let mut entries: BTreeMap<&OrgName, Entry> = BTreeMap::new();
    for (name, org) in at_work {
        let (open, gate) = login::gate();
        let budget = Budget::new(org.clone());
        entries.insert(name, Entry { gate: gate.clone(), budget: budget.clone() });
        let (org, stage_store, shown, token) = (org.clone(), store.clone(), board.clone(), cancel.clone());
        let first_tries = first_tries.clone();
        stages.spawn(&format!("login {name}"), async move {
            login::log_in(&org, &stage_store, &shown, first_tries, open, Pauses::default(), &token).await
        });
        let (shown, token) = (board.clone(), cancel.clone());
        stages.spawn(&format!("budget {name}"), async move {
            if gate.passed(&token).await {
                budget.watch(shown, token).await;
            }
            Ok(())
        });
    }

    for (name, org) in orgs.iter().filter(|(_, org)| !channels(config, org.config()).is_empty()) {
        let Some(Entry { gate, budget }) = entries.get(name).cloned() else { continue };
        let (arrivals, arrived) = mpsc::channel(ARRIVALS_MAX);
        let mut channels = channels(config, org.config());
        let mut ids: HashMap<Channel, SubscriptionId> = HashMap::new();
        let mut subjects = Vec::new();
        for channel in channels.keys() {
            let subscription = store.subscription(name, channel).await?;
            ids.insert(channel.clone(), subscription.id);
            subjects.extend(probed(config, name, &subscription, channel));
        }
        let board = board.of(name);
        let (nudge, nudges) = watch::channel(0);
        let probe = Probe {
            org: org.clone(),
            budget: budget.clone(),
            store: store.clone(),
            board: board.clone(),
            arrivals: arrivals.clone(),
            nudge,
            every: config.probe_every,
            margin: BUS_MARGIN.min(config.probe_every),
            second_look: SECOND_LOOK.min(config.probe_every),
            cancel: cancel.child_token(),
        };
        let (token, probed) = (cancel.clone(), gate.clone());
        stages.spawn(&format!("probe {name}"), async move {
            let (org, board, stop) = (probe.org.clone(), probe.board.clone(), probe.cancel.clone());
            let work = async {
                if !probed.passed(&probe.cancel).await {
                    return Ok(());
                }
                probe::run(probe, subjects).await.map_err(BridgeError::from)
            };
            unless_other(&org, &board, work, &stop, &token).await
        });
        // Pipelines that poll the same object share it, as often as the most impatient one wants.
        let mut polls: BTreeMap<Channel, (crate::config::From, Duration)> = BTreeMap::new();
        for from in sources(config).filter(|from| from.org == *name) {
            let Some(every) = from.poll else { continue };
            let known = polls.entry(from.channel.clone()).or_insert_with(|| (from.clone(), every));
            known.1 = known.1.min(every);
            if from.start == Start::Earliest {
                known.0.start = Start::Earliest;
            }
        }
        for (from, every) in polls.into_values() {
            let (org, stage_store, token) = (org.clone(), store.clone(), cancel.clone());
            let (arrivals, board, entry) =
                (arrivals.clone(), board.clone(), Entry { gate: gate.clone(), budget: budget.clone() });
            stages.spawn(&format!("poll {name} {}", from.object), async move {
                let stop = token.child_token();
                let work =
                    polled((org.clone(), entry), from, every, stage_store, arrivals, board.clone(), stop.clone());
                unless_other(&org, &board, work, &stop, &token).await
            });
        }
        channels.retain(|channel, _| channel.kind() != ChannelKind::Poll);
        let privacy = org.config().privacy.clone();
        let around = Around::new(org.clone(), store.clone(), doubts.clone());
        let (org, stage_store, token) = (org.clone(), store.clone(), cancel.clone());
        let shown = board.clone();
        if channels.is_empty() {
            drop(arrivals);
        } else {
            stages.spawn(&format!("subscribe {name}"), async move {
                let stop = token.child_token();
                let work = async {
                    if !gate.passed(&stop).await {
                        return Ok(());
                    }
                    subscription(channels, stage_store, arrivals, shown.clone(), nudges, around, stop.clone()).await
                };
                unless_other(&org, &shown, work, &stop, &token).await
            });
        }
        let (stage_store, head) = (store.clone(), head.clone());
        stages.spawn(&format!("journal {name}"), async move {
            journal(arrived, ids, privacy, stage_store, head, board).await.map_err(BridgeError::from)
        });
    }

    let (stage_store, nudge, token) = (store.clone(), asked.clone(), cancel.clone());
    let every = REPAIRS_EVERY.min(config.probe_every);
    stages.spawn(
        "repairs",
        async move { repairs::run(stage_store, nudge, every, token).await.map_err(BridgeError::from) },
    );

    let at_work: BTreeMap<OrgName, Entry> =
        entries.iter().map(|(name, entry)| ((*name).clone(), entry.clone())).collect();
    let (stage_store, asks, token) = (store.clone(), asked.clone(), cancel.clone());
    let of_all = (config.clone(), orgs.clone());
    stages.spawn("verify", async move {
        verifies::run(of_all, at_work, stage_store, asks, every, token).await.map_err(BridgeError::from)
    });

    let (stage_store, token) = (store.clone(), cancel.clone());
    let (retain, every) = (config.journal_retain, TRIM_EVERY.min(config.probe_every));
    stages.spawn("journal.retain", async move {
        trim::run(stage_store, retain, every, token).await.map_err(BridgeError::from)
    });

    let (stage_store, age, token) = (store.clone(), config.history_age, cancel.clone());
    stages.spawn("history", async move { history::run(stage_store, age, token).await.map_err(BridgeError::from) });

    let mut all_ends: Vec<Ends> = Vec::new();
    for (name, org) in orgs.iter().filter(|(name, _)| is_target(name)) {
        let Some(Entry { gate, budget }) = entries.get(name).cloned() else { continue };
        let (to, remapped) = mpsc::unbounded_channel();
        let lines = config.pipelines.iter().zip(&rows).filter(|(pipeline, _)| pipeline.to.org == *name);
        let lines = lines.filter_map(|(pipeline, row)| {
            let source = orgs.get(&pipeline.from.org)?.clone();
            let mapping = Mapping::new(pipeline, config);
            let (untyped, brakes) = (Arc::new(mapping.clone()), pipeline.brakes.clone());
            let source_budget = entries.get(&pipeline.from.org)?.budget.clone();
            let line = Line { row: row.clone(), source: source.clone(), source_budget, mapping: untyped, brakes };
            let sources = mapping.parent_objects().into_iter().cloned().collect();
            Some((line, Ends { id: row.id, source, target: org.clone(), sources, mapping, to: to.clone() }))
        });
        let (lines, of_target): (Vec<Line>, Vec<Ends>) = lines.unzip();
        all_ends.extend(of_target.iter().cloned());
        let mut target = Target {
            org: org.clone(),
            budget,
            lines,
            store: store.clone(),
            head: head.subscribe(),
            late_landing: config.late_landing,
            linger: config.linger,
            look_again: config.look_again,
            parent_wait: config.parent_wait,
            bulk_from: config.bulk_from,
            board: board.clone(),
            doubts: doubts.clone(),
            remapped,
            asked: asked.subscribe(),
            paused: paused.contains_key(name),
        };
        let (token, doubts) = (cancel.clone(), doubts.clone());
        stages.spawn(&format!("publish {name}"), async move {
            let (org, board, stop) = (target.org.clone(), target.board.clone(), token.child_token());
            let cancel = stop.clone();
            let work = async {
                if !gate.passed(&cancel).await {
                    return Ok(());
                }
                let mappings = tokio::select! {
                    () = cancel.cancelled() => return Ok(()),
                    mappings = types::first(&of_target, &doubts) => mappings,
                };
                for (line, mapping) in target.lines.iter_mut().zip(mappings) {
                    line.mapping = mapping;
                }
                pipeline::run(target, cancel).await.map_err(BridgeError::from)
            };
            unless_other(&org, &board, work, &stop, &token).await
        });
    }
    let around = feedback::Around {
        orgs,
        entries: &entries,
        store: &store,
        board: &board,
        probe_every: config.probe_every,
        cancel: &cancel,
    };
    for (pipeline, row) in config.pipelines.iter().zip(&rows) {
        if let Some(stage) = around.stage(pipeline, row, paused.contains_key(&pipeline.from.org)) {
            stages.spawn(&format!("feedback {}", pipeline.name), stage);
        }
    }
    let around = actions::Around {
        config,
        orgs,
        entries: &entries,
        store: &store,
        head: &head,
        board: &board,
        asked,
        cancel: &cancel,
    };
    for (action, row) in config.actions.iter().zip(&action_rows) {
        if let Some(stage) = around.stage(action, row, &|org| paused.contains_key(org))? {
            stages.spawn(&format!("action {}", action.name), stage);
        }
    }
    if let Some(digest) = config.digest.clone() {
        let poster = Poster::new(&digest.webhook, digest::TIMEOUT).map_err(BridgeError::Digest)?;
        let (stage_store, shown, token) = (store.clone(), board.clone(), cancel.clone());
        stages.spawn("digest", async move {
            digest::run(digest, poster, stage_store, shown, token).await.map_err(BridgeError::from)
        });
    }
    drop(head);
    let token = cancel.clone();
    stages.spawn("types", async move {
        types::run(all_ends, doubted, token).await;
        Ok(())
    });
    let subscribed = subscribed(config, orgs);
    let (sources, token) = (orgs.clone(), cancel.clone());
    stages.spawn("retention", async move {
        retention::run(store, sources, subscribed, board, token).await.map_err(BridgeError::from)
    });
    stages.join(GRACE).await
}

/// From the first entry of this run on the rules of the config hold; what is stored already is named until it is scrubbed.
async fn note_privacy<S: Store>(config: &Config, store: &S) -> Result<(), BridgeError> {
    for (name, org) in &config.orgs {
        let rules = org.privacy.rules();
        for PrivacyRule { object, field, treatment } in store.note_privacy(name, rules).await?.dropped {
            info!(
                org = %name, %object, %field, rule = %treatment,
                "a privacy rule is gone: what was stored under it stays as the rule left it"
            );
        }
        for clear in store.in_clear(name, rules).await? {
            warn!(org = %name, "{clear}");
        }
    }
    Ok(())
}

/// The config's pipelines as the store knows them, in the same order. Those that left the config are given up, if nothing
/// of them is unsettled.
async fn pipelines<S: Store>(config: &Config, store: &S) -> Result<Vec<PipelineRow>, BridgeError> {
    let sent = store.sent().await?;
    for row in store.pipelines().await? {
        let name = &row.identity.name;
        if config.pipelines.iter().any(|pipeline| pipeline.name == *name) {
            continue;
        }
        let unsettled = !store.page(row.id, row.watermark, 1).await?.entries.is_empty();
        let suspect = sent.iter().any(|sent| sent.pipeline == row.id);
        if unsettled || suspect || row.parked + row.failed > 0 {
            return Err(BridgeError::Removed { name: name.clone() });
        }
        store.forget_pipeline(name).await?;
        info!(pipeline = %name, "left the config with nothing unsettled, so its progress was removed");
    }
    let (head, trimmed_to) = (store.head().await?, store.journal_figures().await?.trimmed_to);
    let mut rows = Vec::new();
    for pipeline in &config.pipelines {
        // Of what was journaled before it was there, a new pipeline takes only what it wants. Single events that others still
        // need tell it less than half of what was.
        let first = match pipeline.from.start {
            Start::Tip => head,
            Start::Earliest => trimmed_to,
        };
        rows.push(store.pipeline(&identity(pipeline), first).await?);
    }
    Ok(rows)
}

fn identity(pipeline: &PipelineConfig) -> PipelineIdentity {
    PipelineIdentity {
        name: pipeline.name.clone(),
        source_org: pipeline.from.org.clone(),
        channel: pipeline.from.channel.clone(),
        source_object: pipeline.from.object.clone(),
        target_org: pipeline.to.org.clone(),
        target_object: pipeline.to.object.clone(),
        key: pipeline.to.key.clone(),
    }
}

fn first_status(pipeline: &PipelineConfig, row: &PipelineRow) -> PipelineStatus {
    PipelineStatus {
        channel: pipeline.from.channel.clone(),
        target: pipeline.to.org.clone(),
        taken: 0,
        waiting: 0,
        in_flight: 0,
        applied: 0,
        parked: row.parked,
        failed: row.failed,
        unfilled: row.unfilled,
        left_gone: 0,
        kept: 0,
        api_calls: 0,
        watermark: row.watermark,
        halted: row.halted.as_ref().map(|halted| halted.why.clone()),
        lag: Duration::ZERO,
    }
}

/// What the readers of a channel want of it.
#[derive(Debug, Default)]
struct Wishes {
    starts: Vec<Start>,
    /// None: every entity.
    wanted: Option<BTreeSet<ObjectName>>,
}

/// Where pipelines and actions read.
fn sources(config: &Config) -> impl Iterator<Item = &crate::config::From> {
    let of_actions = config.actions.iter().map(|action| &action.from);
    config.pipelines.iter().map(|pipeline| &pipeline.from).chain(of_actions)
}

/// The channels of a source org: those that its pipelines and actions read, and those that are only to be journaled.
fn channels(config: &Config, org: &OrgConfig) -> BTreeMap<Channel, Wishes> {
    let mut channels: BTreeMap<Channel, Wishes> = BTreeMap::new();
    for from in sources(config).filter(|from| from.org == org.name) {
        let wishes = channels.entry(from.channel.clone()).or_default();
        wishes.starts.push(from.start);
        // Of platform events a channel has one kind.
        if from.channel.kind() != ChannelKind::Events {
            wishes.wanted.get_or_insert_default().insert(from.object.clone());
        }
    }
    for channel in &org.journal {
        let wishes = channels.entry(channel.clone()).or_default();
        wishes.starts.push(Start::Tip);
        wishes.wanted = None;
    }
    channels
}

/// The channels of which the orgs keep events for a while.
fn subscribed(config: &Config, orgs: &BTreeMap<OrgName, Org>) -> retention::Subscribed {
    let events = |channel: &Channel| channel.kind() != ChannelKind::Poll;
    let of = |(name, org): (&OrgName, &Org)| {
        (name.clone(), channels(config, org.config()).into_keys().filter(events).collect())
    };
    orgs.iter().map(of).collect()
}

/// The objects that pipelines read from a channel of change events, with the fields that they read.
fn probed(config: &Config, org: &OrgName, subscription: &Subscription, channel: &Channel) -> Vec<Subject> {
    if !matches!(channel.kind(), ChannelKind::Object | ChannelKind::Objects) {
        return Vec::new();
    }
    let mut objects: BTreeMap<ObjectName, BTreeSet<FieldName>> = BTreeMap::new();
    for pipeline in config.pipelines.iter().filter(|line| line.from.org == *org && line.from.channel == *channel) {
        let fields = Mapping::new(pipeline, config).reads();
        let object = objects.entry(pipeline.from.object.clone()).or_default();
        object.extend(fields.iter().map(FieldPath::object_field));
    }
    for action in config.actions.iter().filter(|action| action.from.org == *org && action.from.channel == *channel) {
        let object = objects.entry(action.from.object.clone()).or_default();
        object.extend(Inputs::new(action, config).reads().iter().map(FieldPath::object_field));
    }
    let subject = |(object, fields)| Subject {
        subscription: subscription.id,
        channel: channel.clone(),
        object,
        fields,
        live_until: subscription.position.live_until,
    };
    objects.into_iter().map(subject).collect()
}

/// One source org: who it is, where each channel begins, and the subscription itself.
async fn subscription<S: Store>(
    channels: BTreeMap<Channel, Wishes>,
    store: S,
    arrivals: mpsc::Sender<(Channel, Arrival)>,
    board: Board,
    nudges: watch::Receiver<u64>,
    surroundings: Around<S>,
    cancel: CancellationToken,
) -> Result<(), BridgeError> {
    let org = surroundings.org.clone();
    let name = org.name().clone();
    // What the config says, else what was used before, else the newer API.
    let transport = match org.config().transport {
        Some(transport) => transport,
        None => store.transport(&name).await?.unwrap_or(Transport::Pubsub),
    };
    let mut starts = Vec::new();
    for (channel, Wishes { starts: wishes, wanted }) in channels {
        let id = store.subscription(&name, &channel).await?.id;
        store.received_by(id, transport, org.server_time()).await?;
        let subscription = store.subscription(&name, &channel).await?;
        let plan = Plan::new(&subscription.position, wishes, org.server_time());
        if let Some(at) = plan.commit_start {
            store.start(subscription.id, at).await?;
        }
        starts.push(ChannelStart { channel, plan, wanted });
    }
    let (state, mut states) = watch::channel(Subscriptions::new());
    let show = async {
        // Ends with the sender, which `run` holds.
        while states.changed().await.is_ok() {
            for (channel, now) in &*states.borrow_and_update() {
                board.subscription(channel, |shown| {
                    shown.state = now.state.clone();
                    shown.undecodable = now.undecodable;
                    shown.last_event = now.last_event;
                    shown.last_frame = now.last_frame;
                    shown.transport = Some(transport);
                });
            }
        }
    };
    let feed = Feed { org, arrivals, state, surroundings, nudges, silence: SILENCE_MAX, cancel };
    let (ended, ()) = tokio::join!(subscribe::run(feed, transport, starts), show);
    ended.map_err(|error| BridgeError::Subscribe { org: name, error })
}

/// An object that is polled: from where, and the polling itself.
async fn polled<S: Store>(
    (org, entry): (Org, Entry),
    from: crate::config::From,
    every: Duration,
    store: S,
    arrivals: mpsc::Sender<(Channel, Arrival)>,
    board: Board,
    cancel: CancellationToken,
) -> Result<(), BridgeError> {
    if !entry.gate.passed(&cancel).await {
        return Ok(());
    }
    let subscription = store.subscription(org.name(), &from.channel).await?;
    let position = subscription.position;
    let first = position.live_until.is_none();
    let since = match (position.live_until, position.started_at, from.start) {
        (Some(until), _, _) => until,
        (None, _, Start::Earliest) => Timestamp(0),
        (None, Some(started), Start::Tip) => started,
        (None, None, Start::Tip) => {
            let now = org.server_time();
            store.start(subscription.id, now).await?;
            now
        }
    };
    let (object, channel) = (from.object, from.channel);
    let budget = entry.budget;
    poll::run(Poll { org, budget, object, channel, every, from: since, first, arrivals, board, cancel }).await;
    Ok(())
}

/// The work of one org, until it ends or another org is found behind the login: then it is stopped, a person is told, and
/// nothing more is asked of the org until the bridge stops, or begins anew because the other one was accepted.
async fn unless_other(
    org: &Org,
    board: &Board,
    work: impl Future<Output = Result<(), BridgeError>>,
    stop: &CancellationToken,
    cancel: &CancellationToken,
) -> Result<(), BridgeError> {
    let mut work = pin!(work);
    let mut other = org.other();
    let ended = tokio::select! {
        ended = &mut work => Some(ended),
        // The sender lives as long as the org.
        _ = other.wait_for(Option::is_some) => None,
    };
    let Some(found) = other.borrow().clone() else { return ended.unwrap_or(Ok(())) };
    stop.cancel();
    let ended = match ended {
        Some(ended) => ended,
        None => work.await,
    };
    match ended {
        Ok(()) => {}
        // Said already.
        Err(BridgeError::Subscribe { error: SubscribeError::OtherOrg, .. }) => {}
        Err(error) => return Err(error),
    }
    let name = org.name();
    let why =
        format!("another org (id {found}) is behind the login; if that is meant: `orgbridge org accept-new {name}`");
    warn!(org = %name, "{why}");
    board.update(|status| {
        let shown = status.orgs.entry(name.clone()).or_default();
        (shown.other_org_id, shown.trouble) = (Some(found), Some(why.clone()));
        for (_, shown) in status.subscriptions.iter_mut().filter(|((org, _), _)| org == name) {
            shown.state = State::Refused { why: why.clone() };
        }
        if let Some(target) = status.targets.get_mut(name) {
            (target.caught_up, target.trouble) = (false, Some(why));
        }
    });
    cancel.cancelled().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Retain;
    use crate::config::testing::between_two_orgs;
    use crate::event::Seq;
    use crate::store::Sqlite;
    use crate::store::contract::given::{NOW, arrivals, subscribed};

    #[tokio::test]
    async fn a_new_pipeline_begins_no_earlier_than_the_journal_is_whole() {
        let config = between_two_orgs(
            r#"pipelines:
  - name: accounts
    from: { org: a, channel: /data/AccountChangeEvent, object: Account, start: earliest }
    to: { org: b, object: Account, key: Key__c }
    fields: { Key__c: Id }
"#,
        );
        let store = Sqlite::in_memory().unwrap();
        store.append(subscribed(&store).await, arrivals(1..=3), NOW).await.unwrap();
        let retain = Retain { age: Some(Duration::ZERO), size: None };
        store.trim_journal(retain, Timestamp::now(), Seq::ZERO, 9).await.unwrap();
        store.append(subscribed(&store).await, arrivals(4..=5), NOW).await.unwrap();
        assert_eq!(pipelines(&config, &store).await.unwrap()[0].watermark, Seq(3));
    }
}
