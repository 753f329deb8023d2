//! Writes data to files that were made, with few of them open.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::directories::kept_open;
use super::report::LeftOut;
use super::tree::{EntryState, WorkTree};
use crate::error::{Error, ExtractError};
use crate::model::file_node::ObjectId;

/// Open files, the one that was used last at the end.
pub(super) struct OpenFiles {
    open: Vec<(ObjectId, File)>,
    most: usize,
}

impl Default for OpenFiles {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            most: kept_open(),
        }
    }
}

impl OpenFiles {
    /// Writes to a file, if it is wanted. A file that gets larger than any that the target can have is left out.
    pub(super) fn write(
        &mut self,
        tree: &mut WorkTree<'_>,
        object: ObjectId,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let Some(number) = tree.first_of(object) else {
            return Ok(());
        };
        if tree.standing(number) != EntryState::Regular {
            return Ok(());
        }
        let written = self.open(tree, object, number)?.write_all_at(bytes, offset);
        let Err(source) = written else {
            return Ok(());
        };
        if Errno::from_io_error(&source) == Some(Errno::FBIG) {
            self.close(object);
            return tree.give_up(object, LeftOut::TooLarge);
        }
        Err(ExtractError::Stopped {
            doing: "write",
            path: tree.path(number),
            source,
        }
        .into())
    }

    fn open(
        &mut self,
        tree: &mut WorkTree<'_>,
        object: ObjectId,
        number: u32,
    ) -> Result<&File, Error> {
        let open = if let Some(at) = self.open.iter().rposition(|(open, _)| *open == object) {
            self.open.remove(at)
        } else {
            let file = tree.open_file(number, OFlags::WRONLY)?;
            if self.open.len() == self.most {
                self.open.remove(0);
            }
            (object, File::from(file))
        };
        self.open.push(open);
        Ok(&self.open.last().expect("it was pushed").1)
    }

    /// Closes a file if it is open.
    pub(super) fn close(&mut self, object: ObjectId) {
        self.open.retain(|(open, _)| *open != object);
    }
}
