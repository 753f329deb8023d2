//! What the root of a subvolume hands down to each file and directory that is made in it.
//!
//! The kernel's streams make everything in the root and then move it to its place. So `btrfs receive` would give a
//! default ACL of the root to every new inode, and no command of the stream takes it away again.

use super::attributes::value;
use super::edited_stream::EditedStream;
use super::encode;
use super::run::Unit;
use super::wire::{Attribute, Command};

/// The ACL that new inodes of a directory get.
pub(in crate::btrfs) const DEFAULT_ACL: &str = "system.posix_acl_default";

/// The property that `btrfs property set DIR compression` sets.
pub(in crate::btrfs) const COMPRESSION: &str = "btrfs.compression";

const HANDED_DOWN: [&str; 2] = [DEFAULT_ACL, COMPRESSION];

/// The values of these attributes on the root; `None` for one that it lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandedDown([Option<Vec<u8>>; 2]);

impl HandedDown {
    /// Returns what `read` finds, by the attributes' names.
    pub(in crate::btrfs) fn read<E>(
        mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Self, E> {
        Ok(Self([read(DEFAULT_ACL)?, read(COMPRESSION)?]))
    }

    /// Notes what a command does to these attributes of the root. Returns whether it is such a command, which is then
    /// not passed on.
    pub(super) fn takes(&mut self, unit: Unit<'_>, protocol: u32) -> bool {
        let sets = unit.is(Command::SetXattr);
        if !sets && !unit.is(Command::RemoveXattr) {
            return false;
        }
        let find = |attribute| value(unit.payload, attribute, protocol).unwrap_or_default();
        let name = find(Attribute::XattrName);
        let place = HANDED_DOWN.iter().position(|it| it.as_bytes() == name);
        let Some(place) = place.filter(|_| find(Attribute::Path).is_empty()) else {
            return false;
        };
        self.0[place] = sets.then(|| find(Attribute::XattrData).to_vec());
        true
    }

    /// Takes them off the root.
    pub(super) fn take_off<S: EditedStream>(&self, out: &mut S) -> Result<(), S::Error> {
        self.each(|name, _| out.write(&encode::remove_root_xattr(name)))
    }

    /// Sets them on the root.
    pub(super) fn set<S: EditedStream>(&self, out: &mut S) -> Result<(), S::Error> {
        self.each(|name, value| out.write(&encode::set_root_xattr(name, value)))
    }

    fn each<E>(&self, mut what: impl FnMut(&str, &[u8]) -> Result<(), E>) -> Result<(), E> {
        for (name, value) in HANDED_DOWN.iter().zip(&self.0) {
            if let Some(value) = value {
                what(name, value)?;
            }
        }
        Ok(())
    }
}
