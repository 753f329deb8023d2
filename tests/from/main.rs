//! What users of older tools do, by the pages in `docs/from`: each test runs the config of its page. That of btrsend is
//! `tests/backup/btrsend.rs`, with the scripts and the config in `packaging/btrsend`. And the library's face.

#[path = "../common/mod.rs"]
mod common;

mod api;
mod archive_scripts;
mod btrfs_backup;
mod btrsend_parts;
mod btrsend_vault;
mod dump;
mod page;
mod rsbtbackup;
mod sshd;
