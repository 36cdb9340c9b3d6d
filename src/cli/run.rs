//! `orgbridge run`: the bridge, until it is told to stop.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::signals;
use crate::bridge;
use crate::control::{self, Server, Socket};
use crate::status::Board;
use crate::store::Sqlite;

pub async fn run(path: &Path) -> anyhow::Result<ExitCode> {
    let config = crate::config::load(path)?;
    let store = Sqlite::open(&config.state)?;
    let orgs = bridge::orgs(&config)?;
    let cancel = CancellationToken::new();
    let _signals = signals::listen(cancel.clone()).context("signals")?;
    info!(config = %path.display(), state = %config.state.display(), pipelines = config.pipelines.len(), "running");
    let board = Board::default();
    let (commands, received) = mpsc::channel(4);
    let answering = async {
        match Socket::bind(&config.state) {
            Ok(socket) => {
                let names = config.orgs.keys().cloned().collect();
                socket.serve(Server { store: store.clone(), board: board.clone(), orgs: names, commands }).await;
            }
            Err(error) => {
                let path = control::path(&config.state);
                warn!(path = %path.display(), %error, "`orgbridge status` cannot ask this bridge: its socket could not be made");
                std::future::pending().await
            }
        }
    };
    tokio::select! {
        ended = bridge::steered(&config, &orgs, store.clone(), board.clone(), received, cancel) => ended?,
        () = answering => {}
    }
    info!("stopped; what waits is in the state file");
    Ok(ExitCode::SUCCESS)
}
