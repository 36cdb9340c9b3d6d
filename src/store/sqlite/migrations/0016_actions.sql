-- What a row of `pipelines` does: 'records' brings records over; an action is triggered by 'changes' of source_object, or by
-- the platform 'events' of that name. An action has no target_org, target_object and key_field: they are empty.
ALTER TABLE pipelines ADD COLUMN kind TEXT NOT NULL DEFAULT 'records';
ALTER TABLE pipelines ADD COLUMN gaps_to INTEGER NOT NULL DEFAULT 0; -- of an action: gaps up to this id were looked at

-- What an action has been done for, is being done for, or failed to be done for.
CREATE TABLE actions (
    pipeline        INTEGER NOT NULL REFERENCES pipelines (id),
    seq             INTEGER NOT NULL, -- the entry of the journal
    record          TEXT NOT NULL,    -- of a change that names several, which; '' of a platform event; 'gap 7' of a gap
    state           TEXT NOT NULL,    -- sent: a request was about to go out; again: it was refused for now; answered: it was
                                      -- done, and its answer is still to be brought back; done; failed
    idempotency_key TEXT NOT NULL,
    attempts        INTEGER NOT NULL,
    first_at        INTEGER NOT NULL,
    tried_at        INTEGER NOT NULL,
    code            TEXT NOT NULL DEFAULT '',
    evidence        TEXT NOT NULL DEFAULT '', -- what the other side said
    request         TEXT, -- what was handed over, as JSON
    answer          TEXT, -- of one that was answered: what is to be brought back, as JSON
    redrive_at      INTEGER, -- a person wants it done again
    PRIMARY KEY (pipeline, seq, record)
) STRICT, WITHOUT ROWID;
CREATE INDEX actions_failed ON actions (pipeline, code) WHERE state = 'failed';
