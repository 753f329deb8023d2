-- Most archives of an old ledger are retired: what a night goes by is found without reading them.
CREATE INDEX archive_by_state ON archive (ledger, state, date);

-- Of those retired, the ones that nobody has begun to delete are few.
CREATE INDEX archive_to_delete ON archive (ledger) WHERE state = 'retired' AND deletion IS NULL;
