//! The data of a file as it was in the send parent.

use super::file_data::FilePieces;

/// What an entry of a map takes besides what it holds.
pub(super) const ENTRY: u64 = 48;

/// What a file was in the send parent.
#[derive(Debug)]
pub(super) enum ParentData {
    /// The tree's file has it.
    InFile,
    /// This.
    Here {
        size: u64,
        data: FilePieces,
        is_written: bool,
    },
}

impl ParentData {
    /// Returns about how much memory it takes.
    pub(super) fn memory(&self) -> u64 {
        match self {
            Self::InFile => ENTRY,
            Self::Here { data, .. } => ENTRY + data.memory(),
        }
    }
}
