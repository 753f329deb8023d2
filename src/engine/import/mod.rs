//! Archives of another tool: what its database says is imported, and they are restored and deleted from here.
//!
//! btrsend stored `btrfs send | gzip | gpg` in a Glacier vault, an archive a stream, and recorded each in a database. No
//! ledger has them, so nothing that coldchain does by itself ever counts, expires or deletes them.

pub(super) mod blob;
pub(super) mod cost;
pub(super) mod database;
pub(super) mod deletion;
pub(super) mod foreign_vault;
pub(super) mod known;
pub(super) mod receive;
pub(super) mod restore;
pub(super) mod retrieve;
pub(super) mod spool;
pub(super) mod stream_out;
