//! The files of archives, from their contents.

#[path = "../common/mod.rs"]
mod common;

mod busy_tree;
mod clone_range;
mod contents;
mod extracted;
mod extract_target;
mod oracle;
mod replay_rules;
