-- The privacy rules of the source orgs, as the config had them at the last start.
CREATE TABLE privacy (
    org       TEXT NOT NULL,
    object    TEXT NOT NULL,
    field     TEXT NOT NULL,
    treatment TEXT NOT NULL, -- leave_out, hash, mask
    since     INTEGER NOT NULL, -- entries up to this journal.seq were stored without it
    scrubbed  INTEGER NOT NULL, -- and of these those up to here were rewritten
    dropped   INTEGER, -- it left the config at this journal.seq: what is older is treated, what is newer is not
    PRIMARY KEY (org, object, field, treatment)
) STRICT, WITHOUT ROWID;
