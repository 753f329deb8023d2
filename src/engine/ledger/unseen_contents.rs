//! Contents in entries that the catalog has, but not their contents: a version absorbed them that knew of none.

use std::collections::BTreeSet;

use crate::catalog::{Catalog, CatalogError};
use crate::ledger::{Replay, contents_of};
use crate::model::entry::EntryKind;
use crate::model::{ArchiveId, LedgerId};

/// What the catalog lacks, as far as its entries were read.
pub(super) struct UnseenContents {
    ledger: LedgerId,
    known: BTreeSet<(ArchiveId, u64)>,
    unseen: Vec<(u64, EntryKind)>,
}

impl UnseenContents {
    /// Begins to read the entries of a ledger that the catalog has.
    pub(super) fn beside(ledger: &LedgerId, catalog: &Catalog) -> Result<Self, CatalogError> {
        Ok(Self {
            ledger: *ledger,
            known: catalog.contents_entries(ledger)?,
            unseen: Vec::new(),
        })
    }

    /// Notes the next entry.
    pub(super) fn note(&mut self, seq: u64, kind: &EntryKind) {
        let is_unseen = |archive| !self.known.contains(&(archive, seq));
        let names_unseen = match kind {
            EntryKind::Archive(archive) => archive.contents.is_some() && is_unseen(archive.id),
            EntryKind::Attach(attach) => {
                let mut objects = attach.objects.iter();
                objects.any(|it| contents_of(it).is_some() && is_unseen(it.archive))
            }
            _ => false,
        };
        if names_unseen {
            self.unseen.push((seq, kind.clone()));
        }
    }

    /// Takes over what is lacking, except what a later entry has voided.
    pub(super) fn take_over(
        self,
        replay: &Replay,
        catalog: &mut Catalog,
    ) -> Result<(), CatalogError> {
        for (seq, kind) in &self.unseen {
            match kind {
                EntryKind::Archive(archive) => {
                    catalog.take_contents(&self.ledger, *seq, Some(archive), &[])?;
                }
                EntryKind::Attach(attach) if replay.is_attaching(*seq) => {
                    catalog.take_contents(&self.ledger, *seq, None, &attach.objects)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
