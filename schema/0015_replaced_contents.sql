-- Contents that take the place of others, which are lost.
--
-- Of several contents of an archive the first count, and later ones only if they replace those that count until then.

ALTER TABLE contents ADD COLUMN replaces INTEGER;       -- replicated: the number of the entry whose contents are lost; null if they replace none
