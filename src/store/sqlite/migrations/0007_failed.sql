-- Evidence of failed records, and what a person asked for.
ALTER TABLE parked ADD COLUMN request TEXT NOT NULL DEFAULT ''; -- JSON: what was sent last; '': nothing was, or it was erased
ALTER TABLE parked ADD COLUMN failed_code TEXT; -- why it had failed before it was parked anew; NULL: it had not
ALTER TABLE parked ADD COLUMN first_at INTEGER NOT NULL DEFAULT 0; -- when it was parked first
ALTER TABLE parked ADD COLUMN redrive_at INTEGER; -- a person wants it tried again, since then
ALTER TABLE parked ADD COLUMN redrive_taken INTEGER NOT NULL DEFAULT 0; -- 1: the bridge that runs has begun with it
UPDATE parked SET first_at = tried_at;

CREATE INDEX parked_to_redrive ON parked (pipeline, record) WHERE redrive_at IS NOT NULL;

-- Failed records that are none any more. Kept for 30 days.
CREATE TABLE healed (
    id        INTEGER PRIMARY KEY,
    pipeline  INTEGER NOT NULL REFERENCES pipelines (id),
    record    TEXT NOT NULL,
    code      TEXT NOT NULL, -- why it had failed
    attempts  INTEGER NOT NULL,
    first_at  INTEGER NOT NULL,
    closed_at INTEGER NOT NULL,
    how       TEXT NOT NULL -- for people
) STRICT;

CREATE INDEX healed_by_age ON healed (closed_at);

-- Orgs into which nothing is written until a person says so. By the config's names: one that was never logged in can be
-- here.
CREATE TABLE paused (
    org    TEXT NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL, -- may be empty
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
