//! ManagedSubscribe: the org remembers how far its client has come (streaming-pubsub.md section 12).

use std::collections::VecDeque;
use std::sync::Arc;

use async_stream::try_stream;
use bytes::Bytes;
use futures_util::Stream;
use tonic::{Status, Streaming};

use super::caller::Caller;
use super::refusal::Refusal;
use super::replay;
use super::subscription::{Batch, Subscription, Wake};
use crate::host::Host;
use crate::org::{CommitProblem, Id, Org};
use pubsub_api::{
    CommitReplayRequest, CommitReplayResponse, Error, ErrorCode, ManagedFetchRequest, ManagedFetchResponse,
};

/// The responses of one call.
pub fn responses(
    caller: Caller,
    input: Streaming<ManagedFetchRequest>,
) -> impl Stream<Item = Result<ManagedFetchResponse, Status>> {
    try_stream! {
        if let Some(mut fetch) = Fetch::open(caller, input).await? {
            while let Some(response) = fetch.next().await? {
                yield response;
            }
        }
    }
}

/// A managed subscription that runs.
struct Fetch {
    input: Streaming<ManagedFetchRequest>,
    hold: Hold,
    subscription: Subscription,
    ready: VecDeque<Batch>,
    /// Outcomes of commits that the client does not know yet.
    commits: VecDeque<CommitReplayResponse>,
    /// The latest replay id that the client was told.
    told: Bytes,
}

/// As long as it is there, nobody else gets the subscription.
struct Hold {
    host: Arc<Host>,
    id: Id,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.host.org().release_managed(&self.id);
    }
}

impl Fetch {
    async fn open(caller: Caller, mut input: Streaming<ManagedFetchRequest>) -> Result<Option<Self>, Status> {
        let Some(first) = caller.first(&mut input).await? else { return Ok(None) };
        let begun = begin(&caller, &first);
        let (hold, topic, position, events) = begun.map_err(|refusal| caller.refuse(refusal))?;
        let told = replay::encode(position);
        let mut subscription = Subscription::at(caller, &topic, position)?;
        subscription.ask(events);
        Ok(Some(Self { input, hold, subscription, ready: VecDeque::new(), commits: VecDeque::new(), told }))
    }

    async fn next(&mut self) -> Result<Option<ManagedFetchResponse>, Status> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(self.response(batch)));
            }
            let runs = runs(&self.hold.host.org(), &self.hold.id);
            let taken = runs.and_then(|()| self.subscription.take());
            self.ready = taken.map_err(|refusal| self.refuse(refusal))?;
            if !self.ready.is_empty() {
                continue;
            }
            tokio::select! {
                biased; // commits that came together are answered together
                request = self.input.message() => match request? {
                    Some(request) => self.hear(request).map_err(|refusal| self.refuse(refusal))?,
                    None => return Ok(None),
                },
                () = std::future::ready(()), if !self.commits.is_empty() => {
                    let latest_replay_id = self.told.clone();
                    let pending = self.subscription.pending();
                    return Ok(Some(self.response(Batch { events: Vec::new(), latest_replay_id, pending })));
                }
                wake = self.subscription.wait() => match wake {
                    Wake::Look => {}
                    Wake::Keepalive => {
                        let batch = self.subscription.keepalive();
                        return Ok(Some(self.response(batch)));
                    }
                    Wake::Close => return self.subscription.caller.idle().map(|()| None),
                    Wake::Stopped => return Err(self.refuse(Refusal::Unavailable)),
                },
            }
        }
    }

    fn hear(&mut self, request: ManagedFetchRequest) -> Result<(), Refusal> {
        let events = u32::try_from(request.num_requested).map_err(|_| Refusal::ManagedCountInvalid)?;
        if events == 0 && request.commit_replay_id_request.is_none() && request.auth_refresh.is_empty() {
            return Err(Refusal::ManagedRequestInvalid);
        }
        self.subscription.caller.refresh(&request.auth_refresh)?;
        self.subscription.ask(events);
        if let Some(commit) = request.commit_replay_id_request {
            self.commit(commit);
        }
        Ok(())
    }

    /// A commit that fails does not end the stream. Of commits that succeed the last one is enough to know of.
    fn commit(&mut self, request: CommitReplayRequest) {
        let host = &self.hold.host;
        let now = host.now();
        let told = replay::decode(&self.told).unwrap_or_default();
        let outcome = match replay::decode(&request.replay_id) {
            None if request.replay_id.is_empty() => Err("The commit request has no replay ID."),
            None => Err("The Replay ID validation failed. Ensure that the Replay ID is valid."),
            Some(id) => host.org().commit_managed(&self.hold.id, id, told, now).map_err(|problem| match problem {
                CommitProblem::OutOfRetention => "The replay ID is not within the retention window.",
                CommitProblem::NotDelivered => "The replay ID is of an event that was not delivered yet.",
                CommitProblem::Older => "The replay ID is older than the committed one.",
            }),
        };
        let error = outcome.err().map(|msg| Error { code: ErrorCode::Commit.into(), msg: msg.into() });
        if error.is_none() && self.commits.back().is_some_and(|before| before.error.is_none()) {
            self.commits.pop_back();
        }
        self.commits.push_back(CommitReplayResponse {
            commit_request_id: request.commit_request_id,
            replay_id: request.replay_id,
            error,
            process_time: now.div_euclid(1_000),
        });
    }

    fn refuse(&self, refusal: Refusal) -> Status {
        self.subscription.caller.refuse(refusal)
    }

    fn response(&mut self, batch: Batch) -> ManagedFetchResponse {
        self.told = batch.latest_replay_id.clone();
        ManagedFetchResponse {
            events: batch.events,
            latest_replay_id: batch.latest_replay_id,
            rpc_id: self.subscription.caller.rpc_id.clone(),
            pending_num_requested: batch.pending,
            commit_response: self.commits.pop_front(),
        }
    }
}

