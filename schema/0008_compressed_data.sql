-- Which form the stream has. The kernel's sender loses bytes of compressed data: what carries it is no send
-- parent, and an attempt at it is given up where the config does not ask for it any more.
--
-- From here on `protocol` is known of an attempt too, unless the stream comes on stdin.

-- replicated: whether the stream carries data as it is compressed on disk; null in version 1, which can't, and
-- where an older version of coldchain wrote the entry
ALTER TABLE archive ADD COLUMN compressed_data INTEGER CHECK (compressed_data IN (0, 1));
