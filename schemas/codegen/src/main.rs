//! Writes the Rust form of the Pub/Sub API's protocol definition; with `--check` it only says whether it is as it was.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

fn main() -> anyhow::Result<ExitCode> {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("this folder has none above it")?;
    let target = schemas.join("../src/pubsub_api/eventbus.rs");
    let made = generate(schemas)?;
    match std::env::args().nth(1).as_deref() {
        None => std::fs::write(&target, made).with_context(|| target.display().to_string())?,
        Some("--check") => {
            let known = std::fs::read_to_string(&target).with_context(|| target.display().to_string())?;
            if known != made {
                eprintln!("src/pubsub_api/eventbus.rs is not what schemas/pubsub_api.proto makes: run codegen");
                return Ok(ExitCode::FAILURE);
            }
        }
        Some(other) => bail!("unknown argument {other}; there is only --check"),
    }
    Ok(ExitCode::SUCCESS)
}

fn generate(schemas: &Path) -> anyhow::Result<String> {
    let definition = protox::compile(["pubsub_api.proto"], [schemas])?;
    let folder = tempfile::tempdir()?;
    tonic_prost_build::configure().bytes(".").out_dir(folder.path()).compile_fds(definition)?;
    Ok(std::fs::read_to_string(folder.path().join("eventbus.v1.rs"))?)
}
