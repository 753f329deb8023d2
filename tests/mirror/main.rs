//! Mirrors: what they get, on what, and what is never touched.

#[path = "../common/mod.rs"]
mod common;

mod away;
mod disks;
mod given_up;
mod hostile;
mod local_rules;
mod mounted_apart;
mod nights;
mod reached;
mod rebuilt;
mod report;
mod restores;
mod ssh;
mod ssh_kills;
