-- What happened to a record in a pipeline and the journal does not tell. Names of fields and codes, never a value.
CREATE TABLE history (
    id            INTEGER PRIMARY KEY, -- rows come in the order of time, so this is the index by time
    pipeline      INTEGER NOT NULL,
    record        TEXT NOT NULL, -- of the source
    at            INTEGER NOT NULL, -- by our clock
    since         INTEGER, -- the same happened again and again from then on
    what          TEXT NOT NULL,
    from_seq      INTEGER NOT NULL, -- journal.seq that it is about; 0: of none that is known
    to_seq        INTEGER NOT NULL,
    through       TEXT NOT NULL, -- what it came from
    target        TEXT, -- the record there
    fields        TEXT NOT NULL DEFAULT '[]', -- JSON list of names
    code          TEXT,
    parent_object TEXT, -- whom it waits for: target object and source record
    parent_record TEXT
) STRICT;

CREATE INDEX history_by_record ON history (record);
-- A counterpart that no link names any more. An update goes by a link that an older row made.
CREATE INDEX history_by_target ON history (target) WHERE target IS NOT NULL AND what <> 'updated';
