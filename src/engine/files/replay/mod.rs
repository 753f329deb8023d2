//! Applies the commands of a send stream, without its data, to a tree of files.

pub(in crate::engine) mod tree;
