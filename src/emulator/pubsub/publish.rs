//! Publish and PublishStream (streaming-pubsub.md section 11).

use std::time::Duration;

use async_stream::try_stream;
use futures_util::Stream;
use prost::Message as _;
use serde_json::{Map, Value as Json};
use tokio::time::{Instant, sleep_until};
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::caller::Caller;
use super::refusal::Refusal;
use super::replay;
use crate::org::{Caller as Writer, EVENT_LIMIT, Layout, NotAnEvent, ObjectIndex, Org, Published};
use pubsub_api::{Error, ErrorCode, ProducerEvent, PublishRequest, PublishResponse, PublishResult};

/// What a request may have; a larger one never reaches the service.
const REQUEST_LIMIT: usize = 4 * 1024 * 1024;

/// Every event has to bring them, and the org sets them itself: who published, and when.
const SYSTEM: [&str; 2] = ["CreatedDate", "CreatedById"];

/// The answer to Publish.
pub fn once(caller: &Caller, request: &PublishRequest) -> Result<PublishResponse, Status> {
    fits(request)?;
    publish(caller, &request.topic_name, &request.events).map_err(|refusal| caller.refuse(refusal))
}

/// The responses of PublishStream: one for each request, in their order.
pub fn responses(
    caller: Caller,
    input: Streaming<PublishRequest>,
) -> impl Stream<Item = Result<PublishResponse, Status>> {
    try_stream! {
        let now = Instant::now();
        let mut publisher = Publisher { caller, input, topic: None, published: now, quiet_since: now };
        while let Some(response) = publisher.next().await? {
            yield response;
        }
    }
}

/// A publish stream that runs.
struct Publisher {
    caller: Caller,
    input: Streaming<PublishRequest>,
    /// Of the first request.
    topic: Option<String>,
    /// When the last events came.
    published: Instant,
    /// When the last response went out.
    quiet_since: Instant,
}

impl Publisher {
    async fn next(&mut self) -> Result<Option<PublishResponse>, Status> {
        loop {
            let (keepalive, idle) = {
                let switches = self.caller.host.switches();
                let after = |start: Instant, ms: u64| start + Duration::from_millis(ms);
                (
                    after(self.quiet_since, switches.pubsub_keepalive_ms),
                    after(self.published, switches.pubsub_publish_idle_ms),
                )
            };
            let stopped = self.caller.host.stopped();
            let response = tokio::select! {
                biased;
                request = self.input.message() => match request? {
                    None => return Ok(None),
                    Some(request) => match self.hear(&request)? {
                        Some(response) => response,
                        None => continue,
                    },
                },
                () = stopped.cancelled() => return Err(self.caller.refuse(Refusal::Unavailable)),
                () = sleep_until(idle) => return Err(self.caller.refuse(Refusal::PublishIdle)),
                () = sleep_until(keepalive) => {
                    PublishResponse { rpc_id: self.caller.rpc_id.clone(), ..PublishResponse::default() }
                }
            };
            self.quiet_since = Instant::now();
            return Ok(Some(response));
        }
    }

    /// No response if the request only brings a token.
    fn hear(&mut self, request: &PublishRequest) -> Result<Option<PublishResponse>, Status> {
        fits(request)?;
        let answer = self.answer(request);
        answer.map_err(|refusal| self.caller.refuse(refusal))
    }

    fn answer(&mut self, request: &PublishRequest) -> Result<Option<PublishResponse>, Refusal> {
        match &self.topic {
            None if !request.auth_refresh.is_empty() => return Err(Refusal::PublishAuthRefresh),
            None => self.topic = Some(request.topic_name.clone()),
            Some(topic) if !request.topic_name.is_empty() && request.topic_name != *topic => {
                return Err(Refusal::PublishTopicMismatch);
            }
            Some(_) => {}
        }
        self.caller.refresh(&request.auth_refresh)?;
        if request.events.is_empty() && !request.auth_refresh.is_empty() {
            return Ok(None);
        }
        let topic = self.topic.as_deref().unwrap_or_default();
        let response = publish(&self.caller, topic, &request.events)?;
        self.published = Instant::now();
        Ok(Some(response))
    }
}

