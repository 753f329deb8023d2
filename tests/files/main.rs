//! The files of archives, from their contents.

#[path = "../common/mod.rs"]
mod common;
