-- Which retired archives can't come back, because their objects are being deleted or are gone.

-- replicated: the number of the `delete` entry that names it; null while there is none
ALTER TABLE archive ADD COLUMN deletion INTEGER CHECK (deletion IS NULL OR state = 'retired');
