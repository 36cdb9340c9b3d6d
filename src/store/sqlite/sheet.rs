//! A table on disk, for comparing more records than fit into memory. Nobody else sees it, and it is gone with its owner.

use rusqlite::{Connection, params};

use super::worker::{Worker, one_by_one};
use crate::event::RecordId;
use crate::store::StoreError;

const TABLES: &str = "
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8192; PRAGMA temp_store = FILE;
    CREATE TABLE held (n INTEGER PRIMARY KEY, key TEXT NOT NULL, id TEXT NOT NULL, digest BLOB NOT NULL,
        seen INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE suspects (record TEXT NOT NULL PRIMARY KEY, mark INTEGER) STRICT, WITHOUT ROWID;
    CREATE TABLE orphans (id TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;";

/// What the target holds, by key, and which records are to be looked at again.
pub struct Sheet {
    worker: Worker,
}

/// It is no trouble of the state's.
#[derive(Debug, thiserror::Error)]
#[error(
    "a temporary file for the comparison could not be written: make room where temporary files are, or set SQLITE_TMPDIR to another \
     folder"
)]
pub struct SheetError(#[source] StoreError);

/// A record of the target: its key, its id, and what stands for its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub key: String,
    pub id: RecordId,
    pub digest: Vec<u8>,
}

impl Sheet {
    /// # Errors
    /// Where there is no room for temporary files.
    pub fn new() -> Result<Self, SheetError> {
        // Without a name it is a file that only this connection knows (0600), and that goes with it.
        let made = || {
            let db = Connection::open("")?;
            db.execute_batch(TABLES)?;
            let failed = |error| StoreError::Database(Box::new(error));
            Worker::spawn("comparison", db, one_by_one).map_err(failed)
        };
        Ok(Self { worker: made().map_err(SheetError)? })
    }

    pub async fn put(&self, rows: Vec<Held>) -> Result<(), SheetError> {
        self.worker
            .ask(move |db| {
                let mut insert = db.prepare_cached("INSERT INTO held (key, id, digest) VALUES (?1, ?2, ?3)")?;
                for Held { key, id, digest } in rows {
                    insert.execute(params![key, id, digest])?;
                }
                Ok(())
            })
            .await
            .map_err(SheetError)
    }

    /// All of the target is there: from now on it can be looked up.
    pub async fn complete(&self) -> Result<(), SheetError> {
        let index = "CREATE INDEX held_by_key ON held (key)";
        self.worker.ask(|db| Ok(db.execute_batch(index)?)).await.map_err(SheetError)
    }

