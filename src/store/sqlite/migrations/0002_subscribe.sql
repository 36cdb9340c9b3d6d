-- Which schema an event of the Pub/Sub API was written with. A schema id always means the same schema.
CREATE TABLE schemas (
    org       TEXT NOT NULL,
    schema_id TEXT NOT NULL,
    schema    TEXT NOT NULL, -- Avro, as JSON
    PRIMARY KEY (org, schema_id)
) STRICT, WITHOUT ROWID;

-- Up to where the truth probe has compared an object with the journal.
CREATE TABLE probes (
    subscription INTEGER NOT NULL REFERENCES subscriptions (id),
    object       TEXT NOT NULL,
    until        INTEGER NOT NULL, -- by the org's clock
    PRIMARY KEY (subscription, object)
) STRICT, WITHOUT ROWID;
