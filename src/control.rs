//! The request socket of a running bridge: a file beside the state file that only its owner may open. One JSON line in, one
//! JSON line out.
//!
//! `{"v":1,"request":"status"}` gives a [`Report`]; `{"v":1,"request":"accept_org","org":NAME,"org_id":ID}` accepts another
//! org behind a login; `{"v":1,"request":"resume","pipeline":NAME}` lets a halted pipeline go on, and `pause` (with a `reason`)
//! halts one; `pause_org` (with a `reason`) and `resume_org` do the same for what is written into an org;
//! `{"v":1,"request":"failed","ask":ASK}` tells of failed records ([`crate::failed::Ask`]); `redrive` and `discard` (with
//! `which`: [`Which`]) try them again, or give them up; `journal` (with `ask`: [`entries::Ask`]) tells of the events that came;
//! `backfill` (with `pipelines` and a `condition` or null) has all their records read and written, and `stop_backfill` ends that;
//! `reapply` (with `pipelines`, a `range` and `begin`) has what events named read and applied as it is now; `verify` (with
//! `pipelines` and a `wish`) has both their sides compared, and `differences` (with the `number` of a comparison)
//! tells what that found; `close_gap` (with its `id`) closes a gap; `trace` (with `ask`: [`trace::Ask`]) tells all that is known of a
//! record. `add_to_list` (with `pairs`, and the `list` or null) notes pairs of records, `import` (with `pipeline`, `list`, and
//! how many `pairs` that must have) links them, and `not_linked` (with the `pipeline`, and `after` which record or null) tells those of its last import that could not be.
//! What cannot be done is answered by `{"error":TEXT}`.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::action::failed as action;
use crate::bridge::{Command, Reapplying};
use crate::entries;
use crate::event::{OrgName, PipelineName, RecordId, Timestamp};
use crate::failed::{self, Ask, Told};
use crate::past;
use crate::past::reapply::Range;
use crate::status::Board;
use crate::status::report::Report;
use crate::store::{
    Difference, ListNumber, Listed, Mended, NotLinked, Store, VerificationNumber, Which, WhichActions, Wish,
};
use crate::trace;

/// A request has no more: [`PAIRS_MAX`] pairs.
const REQUEST_MAX: u64 = 1 << 20;
/// Pairs of records in one request, or answer.
pub const PAIRS_MAX: usize = 10_000;
/// A status of thousands of gaps, or a page of failed records with their events (20 of 100 events each, so 30 KB an event).
const ANSWER_MAX: u64 = 64 << 20;
/// Differences of a comparison in one answer.
pub const DIFFERENCES: usize = 10_000;
const CLIENTS_MAX: usize = 16;
/// A client that says nothing is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// A bridge that is busy with its store answers late; one that hangs, never.
const TOLD_WITHIN: Duration = Duration::from_secs(30);
/// Most of what is asked for stops everything in order first.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(60);
/// The bridge itself says before this that it takes long.
const DONE_WITHIN: Duration = ACCEPTED_WITHIN.saturating_add(PATIENCE);

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    Status { v: u32 },
    AcceptOrg { v: u32, org: OrgName, org_id: String },
    Resume { v: u32, pipeline: PipelineName },
    Pause { v: u32, pipeline: PipelineName, reason: String },
    PauseOrg { v: u32, org: OrgName, reason: String },
    ResumeOrg { v: u32, org: OrgName },
    Failed { v: u32, ask: Ask },
    Redrive { v: u32, which: Which },
    Discard { v: u32, which: Which },
    Actions { v: u32, ask: action::Ask },
    RedriveActions { v: u32, which: WhichActions },
    DiscardActions { v: u32, which: WhichActions },
    Backfill { v: u32, pipelines: Vec<PipelineName>, condition: Option<String> },
    StopBackfill { v: u32, pipelines: Vec<PipelineName> },
    Reapply { v: u32, pipelines: Vec<PipelineName>, range: Range, begin: bool },
    Verify { v: u32, pipelines: Vec<PipelineName>, wish: Wish },
    Differences { v: u32, number: VerificationNumber, after: u64 },
    CloseGap { v: u32, id: i64 },
    Journal { v: u32, ask: entries::Ask },
    Trace { v: u32, ask: trace::Ask },
    AddToList { v: u32, list: Option<i64>, pairs: Vec<(RecordId, RecordId)> },
    Import { v: u32, pipeline: PipelineName, list: i64, pairs: u64 },
    NotLinked { v: u32, pipeline: PipelineName, after: Option<RecordId> },
}

