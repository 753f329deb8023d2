//! coldchain archives btrfs subvolumes offsite, and brings them back.
//!
//! # The tour
//!
//! Every night the program runs for a date. It takes a read-only snapshot, decides whether the date calls for
//! a full archive, an incremental one or nothing, and sends `btrfs send`'s stream through zstd and age into a
//! store. It writes what is stored to a signed ledger beside the data, and keeps a copy of the ledger in a
//! catalog here. A restore goes the same way back into `btrfs receive`.
//!
//! ```text
//! config + catalog + date ──▶ plan ──▶ "full: the chain of 2026-08-07 has 11 incrementals"
//!
//! subvolume ─▶ snapshot ─▶ its stream ─▶ guard ─▶ frames ─▶ zstd ─▶ age ─▶ segment ─▶ store
//!                                                                              │
//!                                        catalog ◀── committed ◀── signed ledger entry
//! ```
//!
//! There are three rings. **Plan** is pure: facts in, decision out; today's date is an argument. **The
//! edges** know nothing of each other: [`btrfs`] (snapshots, send, receive, and the guard that judges every
//! stream), [`seal`] (raw bytes to sealed segments and back), [`store`] (where objects lie), [`ledger`] (the
//! signed list of what there is), [`catalog`] (the local database), [`rsync`] (pulls from other machines). All of them may start programs, by
//! [`process`]. **The engine** carries a plan out over the edges, and [`commands`] put it in words.
//!
//! - [`model`]: pure types that all of them share: ids, digests, ledger entries.
//! - [`plan`]: schedule, backup, retention, orphaned objects, checks and restore as decisions with reasons.
//! - [`config`]: the TOML file as typed values; every unknown key is an error.
//! - [`kit`]: the recovery kit, read and brought up to date.
//! - [`engine`]: backup, `decide`, prune, verify, thaw and restore; where the edges meet.
//! - [`hooks`]: programs of the user's that run before and after a source's run.
//! - [`activity_log`]: a file with a line for each thing that was done or went wrong.
//! - [`rsync`]: the program that pulls sources from elsewhere.
//! - [`progress`]: what happens, as events: bars, JSON lines, or nothing.
//! - [`printing`]: all that reaches stdout and stderr, with nothing in it that a terminal obeys.
//! - [`interrupt`]: SIGINT and SIGTERM, and how they end a run.
//! - [`error`]: what ends a command, its hint, and the exit codes.
//! - [`owned`]: opens config, kits and state directory, if others can't change them.
//! - [`cli`]: the command line as types.
//! - [`core_dumps`]: keeps secrets in memory out of core dumps.
//! - [`allocator`]: one setting, without which freed memory would count for the limit.

pub mod activity_log;
pub mod allocator;
pub mod btrfs;
pub mod catalog;
pub mod cli;
pub mod commands;
pub mod config;
pub mod core_dumps;
pub mod engine;
pub mod error;
pub mod hooks;
pub mod interrupt;
pub mod kit;
pub mod ledger;
pub mod model;
pub mod owned;
pub mod plan;
pub mod printing;
pub mod process;
pub mod progress;
pub mod rsync;
pub mod seal;
pub mod store;
