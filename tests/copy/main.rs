//! Copies of archives in other stores, and moving house.

#[path = "../common/mod.rs"]
mod common;

mod copied;
mod killed;
mod pair;
mod races;
mod refused;
