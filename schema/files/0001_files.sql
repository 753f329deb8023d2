-- The file index of one source: what each of its archives held, from their contents. It is derived: delete the file, and
-- the next question makes it anew.
--
-- An archive's number counts the archives of the ledger in the order in which they were indexed, from 1. An interval holds
-- for the archives with since <= number < till; it is open while till is 9223372036854775807.
-- Objects and names are apart: a directory that is renamed is one row, and what it holds none.

CREATE TABLE meta (
    ledger   TEXT NOT NULL                              -- the ledger's id, 32 hex digits
) STRICT;

CREATE TABLE archive (
    number   INTEGER PRIMARY KEY CHECK (number > 0),
    id       TEXT NOT NULL UNIQUE,                      -- its id
    date     TEXT NOT NULL,                             -- its date, YYYY-MM-DD
    contents TEXT NOT NULL,                             -- digest of the record of its contents: others would be indexed anew
    hidden   INTEGER NOT NULL DEFAULT 0                 -- 1 once it is retired; its rows go when no visible archive needs them
             CHECK (hidden IN (0, 1))
) STRICT;

-- Object 1 is the root directory.
CREATE TABLE entry (
    parent   INTEGER NOT NULL,                          -- the directory's object
    name     BLOB NOT NULL,                             -- the name in it
    since    INTEGER NOT NULL,
    till     INTEGER NOT NULL,
    object   INTEGER NOT NULL,                          -- what it names; several entries of one object are hard links
    PRIMARY KEY (parent, name, since)
) STRICT, WITHOUT ROWID;

CREATE TABLE version (
    object   INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    till     INTEGER NOT NULL,
    attr     INTEGER NOT NULL REFERENCES attr (id),
    size     INTEGER NOT NULL,                          -- bytes of a file, as stat says; else 0
    mtime    INTEGER NOT NULL,                          -- nanoseconds since 1970
    ctime    INTEGER NOT NULL,                          -- nanoseconds since 1970: equal size, mtime and ctime are the same version in the next full
    inode    INTEGER NOT NULL,
    target   BLOB,                                      -- where a symbolic link leads
    changed  INTEGER NOT NULL,                          -- bits: 1 made, 2 data, 4 attributes (mode, owner, xattrs), 8 times only
    cost     INTEGER NOT NULL,                          -- bytes of the stream of archive `since` that were about it
    PRIMARY KEY (object, since)
) STRICT, WITHOUT ROWID;

CREATE TABLE attr (
    id       INTEGER PRIMARY KEY,
    mode     INTEGER NOT NULL,                          -- kind and permission bits, as stat says
    uid      INTEGER NOT NULL,
    gid      INTEGER NOT NULL,
    rdev     INTEGER NOT NULL,                          -- of a device
    xattrs   BLOB NOT NULL,                             -- its extended attributes: name and digest of each, as FileNode says
    UNIQUE (mode, uid, gid, rdev, xattrs)
) STRICT;

-- What a directory's tree weighs, hard links counted at each name: a row where that changed.
CREATE TABLE subtree (
    object   INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    files    INTEGER NOT NULL,
    PRIMARY KEY (object, since)
) STRICT, WITHOUT ROWID;

CREATE INDEX entry_of_object ON entry (object);
CREATE INDEX entry_since ON entry (since) WHERE since > 1;
CREATE INDEX entry_till ON entry (till) WHERE till < 9223372036854775807;
CREATE INDEX version_since ON version (since) WHERE since > 1;
CREATE INDEX version_till ON version (till) WHERE till < 9223372036854775807;
