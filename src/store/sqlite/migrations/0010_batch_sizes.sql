-- How many records of an object go out in one call, where the target's automation cannot do as many as a call takes.
CREATE TABLE batch_sizes (
    target_org    TEXT NOT NULL,
    target_object TEXT NOT NULL,
    size          INTEGER NOT NULL,
    PRIMARY KEY (target_org, target_object)
) STRICT, WITHOUT ROWID;
