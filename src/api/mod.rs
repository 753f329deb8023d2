//! coldchain as a library: `plan`, `snapshot`, `pull`, `backup`, `list` and `restore` for other programs.
//!
//! Each function does what the command of its name does, by the same code, on a [`Config`] that was loaded from a
//! file. Keys, kits and the first config are made by `coldchain init`; all that is not here is done by commands.
//!
//! ```no_run
//! use coldchain::api::{self, Config, NightRequest, RestoreRequest};
//!
//! # fn main() -> Result<(), api::Error> {
//! let config = Config::load("/etc/coldchain/config.toml".as_ref())?;
//! let end = api::backup(&config, "home", &NightRequest::default())?;
//! println!("{:?}", end.result);
//!
//! let restored = api::restore(&config, "home", "/mnt/restore".as_ref(), &RestoreRequest::default())?;
//! println!("{}", restored.path.display());
//! # Ok(())
//! # }
//! ```
//!
//! # What a caller gets
//!
//! - The same locks, guards and crash safety as the commands: at any moment the process may die, and the next run goes
//!   on. Calls from several threads, and commands beside them, wait for each other or fail with exit code 3.
//! - Hooks and the activity log, as the config has them.
//! - Nothing on stdin, stdout or stderr. Warnings are in the results. Texts in results and errors come in part from
//!   stores and file names: escape control characters before they reach a terminal.
//!
//! # What a caller does not get
//!
//! - Signals: the library handles none. SIGINT and SIGTERM do what they do in the caller's process. The next run
//!   continues one that died.
//! - Core dumps: what the program keeps out of them (keys, file contents) may be in those of the caller, unless it
//!   calls [`harden_process`].
//! - `priority` and `sender` of the config: see [`Config::load`].
//! - Questions: a passphrase is never asked for, and a call counts as confirmed. A restore that costs money needs
//!   [`RestoreRequest::max_cost_cents`].
//!
//! While a restore makes a subvolume, the umask of the process is 077 for a moment: files that other threads make then
//! can be used by their owner alone.
//!
//! # Versions
//!
//! This module follows semantic versioning, and all other modules of the crate do not: they are hidden and change in
//! any release. Within a major version (before 1.0: within a minor one) no function, type, field or variant here is
//! removed or gets another meaning. New ones may come: so requests, results and enums are `#[non_exhaustive]`, requests
//! are made by `default()` and changed field by field, and a `match` needs an arm for what is new. Messages, hints and
//! reasons are for people, and their words may change; exit codes may not.

mod backup;
mod config;
mod date;
mod error;
mod list;
mod plan;
mod pull;
mod rate;
mod restore;
mod snapshot;
mod warnings;

use std::io;

use crate::{allocator, core_dumps};

pub use backup::{MirrorUpdate, NightEnd, NightRequest, NightResult, StoredArchive, backup};
pub use config::LoadedConfig as Config;
pub use date::ApiDate as Date;
pub use error::ApiError as Error;
pub use list::{ArchiveListing, ChainListing, MirrorListing, SnapshotListing, SourceListing, list};
pub use plan::{NightPlans, PlanRequest, PlannedAction, PlannedMirror, PlannedNight, plan};
pub use pull::{PullEnd, PullRequest, SourcePulled, pull};
pub use restore::{RestoreEnd, RestoreRequest, TakenFrom, restore};
pub use snapshot::{SnapshotRequest, SnapshotTaken, snapshot};

/// The page's example compiles too.
#[cfg(doctest)]
#[doc = include_str!("../../docs/api.md")]
mod page {}

/// Does for the whole process what the program does at its start: keeps its memory out of core dumps and away from
/// other programs of the same user, and has large buffers given back to the system when they are freed. Without the
/// second, the C library may keep some 100 MiB beyond the config's `memory_limit`.
pub fn harden_process() -> io::Result<()> {
    allocator::give_back_large_buffers();
    core_dumps::turn_off()
}
