//! What is made last in the work directory: copies in place of hard links, and the attributes of all.

use std::fs::File;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};

use super::journal::{LateMode, Publishing};
use super::making::Nodes;
use super::report::Extracted;
use super::tree::{EntryState, WorkTree};
use crate::engine::files::attributes::{
    InodeAttributes, NotKept, Place, kept_mode, set_attributes,
};
use crate::engine::files::copy_file::copy_data;
use crate::engine::files::extract::entries::ExtractedNode;
use crate::error::{Error, ExtractError};

/// Makes copies and sets attributes: those of directories last, since the times of a directory change with what is made in it.
pub(super) fn settle(tree: &mut WorkTree<'_>, nodes: Nodes<'_>) -> Result<Publishing, Error> {
    let mut settling = Settling {
        tree,
        nodes,
        extracted: Extracted::default(),
        late_modes: Vec::new(),
        is_root: rustix::process::geteuid().is_root(),
    };
    settling.copy()?;
    settling.set_all()?;
    Ok(Publishing {
        extracted: settling.extracted,
        late_modes: settling.late_modes,
    })
}

struct Settling<'s, 't, 'n> {
    tree: &'s mut WorkTree<'t>,
    nodes: Nodes<'n>,
    extracted: Extracted,
    late_modes: Vec<LateMode>,
    is_root: bool,
}

impl Settling<'_, '_, '_> {
    fn copy(&mut self) -> Result<(), Error> {
        for number in 0..self.tree.listed.len() {
            if self.tree.standing(number) != EntryState::Copy {
                continue;
            }
            let object = self.tree.listed.entry(number).object;
            let first = self.tree.first_of(object).expect("a copy has a first name");
            let from = File::from(self.tree.open_file(first, OFlags::RDONLY)?);
            let to = File::from(self.tree.open_file(number, OFlags::WRONLY)?);
            copy_data(&from, &to, self.tree.interrupt)?.map_err(|source| {
                ExtractError::Stopped {
                    doing: "write",
                    path: self.tree.path(number),
                    source,
                }
            })?;
        }
        Ok(())
    }

    fn set_all(&mut self) -> Result<(), Error> {
        for number in 0..self.tree.listed.len() {
            let entry = self.tree.listed.entry(number);
            let is_wanted = !entry.is_on_the_way;
            let standing = self.tree.standing(number);
            match standing {
                EntryState::LeftOut(why) if is_wanted => {
                    let listed = &self.tree.listed;
                    self.extracted.leave_out(why, || listed.path(number));
                }
                EntryState::LeftOut(_) | EntryState::Pending => continue,
                _ if is_wanted => self.extracted.entries += 1,
                _ => {}
            }
            match standing {
                EntryState::Copy | EntryState::OtherCopy => {
                    let listed = &self.tree.listed;
                    self.extracted
                        .lose(NotKept::HardLink, || listed.path(number));
                    self.set(number)?;
                }
                EntryState::Regular | EntryState::Other => self.set(number)?,
                _ => {}
            }
        }
        for number in (0..self.tree.listed.len()).rev() {
            if self.tree.standing(number) == EntryState::Directory {
                self.set(number)?;
            }
        }
        Ok(())
    }

    fn set(&mut self, number: u32) -> Result<(), Error> {
        self.tree.interrupt.check()?;
        let entry = self.tree.listed.entry(number);
        let node = (self.nodes)(entry.object)?;
        let above = self.tree.above(number)?;
        let place = Place {
            directory: &above,
            name: self.tree.listed.name(number),
        };
        let kind = FileType::from_raw_mode(node.mode);
        if kind == FileType::RegularFile {
            self.require_size(place, number, node.size)?;
            self.extracted.bytes += node.size;
        }
        let mut wanted = attributes_of(&node);
        let may_be_moved = entry.is_on_the_way || self.tree.listed.is_top(number);
        let is_late = kind == FileType::Directory
            && may_be_moved
            && !self.is_root
            && !Mode::from_raw_mode(node.mode).contains(Mode::RWXU);
        if is_late {
            wanted.mode |= Mode::RWXU.as_raw_mode();
        }
        let lost = set_attributes(place, &wanted, &node.xattrs, &self.tree.path(number))
            .map_err(can_be_continued)?;
        if is_late {
            let stat = rustix::fs::statat(place.directory, place.name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| self.tree.stopped("look at", number, errno))?;
            let owned = !lost.contains(&NotKept::Owner);
            self.late_modes.push(LateMode {
                entry: number,
                inode: stat.st_ino,
                mode: kept_mode(node.mode, owned).as_raw_mode(),
            });
        }
        // One on the way may be there already, and keeps what it has.
        if !entry.is_on_the_way {
            let listed = &self.tree.listed;
            for lost in lost {
                self.extracted.lose(lost, || listed.path(number));
            }
        }
        Ok(())
    }

    /// Cuts off what data were written behind the end of a file.
    fn require_size(&mut self, place: Place<'_>, number: u32, size: u64) -> Result<(), Error> {
        let stat = rustix::fs::statat(place.directory, place.name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| self.tree.stopped("look at", number, errno))?;
        if u64::try_from(stat.st_size) == Ok(size) {
            return Ok(());
        }
        let file = self.tree.open_file(number, OFlags::WRONLY)?;
        rustix::fs::ftruncate(&file, size)
            .map_err(|errno| self.tree.stopped("set the size of", number, errno))
    }
}

fn attributes_of(node: &ExtractedNode) -> InodeAttributes {
    const SECOND: i128 = 1_000_000_000;
    let time = |nanoseconds: i128| Timespec {
        tv_sec: i64::try_from(nanoseconds.div_euclid(SECOND)).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(nanoseconds.rem_euclid(SECOND)).expect("it is less than a second"),
    };
    InodeAttributes {
        mode: node.mode,
        uid: node.uid,
        gid: node.gid,
        times: Timestamps {
            last_access: time(node.atime),
            last_modification: time(node.mtime),
        },
    }
}

fn can_be_continued(error: Error) -> Error {
    match error {
        Error::File {
            doing,
            path,
            source,
        } => ExtractError::Stopped {
            doing,
            path,
            source,
        }
        .into(),
        error => error,
    }
}
