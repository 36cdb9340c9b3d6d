-- Records that somebody named, for a job to read. They go when it is over.
CREATE TABLE job_lists (
    list INTEGER PRIMARY KEY AUTOINCREMENT
) STRICT;

CREATE TABLE job_records (
    list   INTEGER NOT NULL REFERENCES job_lists (list),
    n      INTEGER NOT NULL, -- from 1
    record TEXT NOT NULL,    -- of the source
    target TEXT,             -- its counterpart, where the list names it
    PRIMARY KEY (list, n)
) STRICT, WITHOUT ROWID;
