//! Sources that are pulled from elsewhere: what arrives, what is never deleted, and what no snapshot may show.

#[path = "../common/mod.rs"]
mod common;

mod bad_input;
mod killed;
mod local;
mod pulled;
mod ssh;
mod traps;