impl Request {
    fn version(&self) -> u32 {
        match self {
            Self::Status { v }
            | Self::AcceptOrg { v, .. }
            | Self::Resume { v, .. }
            | Self::Pause { v, .. }
            | Self::PauseOrg { v, .. }
            | Self::ResumeOrg { v, .. }
            | Self::Failed { v, .. }
            | Self::Redrive { v, .. }
            | Self::Discard { v, .. }
            | Self::Actions { v, .. }
            | Self::RedriveActions { v, .. }
            | Self::DiscardActions { v, .. }
            | Self::Backfill { v, .. }
            | Self::StopBackfill { v, .. }
            | Self::Reapply { v, .. }
            | Self::Verify { v, .. }
            | Self::Differences { v, .. }
            | Self::CloseGap { v, .. }
            | Self::Journal { v, .. }
            | Self::Trace { v, .. }
            | Self::AddToList { v, .. }
            | Self::Import { v, .. }
            | Self::NotLinked { v, .. } => *v,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Status(Box<Report>),
    Accepted(OrgName),
    /// Whether it was halted, or paused.
    Resumed(bool),
    /// Whether it was not paused before.
    Paused(bool),
    Failed(Told),
    /// How many records.
    Redriven(u64),
    Discarded(u64),
    Actions(action::Told),
    /// The jobs, in their order.
    Backfilling(Vec<i64>),
    /// How many.
    Stopped(u64),
    Reapplying(Vec<Reapplying>),
    /// The comparisons.
    Verifying(Vec<i64>),
    Differences(Vec<Difference>),
    /// Whether it was open.
    GapClosed(bool),
    Journal(entries::Told),
    Traced(Box<trace::Told>),
    /// The list.
    Listed(i64),
    /// The job.
    Importing(i64),
    NotLinked(Vec<NotLinked>),
    Error(String),
}

/// Where the socket of a state file is.
pub fn path(state: &Path) -> PathBuf {
    let mut name = OsString::from(state.canonicalize().unwrap_or_else(|_| state.to_owned()));
    name.push(".sock");
    name.into()
}

/// What answers: the store, the board and the way to the bridge.
#[derive(Clone)]
pub struct Server<S> {
    pub store: S,
    pub board: Board,
    pub orgs: Vec<OrgName>,
    pub commands: mpsc::Sender<Command>,
}

/// The socket's file; it goes with this.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What is left behind is replaced by the next owner.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Socket {
    /// Whoever owns the state file owns the socket: one that is there was left by a bridge that is dead.
    ///
    /// # Errors
    /// When it cannot be made, as where its path is longer than the system allows (about 100 bytes).
    pub fn bind(state: &Path) -> io::Result<Self> {
        let path = path(state);
        let mut private = OsString::from(&path);
        private.push(format!(".{}", std::process::id()));
        let private = PathBuf::from(private);
        // Made where nobody else can reach it, and moved when its own permissions are set: there is no moment at which
        // it is open to others.
        DirBuilder::new().mode(0o700).create(&private)?;
        let made = || {
            let first = private.join("s");
            let listener = std::os::unix::net::UnixListener::bind(&first)?;
            std::fs::set_permissions(&first, std::fs::Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            std::fs::rename(&first, &path)?;
            UnixListener::from_std(listener)
        };
        let listener = made();
        let _ = std::fs::remove_dir_all(&private);
        Ok(Self { listener: listener?, path })
    }

    /// Answers until dropped.
    pub async fn serve<S: Store>(self, server: Server<S>) {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if clients.len() < CLIENTS_MAX => {
                    if let Ok((stream, _)) = accepted {
                        let server = server.clone();
                        clients.spawn(async move {
                            // A client that went away is not answered.
                            let _ = server.answer(stream).await;
                        });
                    }
                }
                Some(_) = clients.join_next() => {}
            }
        }
    }
}

