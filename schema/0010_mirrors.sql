-- Mirrors: other btrfs filesystems that get a source's snapshots.

CREATE TABLE mirror (
    id           INTEGER PRIMARY KEY,
    source       TEXT NOT NULL,                         -- local: the name of its directory at the mirror, which is the source's
    location     TEXT NOT NULL,                         -- local: where it is, as the config says
    mark         TEXT,                                  -- local: the id in its mark, recorded at first use; null until then
    filesystem   TEXT,                                  -- local: the uuid of its filesystem, recorded at first use
    reached_at   TEXT,                                  -- local: when it last had all that it has to have
    sending      TEXT,                                  -- local: the uuid here of the snapshot that is being sent, which must stay
    UNIQUE (source, location)
) STRICT;

CREATE TABLE mirrored (
    mirror         INTEGER NOT NULL REFERENCES mirror (id) ON DELETE CASCADE,
    name           TEXT NOT NULL,                       -- local: the snapshot's name
    stream_uuid    TEXT NOT NULL,                       -- local: the uuid in its stream, which both copies have
    here_uuid      TEXT NOT NULL,                       -- local: the uuid of the snapshot here
    here_ctransid  INTEGER NOT NULL,                    -- local: its ctransid here when it was sent
    there_uuid     TEXT NOT NULL,                       -- local: the uuid of the copy
    there_ctransid INTEGER NOT NULL,                    -- local: the copy's ctransid after its filesystem was synced
    built_on       TEXT,                                -- local: the stream uuid of what it was sent against; null for a full
    mirrored_at    TEXT NOT NULL,                       -- local: when it was whole there
    PRIMARY KEY (mirror, stream_uuid)
) STRICT;
