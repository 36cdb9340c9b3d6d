//! `orgbridge run`: the bridge, until it is told to stop.

use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::signals;
use crate::bridge::{self, Command};
use crate::config::Config;
use crate::control::{self, Server, Socket};
use crate::status::Board;
use crate::store::Sqlite;

pub async fn run(path: &Path) -> anyhow::Result<ExitCode> {
    let config = crate::config::load(path)?;
    info!(config = %path.display(), state = %config.state.display(), pipelines = config.pipelines.len(), "running");
    bridge_with(&config, async |_, _| std::future::pending::<anyhow::Result<()>>().await).await?;
    info!("stopped; what waits is in the state file");
    Ok(ExitCode::SUCCESS)
}

/// Runs the bridge of a config, and `beside` it something that commands it. When that is over the bridge stops in order. None:
/// the bridge was told to stop before.
pub(super) async fn bridge_with<T>(
    config: &Config,
    beside: impl AsyncFnOnce(Sqlite, mpsc::Sender<Command>) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let store = Sqlite::open(&config.state)?;
    let orgs = bridge::orgs(config)?;
    let cancel = CancellationToken::new();
    let _signals = signals::listen(cancel.clone()).context("signals")?;
    let board = Board::default();
    let (commands, received) = mpsc::channel(4);
    let answering = async {
        match Socket::bind(&config.state) {
            Ok(socket) => {
                let (names, commands) = (config.orgs.keys().cloned().collect(), commands.clone());
                socket.serve(Server { store: store.clone(), board: board.clone(), orgs: names, commands }).await;
            }
            Err(error) => {
                let path = control::path(&config.state);
                warn!(path = %path.display(), %error, "`orgbridge status` cannot ask this bridge: its socket could not be made");
            }
        }
        std::future::pending::<()>().await;
    };
    let mut running = pin!(bridge::steered(config, &orgs, store.clone(), board.clone(), received, cancel.clone()));
    let beside = beside(store.clone(), commands.clone());
    tokio::select! {
        ended = &mut running => {
            ended?;
            Ok(None)
        }
        done = beside => {
            cancel.cancel();
            running.await?;
            done.map(Some)
        }
        () = answering => Ok(None),
    }
}
