-- The catalog: a copy of each source's ledger, and the intents of the run in hand.
--
-- The store is the truth. Everything marked "replicated" can be read again from the ledger;
-- everything marked "local" is about this machine alone. Sizes are bytes, dates are YYYY-MM-DD in
-- the configured time zone, moments are RFC 3339 in UTC, uuids and digests are lowercase text, so
-- that `sqlite3 catalog.db` shows what there is:
--
--   SELECT date, kind, parent_date, raw_bytes, sealed_bytes, state FROM lineage;

CREATE TABLE source (
    name         TEXT PRIMARY KEY                       -- local: the configured name
                 CHECK (length(name) BETWEEN 1 AND 64),
    directory    TEXT NOT NULL,                         -- replicated: its directory in the store, fixed at the first archive
    store        TEXT NOT NULL,                         -- local: the store's URL
    ledger       TEXT NOT NULL UNIQUE                   -- replicated: the ledger's random id, 32 hex digits
                 CHECK (length(ledger) = 32),
    UNIQUE (store, directory)
) STRICT;

CREATE TABLE entry (
    ledger       TEXT NOT NULL REFERENCES source (ledger),
    seq          INTEGER NOT NULL CHECK (seq > 0),      -- replicated: the entry's number
    kind         TEXT NOT NULL,                         -- replicated: open, archive, … as the body says
    hash         TEXT NOT NULL CHECK (length(hash) = 64), -- replicated: SHA-256 of the body line; the next entry's `prev`
    object       BLOB NOT NULL,                         -- replicated: the object, byte for byte: body line and signature
    state        TEXT NOT NULL                          -- local: committing (written here, its PUT not answered yet) or committed
                 CHECK (state IN ('committing', 'committed')),
    PRIMARY KEY (ledger, seq)
) STRICT;

CREATE TABLE quarantine (
    ledger       TEXT NOT NULL REFERENCES source (ledger),
    seq          INTEGER NOT NULL CHECK (seq > 0),      -- replicated: the number of an object that does not verify
    reason       TEXT NOT NULL,                         -- replicated: why it does not
    PRIMARY KEY (ledger, seq)
) STRICT;

CREATE TABLE snapshot (
    id             INTEGER PRIMARY KEY,
    source         TEXT NOT NULL REFERENCES source (name),
    date           TEXT NOT NULL CHECK (date GLOB '????-??-??'), -- local: the date it stands for, and its name
    path           TEXT NOT NULL,                       -- local: where it was made
    local_uuid     TEXT NOT NULL UNIQUE,                -- local: the subvolume's own uuid here
    local_received TEXT,                                -- local: its received uuid here, if btrfs receive made it
    local_ctransid INTEGER NOT NULL,                    -- local: its ctransid here; changes when its content does
    made_at        TEXT NOT NULL,                       -- local: when it was recorded
    deleted_at     TEXT                                 -- local: when retention deleted it; null while it exists
) STRICT;

-- A date has one living snapshot.
CREATE UNIQUE INDEX snapshot_of_date ON snapshot (source, date) WHERE deleted_at IS NULL;

