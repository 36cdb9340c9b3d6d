//! GetTopic and GetSchema (streaming-pubsub.md section 3).

use super::caller::Caller;
use super::refusal::Refusal;
use pubsub_api::{SchemaInfo, SchemaRequest, TopicInfo, TopicRequest};

/// What a topic is, and what the caller may do with it. A topic of several objects has no schema of its own, so its
/// `schema_id` is empty: each event names its own.
pub fn topic(caller: &Caller, request: &TopicRequest) -> Result<TopicInfo, Refusal> {
    let topic_name = request.topic_name.clone();
    if topic_name.trim().is_empty() {
        return Err(Refusal::TopicEmpty);
    }
    let user = caller.user()?;
    let org = caller.host.org();
    let Some(feed) = org.feed(&topic_name) else {
        return Err(Refusal::TopicNotFound { org: org.id.to_string(), topic: topic_name });
    };
    let object = feed.object();
    let can_publish = feed.is_platform_event() && object.is_some_and(|object| org.object_access(&user, object).create);
    let can_subscribe = org.may_subscribe(&org.view(&user), &feed);
    if !can_publish && !can_subscribe {
        return Err(Refusal::TopicNotReadable);
    }
    Ok(TopicInfo {
        topic_name,
        tenant_guid: format!("CORE/prod/{}", org.id),
        can_publish,
        can_subscribe,
        schema_id: object.and_then(|object| org.schema_of(object)).map(|schema| schema.id.clone()).unwrap_or_default(),
        rpc_id: caller.rpc_id.clone(),
    })
}

/// A schema by its id; old ones stay readable.
pub fn schema(caller: &Caller, request: &SchemaRequest) -> Result<SchemaInfo, Refusal> {
    if request.schema_id.trim().is_empty() {
        return Err(Refusal::SchemaEmpty);
    }
    caller.user()?;
    let org = caller.host.org();
    let schema = org.schema_by_id(&request.schema_id).ok_or(Refusal::SchemaNotReadable)?;
    Ok(SchemaInfo {
        schema_json: schema.json.to_string(),
        schema_id: request.schema_id.clone(),
        rpc_id: caller.rpc_id.clone(),
    })
}
