-- Resuming: what an interrupted attempt needs so that the next run can go on with it.

-- local: key.age's bytes of an attempt, so that a resumed one writes the same; null once committed
ALTER TABLE archive ADD COLUMN sealed_key BLOB
    CHECK (sealed_key IS NULL OR state NOT IN ('committed', 'retired'));

-- local: until when an attempt's objects are locked; null where they aren't
ALTER TABLE archive ADD COLUMN retain_until TEXT;
