//! Schemas by their id. An id always means the same schema, so each is asked for once: of memory, of what was kept, of
//! the org. All who want the same one wait for one answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pubsub_api::SchemaRequest;
use tokio::sync::{Mutex, OnceCell};

use super::avro::{Schema, SchemaError};
use super::connection::{Connection, with_login};
use super::error::{Disposition, Failed, Fault};
use crate::org::{Org, OrgError};
use crate::subscribe::surroundings::Surroundings;

/// About a second on the platform.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What is known of an id: a schema, or that it cannot be used.
type Cell = OnceCell<Result<Arc<Schema>, SchemaError>>;

/// The schemas of one org.
pub struct Schemas<S> {
    org: Org,
    connection: Arc<Connection>,
    surroundings: S,
    known: Mutex<HashMap<String, Arc<Cell>>>,
}

/// Why a schema is not there.
#[derive(Debug, thiserror::Error)]
pub enum NoSchema {
    /// It was read, and this release cannot use it: no retry helps.
    #[error(transparent)]
    Unusable(#[from] SchemaError),
    #[error("{0}")]
    Failed(Failed),
    #[error(transparent)]
    Login(#[from] OrgError),
}

impl<S: Surroundings> Schemas<S> {
    pub fn new(org: Org, connection: Arc<Connection>, surroundings: S) -> Self {
        Self { org, connection, surroundings, known: Mutex::default() }
    }

    pub async fn get(&self, id: &str) -> Result<Arc<Schema>, NoSchema> {
        let cell = self.known.lock().await.entry(id.to_owned()).or_default().clone();
        let schema = cell.get_or_try_init(|| self.find(id)).await?;
        schema.clone().map_err(NoSchema::Unusable)
    }

    /// What cannot be used is remembered too. Only what could not be asked for is asked for again.
    async fn find(&self, id: &str) -> Result<Result<Arc<Schema>, SchemaError>, NoSchema> {
        if let Some(kept) = self.surroundings.schema(id).await
            && let Ok(schema) = Schema::parse(&kept)
        {
            return Ok(Ok(Arc::new(schema)));
        }
        let text = self.fetch(id).await?;
        let schema = Schema::parse(&text);
        if schema.is_ok() {
            self.surroundings.keep_schema(id, &text).await;
        }
        Ok(schema.map(Arc::new))
    }

    /// A stream may live on with a token that is over; this call then needs a new one.
    async fn fetch(&self, id: &str) -> Result<String, NoSchema> {
        let mut session = self.org.session().await?;
        let mut renewed = false;
        loop {
            let (mut client, number) = self.connection.client().await.map_err(NoSchema::Failed)?;
            let request = with_login(&session, SchemaRequest { schema_id: id.to_owned() });
            let answer = match request {
                Ok(request) => tokio::time::timeout(TIMEOUT, client.get_schema(request)).await,
                Err(status) => Ok(Err(status)),
            };
            let failed = match answer {
                Ok(Ok(answer)) => return Ok(answer.into_inner().schema_json),
                Ok(Err(status)) => Failed::read(&status),
                Err(_) => Failed::connection(),
            };
            if failed.fault.disposition() == Disposition::Renew && !renewed {
                session = self.org.renew(&session).await?;
                renewed = true;
                continue;
            }
            if failed.fault == Fault::Connection {
                self.connection.lost(number).await;
            }
            return Err(NoSchema::Failed(failed));
        }
    }
}
