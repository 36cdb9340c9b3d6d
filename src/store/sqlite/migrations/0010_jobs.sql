-- What reads the past for a pipeline: backfills and repairs. How far one is moves when what it has read is settled.
CREATE TABLE jobs (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    pipeline   INTEGER NOT NULL,
    work       TEXT NOT NULL,      -- JSON
    cursor     TEXT,               -- JSON; null: at the beginning
    total      INTEGER,
    rows       INTEGER NOT NULL DEFAULT 0,
    calls      INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    begun_at   INTEGER,
    as_of      INTEGER,            -- by the org's clock
    ended_at   INTEGER,
    ended_how  TEXT,
    why        TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX jobs_by_pipeline ON jobs (pipeline, ended_at);
