//! Pulls a source's subvolume from elsewhere by rsync.
//!
//! A run first lets rsync say what it would do, and refuses what looks like a source that is gone. While rsync changes
//! the subvolume, a directory in it and a row in the catalog say so: [`standing`] keeps such a state out of snapshots.
//! [`place`] is the subvolume, and [`run`] what is done to it.

mod exclude_file;
pub(super) mod outcome;
mod place;
pub(super) mod run;
pub(super) mod standing;
