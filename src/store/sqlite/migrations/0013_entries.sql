-- Entries are looked for by time, and go with the rows that name their records.
CREATE INDEX journal_by_time ON journal (coalesce(committed_at, received_at));
CREATE INDEX journal_records_by_entry ON journal_records (seq);

-- What the journal holds, so that nobody has to count it.
CREATE TABLE journal_figures (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    entries    INTEGER NOT NULL,
    bytes      INTEGER NOT NULL, -- about what they take in the file, with their indexes
    trimmed_to INTEGER NOT NULL DEFAULT 0 -- above this journal.seq nothing was deleted
) STRICT;
INSERT INTO journal_figures (id, entries, bytes)
    SELECT 1, count(*),
        coalesce(sum(octet_length(payload) + 2 * octet_length(event_key) + 140), 0)
            + 60 * (SELECT count(*) FROM journal_records)
    FROM journal;
