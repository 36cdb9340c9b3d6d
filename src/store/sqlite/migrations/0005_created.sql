-- 1: the bridge created the target record; 0: it was there before; null: not known.
ALTER TABLE links ADD COLUMN created INTEGER;
