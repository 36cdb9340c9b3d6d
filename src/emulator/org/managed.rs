//! Managed subscriptions: the org keeps how far their client has come (streaming-pubsub.md section 12).

use super::error::SaveError;
use super::setup::FIRST_ID;
use super::{Id, Org, Start};

/// Where a subscription starts that has no position, or a lost one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    Latest,
    Earliest,
}

impl Replay {
    /// As Setup writes it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "LATEST" => Some(Self::Latest),
            "EARLIEST" => Some(Self::Earliest),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Latest => "LATEST",
            Self::Earliest => "EARLIEST",
        }
    }
}

impl From<Replay> for Start {
    fn from(replay: Replay) -> Self {
        match replay {
            Replay::Latest => Self::Tip,
            Replay::Earliest => Self::Earliest,
        }
    }
}

/// What an administrator sets up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedSpec {
    pub label: String,
    /// With its prefix.
    pub topic: String,
    pub default_replay: Replay,
    pub error_recovery_replay: Replay,
    /// State RUN; otherwise STOP.
    pub runs: bool,
    /// API version: `62.0`.
    pub version: String,
}

#[derive(Debug)]
pub struct ManagedSubscription {
    pub id: Id,
    pub name: String,
    pub spec: ManagedSpec,
    /// The replay id behind which it goes on.
    committed: Option<i64>,
    /// A client has it.
    taken: bool,
}

/// Why a commit fails; the stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitProblem {
    /// Too old, or never reached.
    OutOfRetention,
    /// The client has not got this far.
    NotDelivered,
    /// A later one was committed.
    Older,
}

impl Org {
    pub fn managed_subscriptions(&self) -> &[ManagedSubscription] {
        &self.managed
    }

    /// # Errors
    /// A name that is none or taken, or a topic that is not there.
    pub fn add_managed(&mut self, name: &str, spec: ManagedSpec) -> Result<Id, SaveError> {
        let good = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !good {
            let message = "the name of a subscription has letters, digits and underscores, a letter first";
            return Err(SaveError::new("FIELD_INTEGRITY_EXCEPTION", message).on("FullName"));
        }
        if self.managed.iter().any(|known| known.name.eq_ignore_ascii_case(name)) {
            return Err(SaveError::new("DUPLICATE_VALUE", format!("there is a subscription {name}")).on("FullName"));
        }
        self.check_topic(&spec.topic)?;
        self.managed_made += 1;
        let id = Id::new("18x", &self.pod, FIRST_ID + self.managed_made);
        let name = name.to_owned();
        self.managed.push(ManagedSubscription { id: id.clone(), name, spec, committed: None, taken: false });
        Ok(id)
    }

    /// # Errors
    /// A subscription that is not there, or another topic: its position would mean nothing.
    pub fn change_managed(&mut self, id: &Id, spec: ManagedSpec) -> Result<(), SaveError> {
        let known = self.managed.iter_mut().find(|known| known.id == *id).ok_or_else(SaveError::unknown_id)?;
        if known.spec.topic != spec.topic {
            let message = "the topic of a subscription cannot be changed";
            return Err(SaveError::new("FIELD_INTEGRITY_EXCEPTION", message).on("topicName"));
        }
        known.spec = spec;
        Ok(())
    }

    /// # Errors
    /// A subscription that is not there.
    pub fn remove_managed(&mut self, id: &Id) -> Result<(), SaveError> {
        let place = self.managed.iter().position(|known| known.id == *id).ok_or_else(SaveError::unknown_id)?;
        self.managed.remove(place);
        Ok(())
    }

    /// Gives a subscription to a client; `false` if another one has it, or it is not there.
    pub fn take_managed(&mut self, id: &Id) -> bool {
        let known = self.managed.iter_mut().find(|known| known.id == *id);
        known.is_some_and(|known| !std::mem::replace(&mut known.taken, true))
    }

    /// The client is gone.
    pub fn release_managed(&mut self, id: &Id) {
        if let Some(known) = self.managed.iter_mut().find(|known| known.id == *id) {
            known.taken = false;
        }
    }

    /// The replay id behind which a subscription goes on: behind the committed one, else as it is set up.
    pub fn managed_position(&mut self, id: &Id, now: i64) -> Option<i64> {
        let known = self.managed.iter().find(|known| known.id == *id)?;
        let (committed, recovery) = (known.committed, known.spec.error_recovery_replay);
        let start = committed.map_or(known.spec.default_replay.into(), Start::After);
        self.bus.position(start, now).or_else(|_| self.bus.position(recovery.into(), now)).ok()
    }

    /// Remembers that everything up to a replay id is done. `delivered`: how far the client was served.
    ///
    /// # Errors
    /// Why the position is as before.
    pub fn commit_managed(&mut self, id: &Id, replay_id: i64, delivered: i64, now: i64) -> Result<(), CommitProblem> {
        if replay_id > delivered {
            return Err(CommitProblem::NotDelivered);
        }
        self.bus.position(Start::After(replay_id), now).map_err(|_| CommitProblem::OutOfRetention)?;
        let Some(known) = self.managed.iter_mut().find(|known| known.id == *id) else { return Ok(()) };
        if known.committed.is_some_and(|committed| replay_id < committed) {
            return Err(CommitProblem::Older);
        }
        known.committed = Some(replay_id);
        Ok(())
    }

    fn check_topic(&self, topic: &str) -> Result<(), SaveError> {
        if self.feed(topic).is_some() {
            return Ok(());
        }
        Err(SaveError::new("FIELD_INTEGRITY_EXCEPTION", format!("there is no topic {topic}")).on("topicName"))
    }
}
