//! Damage is found, whatever it hits.

#[path = "../common/mod.rs"]
mod common;

mod contents;
mod mutations;
mod verify;
mod verify_damage;
