//! The symlink that a stream made last, and its present path.
//!
//! The kernel sends a new symlink's owner, and no mode after it. A symlink is not a regular file, so there is
//! no need to ask whether its mode has the setuid bit.

use super::attributes::value;
use super::wire::{Attribute, Command};

/// The path of the newest symlink, if it is known.
#[derive(Debug, Default)]
pub(super) struct FreshSymlink {
    path: Option<Vec<u8>>,
}

impl FreshSymlink {
    /// Returns whether this is the path of the newest symlink.
    pub(super) fn is(&self, path: &[u8]) -> bool {
        self.path.as_deref() == Some(path)
    }

    /// Follows a command that is passed on.
    pub(super) fn see(&mut self, number: u16, payload: &[u8], protocol: u32) {
        let path = |attribute| value(payload, attribute, protocol).unwrap_or_default();
        if number == Command::Symlink as u16 {
            self.path = Some(path(Attribute::Path).to_vec());
        } else if number == Command::Rename as u16 {
            self.rename(path(Attribute::Path), path(Attribute::PathTo));
        } else if number == Command::Unlink as u16 && self.is(path(Attribute::Path)) {
            self.path = None;
        }
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) {
        let Some(path) = &mut self.path else { return };
        if path == from {
            to.clone_into(path);
        } else if is_at_or_above(to, path) || is_at_or_above(from, path) {
            self.path = None;
        }
    }
}

/// Returns whether `above` is the same path as `path`, or a directory above it.
fn is_at_or_above(above: &[u8], path: &[u8]) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
