-- How far people in the source org were told what happened to the records of a pipeline.
CREATE TABLE feedback (
    pipeline INTEGER PRIMARY KEY REFERENCES pipelines (id),
    told     INTEGER NOT NULL -- rows of history up to this id
) STRICT;

-- What the last digest said, and when it went out.
CREATE TABLE digest (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    sent_at INTEGER NOT NULL,
    said    TEXT NOT NULL -- JSON: names, codes and numbers
) STRICT;
