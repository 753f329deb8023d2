-- Cold storage classes: what a segment lies in, and what was asked for to read it again.

-- local: the class its segments were put into; null if unknown, then what the config says
ALTER TABLE archive ADD COLUMN storage_class TEXT;

-- Whether a segment can be read is what the store says. This remembers what was asked of it, so
-- that nothing is asked twice, and when the answer is due.
CREATE TABLE thaw (
    archive        TEXT NOT NULL,                       -- local: the segment's archive
    idx            INTEGER NOT NULL,                    -- local: its place in it, from 0
    tier           TEXT NOT NULL                        -- local: how fast it was asked for
                   CHECK (tier IN ('expedited', 'standard', 'bulk')),
    days           INTEGER NOT NULL CHECK (days > 0),   -- local: days that it is to stay readable
    state          TEXT NOT NULL                        -- local: requested before the request, thawing after its answer, readable once the store says so, fetched once its archive was received
                   CHECK (state IN ('requested', 'thawing', 'readable', 'fetched')),
    asked_at       TEXT NOT NULL,                       -- local: when it was asked for, by the store's clock
    readable_until TEXT,                                -- local: when it is cold again, by the store's clock; null until it is readable
    PRIMARY KEY (archive, idx),
    FOREIGN KEY (archive, idx) REFERENCES segment (archive, idx) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
