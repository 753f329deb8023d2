//! The end of a loading.

use super::{LoadWay, Loading, merge, subtree};
use crate::files_db::error::{FilesDbError, WhileDoing as _};

impl Loading<'_> {
    /// Writes the archive with all that was changed. Afterwards it is in the index, or this fails and nothing of it is.
    pub fn commit(mut self) -> Result<(), FilesDbError> {
        self.flush()?;
        self.rows.settle(&self.transaction)?;
        if let LoadWay::Aside { first_new } = self.way {
            merge::merge(&self.transaction, self.number, first_new)
                .while_doing("merge the tree")?;
        }
        subtree::write(&self.transaction, self.number, self.is_first)
            .while_doing("write the totals of directories")?;
        self.transaction
            .execute(
                "INSERT INTO main.archive (number, id, date, contents) VALUES (?1, ?2, ?3, ?4)",
                (
                    self.number,
                    self.archive.id.to_string(),
                    self.archive.date.to_string(),
                    self.archive.contents.to_string(),
                ),
            )
            .while_doing("add the archive")?;
        let doing = "commit the archive";
        self.transaction.commit().while_doing(doing)
    }
}
