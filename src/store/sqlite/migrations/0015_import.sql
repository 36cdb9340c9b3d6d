-- Pairs of an import that were not linked, and why. They go when the next import of the pipeline is added.
CREATE TABLE not_linked (
    job    INTEGER NOT NULL,
    record TEXT NOT NULL, -- of the source
    target TEXT NOT NULL, -- the counterpart that was named
    why    TEXT NOT NULL, -- for people
    PRIMARY KEY (job, record)
) STRICT, WITHOUT ROWID;

-- What is known is compared with a list of any length.
CREATE INDEX job_records_by_record ON job_records (list, record, target);
CREATE INDEX job_records_by_target ON job_records (list, target, record);
