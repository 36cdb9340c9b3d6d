-- The state of a bridge. Times are milliseconds since 1970, UTC; replay ids are bytes as the org sent them (over
-- CometD: digits). 1869768546 is 'orgb'.
PRAGMA application_id = 1869768546;

CREATE TABLE orgs (
    name   TEXT NOT NULL PRIMARY KEY, -- as in the config
    org_id TEXT NOT NULL              -- the org that its login must lead to
) STRICT;

CREATE TABLE subscriptions (
    id                INTEGER PRIMARY KEY,
    org               TEXT NOT NULL,
    channel           TEXT NOT NULL,
    transport         TEXT NOT NULL DEFAULT 'cometd',
    replay_id         BLOB,    -- the last one known complete
    pending_replay_id BLOB,    -- a newer one, of which more events may come
    started_at        INTEGER, -- by the org's clock
    live_until        INTEGER, -- by the org's clock
    UNIQUE (org, channel)
) STRICT;

CREATE TABLE journal (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice
    subscription INTEGER NOT NULL REFERENCES subscriptions (id),
    replay_id    BLOB NOT NULL,
    event_key    TEXT NOT NULL,
    entity       TEXT,
    change_type  TEXT,
    committed_at INTEGER, -- by the org's clock
    received_at  INTEGER NOT NULL,
    payload      TEXT NOT NULL, -- JSON; v is its version
    UNIQUE (subscription, event_key)
) STRICT;

CREATE INDEX journal_by_entity ON journal (subscription, entity, seq);

CREATE TABLE journal_records (
    subscription INTEGER NOT NULL,
    record       TEXT NOT NULL,
    seq          INTEGER NOT NULL REFERENCES journal (seq),
    PRIMARY KEY (subscription, record, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE gaps (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription INTEGER NOT NULL REFERENCES subscriptions (id),
    kind         TEXT NOT NULL, -- position, overflow, wildcard, undecodable, removed
    object       TEXT,
    from_time    INTEGER, -- null: not known
    to_time      INTEGER,
    seq          INTEGER NOT NULL,
    proof        TEXT, -- event_key of the event that closes it
    closed_at    INTEGER
) STRICT;

CREATE INDEX gaps_open ON gaps (subscription, kind) WHERE closed_at IS NULL;

CREATE TABLE pipelines (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT NOT NULL UNIQUE,
    source_org    TEXT NOT NULL,
    channel       TEXT NOT NULL,
    source_object TEXT NOT NULL,
    target_org    TEXT NOT NULL,
    target_object TEXT NOT NULL,
    key_field     TEXT NOT NULL,
    watermark     INTEGER NOT NULL, -- everything up to this journal.seq is settled
    removed_at    INTEGER
) STRICT;

CREATE TABLE links (
    source_org    TEXT NOT NULL,
    target_org    TEXT NOT NULL,
    source_record TEXT NOT NULL,
    target_object TEXT NOT NULL,
    target_record TEXT NOT NULL,
    PRIMARY KEY (source_org, target_org, source_record, target_object)
) STRICT, WITHOUT ROWID;

CREATE TABLE applied (
    pipeline  INTEGER NOT NULL REFERENCES pipelines (id),
    record    TEXT NOT NULL,
    seq       INTEGER NOT NULL, -- parts of the record up to here are settled
    tombstone INTEGER NOT NULL, -- 1: deleted there
    PRIMARY KEY (pipeline, record)
) STRICT, WITHOUT ROWID;

CREATE TABLE sent (
    pipeline      INTEGER NOT NULL REFERENCES pipelines (id),
    record        TEXT NOT NULL,
    suspect_until INTEGER, -- set when the answer was lost
    PRIMARY KEY (pipeline, record)
) STRICT, WITHOUT ROWID;

CREATE TABLE parked (
    pipeline     INTEGER NOT NULL REFERENCES pipelines (id),
    record       TEXT NOT NULL,
    from_seq     INTEGER NOT NULL,
    to_seq       INTEGER NOT NULL,
    tried_seq    INTEGER NOT NULL, -- what the last try knew of; to_seq beyond it asks for another
    state        TEXT NOT NULL, -- waiting, failed
    code         TEXT NOT NULL,
    fields       TEXT NOT NULL, -- JSON list of names
    waits_object TEXT, -- the parent: target object and source record
    waits_record TEXT,
    attempts     INTEGER NOT NULL,
    tried_at     INTEGER NOT NULL,
    evidence     TEXT NOT NULL, -- what the org said
    PRIMARY KEY (pipeline, record)
) STRICT, WITHOUT ROWID;

CREATE INDEX parked_by_parent ON parked (waits_record, waits_object);
CREATE INDEX parked_by_age ON parked (from_seq);
