//! What users of five older tools do, by the pages in `docs/from`; and the library's face.

#[path = "../common/mod.rs"]
mod common;

mod api;
mod archive_scripts;
mod btrfs_backup;
mod dump;
mod page;
mod rsbtbackup;
mod sshd;
