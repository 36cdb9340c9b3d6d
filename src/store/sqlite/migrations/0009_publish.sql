-- How many records of an object go out in one call, where the target's automation cannot do as many as a call takes.
CREATE TABLE batch_sizes (
    target_org    TEXT NOT NULL,
    target_object TEXT NOT NULL,
    size          INTEGER NOT NULL,
    PRIMARY KEY (target_org, target_object)
) STRICT, WITHOUT ROWID;

-- Since when a record waits for this parent, by our clock. Time for which a person paused its pipeline or its target, or its
-- pipeline was halted, does not count.
ALTER TABLE parked ADD COLUMN waits_since INTEGER;
UPDATE parked SET waits_since = tried_at WHERE waits_record IS NOT NULL;

CREATE INDEX parked_by_state ON parked (pipeline, state);
