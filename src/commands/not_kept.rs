//! Says what the copy of a file does not have of the original.

use super::output::count;
use crate::engine::NotKept;

/// Returns it as a sentence about so many files.
pub(super) fn in_words(what: NotKept, number: u64) -> String {
    let files = count(number, "file");
    match what {
        NotKept::Owner => format!("{files}: the owner was not kept; run it as root to keep it"),
        NotKept::Mode => {
            format!("{files}: the permissions were not kept: the filesystem does not have them")
        }
        NotKept::Time => format!("{files}: the time was not kept: the filesystem does not have it"),
        NotKept::HardLink => format!(
            "{files}: a hard link was not kept, but copied: the filesystem does not have it"
        ),
        NotKept::Attribute => format!(
            "{files}: an extended attribute or ACL was not kept: the filesystem does not have it, or only root can set it"
        ),
        NotKept::Device => format!("{files} left out: only root can make a device"),
        NotKept::Nested => format!(
            "{files} left empty: a nested subvolume or a mount is there, and no snapshot has what is in it"
        ),
    }
}

/// Returns its name in JSON.
pub(super) fn name(what: NotKept) -> &'static str {
    match what {
        NotKept::Owner => "owner",
        NotKept::Mode => "mode",
        NotKept::Time => "time",
        NotKept::HardLink => "hard_link",
        NotKept::Attribute => "attribute",
        NotKept::Device => "device",
        NotKept::Nested => "nested",
    }
}