/// What the first request begins: the subscription, its topic, its position, and how many events are asked for.
fn begin(caller: &Caller, first: &ManagedFetchRequest) -> Result<(Hold, String, i64, u32), Refusal> {
    if first.commit_replay_id_request.is_some() {
        return Err(Refusal::ManagedCommitFirst);
    }
    if !first.auth_refresh.is_empty() {
        return Err(Refusal::ManagedAuthFirst);
    }
    let events = u32::try_from(first.num_requested).map_err(|_| Refusal::ManagedCountInvalid)?;
    if events == 0 {
        return Err(Refusal::ManagedRequestInvalid);
    }
    let now = caller.host.now();
    let mut org = caller.host.org();
    let id = find(&org, &first.subscription_id, &first.developer_name)?;
    runs(&org, &id)?;
    if !org.take_managed(&id) {
        return Err(Refusal::ManagedActive);
    }
    let topic = org.managed_subscriptions().iter().find(|known| known.id == id).map(|known| known.spec.topic.clone());
    let position = org.managed_position(&id, now);
    drop(org); // the hold may need it
    let hold = Hold { host: caller.host.clone(), id };
    let (topic, position) = topic.zip(position).ok_or(Refusal::ManagedDeleted)?;
    Ok((hold, topic, position, events))
}

fn find(org: &Org, id: &str, name: &str) -> Result<Id, Refusal> {
    let mut known = org.managed_subscriptions().iter();
    match (id, name) {
        ("", "") => Err(Refusal::ManagedIdentifier),
        (id, "") => {
            let id = Id::parse(id).ok_or(Refusal::ManagedIdInvalid)?;
            known.find(|known| known.id == id).map(|known| known.id.clone()).ok_or(Refusal::ManagedIdNotFound)
        }
        ("", name) => {
            known.find(|known| known.name == name).map(|known| known.id.clone()).ok_or(Refusal::ManagedNameNotFound)
        }
        _ => Err(Refusal::ManagedIdentifier),
    }
}

fn runs(org: &Org, id: &Id) -> Result<(), Refusal> {
    match org.managed_subscriptions().iter().find(|known| known.id == *id) {
        None => Err(Refusal::ManagedDeleted),
        Some(known) if !known.spec.runs => Err(Refusal::ManagedStopped),
        Some(_) => Ok(()),
    }
}
