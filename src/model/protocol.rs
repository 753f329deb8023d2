//! The forms that a send stream can have.

use serde::{Deserialize, Serialize};

/// The form of a send stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Version 1: every kernel makes it, and every `btrfs receive` takes it.
    V1,
    /// Version 2: a hole that was punched into a file is no data in the stream.
    V2,
    /// Version 2 with data as it is compressed on disk. The kernel loses bytes when it sends in this form.
    CompressedData,
}

impl Protocol {
    /// Returns the form of an archive's stream, by the fields of its entry. Before `compressed_data` was
    /// recorded, version 2 was requested only to get compressed data.
    pub fn of(version: u32, compressed_data: Option<bool>) -> Self {
        match (version, compressed_data) {
            (..=1, _) => Self::V1,
            (_, Some(false)) => Self::V2,
            (_, Some(true) | None) => Self::CompressedData,
        }
    }

    /// The version in the stream's header.
    pub fn version(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V2 | Self::CompressedData => 2,
        }
    }

    /// Returns the value for an entry's field; `None` for version 1, which can't carry compressed data.
    pub fn compressed_data(self) -> Option<bool> {
        match self {
            Self::V1 => None,
            Self::V2 => Some(false),
            Self::CompressedData => Some(true),
        }
    }

    /// Whether what is restored may differ from what was sent.
    pub fn is_inexact(self) -> bool {
        self == Self::CompressedData
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_found_again_by_what_an_entry_says_of_it() {
        for form in [Protocol::V1, Protocol::V2, Protocol::CompressedData] {
            let said = Protocol::of(form.version(), form.compressed_data());
            assert_eq!(said, form);
        }
        assert!(Protocol::of(2, None).is_inexact());
        assert!(!Protocol::of(1, None).is_inexact());
    }
}
