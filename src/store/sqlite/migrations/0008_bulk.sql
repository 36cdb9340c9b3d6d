-- Jobs of the Bulk API that were begun and of whose end nothing is known. Before they have ended nothing else may be written to
-- their org, for they may still write what is older.
CREATE TABLE bulk_jobs (
    job      TEXT PRIMARY KEY,
    org      TEXT NOT NULL,
    object   TEXT NOT NULL,
    begun_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
