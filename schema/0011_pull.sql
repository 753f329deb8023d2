-- Pulled sources: subvolumes that get their content by rsync.

CREATE TABLE pull (
    subvolume   TEXT PRIMARY KEY,                       -- local: the uuid of the subvolume
    source      TEXT NOT NULL,                          -- local: the source that was pulled into it last
    begun_at    TEXT,                                   -- local: when the run began that has not ended well; null if there is none
    finished_at TEXT,                                   -- local: when the last run ended well; null before the first
    entries     INTEGER                                 -- local: how many entries the last good run has found
) STRICT;
