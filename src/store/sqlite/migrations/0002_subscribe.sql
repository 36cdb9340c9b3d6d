-- Which schema an event of the Pub/Sub API was written with. A schema id always means the same schema.
CREATE TABLE schemas (
    org       TEXT NOT NULL,
    schema_id TEXT NOT NULL,
    schema    TEXT NOT NULL, -- Avro, as JSON
    PRIMARY KEY (org, schema_id)
) STRICT, WITHOUT ROWID;

-- What the truth probe has compared with the journal, without a break. By the org's clock.
CREATE TABLE probes (
    subscription INTEGER NOT NULL REFERENCES subscriptions (id),
    object       TEXT NOT NULL,
    since        INTEGER NOT NULL,
    until        INTEGER NOT NULL,
    PRIMARY KEY (subscription, object)
) STRICT, WITHOUT ROWID;

-- By our clock: when anything came from the bus, when an event did, and when `live_until` (or `started_at`) was set.
-- `journaled` counts entries.
-- `retired_at`: another org took the place of the one that it belongs to, which is named in `org` then.
ALTER TABLE subscriptions ADD COLUMN heard_at INTEGER;
ALTER TABLE subscriptions ADD COLUMN last_event_at INTEGER;
ALTER TABLE subscriptions ADD COLUMN proven_at INTEGER;
ALTER TABLE subscriptions ADD COLUMN journaled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN retired_at INTEGER;
UPDATE subscriptions SET
    heard_at = (SELECT max(received_at) FROM journal WHERE subscription = subscriptions.id),
    last_event_at = (SELECT max(received_at) FROM journal WHERE subscription = subscriptions.id),
    journaled = (SELECT count(*) FROM journal WHERE subscription = subscriptions.id);

-- 1: found by the bridge itself, so it has no place on the bus and never comes again.
ALTER TABLE journal ADD COLUMN own INTEGER NOT NULL DEFAULT 0;

ALTER TABLE gaps ADD COLUMN records INTEGER NOT NULL DEFAULT 0; -- that the entry at seq names; 0: a window
ALTER TABLE gaps ADD COLUMN opened_at INTEGER NOT NULL DEFAULT 0; -- by our clock
ALTER TABLE gaps ADD COLUMN why TEXT NOT NULL DEFAULT ''; -- for people
ALTER TABLE gaps ADD COLUMN closed_by TEXT; -- what mended it
ALTER TABLE gaps ADD COLUMN replay_id BLOB; -- of an event that could not be read, as are the next three
ALTER TABLE gaps ADD COLUMN schema_id TEXT;
ALTER TABLE gaps ADD COLUMN length INTEGER;
ALTER TABLE gaps ADD COLUMN digest TEXT; -- SHA-256 of the payload
UPDATE gaps SET
    opened_at = coalesce((SELECT received_at FROM journal WHERE journal.seq = gaps.seq), to_time, from_time, 0),
    closed_by = CASE WHEN closed_at IS NOT NULL THEN 'the event came again' END;

CREATE INDEX gaps_to_read ON gaps (seq) WHERE closed_at IS NULL AND records > 0;
CREATE INDEX gaps_by_digest ON gaps (subscription, digest) WHERE digest IS NOT NULL;

-- Events by the hour in which they came, by our clock. An hour in which nothing at all was heard has no row.
CREATE TABLE deliveries (
    subscription INTEGER NOT NULL REFERENCES subscriptions (id),
    hour         INTEGER NOT NULL, -- since 1970, UTC
    events       INTEGER NOT NULL, -- delivered, doubles included: what the org counts
    fresh        INTEGER NOT NULL, -- without those that are known to have come before
    PRIMARY KEY (subscription, hour)
) STRICT, WITHOUT ROWID;
