//! Damage is found, whatever it hits.

#[path = "../common/mod.rs"]
mod common;

mod mutations;
mod verify;
mod verify_damage;
