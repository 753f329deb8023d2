//! The files of archives, from their contents.

#[path = "../common/mod.rs"]
mod common;

mod contents;
mod extract_command;
mod extract_target;
mod extracted;
mod full_index;
mod mounted;
mod oracle;
mod replay_rules;
