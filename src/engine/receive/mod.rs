//! Receives send streams as subvolumes, confined: what a restore and a mirror have in common.
//!
//! A stream is checked by the guard and goes to a `btrfs receive` that is confined to a staging directory. What is
//! whole gets its name by a read-only snapshot; what is not is deleted.

pub(super) mod guarded_stream;
pub(super) mod mark;
pub(super) mod place;
pub(super) mod receiving;
