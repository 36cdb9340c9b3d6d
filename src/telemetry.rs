//! Logs go to standard error, so that what a command prints can be piped.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How much is logged, unless `ORGBRIDGE_LOG` says otherwise (`info`, `orgbridge=debug`, ...).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// A screen of our own is drawn: only what must not be missed.
    Screen,
    Normal,
    Verbose,
}

/// Starts logging. Called once, by `main`.
pub fn start(verbosity: Verbosity) {
    let default = match verbosity {
        Verbosity::Screen => "error",
        Verbosity::Normal => "info",
        Verbosity::Verbose => "orgbridge=debug,info",
    };
    let filter = EnvFilter::try_from_env("ORGBRIDGE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
