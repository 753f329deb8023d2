//! Something fails at every point there is: calls, disks, processes.

#[path = "../common/mod.rs"]
mod common;

mod enumerated_faults;
mod full_disk;
mod histories;
mod injected_errors;
mod kill;
mod killed_rebuild;
mod restore_kill;
mod snapshot_kill;
