//! What the store and the org answer to a subscription.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::{Channel, ObjectName, Timestamp};
use crate::org::Org;
use crate::pipeline::types::Doubts;
use crate::store::Store;
use crate::subscribe::{Surroundings, budget};

#[derive(Clone)]
pub struct Around<S> {
    pub org: Org,
    store: S,
    doubts: Doubts,
    /// The schema of the last event of each object on each channel.
    schemas: Arc<Mutex<HashMap<Channel, HashMap<ObjectName, String>>>>,
}

impl<S> Around<S> {
    pub fn new(org: Org, store: S, doubts: Doubts) -> Self {
        Self { org, store, doubts, schemas: Arc::default() }
    }
}

impl<S: Store> Surroundings for Around<S> {
    async fn schema(&self, id: &str) -> Option<String> {
        self.store.schema(self.org.name(), id).await.ok().flatten()
    }

    async fn keep_schema(&self, id: &str, schema: &str) {
        if let Err(error) = self.store.keep_schema(self.org.name(), id, schema.to_owned()).await {
            // It is asked for again after a restart.
            tracing::warn!(%error, "a schema could not be kept");
        }
    }

    fn saw_schema(&self, channel: &Channel, object: &ObjectName, id: &str) {
        let mut schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        match schemas.get_mut(channel).and_then(|of_channel| of_channel.get_mut(object)) {
            Some(last) if last == id => {}
            Some(last) => {
                id.clone_into(last);
                self.doubts.raise(self.org.name(), object);
            }
            None => drop(schemas.entry(channel.clone()).or_default().insert(object.clone(), id.to_owned())),
        }
    }

    async fn earliest_fits(&self, channel: &Channel) -> bool {
        let id = match self.store.subscription(self.org.name(), channel).await {
            Ok(subscription) => subscription.id,
            Err(_) => return true,
        };
        let Ok(retained) = self.store.retained_estimate(id, Timestamp::now()).await else { return true };
        match self.org.limits().await {
            Ok(limits) => budget::fits(retained, limits.deliveries),
            // Not known: to read it all loses nothing, and costs deliveries at most.
            Err(error) => {
                tracing::warn!(%error, "the org does not say how many deliveries are left today");
                true
            }
        }
    }
}