impl<S: Store> Server<S> {
    async fn answer(&self, stream: UnixStream) -> io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut line = String::new();
        let mut reader = BufReader::new(reader.take(REQUEST_MAX));
        let answer = match tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(_)) => match serde_json::from_str::<Request>(&line) {
                Ok(request) if request.version() != 1 => {
                    Answer::Error("this bridge knows requests of version 1".to_owned())
                }
                Ok(request) => self.answered(request).await,
                Err(error) => Answer::Error(format!("no request: {error}")),
            },
            Ok(Err(error)) => Answer::Error(format!("no request: {}", error.kind())),
            Err(_) => Answer::Error("no request came".to_owned()),
        };
        let mut text = serde_json::to_string(&answer).map_err(io::Error::other)?;
        text.push('\n');
        tokio::time::timeout(PATIENCE, writer.write_all(text.as_bytes())).await.map_err(io::Error::other)?
    }

    async fn answered(&self, request: Request) -> Answer {
        let answer = match request {
            Request::Status { .. } => return self.status().await,
            Request::AcceptOrg { org, org_id, .. } => return self.accept(org, org_id).await,
            Request::Resume { pipeline, .. } => {
                self.command(|done| Command::Resume { pipeline, done }).await.map(Answer::Resumed)
            }
            Request::Pause { pipeline, reason, .. } => {
                self.command(|done| Command::Pause { pipeline, reason, done }).await.map(Answer::Paused)
            }
            Request::PauseOrg { org, reason, .. } => {
                self.command(|done| Command::PauseOrg { org, reason, done }).await.map(Answer::Paused)
            }
            Request::ResumeOrg { org, .. } => {
                self.command(|done| Command::ResumeOrg { org, done }).await.map(Answer::Resumed)
            }
            Request::Failed { ask, .. } => {
                failed::told(&self.store, ask).await.map(Answer::Failed).map_err(|error| error.to_string())
            }
            Request::Redrive { which, .. } => {
                self.command(|done| Command::Redrive { which, done }).await.map(Answer::Redriven)
            }
            Request::Discard { which, .. } => {
                self.command(|done| Command::Discard { which, done }).await.map(Answer::Discarded)
            }
            Request::Actions { ask, .. } => {
                action::told(&self.store, ask).await.map(Answer::Actions).map_err(|error| error.to_string())
            }
            Request::RedriveActions { which, .. } => {
                self.command(|done| Command::RedriveActions { which, done }).await.map(Answer::Redriven)
            }
            Request::DiscardActions { which, .. } => {
                self.command(|done| Command::DiscardActions { which, done }).await.map(Answer::Discarded)
            }
            Request::Backfill { pipelines, condition, .. } => {
                self.command(|done| Command::Backfill { pipelines, condition, done }).await.map(Answer::Backfilling)
            }
            Request::CloseGap { id, .. } => {
                let closed = self.store.close_gap(id, Mended::Person).await;
                closed.map(Answer::GapClosed).map_err(|error| error.to_string())
            }
            Request::Reapply { pipelines, range, begin, .. } => {
                self.command(|done| Command::Reapply { pipelines, range, begin, done }).await.map(Answer::Reapplying)
            }
            Request::Verify { pipelines, wish, .. } => {
                self.command(|done| Command::Verify { pipelines, wish, done }).await.map(Answer::Verifying)
            }
            Request::Differences { number, after, .. } => {
                let found = self.store.differences(number, after, DIFFERENCES).await;
                found.map(Answer::Differences).map_err(|error| error.to_string())
            }
            Request::Journal { ask, .. } => {
                entries::told(&self.store, ask).await.map(Answer::Journal).map_err(|error| error.to_string())
            }
            Request::Trace { ask, .. } => {
                let told = trace::told(&self.store, ask).await;
                told.map(|told| Answer::Traced(Box::new(told))).map_err(|error| error.to_string())
            }
            Request::AddToList { list, pairs, .. } => {
                let pairs = pairs.into_iter().map(|(record, target)| Listed { record, target: Some(target) });
                let list = self.store.add_to_list(list.map(ListNumber), pairs.collect()).await;
                list.map(|list| Answer::Listed(list.0)).map_err(|error| error.to_string())
            }
            Request::Import { pipeline, list, pairs, .. } => {
                let list = ListNumber(list);
                self.command(|done| Command::Import { pipeline, list, pairs, done }).await.map(Answer::Importing)
            }
            Request::NotLinked { pipeline, after, .. } => {
                let told = past::import::not_linked(&self.store, &pipeline, after, PAIRS_MAX).await;
                told.map(Answer::NotLinked).map_err(|error| error.to_string())
            }
            Request::StopBackfill { pipelines, .. } => {
                self.command(|done| Command::StopBackfill { pipelines, done }).await.map(Answer::Stopped)
            }
        };
        answer.unwrap_or_else(Answer::Error)
    }

    async fn status(&self) -> Answer {
        let live = self.board.watch().borrow().clone();
        match Report::gather(&self.store, self.orgs.clone(), Timestamp::now(), Some(&live)).await {
            Ok(report) => Answer::Status(Box::new(report)),
            Err(error) => Answer::Error(error.to_string()),
        }
    }

    async fn accept(&self, org: OrgName, org_id: String) -> Answer {
        let accepted = org.clone();
        self.command(|done| Command::AcceptOrg { org, org_id, done })
            .await
            .map_or_else(Answer::Error, |()| Answer::Accepted(accepted))
    }

    /// Hands a command to the bridge and waits until it is done.
    async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Command,
    ) -> Result<T, String> {
        let gone = || "the bridge is just stopping".to_owned();
        let (done, answer) = oneshot::channel();
        if self.commands.send(command(done)).await.is_err() {
            return Err(gone());
        }
        match tokio::time::timeout(ACCEPTED_WITHIN, answer).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err("the bridge takes long to stop what is in flight; ask for its status".to_owned()),
        }
    }
}

