//! `orgbridge run`: the bridge, until it is told to stop.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::signals;
use crate::bridge;
use crate::status::Board;
use crate::store::Sqlite;

pub async fn run(path: &Path) -> anyhow::Result<ExitCode> {
    let config = crate::config::load(path)?;
    let store = Sqlite::open(&config.state)?;
    let orgs = bridge::orgs(&config)?;
    let cancel = CancellationToken::new();
    let _signals = signals::listen(cancel.clone()).context("signals")?;
    info!(config = %path.display(), state = %config.state.display(), pipelines = config.pipelines.len(), "running");
    bridge::run(&config, &orgs, store, Board::default(), cancel).await?;
    info!("stopped; what waits is in the state file");
    Ok(ExitCode::SUCCESS)
}
