//! The store in one SQLite file: WAL, synchronous FULL, one thread that owns the connection and commits in groups.
//!
//! `file` opens it and keeps others out, `worker` runs calls, the others are the calls by what they are about.

mod file;
mod journal;
mod pipelines;
mod records;
mod worker;

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::{
    Answer, Appended, Entry, Gap, Page, Parked, PipelineId, PipelineIdentity, PipelineRow, Question, Sent, Settled,
    Settlement, Store, StoreError, Subscription, SubscriptionId,
};
use crate::event::{ChangeKind, Channel, OrgName, PipelineName, RecordId, Seq, Timestamp};
use std::collections::HashMap;
use worker::Worker;

/// A state file that this process owns. Clones share it; the last one closes it.
#[derive(Clone)]
pub struct Sqlite {
    worker: Arc<Worker>,
}

impl Sqlite {
    /// Opens the file, or makes it with mode 0600, and brings it to this version.
    ///
    /// # Errors
    /// When another process owns it, when it is of a newer version, or when the file system refuses.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = file::open(path)?;
        Ok(Self { worker: Arc::new(Worker::start(opened)) })
    }

    async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.worker.call(job).await
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(Box::new(error))
    }
}

/// What a column holds is not what was written there.
fn corrupt(what: impl std::fmt::Display) -> StoreError {
    StoreError::Database(format!("the state file holds something unreadable: {what}").into())
}

/// SQLite's integers are signed; a sequence number never comes near the end of them.
fn int(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

fn seq(number: i64) -> Seq {
    Seq(u64::try_from(number).unwrap_or(0))
}

fn name<T: std::str::FromStr<Err: std::fmt::Display>>(text: String) -> Result<T, StoreError> {
    text.parse().map_err(corrupt)
}

impl Store for Sqlite {
    async fn pin_org(&self, org: &OrgName, org_id: &str) -> Result<(), StoreError> {
        let (org, org_id) = (org.clone(), org_id.to_owned());
        self.call(move |db| pipelines::pin_org(db, &org, &org_id)).await
    }

    async fn subscription(&self, org: &OrgName, channel: &Channel) -> Result<Subscription, StoreError> {
        let (org, channel) = (org.clone(), channel.clone());
        self.call(move |db| journal::subscription(db, &org, &channel)).await
    }

    async fn start(&self, id: SubscriptionId, at: Timestamp) -> Result<(), StoreError> {
        self.call(move |db| journal::start(db, id, at)).await
    }

    async fn append(
        &self,
        id: SubscriptionId,
        group: Vec<crate::subscribe::Arrival>,
        received: Timestamp,
    ) -> Result<Appended, StoreError> {
        self.call(move |db| journal::append(db, id, group, received)).await
    }

    async fn head(&self) -> Result<Seq, StoreError> {
        self.call(journal::head).await
    }

    async fn gaps(&self) -> Result<Vec<Gap>, StoreError> {
        self.call(journal::gaps).await
    }

    async fn pipeline(&self, identity: &PipelineIdentity, first_watermark: Seq) -> Result<PipelineRow, StoreError> {
        let identity = identity.clone();
        self.call(move |db| pipelines::pipeline(db, &identity, first_watermark)).await
    }

    async fn pipelines(&self) -> Result<Vec<PipelineRow>, StoreError> {
        self.call(pipelines::all).await
    }

    async fn forget_pipeline(&self, name: &PipelineName) -> Result<bool, StoreError> {
        let name = name.clone();
        self.call(move |db| pipelines::forget(db, &name)).await
    }

    async fn page(&self, pipeline: PipelineId, after: Seq, limit: usize) -> Result<Page, StoreError> {
        self.call(move |db| journal::page(db, pipeline, after, limit)).await
    }

    async fn known(&self, pipeline: PipelineId, question: Question) -> Result<Answer, StoreError> {
        self.call(move |db| records::known(db, pipeline, &question)).await
    }

    async fn newest_parts(
        &self,
        pipeline: PipelineId,
        records: Vec<RecordId>,
        up_to: Seq,
    ) -> Result<HashMap<RecordId, ChangeKind>, StoreError> {
        self.call(move |db| journal::newest_parts(db, pipeline, &records, up_to)).await
    }

    async fn sending(&self, rows: Vec<(PipelineId, RecordId)>) -> Result<(), StoreError> {
        self.call(move |db| records::sending(db, &rows)).await
    }

    async fn sent(&self) -> Result<Vec<Sent>, StoreError> {
        self.call(records::sent).await
    }

    async fn restless(&self) -> Result<Vec<(PipelineId, RecordId)>, StoreError> {
        self.call(records::restless).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        self.call(move |db| records::settle(db, &settlement)).await
    }

    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, StoreError> {
        self.call(move |db| records::parked(db, limit)).await
    }
}