/// Asks the running bridge of a state file. None: none runs.
async fn ask(state: &Path, request: &Request) -> io::Result<Option<Answer>> {
    let mut stream = match UnixStream::connect(path(state)).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut text = serde_json::to_string(request)?;
    text.push('\n');
    stream.write_all(text.as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream.take(ANSWER_MAX)).read_line(&mut line).await?;
    Ok(Some(serde_json::from_str(&line)?))
}

/// Asks for one kind of answer. None: none runs.
async fn asked<T>(
    state: &Path,
    request: &Request,
    within: Duration,
    wanted: impl FnOnce(Answer) -> Result<T, Answer>,
) -> io::Result<Option<T>> {
    let late = |_| io::Error::other(format!("no answer within {} s", within.as_secs()));
    let Some(answer) = tokio::time::timeout(within, ask(state, request)).await.map_err(late)?? else { return Ok(None) };
    wanted(answer).map(Some).map_err(refused)
}

fn refused(answer: Answer) -> io::Error {
    match answer {
        Answer::Error(reason) => io::Error::other(reason),
        Answer::Status(_)
        | Answer::Accepted(_)
        | Answer::Resumed(_)
        | Answer::Paused(_)
        | Answer::Failed(_)
        | Answer::Redriven(_)
        | Answer::Discarded(_)
        | Answer::Actions(_)
        | Answer::Backfilling(_)
        | Answer::Stopped(_)
        | Answer::Reapplying(_)
        | Answer::Verifying(_)
        | Answer::Differences(_)
        | Answer::GapClosed(_)
        | Answer::Journal(_)
        | Answer::Traced(_)
        | Answer::Listed(_)
        | Answer::Importing(_)
        | Answer::NotLinked(_) => io::Error::other("the bridge answered something else"),
    }
}

/// An answer, if it is of this kind.
macro_rules! only {
    ($kind:ident) => {
        |answer| match answer {
            Answer::$kind(told) => Ok(told),
            other => Err(other),
        }
    };
}

