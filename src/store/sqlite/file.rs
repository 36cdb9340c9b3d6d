//! Opens the state file: who may read it, who owns it, and which version it is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::StoreError;

/// Numbered from 1, each in a transaction of its own; `user_version` says how many were done.
const MIGRATIONS: [&str; 1] = [include_str!("0001_start.sql")];

/// A connection, and the lock that keeps other processes out as long as it lives.
pub struct Opened {
    pub connection: Connection,
    pub lock: File,
}

pub fn open(path: &Path) -> Result<Opened, StoreError> {
    let failed = |reason: String| StoreError::Open { path: path.display().to_string(), reason };
    let lock = lock(path)?;
    // Made before SQLite does, for its files take over the mode of this one.
    private().open(path).map_err(|error| failed(error.to_string()))?;
    let mut connection = Connection::open(path).map_err(|error| failed(error.to_string()))?;
    prepare(&mut connection).map_err(|error| failed(error.to_string()))?;
    migrate(&mut connection, path)?;
    Ok(Opened { connection, lock })
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let done: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = MIGRATIONS.len() as u32;
    if done > known {
        return Err(StoreError::Open {
            path: path.display().to_string(),
            reason: format!(
                "it was written by a newer orgbridge (version {done} of its tables, this one knows {known}). Use the newer \
                 program"
            ),
        });
    }
    for (number, migration) in (1_u32..).zip(MIGRATIONS).skip(done as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

/// The lock is the operating system's, on a file beside the state: it goes with the process, however that ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let failed = |reason: String| StoreError::Open { path: beside.display().to_string(), reason };
    let mut file = private().open(&beside).map_err(|error| failed(error.to_string()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // The first line is the process, the second its command.
            let _ = file.read_to_string(&mut owner);
            let mut lines = owner.lines().map(str::to_owned);
            let pid = lines.next().unwrap_or_else(|| "unknown".to_owned());
            let command = lines.next().unwrap_or_else(|| "unknown command".to_owned());
            return Err(StoreError::InUse { path: path.display().to_string(), pid, command });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error.to_string())),
    }
    let command: Vec<String> = std::env::args().collect();
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}\n{}", std::process::id(), command.join(" ")));
    written.map_err(|error| failed(error.to_string()))?;
    Ok(file)
}