    /// Who holds these keys. They count as seen.
    pub async fn holders(&self, keys: Vec<String>) -> Result<Vec<Vec<(RecordId, Vec<u8>)>>, SheetError> {
        self.worker
            .ask(move |db| {
                let mut select = db.prepare_cached("SELECT n, id, digest, seen FROM held WHERE key = ?1")?;
                let mut see = db.prepare_cached("UPDATE held SET seen = 1 WHERE n = ?1")?;
                let mut all = Vec::with_capacity(keys.len());
                for key in keys {
                    let read = |row: &rusqlite::Row<'_>| {
                        let (n, seen): (i64, bool) = (row.get(0)?, row.get(3)?);
                        Ok((n, seen, (row.get(1)?, row.get(2)?)))
                    };
                    let found: Vec<(i64, bool, _)> = select.query_map([key], read)?.collect::<Result<_, _>>()?;
                    for (n, ..) in found.iter().filter(|(_, seen, _)| !seen) {
                        see.execute([n])?;
                    }
                    all.push(found.into_iter().map(|(.., holder)| holder).collect());
                }
                Ok(all)
            })
            .await
            .map_err(SheetError)
    }

    /// Those that nobody asked for, behind this number; each with its number.
    pub async fn unseen(&self, after: i64, limit: usize) -> Result<Vec<(i64, String, RecordId)>, SheetError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.worker
            .ask(move |db| {
                let select = "SELECT n, key, id FROM held WHERE seen = 0 AND n > ?1 ORDER BY n LIMIT ?2";
                let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                Ok(db.prepare_cached(select)?.query_map(params![after, limit], row)?.collect::<Result<_, _>>()?)
            })
            .await
            .map_err(SheetError)
    }

    /// Records of the source that are to be looked at again.
    pub async fn suspect(&self, records: Vec<RecordId>) -> Result<(), SheetError> {
        self.worker
            .ask(move |db| {
                let mut insert =
                    db.prepare_cached("INSERT INTO suspects (record) VALUES (?1) ON CONFLICT DO NOTHING")?;
                records.into_iter().try_for_each(|record| insert.execute([record]).map(drop))?;
                Ok(())
            })
            .await
            .map_err(SheetError)
    }

    /// Suspects in the order of their ids, each with the mark that it got last.
    pub async fn suspects(
        &self,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<(RecordId, Option<i64>)>, SheetError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.worker
            .ask(move |db| {
                let select =
                    "SELECT record, mark FROM suspects WHERE ?1 IS NULL OR record > ?1 ORDER BY record LIMIT ?2";
                let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
                Ok(db.prepare_cached(select)?.query_map(params![after, limit], row)?.collect::<Result<_, _>>()?)
            })
            .await
            .map_err(SheetError)
    }

    /// These suspects get a mark, and are to be looked at once more.
    pub async fn mark(&self, marks: Vec<(RecordId, i64)>) -> Result<(), SheetError> {
        self.worker
            .ask(move |db| {
                let mut update = db.prepare_cached("UPDATE suspects SET mark = ?2 WHERE record = ?1")?;
                marks.into_iter().try_for_each(|(record, mark)| update.execute(params![record, mark]).map(drop))?;
                Ok(())
            })
            .await
            .map_err(SheetError)
    }

    /// It is known what these suspects are.
    pub async fn clear(&self, records: Vec<RecordId>) -> Result<(), SheetError> {
        self.worker
            .ask(move |db| {
                let mut delete = db.prepare_cached("DELETE FROM suspects WHERE record = ?1")?;
                records.into_iter().try_for_each(|record| delete.execute([record]).map(drop))?;
                Ok(())
            })
            .await
            .map_err(SheetError)
    }

    /// Records of the target with a key that no record of the source is known to have.
    pub async fn add_orphans(&self, ids: Vec<RecordId>) -> Result<(), SheetError> {
        self.worker
            .ask(move |db| {
                let mut insert = db.prepare_cached("INSERT INTO orphans (id) VALUES (?1) ON CONFLICT DO NOTHING")?;
                ids.into_iter().try_for_each(|id| insert.execute([id]).map(drop))?;
                Ok(())
            })
            .await
            .map_err(SheetError)
    }

    pub async fn orphans(&self, after: Option<RecordId>, limit: usize) -> Result<Vec<RecordId>, SheetError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.worker
            .ask(move |db| {
                let select = "SELECT id FROM orphans WHERE ?1 IS NULL OR id > ?1 ORDER BY id LIMIT ?2";
                let rows = db
                    .prepare_cached(select)?
                    .query_map(params![after, limit], |row| row.get(0))?
                    .collect::<Result<_, _>>()?;
                Ok(rows)
            })
            .await
            .map_err(SheetError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> RecordId {
        format!("001T{n:011}").parse().unwrap()
    }

    #[tokio::test]
    async fn what_nobody_asked_for_is_left_and_suspects_last_until_they_are_cleared() {
        let sheet = Sheet::new().unwrap();
        let held = |n: u32, key: &str| Held { key: key.to_owned(), id: id(n), digest: vec![n as u8] };
        sheet.put(vec![held(1, "a"), held(2, "b"), held(3, "b"), held(4, "A")]).await.unwrap();
        sheet.complete().await.unwrap();
        let holders = sheet.holders(vec!["b".to_owned(), "c".to_owned(), "a".to_owned()]).await.unwrap();
        assert_eq!(holders, [vec![(id(2), vec![2]), (id(3), vec![3])], vec![], vec![(id(1), vec![1])]]);
        assert_eq!(sheet.unseen(0, 9).await.unwrap(), [(4, "A".to_owned(), id(4))], "keys are compared exactly");
        sheet.suspect(vec![id(9), id(7), id(9), id(8)]).await.unwrap();
        sheet.mark(vec![(id(8), -5)]).await.unwrap();
        sheet.clear(vec![id(7)]).await.unwrap();
        assert_eq!(sheet.suspects(None, 9).await.unwrap(), [(id(8), Some(-5)), (id(9), None)]);
        assert_eq!(sheet.suspects(Some(id(8)), 9).await.unwrap(), [(id(9), None)]);
        sheet.add_orphans(vec![id(4), id(4)]).await.unwrap();
        assert_eq!(
            (sheet.orphans(None, 9).await.unwrap(), sheet.orphans(Some(id(4)), 9).await.unwrap()),
            (vec![id(4)], vec![])
        );
    }
}