/// The status of the running bridge. None: none runs.
pub async fn status(state: &Path) -> io::Result<Option<Report>> {
    let report = asked(state, &Request::Status { v: 1 }, TOLD_WITHIN, only!(Status)).await?;
    Ok(report.map(|report| *report))
}

/// Lets a halted pipeline of the running bridge go on; whether it was halted. None: none runs.
pub async fn resume(state: &Path, pipeline: &PipelineName) -> io::Result<Option<bool>> {
    asked(state, &Request::Resume { v: 1, pipeline: pipeline.clone() }, DONE_WITHIN, only!(Resumed)).await
}

/// Halts a pipeline of the running bridge; whether it was not halted before. None: none runs.
pub async fn pause(state: &Path, pipeline: &PipelineName, reason: &str) -> io::Result<Option<bool>> {
    let request = Request::Pause { v: 1, pipeline: pipeline.clone(), reason: reason.to_owned() };
    asked(state, &request, DONE_WITHIN, only!(Paused)).await
}

/// The running bridge writes nothing into an org; whether this is new. None: none runs.
pub async fn pause_org(state: &Path, org: &OrgName, reason: &str) -> io::Result<Option<bool>> {
    let request = Request::PauseOrg { v: 1, org: org.clone(), reason: reason.to_owned() };
    asked(state, &request, DONE_WITHIN, only!(Paused)).await
}

/// The running bridge writes into an org again; whether it was paused. None: none runs.
pub async fn resume_org(state: &Path, org: &OrgName) -> io::Result<Option<bool>> {
    asked(state, &Request::ResumeOrg { v: 1, org: org.clone() }, DONE_WITHIN, only!(Resumed)).await
}

/// What the running bridge tells of failed records. None: none runs.
pub async fn told(state: &Path, question: Ask) -> io::Result<Option<Told>> {
    asked(state, &Request::Failed { v: 1, ask: question }, TOLD_WITHIN, only!(Failed)).await
}

/// What the running bridge tells of the events that came. None: none runs.
pub async fn journaled(state: &Path, question: entries::Ask) -> io::Result<Option<entries::Told>> {
    asked(state, &Request::Journal { v: 1, ask: question }, TOLD_WITHIN, only!(Journal)).await
}

/// The running bridge tries failed records again; how many. None: none runs.
pub async fn redrive(state: &Path, which: &Which) -> io::Result<Option<u64>> {
    asked(state, &Request::Redrive { v: 1, which: which.clone() }, DONE_WITHIN, only!(Redriven)).await
}

/// The running bridge gives failed records up; how many. None: none runs.
pub async fn discard(state: &Path, which: &Which) -> io::Result<Option<u64>> {
    asked(state, &Request::Discard { v: 1, which: which.clone() }, DONE_WITHIN, only!(Discarded)).await
}

/// What the running bridge tells of failed actions. None: none runs.
pub async fn failed_actions(state: &Path, ask: action::Ask) -> io::Result<Option<action::Told>> {
    asked(state, &Request::Actions { v: 1, ask }, TOLD_WITHIN, only!(Actions)).await
}

/// The running bridge does failed actions again; how many. None: none runs.
pub async fn redrive_actions(state: &Path, which: &WhichActions) -> io::Result<Option<u64>> {
    asked(state, &Request::RedriveActions { v: 1, which: which.clone() }, DONE_WITHIN, only!(Redriven)).await
}

/// The running bridge gives failed actions up; how many. None: none runs.
pub async fn discard_actions(state: &Path, which: &WhichActions) -> io::Result<Option<u64>> {
    asked(state, &Request::DiscardActions { v: 1, which: which.clone() }, DONE_WITHIN, only!(Discarded)).await
}

/// The running bridge backfills these pipelines; the numbers of its jobs, in their order. None: none runs.
pub async fn backfill(
    state: &Path,
    pipelines: &[PipelineName],
    condition: Option<&str>,
) -> io::Result<Option<Vec<i64>>> {
    let (pipelines, condition) = (pipelines.to_vec(), condition.map(str::to_owned));
    asked(state, &Request::Backfill { v: 1, pipelines, condition }, DONE_WITHIN, only!(Backfilling)).await
}

