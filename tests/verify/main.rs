//! Damage is found, whatever it hits.

#[path = "../common/mod.rs"]
mod common;

mod contents;
mod forged_contents;
mod contents_in_stores;
mod mutations;
mod verify;
mod verify_damage;
