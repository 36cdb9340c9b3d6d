//! The stages that tell people what they did not ask for: fields of source records, and the digest.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{BridgeError, Entry};
use crate::config::{Feedback, PipelineConfig};
use crate::event::OrgName;
use crate::feedback::fields::{self, Telling};
use crate::org::Org;
use crate::status::Board;
use crate::store::{PipelineRow, Store};

/// How long news wait for company: one call tells of up to 200 records.
const EVERY: Duration = Duration::from_secs(10);

/// What the stages share.
pub struct Around<'a, S> {
    pub orgs: &'a BTreeMap<OrgName, Org>,
    pub entries: &'a BTreeMap<&'a OrgName, Entry>,
    pub store: &'a S,
    pub board: &'a Board,
    pub probe_every: Duration,
    pub cancel: &'a CancellationToken,
}

impl<S: Store> Around<'_, S> {
    /// The stage of one pipeline, behind the login of its source. None: its records are told nothing.
    pub fn stage(
        &self,
        pipeline: &PipelineConfig,
        row: &PipelineRow,
        paused: bool,
    ) -> Option<impl Future<Output = Result<(), BridgeError>> + Send + use<S>> {
        if pipeline.feedback == Feedback::default() {
            return None;
        }
        let source = self.orgs.get(&pipeline.from.org)?.clone();
        let Entry { gate, budget } = self.entries.get(&pipeline.from.org)?.clone();
        let telling = Telling {
            name: pipeline.name.clone(),
            pipeline: row.id,
            object: pipeline.from.object.clone(),
            fields: pipeline.feedback.clone(),
            source,
            budget,
            store: self.store.clone(),
            board: self.board.clone(),
            every: EVERY.min(self.probe_every),
            paused,
        };
        let cancel = self.cancel.clone();
        Some(async move {
            if gate.passed(&cancel).await {
                fields::run(telling, cancel).await?;
            }
            Ok(())
        })
    }
}
