//! What commands change of an object: its data, as far as its size tells, and its attributes.

use rustix::fs::FileType;

use super::hands::HeldObject;
use super::new_node::nanoseconds;
use super::refusal::ReplayRefusal;
use super::step::ReplayStep;
use super::xattrs;
use crate::btrfs::{Attribute, Command, ContentsCommand};

/// The bits of a mode beside the kind.
const PERMISSIONS: u32 = 0o7777;
/// `FALLOC_FL_KEEP_SIZE`.
const KEEP_SIZE: u32 = 1;

/// Applies a command that writes, clones, cuts or reserves.
pub(super) fn change_data(
    held: &mut HeldObject,
    step: ReplayStep<'_>,
    from: &ContentsCommand<'_>,
) -> Result<(), ReplayRefusal> {
    let node = held.node();
    if FileType::from_raw_mode(node.mode) != FileType::RegularFile {
        return Err(ReplayRefusal::NoRegularFile {
            command: step.command,
            path: step.path.to_vec(),
        });
    }
    let size = node.size;
    let offset = || from.number(Attribute::FileOffset);
    let (changes, new_size) = match step.command {
        Command::Write => {
            let data = from.data.as_ref();
            let bytes = data.map_or(0, |data| data.end - data.start);
            (bytes > 0, size.max(step.end(offset()?, bytes)?))
        }
        Command::EncodedWrite => {
            let bytes = from.number(Attribute::UnencodedFileLen)?;
            (bytes > 0, size.max(step.end(offset()?, bytes)?))
        }
        Command::Clone => {
            let bytes = from.number(Attribute::CloneLen)?;
            (true, size.max(step.end(offset()?, bytes)?))
        }
        Command::Truncate => {
            let new_size = step.end(from.number(Attribute::Size)?, 0)?;
            (new_size != size, new_size)
        }
        _ => {
            let mode = from.small_number(Attribute::FallocateMode)?;
            let end = step.end(offset()?, from.number(Attribute::Size)?)?;
            let new_size = if mode & KEEP_SIZE == 0 {
                size.max(end)
            } else {
                size
            };
            // Without another bit it only reserves space.
            (mode & !KEEP_SIZE != 0 || new_size != size, new_size)
        }
    };
    if changes {
        held.data_changes();
        held.change().size = new_size;
    }
    Ok(())
}

/// Applies a command on mode, owner, times or extended attributes.
pub(super) fn change_attributes(
    held: &mut HeldObject,
    step: ReplayStep<'_>,
    from: &ContentsCommand<'_>,
) -> Result<(), ReplayRefusal> {
    match step.command {
        Command::Chmod => {
            let mode = held.node().mode;
            if FileType::from_raw_mode(mode) == FileType::Symlink {
                return Err(ReplayRefusal::IsSymlink {
                    command: step.command,
                    path: step.path.to_vec(),
                });
            }
            let number = from.number(Attribute::Mode)?;
            let permissions = u32::try_from(number).map_err(|_| step.too_large(number))?;
            held.change().mode = mode & !PERMISSIONS | permissions & PERMISSIONS;
        }
        Command::Chown => {
            let [uid, gid] = [Attribute::Uid, Attribute::Gid].map(|owner| {
                let number = from.number(owner)?;
                u32::try_from(number).map_err(|_| step.too_large(number))
            });
            let node = held.change();
            (node.uid, node.gid) = (uid?, gid?);
        }
        Command::Utimes => {
            let mtime = nanoseconds(from.bytes(Attribute::Mtime)?);
            let ctime = nanoseconds(from.bytes(Attribute::Ctime)?);
            let node = held.change();
            (node.mtime, node.ctime) = (mtime, ctime);
        }
        Command::SetXattr => {
            let name = from.bytes(Attribute::XattrName)?;
            let value = from.bytes(Attribute::XattrData)?;
            if !xattrs::set(&mut held.change().xattrs, name, value) {
                return Err(ReplayRefusal::TooManyAttributes {
                    path: step.path.to_vec(),
                    limit: xattrs::MOST_BYTES,
                });
            }
        }
        Command::RemoveXattr => {
            let name = from.bytes(Attribute::XattrName)?;
            xattrs::remove(&mut held.change().xattrs, name);
        }
        // The flags of chattr are no part of the tree.
        _ => {}
    }
    Ok(())
}
