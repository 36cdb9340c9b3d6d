//! What a subscription needs of the world around it, beside the org itself.

use std::future::Future;

use crate::event::{Channel, ObjectName};

/// Answered by the bridge; by a few lines in tests.
pub trait Surroundings: Clone + Send + Sync + 'static {
    /// A schema that was kept, by its id. An error counts as none: the org is asked again.
    fn schema(&self, id: &str) -> impl Future<Output = Option<String>> + Send;

    /// Keeps a schema, so that a restart needs no fetch.
    fn keep_schema(&self, id: &str, schema: &str) -> impl Future<Output = ()> + Send;

    /// An event of the object has this schema. Another one than before says that its fields have changed.
    fn saw_schema(&self, channel: &Channel, object: &ObjectName, id: &str);

    /// Whether the org's deliveries of a day allow to start at the earliest event that it keeps. If not, the
    /// subscription goes on with the newest, and what lies between is a gap.
    fn earliest_fits(&self, channel: &Channel) -> impl Future<Output = bool> + Send;
}
