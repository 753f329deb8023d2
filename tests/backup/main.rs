//! The nights: what is decided, snapshotted, sent and recorded.

#[path = "../common/mod.rs"]
mod common;

mod activity_log;
mod adoption;
mod awake;
mod broken_senders;
mod btrfs_edge;
mod btrsend;
mod concurrent_runs;
mod contents;
mod decide;
mod decide_prunes;
mod deduplicated;
mod end_to_end;
mod end_to_end_s3;
mod hooks;
mod interrupted;
mod kernel_sender;
mod local_snapshots;
mod month;
mod no_op;
mod parallel_sender;
mod plan_command;
mod plan_properties;
mod priority;
mod replaced_sources;
mod resume;
mod signals;
mod snapshots_at_any_time;
mod stream_forms;
mod stuck_snapshots;
mod swapfiles;
mod top_level;
mod unrestorable;
mod unsendable;
mod years;
