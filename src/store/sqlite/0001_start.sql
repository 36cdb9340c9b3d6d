-- Names are the design's words; times are milliseconds since 1970, UTC; records are ids of 18 characters.

CREATE TABLE orgs (
    name   TEXT PRIMARY KEY,
    org_id TEXT NOT NULL
);

CREATE TABLE subscriptions (
    id         INTEGER PRIMARY KEY,
    org        TEXT NOT NULL,
    channel    TEXT NOT NULL,
    transport  TEXT NOT NULL,
    -- The last id known complete: another id, or a sign of life, came after it.
    replay_id  BLOB,
    -- The id that came last; more events may still come under it.
    pending_id BLOB,
    started_at INTEGER,
    live_until INTEGER,
    UNIQUE (org, channel)
);

-- One row for each event, in the order of arrival.
CREATE TABLE journal (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription INTEGER NOT NULL REFERENCES subscriptions (id),
    event_key    TEXT NOT NULL,
    entity       TEXT,
    change_type  TEXT,
    committed_at INTEGER,
    received_at  INTEGER NOT NULL,
    -- JSON with its version in `v`.
    payload      TEXT NOT NULL,
    UNIQUE (subscription, event_key)
);
CREATE INDEX journal_by_entity ON journal (subscription, entity, seq);

-- Which records an entry names.
CREATE TABLE journal_records (
    record TEXT NOT NULL,
    seq    INTEGER NOT NULL REFERENCES journal (seq),
    PRIMARY KEY (record, seq)
) WITHOUT ROWID;

-- Whatever may have hidden a change.
CREATE TABLE gaps (
    id           INTEGER PRIMARY KEY,
    subscription INTEGER NOT NULL REFERENCES subscriptions (id),
    kind         TEXT NOT NULL,
    object       TEXT,
    from_time    INTEGER,
    to_time      INTEGER,
    seq          INTEGER NOT NULL,
    -- The event that proves, when it comes again, that nothing is missing.
    proof        TEXT,
    -- When it was noticed, and when it was mended.
    opened_at    INTEGER NOT NULL,
    closed_at    INTEGER
);

CREATE TABLE pipelines (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    source_org    TEXT NOT NULL,
    channel       TEXT NOT NULL,
    source_object TEXT NOT NULL,
    target_org    TEXT NOT NULL,
    target_object TEXT NOT NULL,
    key_field     TEXT NOT NULL,
    watermark     INTEGER NOT NULL,
    removed_at    INTEGER
);

-- Pairs of records, shared by all pipelines between two orgs.
CREATE TABLE links (
    source_org    TEXT NOT NULL,
    target_org    TEXT NOT NULL,
    source_record TEXT NOT NULL,
    target_object TEXT NOT NULL,
    target_record TEXT NOT NULL,
    PRIMARY KEY (source_org, target_org, source_record, target_object)
) WITHOUT ROWID;

-- Up to where a record of a pipeline is settled. A deleted record leaves a tombstone.
CREATE TABLE applied (
    pipeline    INTEGER NOT NULL REFERENCES pipelines (id),
    record      TEXT NOT NULL,
    applied_seq INTEGER NOT NULL,
    tombstone   INTEGER NOT NULL,
    PRIMARY KEY (pipeline, record)
) WITHOUT ROWID;

-- Records that a request in flight speaks of; with `suspect_until`, whose answer was lost.
CREATE TABLE sent (
    pipeline      INTEGER NOT NULL REFERENCES pipelines (id),
    record        TEXT NOT NULL,
    suspect_until INTEGER,
    PRIMARY KEY (pipeline, record)
) WITHOUT ROWID;

-- Records that wait for another, and failed records.
CREATE TABLE parked (
    pipeline     INTEGER NOT NULL REFERENCES pipelines (id),
    record       TEXT NOT NULL,
    from_seq     INTEGER NOT NULL,
    to_seq       INTEGER NOT NULL,
    -- What the last try knew of. More than that: it should be tried again.
    tried_seq    INTEGER NOT NULL,
    state        TEXT NOT NULL,
    code         TEXT NOT NULL,
    fields       TEXT NOT NULL,
    waits_object TEXT,
    waits_record TEXT,
    attempts     INTEGER NOT NULL,
    parked_at    INTEGER NOT NULL,
    tried_at     INTEGER NOT NULL,
    -- What the org said.
    evidence     TEXT NOT NULL,
    PRIMARY KEY (pipeline, record)
) WITHOUT ROWID;
CREATE INDEX parked_by_parent ON parked (waits_record, waits_object);
