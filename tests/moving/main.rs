//! Places that are not home, and making a copy the home.

#[path = "../common/mod.rs"]
mod common;

mod markers;
