//! The contents of an archive: its stream without the file data, and a table of its segments, in sealed objects.
//!
//! A backup makes them while the stream passes (`engine/backup/pipeline.rs`).

pub(in crate::engine) mod attach;
pub(in crate::engine) mod fetch;
pub(in crate::engine) mod kept;
pub(in crate::engine) mod objects;
pub(in crate::engine) mod places;
pub(in crate::engine) mod table;
pub(in crate::engine) mod wanting;
