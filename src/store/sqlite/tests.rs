//! The contract, and what only a file can promise.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, StatementStatus, params};
use tempfile::TempDir;

use super::Sqlite;
use crate::event::{Seq, Timestamp};
use crate::store::contract::{Backend, contract};
use crate::store::{Closed, Mended, PipelineId, PipelineIdentity, Question, Store, StoreError};

/// A state file in a directory of its own.
struct StateFile(TempDir);

impl StateFile {
    fn path(&self) -> PathBuf {
        self.0.path().join("bridge.db")
    }
}

impl Backend for StateFile {
    type Store = Sqlite;

    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Sqlite {
        Sqlite::open(&self.path()).unwrap()
    }
}

contract!(StateFile);

fn identity() -> PipelineIdentity {
    PipelineIdentity {
        name: "accounts".parse().unwrap(),
        source_org: "source".parse().unwrap(),
        channel: "/data/AccountChangeEvent".parse().unwrap(),
        source_object: "Account".parse().unwrap(),
        target_org: "target".parse().unwrap(),
        target_object: "Account".parse().unwrap(),
        key: "Source_Id__c".parse().unwrap(),
    }
}

#[tokio::test]
async fn the_files_are_for_their_owner_alone() {
    let state = StateFile::empty();
    let store = state.open().await;
    store.pipeline(&identity(), Seq::ZERO).await.unwrap();
    let mut modes: Vec<_> = std::fs::read_dir(state.0.path())
        .unwrap()
        .map(|file| {
            let file = file.unwrap();
            (file.file_name().into_string().unwrap(), file.metadata().unwrap().permissions().mode() & 0o777)
        })
        .collect();
    modes.sort();
    let expected = ["bridge.db", "bridge.db-shm", "bridge.db-wal", "bridge.db.lock"];
    assert_eq!(modes, expected.map(|name| (name.to_owned(), 0o600)));
}

#[tokio::test]
async fn a_look_at_a_state_that_nobody_holds_neither_changes_it_nor_keeps_it_from_its_next_owner() {
    let state = StateFile::empty();
    assert!(matches!(Sqlite::open_unowned(&state.path()), Err(StoreError::Open { .. })));
    assert!(!state.path().exists());
    let store = state.open().await;
    store.pipeline(&identity(), Seq::ZERO).await.unwrap();
    assert!(matches!(Sqlite::open_unowned(&state.path()), Err(StoreError::InUse { .. })));
    drop(store);
    let look = Sqlite::open_unowned(&state.path()).unwrap();
    assert_eq!(look.pipelines().await.unwrap().len(), 1);
    assert!(look.pin_org(&"source".parse().unwrap(), "00D000000000001AAA").await.is_err());
    let owner = state.open().await;
    owner.pin_org(&"source".parse().unwrap(), "00D000000000001AAA").await.unwrap();
    assert_eq!(look.pinned_org(&"source".parse().unwrap()).await.unwrap().as_deref(), Some("00D000000000001AAA"));
}

