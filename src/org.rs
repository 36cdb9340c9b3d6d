//! One org as the bridge sees it: who is logged in, and the REST calls that the bridge makes.

use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;
use url::Url;

use crate::config::OrgConfig;
use crate::event::OrgName;

/// An org, its one token and its counters. Clones share them.
#[derive(Clone)]
pub struct Org {
    shared: Arc<Shared>,
}

struct Shared {
    config: OrgConfig,
}

/// What a login gives. `instance_url` is where every call goes; the token prints as `[redacted]`.
#[derive(Clone)]
pub struct Session {
    pub instance_url: Url,
    pub token: SecretString,
    /// 18 characters, from the identity URL of the token response.
    pub org_id: String,
    pub user_id: String,
    generation: u64,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("org_id", &self.org_id).field("generation", &self.generation).finish()
    }
}

/// Why an org could not be used.
#[derive(Debug, thiserror::Error)]
pub enum OrgError {
    #[error("placeholder")]
    Placeholder,
}

impl Org {
    pub fn new(config: OrgConfig) -> Result<Self, OrgError> {
        Ok(Self { shared: Arc::new(Shared { config }) })
    }

    pub fn name(&self) -> &OrgName {
        &self.shared.config.name
    }

    /// The current session; logs in if there is none. One login for all who ask at once.
    pub async fn session(&self) -> Result<Session, OrgError> {
        Err(OrgError::Placeholder)
    }

    /// A session newer than `stale`, which an org refused with 401. Logs in once for all who wait.
    pub async fn renew(&self, _stale: &Session) -> Result<Session, OrgError> {
        Err(OrgError::Placeholder)
    }
}
