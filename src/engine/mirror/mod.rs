//! Mirrors: other btrfs filesystems that get a source's snapshots by send and receive.
//!
//! [`end`] is what a run needs of a mirror. [`directory`] is one on this machine, which `mirror-server` uses too.
//! [`server`] is `mirror-server`, [`over_ssh`] its client, and [`wire`] what they speak. [`run`] brings a mirror up to
//! date. A copy is known by the uuid in its stream, never by its name.

pub(super) mod asked;
pub(super) mod directory;
pub(super) mod end;
pub(super) mod examine;
pub(super) mod forget;
pub(super) mod here;
pub(super) mod known;
pub(super) mod open;
mod over_ssh;
mod prune_copies;
mod receive_copy;
pub(super) mod run;
pub(super) mod server;
mod server_link;
mod ssh_session;
mod stall_timer;
pub(super) mod stream_blocks;
pub(super) mod survey;
mod wire;
