-- Archives of another tool. No ledger has them: each row is this machine's alone.

CREATE TABLE imported (
    name         TEXT PRIMARY KEY,                      -- local: its name, as a source's
    store        TEXT NOT NULL,                         -- local: the name of the vault's store in the config
    vault        TEXT NOT NULL,                         -- local: the vault's name
    region       TEXT NOT NULL,                         -- local: its region
    imported_at  TEXT NOT NULL                          -- local: when it was last imported
) STRICT, WITHOUT ROWID;

CREATE TABLE imported_archive (
    imported     TEXT NOT NULL REFERENCES imported (name) ON DELETE CASCADE,
    date         TEXT NOT NULL,                         -- local: its date
    number       INTEGER NOT NULL,                      -- local: the id of its row there
    vault_id     TEXT NOT NULL,                         -- local: the vault's id of it
    bytes        INTEGER NOT NULL CHECK (bytes >= 0),   -- local: its bytes in the vault
    parent       TEXT,                                  -- local: the date of its send parent; null for a full
    state        TEXT NOT NULL DEFAULT 'unproven'       -- local: proven once it was decrypted and received or written out whole, damaged once that failed, deleted once the vault has deleted it
                 CHECK (state IN ('unproven', 'proven', 'damaged', 'deleted')),
    state_at     TEXT,                                  -- local: since when; null if it was never tried
    fault        TEXT,                                  -- local: what is wrong with it
    stream_uuid  TEXT,                                  -- local: the uuid in its send stream; null until one was seen
    PRIMARY KEY (imported, date),
    UNIQUE (imported, vault_id)
) STRICT, WITHOUT ROWID;
