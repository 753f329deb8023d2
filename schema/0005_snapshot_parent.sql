-- Whose snapshots they are: one is deleted only if it is the very one that was made, and made of the
-- same subvolume.

-- local: the uuid of the subvolume that it was taken of; null if unknown, and then it is never deleted
ALTER TABLE snapshot ADD COLUMN local_parent TEXT;
