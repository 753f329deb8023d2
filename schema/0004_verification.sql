-- What checks of archives have shown: for each archive the newest of each level and outcome.

CREATE TABLE verification (
    archive      TEXT NOT NULL REFERENCES archive (id),
    level        TEXT NOT NULL                          -- local: how thorough it was
                 CHECK (level IN ('listing', 'checksums', 'deep', 'drill')),
    outcome      TEXT NOT NULL                          -- local: sound; partial: nothing wrong, but not all was looked at; damaged
                 CHECK (outcome IN ('sound', 'partial', 'damaged')),
    at           TEXT NOT NULL,                         -- local: when
    PRIMARY KEY (archive, level, outcome)
) STRICT, WITHOUT ROWID;

-- What is known of earlier days came from listings.
INSERT INTO verification SELECT id, 'listing', 'sound', verified_at FROM archive
    WHERE verified_at IS NOT NULL AND damaged_at IS NULL;
INSERT INTO verification SELECT id, 'listing', 'damaged', damaged_at FROM archive WHERE damaged_at IS NOT NULL;
