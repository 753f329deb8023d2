//! The numbers of inodes: what stands for what is packed into them, so that nothing has to be remembered of what the kernel
//! knows.

use crate::fuse::ROOT;
use crate::model::file_node::ObjectId;

/// The bits of a number that say which object of an archive it is.
const OBJECT_BITS: u32 = 40;

/// The most archives that one mount shows, with those that it does not show any more.
pub(super) const MOST_DATES: usize = (1 << (63 - OBJECT_BITS)) - 1;

/// An archive that the mount shows, by its number in it. One that is indexed anew gets another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct DateNumber(pub(super) usize);

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShownInode {
    /// The directory of the sources.
    Top,
    /// The directory of a source's dates, by the source's number.
    Source(usize),
    /// What an archive has.
    Archived(DateNumber, ObjectId),
}

impl ShownInode {
    /// Returns what a number stands for.
    pub(super) fn of(number: u64) -> Self {
        let low = number & ((1 << OBJECT_BITS) - 1);
        let to_usize = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        match number >> OBJECT_BITS {
            0 if low <= ROOT => Self::Top,
            0 => Self::Source(to_usize(low - ROOT - 1)),
            date => Self::Archived(DateNumber(to_usize(date - 1)), ObjectId(low.cast_signed())),
        }
    }

    /// Returns its number; `None` if there is no room for it in one.
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Top => Some(ROOT),
            Self::Source(source) => Some(ROOT + 1 + source as u64),
            Self::Archived(date, object) => {
                let object = u64::try_from(object.0).ok()?;
                let has_room = object >> OBJECT_BITS == 0 && date.0 < MOST_DATES;
                has_room.then_some((date.0 as u64 + 1) << OBJECT_BITS | object)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_inodes_are_the_same() {
        for inode in [
            ShownInode::Top,
            ShownInode::Source(0),
            ShownInode::Source(99),
            ShownInode::Archived(DateNumber(0), ObjectId::ROOT),
            ShownInode::Archived(DateNumber(MOST_DATES - 1), ObjectId((1 << OBJECT_BITS) - 1)),
        ] {
            let number = inode.number().unwrap();
            assert!(i64::try_from(number).is_ok());
            assert_eq!(ShownInode::of(number), inode);
        }
    }

    #[test]
    fn what_has_no_room_has_no_number() {
        for (date, object) in [(0, 1 << OBJECT_BITS), (0, -1), (MOST_DATES, 1)] {
            assert_eq!(
                ShownInode::Archived(DateNumber(date), ObjectId(object)).number(),
                None
            );
        }
    }
}
