-- Comparisons of the two sides of a pipeline. Of each pipeline the last that is over is kept, with what it found.
CREATE TABLE verifications (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    pipeline  INTEGER NOT NULL,
    wish      TEXT NOT NULL, -- JSON
    counts    TEXT NOT NULL, -- JSON
    wanted_at INTEGER NOT NULL,
    begun_at  INTEGER,
    ended_at  INTEGER,
    ended_how TEXT,
    why       TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX verifications_by_pipeline ON verifications (pipeline, ended_at);

CREATE TABLE differences (
    verification INTEGER NOT NULL REFERENCES verifications (number),
    n            INTEGER NOT NULL, -- from 1
    found        TEXT NOT NULL,    -- JSON; no values of records
    PRIMARY KEY (verification, n)
) STRICT, WITHOUT ROWID;

-- Whose counterpart a record of the target is.
CREATE INDEX links_by_target ON links (target_record);
