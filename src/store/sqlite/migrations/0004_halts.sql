-- Set while a pipeline is stopped: why, and when by our clock. It stopped by itself, and waits for a person.
ALTER TABLE pipelines ADD COLUMN halted TEXT;
ALTER TABLE pipelines ADD COLUMN halted_at INTEGER;
-- Up to where the journal reached when it was resumed last: a person has looked at that.
ALTER TABLE pipelines ADD COLUMN passes_to INTEGER NOT NULL DEFAULT 0;

-- What waits for its pipeline is found again page by page.
CREATE INDEX parked_by_code ON parked (code, pipeline, record);
