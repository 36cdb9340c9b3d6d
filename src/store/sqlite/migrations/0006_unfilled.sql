-- Lookups that lead to nothing in the target yet: their record was written without the field, and is written once more when
-- it can be filled. Nothing waits for them.
CREATE TABLE unfilled (
    pipeline      INTEGER NOT NULL,
    record        TEXT NOT NULL,
    field         TEXT NOT NULL,
    parent_object TEXT, -- where a pipeline writes what it leads to
    parent_record TEXT,
    attempts      INTEGER NOT NULL,
    tried_at      INTEGER NOT NULL,
    PRIMARY KEY (pipeline, record, field)
) STRICT, WITHOUT ROWID;

CREATE INDEX unfilled_by_parent ON unfilled (parent_record, parent_object);
