//! Where an export goes: a new file for its owner alone, or standard output.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

use super::has_left;
use crate::text::counted;

/// What holds values of records is for its owner alone.
pub const PRIVATE: u32 = 0o600;

/// # Errors
/// Where the file is there already, or cannot be made.
pub fn open(output: Option<&Path>) -> anyhow::Result<Box<dyn Write>> {
    match output {
        Some(path) => {
            let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path);
            Ok(Box::new(BufWriter::new(file.with_context(|| path.display().to_string())?)))
        }
        None => Ok(Box::new(io::stdout().lock())),
    }
}

/// How many were written, after saying so where they went into a file. None: whoever read standard output has left.
///
/// # Errors
/// Those of writing.
pub fn close(written: anyhow::Result<u64>, output: Option<&Path>, what: &str) -> anyhow::Result<Option<u64>> {
    let written = match written {
        Err(error) if output.is_none() && error.downcast_ref().is_some_and(has_left) => return Ok(None),
        written => written?,
    };
    if let Some(path) = output {
        println!("{} in {}.", counted(written, what), path.display());
    }
    Ok(Some(written))
}
