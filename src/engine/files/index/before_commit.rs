//! Tries the contents of an archive on the files of its send parent, before the archive is committed.
//!
//! The kernel can make an incremental stream that names a path which is not there: every command is as it should be, so the
//! guard passes it, and `btrfs receive` refuses it. Only who knows the files of the send parent can see that, and that is the
//! index. Here another archive can still be made in its place.

use super::replayed::try_contents;
use super::{SignedContents, index_path};
use crate::engine::context::session::Session;
use crate::engine::files::contents::kept::KeptContents;
use crate::error::{ContentsFault, Error};
use crate::files_db::{FilesDb, LoadBase};
use crate::model::entry::ArchiveEntry;

/// Refuses an incremental whose stream does not fit the files of its send parent. Where that can't be told, it passes: the
/// index must never be a reason for a failed backup.
pub(in crate::engine) fn require_restorable(
    session: &Session<'_>,
    entry: &ArchiveEntry,
    kept: Option<&KeptContents>,
) -> Result<(), Error> {
    let Some(kept) = kept.filter(|_| session.source.config.index) else {
        return Ok(());
    };
    match try_kept(session, entry, kept) {
        Err(
            error @ (Error::Contents(ContentsFault::Unrestorable { .. }) | Error::Interrupted(_)),
        ) => Err(error),
        // What is wrong with the index itself, it says after the commit.
        Ok(()) | Err(_) => Ok(()),
    }
}

fn try_kept(session: &Session<'_>, entry: &ArchiveEntry, kept: &KeptContents) -> Result<(), Error> {
    let ledger = session.source.row.ledger;
    let path = index_path(session.config, &ledger);
    let contents = SignedContents::of(entry, kept.record());
    // A full is loaded once, after the commit: nothing that a full could be built on is wrong with it.
    let LoadBase::Archive(parent) = contents.base else {
        return Ok(());
    };
    if !path.exists() {
        return Ok(());
    }
    // A commit does not wait for a question that is making the index.
    let mut db = FilesDb::open_at_once(&path, &ledger)?;
    let is_known = db.archives()?.iter().any(|known| known.id == parent);
    if !is_known {
        return Ok(());
    }
    try_contents(&mut db, contents, kept.open(), session.context.interrupt)
}
