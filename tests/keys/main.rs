//! Identities, signing keys and the recovery kit: who may what, and who reads what.

#[path = "../common/mod.rs"]
mod common;

mod core_dumps;
mod keys;
mod ledger_minisign;
mod ownership;
mod recovery_kit;
mod seal_interop;
mod secrecy;
mod separate_pruner;
mod stolen_keys;
