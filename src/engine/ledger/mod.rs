//! A source's ledger: reading it from the store, and writing to it.

pub(super) mod append;
pub(super) mod archive_keys;
pub(super) mod change;
pub(super) mod listing;
pub(super) mod locators;
pub(super) mod markers;
pub(super) mod object;
pub(super) mod reader;
pub(super) mod reader_warnings;
#[cfg(test)]
pub(super) mod replayed_tests;
pub(super) mod roles;
pub(super) mod scratch_catalog;
pub(super) mod sync;
pub(super) mod trust;
mod unseen_contents;
