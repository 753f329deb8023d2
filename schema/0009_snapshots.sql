-- Several snapshots of a date, and sources that have snapshots alone.
--
-- A snapshot is found by its name and its uuid: the nightly one is named by its date, one that was taken at any
-- other time by date and time. A source without a store has no row in `source`, so `snapshot` and `told` do not
-- refer to it any more. SQLite can't drop a reference: both tables are made anew.

CREATE TABLE new_snapshot (
    id             INTEGER PRIMARY KEY,
    source         TEXT NOT NULL,                       -- local: the configured name of its source
    date           TEXT NOT NULL CHECK (date GLOB '????-??-??'), -- local: the date it stands for
    name           TEXT NOT NULL CHECK (substr(name, 1, 10) = date), -- local: its name: the date, or date and time
    path           TEXT NOT NULL,                       -- local: where it was made
    local_uuid     TEXT NOT NULL UNIQUE,                -- local: the subvolume's own uuid here
    local_received TEXT,                                -- local: its received uuid here, if btrfs receive made it
    local_ctransid INTEGER NOT NULL,                    -- local: its ctransid here; changes when its content does
    local_parent   TEXT,                                -- local: the uuid of the subvolume that it was taken of; null if unknown, and then it is never deleted
    made_at        TEXT NOT NULL,                       -- local: when it was recorded
    deleted_at     TEXT                                 -- local: when retention deleted it; null while it exists
) STRICT;
INSERT INTO new_snapshot (id, source, date, name, path, local_uuid, local_received, local_ctransid, local_parent,
                          made_at, deleted_at)
    SELECT id, source, date, date, path, local_uuid, local_received, local_ctransid, local_parent, made_at, deleted_at
    FROM snapshot;
DROP TABLE snapshot;
ALTER TABLE new_snapshot RENAME TO snapshot;

-- A name has one living snapshot.
CREATE UNIQUE INDEX snapshot_of_name ON snapshot (source, name) WHERE deleted_at IS NULL;

CREATE TABLE new_told (
    source       TEXT NOT NULL,                         -- local: the configured name
    subject      TEXT NOT NULL,                         -- local: what a standing warning is about
    message      TEXT NOT NULL,                         -- local: what was last said of it; said again only when it changes
    PRIMARY KEY (source, subject)
) STRICT;
INSERT INTO new_told SELECT source, subject, message FROM told;
DROP TABLE told;
ALTER TABLE new_told RENAME TO told;
