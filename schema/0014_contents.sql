-- Contents of archives: their streams without the file data.

ALTER TABLE segment ADD COLUMN layout BLOB;             -- local: of an attempt, how it is laid out, for the table in its contents; null once committed

-- An archive can have several contents: its own, and some that later entries attach. Those of the lowest number count.
CREATE TABLE contents (
    archive      TEXT NOT NULL REFERENCES archive (id) ON DELETE CASCADE,
    entry        INTEGER NOT NULL CHECK (entry >= 0),   -- replicated: the number of the entry that names them; 0 of an attempt
    idx          INTEGER NOT NULL CHECK (idx >= 0),     -- replicated: the object's place, from 0
    stream_bytes INTEGER NOT NULL CHECK (stream_bytes > 0),    -- replicated: bytes of stream in all objects; the table follows them
    raw_bytes    INTEGER NOT NULL CHECK (raw_bytes > 0),       -- replicated
    sealed_bytes INTEGER NOT NULL CHECK (sealed_bytes > 0),    -- replicated
    sha256       TEXT NOT NULL CHECK (length(sha256) = 64),    -- replicated: of the object
    PRIMARY KEY (archive, entry, idx)
) STRICT, WITHOUT ROWID;

-- A copy gets the contents of an archive after its segments, and later ones on their own.
ALTER TABLE placed ADD COLUMN contents INTEGER;         -- local: the number of the entry whose contents are all there; null if none are
