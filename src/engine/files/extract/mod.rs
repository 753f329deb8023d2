//! Brings files back out of archives, without `btrfs receive`: their names and attributes come from the contents, their data
//! from the frames that have it.

pub(in crate::engine) mod chain;
pub(in crate::engine) mod entries;
pub(in crate::engine) mod extraction;
mod filling;
pub(in crate::engine) mod frames;
mod needs;
pub(in crate::engine) mod reading;
pub(in crate::engine) mod run;
pub(in crate::engine) mod target;
pub(in crate::engine) mod wanted;
