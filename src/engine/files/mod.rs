//! Single files: in plain trees, which are snapshots and the copies at mirrors on this machine, and in archives.
//!
//! [`locate`] says which file of which source a path means, [`plain_copies`] where there are copies of it, and [`entry`]
//! opens it in one of them. [`history`] compares its versions, and [`get`] copies one. No link in a copy is ever
//! followed, and nothing outside of a copy is read.
//!
//! [`contents`] reads what an archive says of its files, [`replay`] makes a tree of it, and [`index`] puts that into the local
//! index, from which [`questions`] answers what archives have. [`extract`] brings files back out of them, and
//! [`mounting`] shows them as a filesystem.

pub(super) mod attributes;
mod compare;
pub(in crate::engine) mod contents;
mod copy_file;
pub(super) mod copy_tree;
pub(super) mod difference;
mod entry;
pub(super) mod extract;
pub(super) mod get;
pub(super) mod history;
pub(in crate::engine) mod index;
pub(super) mod locate;
pub(super) mod mounting;
mod own_directory;
pub(super) mod pieces;
pub(super) mod plain_copies;
pub(super) mod questions;
mod rename_new;
pub(super) mod replay;
pub(super) mod yesterday;
