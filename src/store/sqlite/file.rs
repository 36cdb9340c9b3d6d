//! The state file on disk: made for its owner alone, held by one process, brought to this release's tables.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::store::StoreError;

/// In order; the number of the last one is the file's `user_version`. What is released never changes.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_start.sql"),
    include_str!("migrations/0002_subscribe.sql"),
    include_str!("migrations/0003_privacy.sql"),
    include_str!("migrations/0004_halts.sql"),
    include_str!("migrations/0005_created.sql"),
    include_str!("migrations/0006_unfilled.sql"),
    include_str!("migrations/0007_failed.sql"),
    include_str!("migrations/0008_bulk.sql"),
    include_str!("migrations/0009_publish.sql"),
    include_str!("migrations/0010_jobs.sql"),
    include_str!("migrations/0011_job_records.sql"),
    include_str!("migrations/0012_verifications.sql"),
    include_str!("migrations/0013_entries.sql"),
    include_str!("migrations/0014_history.sql"),
    include_str!("migrations/0015_import.sql"),
    include_str!("migrations/0016_actions.sql"),
    include_str!("migrations/0017_feedback.sql"),
];

/// How long the lock of a file may outlive its owner.
const LOCK_TRIES: u32 = 10;
const LOCK_AGAIN: Duration = Duration::from_millis(25);

/// A person's `sqlite3` may hold the file for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// All statements of this backend fit, so that none is compiled twice.
const STATEMENTS: usize = 128;

/// Held as long as it lives; the operating system lets go when the process dies. The lock's file stays: to remove it
/// would let two processes hold a lock of the same name.
pub(super) struct Ownership {
    _lock: File,
}

/// Makes the file if there is none, and takes hold of it. Returns its real path, for a symbolic link must not lead
/// around the lock.
pub(super) fn own(path: &Path) -> Result<(PathBuf, Ownership), StoreError> {
    let failed = |error: std::io::Error| refuse(path, error);
    private().write(true).create(true).truncate(false).open(path).map_err(failed)?;
    let path = path.canonicalize().map_err(failed)?;
    let mut lock =
        private().read(true).write(true).create(true).truncate(false).open(lock_path(&path)).map_err(failed)?;
    let mut tries = 0;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            // The last owner may be just ending; and a process that it was starting holds its lock, too, until it runs.
            Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_AGAIN);
            }
            Err(TryLockError::WouldBlock) => return Err(in_use(&path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(refuse(&path, error)),
        }
    }
    let command: Vec<_> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    lock.set_len(0)
        .and_then(|()| write!(lock, "{}\n{}\n", std::process::id(), command.join(" ")))
        .map_err(|error| refuse(&path, error))?;
    Ok((path, Ownership { _lock: lock }))
}

/// The real path of a file that nobody holds at this moment. Whoever wants it may take it at the next: a look does not keep
/// a bridge from starting.
pub(super) fn unowned(path: &Path) -> Result<PathBuf, StoreError> {
    let path = path.canonicalize().map_err(|error| refuse(path, error))?;
    let mut lock = match File::open(lock_path(&path)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(path),
        Err(error) => return Err(refuse(&path, error)),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(path),
        Err(TryLockError::WouldBlock) => Err(in_use(&path, &mut lock)),
        Err(TryLockError::Error(error)) => Err(refuse(&path, error)),
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    name.into()
}

fn in_use(path: &Path, lock: &mut File) -> StoreError {
    let mut owner = String::new();
    // The owner may be just about to write its name: then it is not known, but the file is in use all the same.
    let _ = lock.read_to_string(&mut owner);
    let known = |line: Option<&str>| line.filter(|line| !line.is_empty()).unwrap_or("unknown").to_owned();
    let mut lines = owner.lines();
    StoreError::InUse { path: path.display().to_string(), pid: known(lines.next()), command: known(lines.next()) }
}

/// The connection that writes. What is not ours, or is newer than this release, is refused untouched.
pub(super) fn open_to_write(path: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open(path).map_err(|error| refuse(path, error))?;
    let failed = |error: rusqlite::Error| refuse(path, error);
    prepare(&db).map_err(failed)?;
    recognise(&db, path)?;
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(refuse(path, "this file system takes no write-ahead log: use a local disk"));
    }
    migrate(&db).map_err(failed)?;
    super::jobs::drop_unused_lists(&db).map_err(failed)?;
    Ok(db)
}

/// Writes the file anew, so that nothing is left in it, or in its log, of what was rewritten or deleted. It must be ours.
pub(super) fn rewrite(path: &Path) -> Result<(), StoreError> {
    let rewritten = || {
        let db = Connection::open(path)?;
        prepare(&db)?;
        db.execute_batch("VACUUM")?;
        // Whoever looks into the file keeps its log in use for a moment.
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
    };
    match rewritten() {
        Ok(0) => Ok(()),
        Ok(_) => {
            Err(refuse(path, "another program looks into it, so old values stay in its log: close it and try again"))
        }
        Err(error) => Err(refuse(path, error)),
    }
}

/// A connection beside the one that writes: it sees what is committed, and can change nothing.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let open = || {
        let db = Connection::open(path)?;
        prepare(&db)?;
        db.execute_batch("PRAGMA query_only = ON")?;
        Ok(db)
    };
    open().map_err(|error: rusqlite::Error| refuse(path, error))
}

/// A connection to a file that is left as it is: its tables must be this release's already.
pub(super) fn open_to_look(path: &Path) -> Result<Connection, StoreError> {
    let db = open_to_read(path)?;
    recognise(&db, path)?;
    let version: u32 =
        db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(|error| refuse(path, error))?;
    match version as usize {
        0 => Err(refuse(path, "it is empty: no bridge has run with it yet")),
        version if version < MIGRATIONS.len() => {
            Err(refuse(path, "its tables are of an older release: a start of the bridge brings them to this one's"))
        }
        _ => Ok(db),
    }
}

/// A store without a file.
pub(super) fn open_in_memory() -> Result<Connection, StoreError> {
    let open = || {
        let db = Connection::open_in_memory()?;
        prepare(&db)?;
        migrate(&db)?;
        Ok(db)
    };
    open().map_err(|error: rusqlite::Error| refuse(Path::new(":memory:"), error))
}

fn recognise(db: &Connection, path: &Path) -> Result<(), StoreError> {
    let (version, application, tables): (i64, i64, i64) = db
        .query_row(
            "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master)
             FROM pragma_user_version, pragma_application_id",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .map_err(|error| refuse(path, error))?;
    let ours = (version, application, tables) == (0, 0, 0) || application == APPLICATION;
    if !ours {
        return Err(refuse(path, "it belongs to another program: name another file as `state`"));
    }
    if usize::try_from(version).is_ok_and(|version| version > MIGRATIONS.len()) {
        let reason = format!(
            "its tables are of version {version}, this release knows {}: use a newer release",
            MIGRATIONS.len()
        );
        return Err(refuse(path, reason));
    }
    Ok(())
}

/// 'orgb', as the first migration sets it.
const APPLICATION: i64 = 0x6f72_6762;

pub(super) fn prepare(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY_TIMEOUT)?;
    // Otherwise a statement may be planned anew each time that its values change, which takes longer than to run it.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
}

fn migrate(db: &Connection) -> rusqlite::Result<()> {
    let version: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (number, sql) in (1_u32..).zip(MIGRATIONS).skip(version as usize) {
        let transaction = db.unchecked_transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

fn refuse(path: &Path, reason: impl ToString) -> StoreError {
    StoreError::Open { path: path.display().to_string(), reason: reason.to_string() }
}
