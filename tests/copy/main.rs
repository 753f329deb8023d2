//! Copies of archives in other stores, and moving house.

#[path = "../common/mod.rs"]
mod common;

mod bad_days;
mod cold_home;
mod contents;
mod copied;
mod crashes;
mod killed;
mod locked;
mod markers;
mod move_races;
mod moves;
mod nightly;
mod pair;
mod pruned;
mod races;
mod reading;
mod rebuilt;
mod refused;
mod repaired;
mod servers;
mod shown;