/// The running bridge ends these pipelines' backfills where they are; how many there were. None: none runs.
pub async fn stop_backfill(state: &Path, pipelines: &[PipelineName]) -> io::Result<Option<u64>> {
    let request = Request::StopBackfill { v: 1, pipelines: pipelines.to_vec() };
    asked(state, &request, DONE_WITHIN, only!(Stopped)).await
}

/// What a range of events comes to, and, with `begin`, the jobs of the running bridge for it. None: none runs.
pub async fn reapply(
    state: &Path,
    pipelines: &[PipelineName],
    range: Range,
    begin: bool,
) -> io::Result<Option<Vec<Reapplying>>> {
    let request = Request::Reapply { v: 1, pipelines: pipelines.to_vec(), range, begin };
    asked(state, &request, DONE_WITHIN, only!(Reapplying)).await
}

/// The running bridge compares both sides of these pipelines; the numbers of the comparisons. None: none runs.
pub async fn verify(state: &Path, pipelines: &[PipelineName], wish: Wish) -> io::Result<Option<Vec<i64>>> {
    let request = Request::Verify { v: 1, pipelines: pipelines.to_vec(), wish };
    asked(state, &request, DONE_WITHIN, only!(Verifying)).await
}

/// What a comparison found, behind the first `after`: at most [`DIFFERENCES`]. None: no bridge runs.
pub async fn differences(state: &Path, number: VerificationNumber, after: u64) -> io::Result<Option<Vec<Difference>>> {
    asked(state, &Request::Differences { v: 1, number, after }, TOLD_WITHIN, only!(Differences)).await
}

/// A person closes a gap; whether it was open. None: no bridge runs.
pub async fn close_gap(state: &Path, id: i64) -> io::Result<Option<bool>> {
    asked(state, &Request::CloseGap { v: 1, id }, TOLD_WITHIN, only!(GapClosed)).await
}

/// What the running bridge knows of a record. None: none runs.
pub async fn trace(state: &Path, question: trace::Ask) -> io::Result<Option<trace::Told>> {
    let told = asked(state, &Request::Trace { v: 1, ask: question }, TOLD_WITHIN, only!(Traced)).await?;
    Ok(told.map(|told| *told))
}

/// The running bridge notes pairs of records, at most [`PAIRS_MAX`], behind those of a list, or as a new one. None: none runs.
pub async fn add_to_list(state: &Path, list: Option<i64>, pairs: Vec<(RecordId, RecordId)>) -> io::Result<Option<i64>> {
    asked(state, &Request::AddToList { v: 1, list, pairs }, DONE_WITHIN, only!(Listed)).await
}

/// The running bridge links the pairs of a list, so many; the number of the job that gives them the key. None: none runs.
pub async fn import(state: &Path, pipeline: &PipelineName, list: i64, pairs: u64) -> io::Result<Option<i64>> {
    asked(state, &Request::Import { v: 1, pipeline: pipeline.clone(), list, pairs }, DONE_WITHIN, only!(Importing))
        .await
}

/// Pairs that the last import of a pipeline could not link, behind this record, at most [`PAIRS_MAX`]. None: no bridge runs.
pub async fn not_linked(
    state: &Path,
    pipeline: &PipelineName,
    after: Option<RecordId>,
) -> io::Result<Option<Vec<NotLinked>>> {
    asked(state, &Request::NotLinked { v: 1, pipeline: pipeline.clone(), after }, TOLD_WITHIN, only!(NotLinked)).await
}

/// Accepts another org in the running bridge, which goes on with it. None: none runs.
pub async fn accept_org(state: &Path, org: &OrgName, org_id: &str) -> io::Result<Option<()>> {
    let request = Request::AcceptOrg { v: 1, org: org.clone(), org_id: org_id.to_owned() };
    Ok(asked(state, &request, DONE_WITHIN, only!(Accepted)).await?.map(drop))
}
