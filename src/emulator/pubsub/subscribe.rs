//! Subscribe: a client asks for events as it can take them (streaming-pubsub.md section 4).

use std::collections::VecDeque;

use async_stream::try_stream;
use futures_util::Stream;
use tonic::{Status, Streaming};

use super::caller::Caller;
use super::demand::{Opening, asked};
use super::refusal::Refusal;
use super::subscription::{Batch, Subscription, Wake};
use pubsub_api::{FetchRequest, FetchResponse};

/// The responses of one call.
pub fn responses(caller: Caller, input: Streaming<FetchRequest>) -> impl Stream<Item = Result<FetchResponse, Status>> {
    try_stream! {
        if let Some(mut fetch) = Fetch::open(caller, input).await? {
            while let Some(batch) = fetch.next().await? {
                yield fetch.response(batch);
            }
        }
    }
}

/// A subscription that runs.
struct Fetch {
    input: Streaming<FetchRequest>,
    opening: Opening,
    subscription: Subscription,
    /// Taken and not yet sent.
    ready: VecDeque<Batch>,
}

impl Fetch {
    /// None if the client leaves without having asked for anything.
    async fn open(caller: Caller, mut input: Streaming<FetchRequest>) -> Result<Option<Self>, Status> {
        let Some(first) = caller.first(&mut input).await? else { return Ok(None) };
        let opening = Opening::of(&first).and_then(|opening| Ok((opening, asked(&first)?)));
        let (opening, events) = opening.map_err(|refusal| caller.refuse(refusal))?;
        let mut subscription = Subscription::open(caller, &opening.topic, opening.start)?;
        subscription.ask(events);
        Ok(Some(Self { input, opening, subscription, ready: VecDeque::new() }))
    }

    /// The next response; none when the stream ends. A client that has nothing more to say gets nothing more either,
    /// not even what it is owed: "half-close ends the subscription".
    async fn next(&mut self) -> Result<Option<Batch>, Status> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            self.ready = self.subscription.take().map_err(|refusal| self.refuse(refusal))?;
            if !self.ready.is_empty() {
                continue;
            }
            tokio::select! {
                biased; // a client that asks is heard, however often the org wakes us
                request = self.input.message() => match request? {
                    Some(request) => self.hear(&request).map_err(|refusal| self.refuse(refusal))?,
                    None => return Ok(None),
                },
                wake = self.subscription.wait() => match wake {
                    Wake::Look => {}
                    Wake::Keepalive => return Ok(Some(self.subscription.keepalive())),
                    Wake::Close => return self.subscription.caller.idle().map(|()| None),
                    Wake::Stopped => return Err(self.refuse(Refusal::Unavailable)),
                },
            }
        }
    }

    fn hear(&mut self, request: &FetchRequest) -> Result<(), Refusal> {
        self.opening.fits(request)?;
        let events = asked(request)?;
        self.subscription.caller.refresh(&request.auth_refresh)?;
        self.subscription.ask(events);
        Ok(())
    }

    fn refuse(&self, refusal: Refusal) -> Status {
        self.subscription.caller.refuse(refusal)
    }

    fn response(&self, batch: Batch) -> FetchResponse {
        FetchResponse {
            events: batch.events,
            latest_replay_id: batch.latest_replay_id,
            rpc_id: self.subscription.caller.rpc_id.clone(),
            pending_num_requested: batch.pending,
        }
    }
}
