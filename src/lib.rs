//! coldchain archives btrfs subvolumes offsite, and brings them back.
//!
//! It is a program first. Other programs use [`api`]: what the commands `plan`, `snapshot`, `pull`, `backup`, `list`
//! and `restore` do, as functions with typed results. All other modules are the program's own, hidden in this
//! documentation, and change without notice.
//!
//! For those who work on coldchain: `RUSTDOCFLAGS="--cfg developer_docs" cargo doc --document-private-items` shows all
//! modules and the tour through them.
#![cfg_attr(developer_docs, doc = include_str!("tour.md"))]

#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod activity_log;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod allocator;
pub mod api;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod btrfs;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod catalog;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod cli;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod commands;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod config;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod core_dumps;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod engine;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod error;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod explain;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod files_db;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod fuse;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod gpg;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod hooks;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod interrupt;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod kit;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod ledger;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod model;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod mounts;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod notify;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod owned;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod plan;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod printing;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod process;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod progress;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod rsync;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod run_records;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod seal;
#[cfg_attr(not(developer_docs), doc(hidden))]
pub mod store;
