//! What the store and the org answer to a subscription.

use crate::event::Channel;
use crate::org::Org;
use crate::store::Store;
use crate::subscribe::Surroundings;

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

    async fn earliest_fits(&self, _: &Channel) -> bool {
        true
    }
}
