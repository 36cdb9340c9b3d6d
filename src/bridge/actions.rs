//! The stages of actions: one for each, behind the logins of the orgs that it asks and calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{BridgeError, Entry};
use crate::action::answer::Answers;
use crate::action::call::Caller;
use crate::action::driver::{self, Action};
use crate::config::{ActionConfig, Config, OrgConfig, Start};
use crate::event::{OrgName, Seq};
use crate::mapping::Inputs;
use crate::org::Org;
use crate::status::{ActionStatus, Board};
use crate::store::{ActionIdentity, ActionRow, Store, StoreError};

/// Whether an action asks or calls this org.
pub fn need(config: &Config, org: &OrgConfig) -> bool {
    config.actions.iter().any(|action| action.org() == Some(&org.name))
}

/// The config's actions as the store knows them, in the same order. Those that left the config are given up, if nothing of
/// them is left to be done.
pub async fn rows<S: Store>(config: &Config, store: &S) -> Result<Vec<ActionRow>, BridgeError> {
    for row in store.actions().await? {
        let name = &row.identity.name;
        if config.actions.iter().any(|action| action.name == *name) {
            continue;
        }
        let unsettled = !store.page(row.id, row.watermark, 1).await?.entries.is_empty();
        let begun = !store.known_actions(row.id).await?.is_empty();
        if unsettled || begun || row.failed > 0 {
            return Err(BridgeError::Removed { name: name.clone() });
        }
        store.forget_pipeline(name).await?;
        info!(action = %name, "left the config with nothing to be done, so its progress was removed");
    }
    let (head, trimmed_to) = (store.head().await?, store.journal_figures().await?.trimmed_to);
    let mut rows = Vec::new();
    for action in &config.actions {
        let first = match action.from.start {
            Start::Tip => head,
            Start::Earliest => trimmed_to,
        };
        rows.push(store.action(&identity(action), first).await?);
    }
    Ok(rows)
}

fn identity(action: &ActionConfig) -> ActionIdentity {
    ActionIdentity {
        name: action.name.clone(),
        source_org: action.from.org.clone(),
        channel: action.from.channel.clone(),
        object: action.from.object.clone(),
        of_events: action.is_of_events(),
    }
}

/// What an action knows of itself before it begins.
pub fn first_status(row: &ActionRow) -> ActionStatus {
    ActionStatus { failed: row.failed, watermark: row.watermark, ..ActionStatus::default() }
}

/// What the stages share.
pub struct Around<'a, S> {
    pub config: &'a Config,
    pub orgs: &'a BTreeMap<OrgName, Org>,
    pub entries: &'a BTreeMap<&'a OrgName, Entry>,
    pub store: &'a S,
    pub head: &'a watch::Sender<Seq>,
    pub board: &'a Board,
    pub asked: &'a watch::Sender<u64>,
    pub cancel: &'a CancellationToken,
}

impl<S: Store> Around<'_, S> {
    /// The stage of one action. `is_paused`: whether nothing may be written into an org. None: the config names an org that
    /// it does not have, which a checked one does not.
    ///
    /// # Errors
    /// When a client cannot be made for what it calls.
    pub fn stage(
        &self,
        action: &ActionConfig,
        row: &ActionRow,
        is_paused: &dyn Fn(&OrgName) -> bool,
    ) -> Result<Option<impl Future<Output = Result<(), BridgeError>> + Send + use<S>>, BridgeError> {
        let org = |name: &OrgName| Some((self.orgs.get(name)?.clone(), self.entries.get(name)?.clone()));
        let Some((source, of_source)) = org(&action.from.org) else { return Ok(None) };
        let target = action.org().and_then(org);
        let unusable = |error| BridgeError::Action { name: action.name.clone(), error };
        let caller = Arc::new(Caller::new(action, self.orgs).map_err(unusable)?);
        let answers = Answers::of(action, self.orgs).map_err(unusable)?;
        let gates: Vec<_> = std::iter::once(&of_source).chain(target.iter().map(|(_, entry)| entry)).collect();
        let (gates, budgets): (Vec<_>, Vec<_>) =
            gates.into_iter().map(|entry| (entry.gate.clone(), entry.budget.clone())).unzip();
        let writes = action.org().into_iter().chain(answers.iter().map(|_| &action.from.org));
        let stage = Action {
            row: row.clone(),
            config: action.clone(),
            inputs: Inputs::new(action, self.config),
            source,
            caller,
            budgets,
            paused: row.halted.is_some() || writes.into_iter().any(is_paused),
            answers,
            store: self.store.clone(),
            head: self.head.subscribe(),
            board: self.board.clone(),
            asked: self.asked.subscribe(),
        };
        let cancel = self.cancel.clone();
        Ok(Some(async move {
            for gate in gates {
                if !gate.passed(&cancel).await {
                    return Ok(());
                }
            }
            driver::run(stage, cancel).await.map_err(BridgeError::from)
        }))
    }
}

/// Whether an action of this name is halted; none: there is none.
pub async fn is_halted<S: Store>(store: &S, name: &crate::event::PipelineName) -> Result<Option<bool>, StoreError> {
    let row = store.actions().await?.into_iter().find(|row| row.identity.name == *name);
    Ok(row.map(|row| row.halted.is_some()))
}
