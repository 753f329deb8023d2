//! What a tree has in memory and its file does not have.

use std::collections::HashMap;

use super::encoding::{put_facts, put_parent_data, put_pieces};
use super::inode::TreeInode;
use super::names::DirectoryNames;
use super::parent_data::ParentData;
use super::xattrs::XattrTable;
use crate::files_db::{TreeFileError, TreeFileWriter};
use crate::model::file_node::ObjectId;

/// What the file does not have.
pub(super) struct Unwritten<'s> {
    /// New inodes, and how many come before them.
    pub(super) new: (&'s [TreeInode], usize),
    pub(super) known: &'s HashMap<ObjectId, TreeInode>,
    pub(super) xattrs: &'s XattrTable,
    /// Those that are now, and those of the send parent.
    pub(super) names: [&'s DirectoryNames; 2],
    pub(super) parent_data: &'s HashMap<ObjectId, ParentData>,
}

impl Unwritten<'_> {
    /// Writes it, each kind in the order of its keys.
    pub(super) fn write(&self, to: &TreeFileWriter<'_>) -> Result<(), TreeFileError> {
        let known = self.known.iter();
        let mut changed: Vec<_> = known.filter(|(_, inode)| !inode.is_written).collect();
        changed.sort_unstable_by_key(|(object, _)| **object);
        let changed = changed.into_iter().map(|(object, inode)| (*object, inode));
        let (new, before) = self.new;
        let ids = (before + 1..).map(|id| ObjectId(i64::try_from(id).unwrap_or(i64::MAX)));
        let (mut facts, mut pieces) = (Vec::new(), Vec::new());
        for (object, inode) in changed.chain(ids.zip(new)) {
            facts.clear();
            pieces.clear();
            put_facts(&mut facts, inode, self.xattrs.get(inode.xattrs));
            put_pieces(&mut pieces, &inode.data);
            to.object(object, &facts, &pieces)?;
        }
        let [names, parent_names] = self.names;
        for it in names.unwritten() {
            to.name(it.directory, &it.name, it.state.object())?;
        }
        for it in parent_names.unwritten() {
            to.parent_name(it.directory, &it.name, it.state.object())?;
        }
        let mut kept: Vec<_> = self.parent_data.iter().collect();
        kept.sort_unstable_by_key(|(file, _)| **file);
        for (file, data) in kept {
            if let ParentData::Here {
                size,
                data,
                is_written: false,
            } = data
            {
                pieces.clear();
                put_parent_data(&mut pieces, *size, data);
                to.parent_data(*file, &pieces)?;
            }
        }
        Ok(())
    }
}
