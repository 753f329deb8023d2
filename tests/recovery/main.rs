//! Catalogs and ledgers that are lost, old, damaged or forged.

#[path = "../common/mod.rs"]
mod common;

mod absent_ledgers;
mod damaged_catalog;
mod damaged_ledger;
mod hostile_entries;
mod hostile_objects;
mod lost_state;
mod old_catalogs;
mod old_formats;
mod old_version;
mod rebuild;
mod runbook;
