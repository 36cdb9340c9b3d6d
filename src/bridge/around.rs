//! What the store and the org answer to a subscription.

use crate::event::{Channel, Timestamp};
use crate::org::Org;
use crate::store::Store;
use crate::subscribe::{Surroundings, budget};

#[derive(Clone)]
pub struct Around<S> {
    pub org: Org,
    pub store: S,
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

    async fn earliest_fits(&self, channel: &Channel) -> bool {
        let id = match self.store.subscription(self.org.name(), channel).await {
            Ok(subscription) => subscription.id,
            Err(_) => return true,
        };
        let Ok(retained) = self.store.retained_estimate(id, Timestamp::now()).await else { return true };
        match self.org.deliveries().await {
            Ok(deliveries) => budget::fits(retained, deliveries),
            // Not known: to read it all loses nothing, and costs deliveries at most.
            Err(error) => {
                tracing::warn!(%error, "the org does not say how many deliveries are left today");
                true
            }
        }
    }
}
