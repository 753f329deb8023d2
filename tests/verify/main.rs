//! Damage is found, whatever it hits.

#[path = "../common/mod.rs"]
mod common;

mod contents;

mod contents_in_stores;
mod contents_reports;
mod forged_contents;
mod mutations;
mod verify;
mod verify_damage;
