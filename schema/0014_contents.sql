-- Contents of archives: their streams without the file data.

ALTER TABLE segment ADD COLUMN layout BLOB;             -- local: of an attempt, how it is laid out, for the table in its contents; null once committed

CREATE TABLE contents (
    archive      TEXT NOT NULL REFERENCES archive (id) ON DELETE CASCADE,
    idx          INTEGER NOT NULL CHECK (idx >= 0),     -- replicated: the object's place, from 0
    raw_bytes    INTEGER NOT NULL CHECK (raw_bytes > 0),       -- replicated
    sealed_bytes INTEGER NOT NULL CHECK (sealed_bytes > 0),    -- replicated
    sha256       TEXT NOT NULL CHECK (length(sha256) = 64),    -- replicated: of the object
    PRIMARY KEY (archive, idx)
) STRICT, WITHOUT ROWID;
