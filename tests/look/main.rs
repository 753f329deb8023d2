//! Files in snapshots and mirrors: their history, their version of some time ago, and how they come back.

#[path = "../common/mod.rs"]
mod common;

mod get;
mod history;
mod hostile;
mod local_index;
mod oracle;
mod places;
mod questions;
mod scripts;
mod unwritable;
mod yesterday;