#[tokio::test]
async fn a_state_with_other_tables_than_this_release_s_is_not_looked_into() {
    let state = StateFile::empty();
    drop(state.open().await);
    let db = Connection::open(state.path()).unwrap();
    for (version, expected) in [(1, "older release"), (99, "newer release")] {
        db.pragma_update(None, "user_version", version).unwrap();
        match Sqlite::open_unowned(&state.path()) {
            Err(StoreError::Open { reason, .. }) => assert!(reason.contains(expected), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_second_process_is_refused_and_told_who_owns_the_file() {
    let state = StateFile::empty();
    let store = state.open().await;
    let link = state.0.path().join("link.db");
    std::os::unix::fs::symlink(state.path(), &link).unwrap();
    for path in [state.path(), link] {
        match Sqlite::open(&path) {
            Err(StoreError::InUse { pid, command, .. }) => {
                assert_eq!(pid, std::process::id().to_string());
                assert!(command.contains(&std::env::args().next().unwrap()), "{command}");
            }
            other => panic!("{other:?}"),
        }
    }
    let clone = store.clone();
    drop(store);
    assert!(matches!(Sqlite::open(&state.path()), Err(StoreError::InUse { .. })), "a clone still owns it");
    drop(clone);
    Sqlite::open(&state.path()).unwrap();
}

#[tokio::test]
async fn the_last_clone_leaves_one_file_with_everything_in_it() {
    let state = StateFile::empty();
    let store = state.open().await;
    let row = store.pipeline(&identity(), Seq(7)).await.unwrap();
    drop(store);
    let beside = |end: &str| state.0.path().join(format!("bridge.db-{end}")).exists();
    assert!(!beside("wal") && !beside("shm"));
    assert_eq!(state.open().await.pipelines().await.unwrap(), [row]);
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_done_before_the_file_is_free() {
    let state = StateFile::empty();
    let store = state.open().await;
    {
        let identity = identity();
        let mut call = std::pin::pin!(store.pipeline(&identity, Seq(7)));
        // Polled once: asked, and then dropped.
        let _ = futures_util::poll!(&mut call);
    }
    drop(store);
    assert_eq!(state.open().await.pipelines().await.unwrap().len(), 1);
}

/// What a power cut leaves: the file and its log as they are at this moment.
fn after_a_power_cut(path: &Path) -> StateFile {
    let copy = StateFile::empty();
    std::fs::copy(path, copy.path()).unwrap();
    std::fs::copy(path.with_extension("db-wal"), copy.path().with_extension("db-wal")).unwrap();
    copy
}

#[tokio::test]
async fn what_was_answered_survives_a_power_cut_and_half_a_transaction_does_not() {
    let state = StateFile::empty();
    let store = state.open().await;
    let row = store.pipeline(&identity(), Seq(7)).await.unwrap();
    let half = after_a_power_cut(&state.path());
    assert_eq!(half.open().await.pipelines().await.unwrap(), std::slice::from_ref(&row));

    let log = std::fs::metadata(state.path().with_extension("db-wal")).unwrap().len();
    store
        .start(store.subscription(&identity().source_org, &identity().channel).await.unwrap().id, Timestamp(1))
        .await
        .unwrap();
    let cut = after_a_power_cut(&state.path());
    let wal = std::fs::OpenOptions::new().write(true).open(cut.path().with_extension("db-wal")).unwrap();
    wal.set_len(log + 100).unwrap();
    let store = cut.open().await;
    assert_eq!(store.pipelines().await.unwrap(), [row]);
    let found = store.subscription(&identity().source_org, &identity().channel).await.unwrap();
    assert_eq!(found.position.started_at, None);
}

#[tokio::test]
async fn an_empty_file_is_migrated_and_a_migrated_one_is_left() {
    let state = StateFile::empty();
    std::fs::write(state.path(), "").unwrap();
    drop(state.open().await);
    let schema = || -> (u32, Vec<String>) {
        let db = Connection::open(state.path()).unwrap();
        let version = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        let mut tables = db.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").unwrap();
        (version, tables.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap())
    };
    let migrated = schema();
    assert_eq!(migrated.0 as usize, super::file::MIGRATIONS.len());
    assert!(migrated.1.len() > 10);
    drop(state.open().await);
    assert_eq!(schema(), migrated);
}

#[tokio::test]
async fn a_file_of_the_first_release_is_brought_to_this_one_with_its_gaps() {
    let state = StateFile::empty();
    let db = Connection::open(state.path()).unwrap();
    db.execute_batch(include_str!("migrations/0001_start.sql")).unwrap();
    db.execute_batch(
        r#"INSERT INTO subscriptions (id, org, channel) VALUES (1, 'source', '/data/AccountChangeEvent');
           INSERT INTO journal (seq, subscription, replay_id, event_key, received_at, payload)
               VALUES (1, 1, x'37', 'key', 1000, '{"v":1,"event":{"uuid":null,"fields":{}}}');
           INSERT INTO gaps (subscription, kind, seq, closed_at) VALUES (1, 'position', 1, 2000), (1, 'wildcard', 1, NULL);
           INSERT INTO pipelines (id, name, source_org, channel, source_object, target_org, target_object, key_field, watermark)
               VALUES (1, 'accounts', 'source', '/data/AccountChangeEvent', 'Account', 'target', 'Account', 'Key__c', 0);
           INSERT INTO links (source_org, target_org, source_record, target_object, target_record)
               VALUES ('source', 'target', '001000000000001AAA', 'Account', '001000000000002AAA');
           PRAGMA user_version = 1"#,
    )
    .unwrap();
    drop(db);
    let store = state.open().await;
    let row = store.subscriptions().await.unwrap().remove(0);
    assert_eq!((row.journaled, row.last_event, row.open_gaps), (1, Some(Timestamp(1000)), 1));
    let figures = store.journal_figures().await.unwrap();
    assert_eq!((figures.entries, figures.whole_since), (1, Some(Timestamp(1000))));
    assert_eq!(figures.bytes, counted_bytes(&state.path()), "counted as those that come from now on");
    let gap = store.gaps().await.unwrap().remove(0);
    assert_eq!((gap.opened, gap.records, gap.why.as_str()), (Timestamp(1000), 0, ""));
    let closed = store.mended_gaps(9).await.unwrap().remove(0).closed;
    assert_eq!(closed, Some(Closed { at: Timestamp(2000), by: Mended::CameAgain }));
    let records = vec!["001000000000001AAA".parse().unwrap()];
    let answer = store.known(PipelineId(1), Question { records, parents: Vec::new() }).await.unwrap();
    assert_eq!((answer.links.len(), answer.created.len()), (1, 0), "who created it nobody noted");
}

/// What the entries take, counted one by one.
fn counted_bytes(path: &Path) -> u64 {
    let sql = "SELECT octet_length(payload), octet_length(event_key),
                   (SELECT count(*) FROM journal_records n WHERE n.seq = journal.seq) FROM journal";
    let db = Connection::open(path).unwrap();
    let mut entries = db.prepare(sql).unwrap();
    let length = |row: &rusqlite::Row<'_>, column| row.get::<_, u32>(column).unwrap() as usize;
    let size = |row: &rusqlite::Row<'_>| super::trim::size_of(length(row, 0), length(row, 1), length(row, 2));
    let sizes = entries.query_map([], |row| Ok(size(row))).unwrap();
    sizes.map(|size| size.unwrap() as u64).sum()
}

#[tokio::test]
async fn what_the_journal_takes_is_known_without_counting_and_is_about_what_the_file_has() {
    let state = StateFile::empty();
    let store = state.open().await;
    let subscription = store.subscription(&identity().source_org, &identity().channel).await.unwrap().id;
    let events = |from: u32| {
        let each = (from..from + 1_000).map(|number| {
            let id = |number: u32| crate::store::contract::given::account(number * 7 % 50_000);
            let records = if number % 4 == 0 { vec![id(number), id(number + 1)] } else { vec![id(number)] };
            crate::store::contract::given::event(number).records(&records).arrives()
        });
        each.collect()
    };
    for from in (0..20_000).step_by(1_000) {
        store.append(subscription, events(from), Timestamp(1)).await.unwrap();
    }
    let figures = store.journal_figures().await.unwrap();
    assert_eq!((figures.entries, figures.bytes), (20_000, counted_bytes(&state.path())));
    drop(store);
    let file = std::fs::metadata(state.path()).unwrap().len();
    assert!(figures.bytes < file && file < figures.bytes * 5 / 4, "{} of {file}", figures.bytes);
    let store = state.open().await;
    let retain = crate::config::Retain::default();
    store.trim_journal(retain, Timestamp::now(), Seq::ZERO, 7_000).await.unwrap();
    let figures = store.journal_figures().await.unwrap();
    assert_eq!((figures.entries, figures.bytes), (13_000, counted_bytes(&state.path())));
    // The room is used again before the file grows.
    store.append(subscription, events(20_000), Timestamp(1)).await.unwrap();
    drop(store);
    assert_eq!(std::fs::metadata(state.path()).unwrap().len(), file);
}

fn refused(path: &Path) -> String {
    match Sqlite::open(path) {
        Err(StoreError::Open { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_of_a_newer_release_is_refused_untouched() {
    let state = StateFile::empty();
    drop(state.open().await);
    Connection::open(state.path()).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let before = std::fs::read(state.path()).unwrap();
    assert!(refused(&state.path()).contains("version 99"));
    assert_eq!(std::fs::read(state.path()).unwrap(), before);
}

#[test]
fn a_file_of_another_program_is_refused_untouched() {
    let state = StateFile::empty();
    Connection::open(state.path()).unwrap().execute_batch("CREATE TABLE theirs (n INTEGER)").unwrap();
    let before = std::fs::read(state.path()).unwrap();
    assert!(refused(&state.path()).contains("another program"));
    assert_eq!(std::fs::read(state.path()).unwrap(), before);
    std::fs::write(state.path(), "version: 1\norgs: {}\n".repeat(99)).unwrap();
    refused(&state.path());
    refused(&state.0.path().join("no/such/directory.db"));
}

#[tokio::test]
async fn a_person_can_read_the_journal_while_the_bridge_runs() {
    let state = StateFile::empty();
    let store = state.open().await;
    let subscription = store.subscription(&identity().source_org, &identity().channel).await.unwrap().id;
    let event = serde_json::json!({
        "channel": "/data/AccountChangeEvent", "replay_id": [52, 50],
        "happening": { "event": { "uuid": "u-1", "fields": { "Name": "Acme" } } },
    });
    let change = serde_json::from_value(event).unwrap();
    store.append(subscription, vec![crate::event::Arrival::Change(change)], Timestamp(1)).await.unwrap();
    let db = Connection::open(state.path()).unwrap();
    let found: (u32, String, String) = db
        .query_row(
            "SELECT payload ->> 'v', payload ->> '$.event.fields.Name', CAST(replay_id AS TEXT) FROM journal",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    assert_eq!(found, (1, "Acme".to_owned(), "42".to_owned()));
}

#[tokio::test]
async fn a_store_in_memory_writes_and_reads() {
    let store = Sqlite::in_memory().unwrap();
    let row = store.clone().pipeline(&identity(), Seq(7)).await.unwrap();
    assert_eq!(store.pipelines().await.unwrap(), [row]);
}

/// Prints how fast groups of the journal's size become durable; `cargo test -- --ignored --nocapture rows_per_second`.
#[tokio::test]
#[ignore = "a measurement"]
async fn rows_per_second() {
    const GROUPS: u32 = 20;
    const GROUP: u32 = 500;
    let state = StateFile::empty();
    let store = state.open().await;
    let subscription = store.subscription(&identity().source_org, &identity().channel).await.unwrap().id;
    let groups: Vec<Vec<_>> =
        (0..GROUPS).map(|group| crate::store::contract::given::arrivals(group * GROUP..(group + 1) * GROUP)).collect();
    let begun = tokio::time::Instant::now();
    for group in groups {
        store.append(subscription, group, Timestamp(1)).await.unwrap();
    }
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(store.head().await.unwrap(), Seq(u64::from(GROUPS * GROUP)));
    println!("{:.0} rows/s", f64::from(GROUPS * GROUP) / seconds);
}

#[tokio::test]
async fn a_statement_is_not_planned_anew_for_other_values() {
    let state = StateFile::empty();
    let store = state.open().await;
    store.pipeline(&identity(), Seq::ZERO).await.unwrap();
    drop(store);
    let db = Connection::open(state.path()).unwrap();
    super::file::prepare(&db).unwrap();
    for n in 0..5 {
        let mut waiting = db
            .prepare_cached(
                "SELECT k.record FROM pipelines parent
                 JOIN parked k ON k.waits_record = ?2 AND k.waits_object = parent.target_object
                 WHERE parent.id = ?1",
            )
            .unwrap();
        assert!(!waiting.exists(params![1, format!("{n}")]).unwrap());
        assert_eq!(waiting.get_status(StatementStatus::RePrepare), 0, "use {n}");
    }
}
