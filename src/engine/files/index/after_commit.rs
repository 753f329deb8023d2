//! Indexes the archives that a backup has just made, from the contents that it kept. No store and no identity is needed.

use std::path::Path;

use super::low_priority::at_low_priority;
use super::replayed::load_contents;
use super::{SignedContents, index_path};
use crate::catalog::{Catalog, VerificationRow};
use crate::engine::backup::outcome::CommittedArchive;
use crate::engine::context::session::Session;
use crate::engine::files::contents::kept::KeptContents;
use crate::engine::ledger::archive_keys::sealed_archives;
use crate::error::{ContentsFault, Error, FilesError, in_words};
use crate::files_db::{FilesDb, FilesDbError, LoadBase};
use crate::interrupt::Interrupt;
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, LedgerId, VerifyLevel, VerifyOutcome};
use crate::progress::Event;

/// An archive whose contents are at hand.
struct AtHand<'a> {
    signed: SignedContents,
    contents: &'a KeptContents,
}

/// Indexes new archives, and hides those that are retired. A failure is a warning: the archives are whole without it.
///
/// The one error: the stream of an archive does not fit the files of its send parent. Then the archive is recorded as
/// damaged, so that the next one is a full. A drill that restores it takes that back.
pub(in crate::engine) fn index_new(
    session: &Session<'_>,
    archives: &[CommittedArchive],
    catalog: &mut Catalog,
) -> Result<(), Error> {
    if !session.source.config.index {
        return Ok(());
    }
    let warn = |error: &Error| {
        session.context.observer.event(Event::Warning {
            source: session.source.name().clone(),
            message: format!(
                "cannot index the files: {}; its archives are whole, and can be indexed later",
                in_words(error)
            ),
        });
    };
    let ledger = session.source.row.ledger;
    let gathered = at_hand(&ledger, archives, catalog).and_then(|at_hand| {
        let visible = catalog.visible(&ledger)?;
        let visible: Vec<ArchiveId> = visible.iter().map(|archive| archive.id).collect();
        Ok((at_hand, visible))
    });
    let (at_hand, visible) = match gathered {
        Ok((at_hand, _)) if at_hand.is_empty() => return Ok(()),
        Ok(gathered) => gathered,
        Err(error) => {
            warn(&error);
            return Ok(());
        }
    };
    let path = index_path(session.config, &ledger);
    let interrupt = session.context.interrupt;
    let indexed = at_low_priority(|| index(&path, &ledger, at_hand, &visible, interrupt));
    match indexed {
        // What interrupts the run says so itself.
        Ok(()) | Err(Error::Interrupted(_)) => Ok(()),
        Err(Error::Contents(ContentsFault::Unrestorable { archive, what })) => {
            // A listing finds its objects sound, and the guard its stream: only a drill looks at the same as was seen here.
            catalog.record_verifications(&[VerificationRow {
                archive,
                level: VerifyLevel::Drill,
                outcome: VerifyOutcome::Damaged,
                at: Timestamp(session.context.clock.now()),
            }])?;
            Err(ContentsFault::Unrestorable { archive, what }.into())
        }
        Err(error) => {
            if is_damage(&error) {
                // The next run, or a question, makes it anew. If this fails too, that one finds the damage.
                let _ = FilesDb::remove(&path);
            }
            warn(&error);
            Ok(())
        }
    }
}

fn at_hand<'a>(
    ledger: &LedgerId,
    archives: &'a [CommittedArchive],
    catalog: &Catalog,
) -> Result<Vec<AtHand<'a>>, Error> {
    let kept: Vec<(ArchiveId, &KeptContents)> = archives
        .iter()
        .filter_map(|made| Some((made.archive, made.contents.as_ref()?)))
        .collect();
    let ids: Vec<ArchiveId> = kept.iter().map(|(id, _)| *id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sealed = sealed_archives(ledger, &ids, catalog)?;
    let both = sealed.into_iter().zip(kept);
    let fitting = both.filter_map(|(sealed, (_, contents))| {
        // The entry of an earlier try may have been committed, with contents of its own.
        let record = sealed.entry.contents.as_ref()?;
        if record != contents.record() {
            return None;
        }
        Some(AtHand {
            signed: SignedContents::of(&sealed.entry, record),
            contents,
        })
    });
    Ok(fitting.collect())
}

fn index(
    path: &Path,
    ledger: &LedgerId,
    at_hand: Vec<AtHand<'_>>,
    visible: &[ArchiveId],
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let mut db = FilesDb::open(path, ledger)?;
    for new in at_hand {
        let known = db.archives()?;
        if (known.iter()).any(|archive| archive.id == new.signed.archive.id) {
            continue;
        }
        let has_base = match new.signed.base {
            LoadBase::Nothing => true,
            LoadBase::Archive(base) => known.iter().any(|archive| archive.id == base),
        };
        // What it is incremental on has no contents, or was made elsewhere. A question says so, and what to do.
        if !has_base {
            continue;
        }
        load_contents(&mut db, new.signed, new.contents.open(), interrupt)?;
    }
    Ok(hide_others(&mut db, visible)?)
}

/// Hides what is not visible any more, shows what is again, and deletes what none needs.
pub(super) fn hide_others(db: &mut FilesDb, visible: &[ArchiveId]) -> Result<(), FilesDbError> {
    for archive in db.archives()? {
        let is_hidden = !visible.contains(&archive.id);
        if is_hidden != archive.is_hidden {
            db.hide(&archive.id, is_hidden)?;
        }
    }
    db.collect()
}

/// Whether the index itself is broken.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Files(FilesError::IndexDb(error)) if error.is_damage())
}