/// A proxy in front of the service breaks off what is too large, so no trailer tells of it.
fn fits(request: &PublishRequest) -> Result<(), Status> {
    if request.encoded_len() <= REQUEST_LIMIT {
        return Ok(());
    }
    let message = "upstream connect error or disconnect/reset before headers. reset reason: remote reset";
    Err(Status::unavailable(message))
}

fn publish(caller: &Caller, topic: &str, events: &[ProducerEvent]) -> Result<PublishResponse, Refusal> {
    if topic.trim().is_empty() {
        return Err(Refusal::PublishTopicEmpty);
    }
    let user = caller.user()?;
    let host = &caller.host;
    let response = {
        let mut org = host.org();
        let Some(feed) = org.feed(topic) else {
            return Err(Refusal::TopicNotFound { org: org.id.to_string(), topic: topic.to_owned() });
        };
        // Nobody publishes change events.
        let object = feed.object().filter(|_| feed.is_platform_event());
        let object = object.filter(|object| org.object_access(&user, *object).create);
        let object = object.ok_or(Refusal::TopicNotReadable)?;
        if events.is_empty() {
            return Err(Refusal::NothingToPublish);
        }
        let (writer, now) = (Writer::new(user, ""), host.now());
        let results = events.iter().map(|event| {
            let outcome = one(&mut org, &writer, object, event, now);
            result(event, outcome)
        });
        PublishResponse {
            results: results.collect(),
            schema_id: org.schema_of(object).map(|schema| schema.id.clone()).unwrap_or_default(),
            rpc_id: caller.rpc_id.clone(),
        }
    };
    host.notify();
    Ok(response)
}

/// Publishes one event.
///
/// # Errors
/// A text for its publisher.
fn one(
    org: &mut Org,
    writer: &Writer,
    object: ObjectIndex,
    event: &ProducerEvent,
    now: i64,
) -> Result<Published, String> {
    if event.encoded_len() > EVENT_LIMIT {
        return Err("The event message is larger than the maximum size of 1 MB.".into());
    }
    let schema = org.schema_by_id(&event.schema_id).filter(|schema| schema.object == object);
    let schema = schema.ok_or_else(|| format!("The schema ID {} is not of this topic.", event.schema_id))?;
    let fields = fields(&schema.layout, &event.payload);
    let fields = fields.map_err(|problem| format!("The payload does not fit its schema: {problem}"))?;
    org.publish_event(writer, object, &fields, now).map_err(|error| format!("{}: {}", error.code, error.message))
}

/// The fields that have a value, in the form in which requests bring them; the org sets the others itself.
fn fields(layout: &Layout, payload: &[u8]) -> Result<Map<String, Json>, NotAnEvent> {
    let (_, cells) = layout.decode(payload)?;
    let given = layout.cells(&cells).filter(|(_, slot, cell)| !cell.is_null() && !SYSTEM.contains(&slot.name.as_str()));
    Ok(given.map(|(_, slot, cell)| (slot.name.clone(), cell.to_json(&slot.form))).collect())
}

/// Who gives an event no mark of its own gets one.
fn result(event: &ProducerEvent, outcome: Result<Published, String>) -> PublishResult {
    let given = Some(event.id.clone()).filter(|id| !id.is_empty());
    let correlation_key = given.unwrap_or_else(|| Uuid::new_v4().to_string());
    match outcome {
        Ok(published) => PublishResult { replay_id: replay::encode(published.replay_id), error: None, correlation_key },
        Err(msg) => {
            let error = Error { code: ErrorCode::Publish.into(), msg };
            PublishResult { error: Some(error), correlation_key, ..PublishResult::default() }
        }
    }
}
