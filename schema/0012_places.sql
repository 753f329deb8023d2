-- Places: other stores that have copies of a source's archives.
--
-- A source's home is the store in its row of `source`. What is known of the home alone stays in `archive`
-- (`storage_class`, `verified_at`, `damaged_at`) and in `segment` (`locator`); in `thaw` and `verification`
-- the home is place 0. The same facts of a copy are here.

CREATE TABLE place (
    id         INTEGER PRIMARY KEY CHECK (id > 0),
    ledger     TEXT NOT NULL REFERENCES source (ledger),
    store      TEXT NOT NULL,                           -- local: the store's URL
    mark       TEXT NOT NULL CHECK (length(mark) = 32), -- local: the id in its marker, 32 hex digits
    head       INTEGER NOT NULL DEFAULT 0,              -- local: the highest number of its ledger that was compared with home's; 0 for none
    reached_at TEXT,                                    -- local: when it last had all that home had
    UNIQUE (ledger, store)
) STRICT;

CREATE TABLE placed (
    place         INTEGER NOT NULL REFERENCES place (id) ON DELETE CASCADE,
    archive       TEXT NOT NULL REFERENCES archive (id) ON DELETE CASCADE,
    storage_class TEXT,                                 -- local: the class that its segments were put into there
    copied_at     TEXT,                                 -- local: when all of it was there; null while it is being copied
    verified_at   TEXT,                                 -- local: when a listing of the place showed every segment after that
    damaged_at    TEXT,                                 -- local: when a check found a segment missing or damaged there
    PRIMARY KEY (place, archive)
) STRICT, WITHOUT ROWID;

CREATE TABLE placed_segment (
    place        INTEGER NOT NULL,
    archive      TEXT NOT NULL,
    idx          INTEGER NOT NULL CHECK (idx >= 0),     -- local: its number in the archive, from 0
    locator      TEXT NOT NULL,                         -- local: how that store finds it again
    PRIMARY KEY (place, archive, idx),
    FOREIGN KEY (place, archive) REFERENCES placed (place, archive) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- SQLite can't change a primary key: both tables are made anew.

CREATE TABLE new_thaw (
    place          INTEGER NOT NULL DEFAULT 0,          -- local: where it lies; 0 is home
    archive        TEXT NOT NULL,                       -- local: the segment's archive
    idx            INTEGER NOT NULL,                    -- local: its place in it, from 0
    tier           TEXT NOT NULL                        -- local: how fast it was asked for
                   CHECK (tier IN ('expedited', 'standard', 'bulk')),
    days           INTEGER NOT NULL CHECK (days > 0),   -- local: days that it is to stay readable
    state          TEXT NOT NULL                        -- local: requested before the request, thawing after its answer, readable once the store says so, fetched once its archive was received
                   CHECK (state IN ('requested', 'thawing', 'readable', 'fetched')),
    asked_at       TEXT NOT NULL,                       -- local: when it was asked for, by the store's clock
    readable_until TEXT,                                -- local: when it is cold again, by the store's clock; null until it is readable
    PRIMARY KEY (place, archive, idx),
    FOREIGN KEY (archive, idx) REFERENCES segment (archive, idx) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
INSERT INTO new_thaw (archive, idx, tier, days, state, asked_at, readable_until)
    SELECT archive, idx, tier, days, state, asked_at, readable_until FROM thaw;
DROP TABLE thaw;
ALTER TABLE new_thaw RENAME TO thaw;

-- A segment's thaws are found by it when it is deleted.
CREATE INDEX thaw_of_segment ON thaw (archive, idx);

CREATE TABLE new_verification (
    place        INTEGER NOT NULL DEFAULT 0,            -- local: where it was looked at; 0 is home
    archive      TEXT NOT NULL REFERENCES archive (id),
    level        TEXT NOT NULL                          -- local: how thorough it was
                 CHECK (level IN ('listing', 'checksums', 'deep', 'drill')),
    outcome      TEXT NOT NULL                          -- local: sound; partial: nothing wrong, but not all was looked at; damaged
                 CHECK (outcome IN ('sound', 'partial', 'damaged')),
    at           TEXT NOT NULL,                         -- local: when
    PRIMARY KEY (place, archive, level, outcome)
) STRICT, WITHOUT ROWID;
INSERT INTO new_verification (archive, level, outcome, at) SELECT archive, level, outcome, at FROM verification;
DROP TABLE verification;
ALTER TABLE new_verification RENAME TO verification;
