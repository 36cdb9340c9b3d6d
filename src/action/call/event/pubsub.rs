//! Events through the Pub/Sub API, which says of each at once whether it is published.
//!
//! `envelope` makes an event of the inputs, `trouble` says what a failed call means; both are pure. The topic is asked for
//! what its schema is, once; and anew when an event does not fit, for somebody may have changed its fields meanwhile.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pubsub_api::{ProducerEvent, PublishRequest, PublishResult, SchemaRequest, TopicRequest};
use serde_json::{Map, Value as Json};
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};

use self::envelope::Sender;
use self::trouble::Trouble;
use super::super::{Called, CallerError, Inputs, NOT_SENT, Outcome, UNREADABLE_ANSWER, Why, verdict};
use crate::event::{ObjectName, Timestamp};
use crate::org::{Org, OrgText, RecordError, Refusal};
use crate::subscribe::pubsub::avro::Schema;
use crate::subscribe::pubsub::connection::{Client, Connection, with_login};
use crate::subscribe::pubsub::error::{Disposition, Failed, Fault};

mod envelope;
mod trouble;

/// What the org would take, had the event other fields than it has by now.
const SCHEMA_CHANGED: &str = "SCHEMA_CHANGED";

pub(in super::super) struct ByPubsub {
    org: Org,
    event: ObjectName,
    timeout: Duration,
    connection: Connection,
    /// The last one that was asked for. A schema id always means the same schema.
    topic: Mutex<Option<Arc<Topic>>>,
}

/// What is to be known of a topic before anything can be published to it.
struct Topic {
    schema_id: String,
    schema: Schema,
}

impl ByPubsub {
    pub fn new(org: Org, event: ObjectName, timeout: Duration) -> Result<Self, CallerError> {
        let addresses = org.config().pubsub.addresses();
        let connection = Connection::new(&addresses, None).map_err(|_| CallerError::BadAddress)?;
        Ok(Self { org, event, timeout, connection, topic: Mutex::default() })
    }

    pub async fn call(&self, inputs: &[Inputs<'_>]) -> Called {
        match self.publish(inputs).await {
            Ok(called) => called,
            // Nothing was published before the topic was known.
            Err(trouble) => trouble::before(&trouble, &self.event, inputs.len()),
        }
    }

    async fn publish(&self, inputs: &[Inputs<'_>]) -> Result<Called, Trouble> {
        let session = self.org.session().await.map_err(Trouble::Login)?;
        let sender = Sender { user_id: &session.user_id, now: Timestamp::now() };
        let (mut topic, known) = self.topic().await?;
        let mut made = self.made(&topic, &sender, inputs);
        if known && made.iter().any(Result::is_err) {
            let now = self.asked().await?;
            if now.schema_id != topic.schema_id {
                made = self.made(&now, &sender, inputs);
                topic = now;
            }
        }
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(made.len());
        let mut events = Vec::new();
        for event in made {
            outcomes.push(event.as_ref().err().cloned().map(Outcome::Refused));
            events.extend(event);
        }
        let mut called = self.send(events, &topic).await;
        let mut sent = std::mem::take(&mut called.outcomes).into_iter();
        let lost = || Outcome::Unknown(Why::new(UNREADABLE_ANSWER, ""));
        called.outcomes =
            outcomes.into_iter().map(|refused| refused.or_else(|| sent.next()).unwrap_or_else(lost)).collect();
        Ok(called)
    }

    fn made(&self, topic: &Topic, sender: &Sender<'_>, inputs: &[Inputs<'_>]) -> Vec<Result<ProducerEvent, Why>> {
        let make = |inputs| envelope::make(&topic.schema_id, &topic.schema, sender, inputs);
        inputs.iter().map(make).collect()
    }

    /// Sends events in as many requests as they need, as long as those are answered.
    async fn send(&self, events: Vec<ProducerEvent>, topic: &Topic) -> Called {
        let mut called = Called::default();
        for events in envelope::requests(events) {
            let count = events.len();
            if called.ends_it() {
                called.and(Called::all(count, &Outcome::NotYet(Why::new(NOT_SENT, ""))));
                continue;
            }
            called.and(match self.send_few(events, topic).await {
                Ok(called) => called,
                Err(trouble) => trouble::after(&trouble, &self.event, count),
            });
        }
        called
    }

    async fn send_few(&self, events: Vec<ProducerEvent>, topic: &Topic) -> Result<Called, Trouble> {
        let keys: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
        let request = PublishRequest { topic_name: self.topic_name(), events, auth_refresh: String::new() };
        let publish = |mut client: Client, request| async move { client.publish(request).await };
        let answer = self.ask(request, publish).await?;
        let mut called = results_of(&answer.results, &keys);
        if called.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
            // What the org says of an event that was encoded by an older schema is not documented, so the schema is
            // looked at instead. If that fails, the refusal stands.
            if self.asked().await.is_ok_and(|now| now.schema_id != topic.schema_id) {
                for outcome in &mut called.outcomes {
                    if let Outcome::Refused(why) = outcome {
                        *outcome = Outcome::NotYet(Why::new(SCHEMA_CHANGED, &why.evidence));
                    }
                }
            }
        }
        Ok(called)
    }

    fn topic_name(&self) -> String {
        format!("/event/{}", self.event)
    }

    /// The topic, and whether it was known from before.
    async fn topic(&self) -> Result<(Arc<Topic>, bool), Trouble> {
        let known = self.topic.lock().await.clone();
        match known {
            Some(topic) => Ok((topic, true)),
            None => Ok((self.asked().await?, false)),
        }
    }