CREATE TABLE archive (
    id               TEXT PRIMARY KEY,                  -- replicated: DATE-full-HEX16 or DATE-incr-HEX16
    ledger           TEXT NOT NULL REFERENCES source (ledger),
    seq              INTEGER,                           -- replicated: the number of its entry; null until signed
    date             TEXT NOT NULL CHECK (date GLOB '????-??-??'), -- replicated
    slot             TEXT NOT NULL CHECK (slot GLOB '????-??-??'), -- replicated: the scheduled date that it fills
    kind             TEXT NOT NULL CHECK (kind IN ('full', 'incremental')), -- replicated
    chain            TEXT NOT NULL REFERENCES archive (id) DEFERRABLE INITIALLY DEFERRED, -- replicated: the full of its chain
    send_parent      TEXT REFERENCES archive (id) DEFERRABLE INITIALLY DEFERRED, -- replicated: what it is incremental on
    state            TEXT NOT NULL                      -- local until committed; then replicated
                     CHECK (state IN ('unfinished', 'abandoned', 'committing', 'committed', 'retired')),
    stream_uuid      TEXT,                              -- replicated: the uuid in the send stream = received uuid of every restore
    stream_ctransid  INTEGER,                           -- replicated: the ctransid in the send stream
    send_parent_uuid TEXT,                              -- replicated: the send parent's stream uuid
    raw_bytes        INTEGER CHECK (raw_bytes > 0),     -- replicated: length of the send stream
    sealed_bytes     INTEGER CHECK (sealed_bytes > 0),  -- replicated: bytes of all its segments as stored
    protocol         INTEGER,                           -- replicated: version of the send stream
    kernel           TEXT,                              -- replicated: kernel that sent; null if it came on stdin
    btrfs_progs      TEXT,                              -- replicated: btrfs-progs that sent; null if it came on stdin
    segment_size     INTEGER NOT NULL,                  -- replicated: raw bytes of each segment but the last
    frame_size       INTEGER NOT NULL,                  -- replicated: raw bytes of each frame but a segment's last
    recipients       TEXT NOT NULL,                     -- replicated: fingerprint of the recipients
    archive_key      TEXT,                              -- local: the archive key of an attempt; null once committed
    snapshot         INTEGER REFERENCES snapshot (id),  -- local: what was sent; null if the stream came on stdin or the catalog was rebuilt
    raw_blake3       TEXT,                              -- local (sealed in the ledger): BLAKE3 of the send stream
    begun_at         TEXT NOT NULL,                     -- local: when the attempt began; made_at of its entry after a rebuild
    verified_at      TEXT,                              -- local: when a listing after the commit showed every segment
    damaged_at       TEXT,                              -- local: when a check found a segment missing or damaged
    CHECK ((kind = 'full') = (send_parent IS NULL)),
    CHECK ((kind = 'full') = (chain = id)),
    CHECK (state IN ('unfinished', 'abandoned') OR (stream_uuid IS NOT NULL AND raw_bytes IS NOT NULL AND seq IS NOT NULL)),
    CHECK (state NOT IN ('committed', 'retired') OR archive_key IS NULL)
) STRICT;

-- One visible archive per source and date; a stream uuid is archived once.
CREATE UNIQUE INDEX archive_of_date ON archive (ledger, date) WHERE state IN ('committing', 'committed');
CREATE UNIQUE INDEX archive_of_stream ON archive (ledger, stream_uuid) WHERE state IN ('committing', 'committed');

CREATE TABLE segment (
    archive      TEXT NOT NULL REFERENCES archive (id),
    idx          INTEGER NOT NULL CHECK (idx >= 0),     -- replicated: its place, from 0
    raw_bytes    INTEGER NOT NULL CHECK (raw_bytes > 0),       -- replicated
    sealed_bytes INTEGER NOT NULL CHECK (sealed_bytes > 0),    -- replicated
    sha256       TEXT NOT NULL CHECK (length(sha256) = 64),    -- replicated: of the object
    raw_blake3   TEXT,                                  -- local (sealed in the ledger): of its raw bytes
    locator      TEXT NOT NULL,                         -- local: how this store finds it again
    state        TEXT NOT NULL CHECK (state IN ('sealed', 'stored')), -- local: written before and after its PUT
    PRIMARY KEY (archive, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE told (
    source       TEXT NOT NULL REFERENCES source (name),
    subject      TEXT NOT NULL,                         -- local: what a standing warning is about
    message      TEXT NOT NULL,                         -- local: what was last said of it; said again only when it changes
    PRIMARY KEY (source, subject)
) STRICT;

-- What was archived, what it builds on and what it takes: for `sqlite3`, and for people.
CREATE VIEW lineage AS
SELECT source.name AS source, archive.date, archive.kind, parent.date AS parent_date, chain.date AS chain_date,
       archive.raw_bytes, archive.sealed_bytes,
       (SELECT count(*) FROM segment WHERE segment.archive = archive.id) AS segments,
       archive.state, archive.id
FROM archive
JOIN source ON source.ledger = archive.ledger
JOIN archive AS chain ON chain.id = archive.chain
LEFT JOIN archive AS parent ON parent.id = archive.send_parent
ORDER BY source.name, archive.date, archive.begun_at;