    /// The topic as it is now.
    async fn asked(&self) -> Result<Arc<Topic>, Trouble> {
        let get_topic = |mut client: Client, request| async move { client.get_topic(request).await };
        let info = self.ask(TopicRequest { topic_name: self.topic_name() }, get_topic).await?;
        if !info.can_publish || info.schema_id.is_empty() {
            return Err(Trouble::MayNotPublish);
        }
        let mut topic = self.topic.lock().await;
        if let Some(known) = topic.as_ref().filter(|known| known.schema_id == info.schema_id) {
            return Ok(known.clone());
        }
        let get_schema = |mut client: Client, request| async move { client.get_schema(request).await };
        let schema = self.ask(SchemaRequest { schema_id: info.schema_id.clone() }, get_schema).await?;
        let schema = Schema::parse(&schema.schema_json).map_err(Trouble::Schema)?;
        Ok(topic.insert(Arc::new(Topic { schema_id: info.schema_id, schema })).clone())
    }

    /// One call, with a new token if it was for that.
    async fn ask<M: Clone, R, F>(&self, message: M, rpc: impl Fn(Client, Request<M>) -> F) -> Result<R, Trouble>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let mut session = self.org.session().await.map_err(Trouble::Login)?;
        let mut renewed = false;
        loop {
            let (client, number) = self.connection.client().await.map_err(|_| Trouble::NotSent)?;
            let answer = match with_login(&session, message.clone()) {
                Ok(request) => tokio::time::timeout(self.timeout, rpc(client, request)).await,
                Err(status) => Ok(Err(status)),
            };
            let Ok(answer) = answer else {
                self.connection.lost(number).await;
                return Err(Trouble::TimedOut);
            };
            let status = match answer {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => status,
            };
            let failed = Failed::read(&status);
            if failed.fault.disposition() == Disposition::Renew && !renewed {
                session = self.org.renew(&session).await.map_err(Trouble::Login)?;
                renewed = true;
                continue;
            }
            if failed.fault == Fault::Connection {
                self.connection.lost(number).await;
            }
            if trouble::never_left(&status) {
                return Err(Trouble::NotSent);
            }
            return Err(Trouble::Failed { failed, said: OrgText::new(status.message()) });
        }
    }
}

/// What came of each. An answer that is not about these events says nothing of any.
fn results_of(results: &[PublishResult], keys: &[String]) -> Called {
    let is_about = |result: &PublishResult, key: &String| result.correlation_key == *key;
    if results.len() != keys.len() || !results.iter().zip(keys).all(|(result, key)| is_about(result, key)) {
        let said = format!("{} results for {} events, or for others", results.len(), keys.len());
        return Called::all(keys.len(), &Outcome::Unknown(Why::new(UNREADABLE_ANSWER, &said)));
    }
    let result = |result: &PublishResult| match &result.error {
        None => Ok(Map::from_iter([("ReplayId".to_owned(), Json::String(STANDARD.encode(&result.replay_id)))])),
        Some(error) => Err(Refusal::new(refused(&error.msg), Vec::new())),
    };
    verdict::each(results.iter().map(result), verdict::Neighbours::Apart)
}

/// The code stands in front of the message (UNSURE; facts: streaming-pubsub.md section 11), if there is one at all.
fn refused(said: &str) -> RecordError {
    let is_code = |code: &str| code.len() > 3 && code.bytes().all(|c| c.is_ascii_uppercase() || c == b'_');
    let code = if said.contains("LIMIT_EXCEEDED") {
        "LIMIT_EXCEEDED"
    } else {
        said.split(':').next().filter(|code| is_code(code)).unwrap_or("PUBLISH")
    };
    RecordError::new(code, said, Vec::new())
}

#[cfg(test)]
mod tests {
    use pubsub_api::Error;

    use super::*;

    fn result(key: &str, said: Option<&str>) -> PublishResult {
        let error = said.map(|said| Error { code: 1, msg: said.to_owned() });
        PublishResult { replay_id: vec![0, 1].into(), error, correlation_key: key.to_owned() }
    }

    fn shown(called: &Called) -> Vec<String> {
        called.outcomes.iter().map(|outcome| format!("{outcome:?}")).collect()
    }

    #[test]
    fn each_event_has_its_own_result() {
        let keys = ["a", "b", "c", "d"].map(str::to_owned);
        let results = [
            result("a", None),
            result("b", Some("LIMIT_EXCEEDED: Hourly limit for publishing platform events exceeded.")),
            result("c", Some("REQUIRED_FIELD_MISSING: Required fields are missing: [X__c]")),
            result("d", Some("The event message is larger than the maximum size of 1 MB.")),
        ];
        let called = results_of(&results, &keys);
        let expected = ["Done", "NotYet(LIMIT_EXCEEDED)", "Refused(REQUIRED_FIELD_MISSING)", "Refused(PUBLISH)"];
        assert_eq!(shown(&called), expected);
        assert_eq!(called.pause, Some(verdict::LONG_PAUSE));
        let Outcome::Done { answer } = &called.outcomes[0] else { panic!() };
        assert_eq!(answer["ReplayId"], "AAE=");
    }

    #[test]
    fn results_of_other_events_say_nothing() {
        let keys = ["a", "b"].map(str::to_owned);
        for results in [vec![result("a", None)], vec![result("b", None), result("a", None)]] {
            assert_eq!(shown(&results_of(&results, &keys)), ["Unknown(UNREADABLE_ANSWER)"; 2]);
        }
    }
}
