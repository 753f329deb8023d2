//! Archive keys. The entry of an archive holds its key, sealed to the recipients of its time. Later entries
//! may attach the same key, sealed to others. Any of them is enough.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::catalog::{Catalog, CatalogError};
use crate::error::{Error, RequestError, RestoreError};
use crate::ledger::{AttachedContents, LedgerError, decode_body, split};
use crate::model::entry::{ArchiveEntry, Attachment, EntryKind};
use crate::model::{ArchiveId, LedgerId, Sha256, keys};
use crate::seal::{ArchiveKey, Identities, SealError};

/// An archive in the signed ledger, with its sealed keys.
#[derive(Debug, Clone)]
pub struct SealedArchive {
    /// Its entry, with its contents even where a later entry attaches them.
    pub entry: ArchiveEntry,
    /// Its key, sealed to later recipients.
    pub attached: Vec<Attachment>,
}

/// Returns these archives, in the same order, from the catalog's verified copy of the ledger.
pub fn sealed_archives(
    ledger: &LedgerId,
    wanted: &[ArchiveId],
    catalog: &Catalog,
) -> Result<Vec<SealedArchive>, Error> {
    let mut found: Vec<Option<(u64, SealedArchive)>> = vec![None; wanted.len()];
    let mut contents = AttachedContents::default();
    // Attachments by the number of their entry, until all voids are known.
    let mut attachments: Vec<(u64, Attachment)> = Vec::new();
    let mut voided: HashSet<u64> = HashSet::new();
    let place = |id: &ArchiveId| wanted.iter().position(|wanted| wanted == id);
    for row in catalog.entries(ledger)? {
        let (body, _) = split(&row.object).map_err(LedgerError::from)?;
        if Sha256::of(body) != row.hash {
            return Err(CatalogError::Damaged(format!(
                "ledger entry {} is not what was verified",
                row.seq
            ))
            .into());
        }
        let kind = decode_body(body).map_err(LedgerError::from)?.kind;
        contents.note(row.seq, &kind);
        match kind {
            EntryKind::Archive(archive) => {
                if let Some(at) = place(&archive.id) {
                    let sealed = SealedArchive {
                        entry: *archive,
                        attached: Vec::new(),
                    };
                    found[at] = Some((row.seq, sealed));
                }
            }
            EntryKind::Attach(attach) => {
                let objects = attach.objects.into_iter();
                let keys = objects.filter(|object| {
                    object.what == Attachment::KEY && place(&object.archive).is_some()
                });
                attachments.extend(keys.map(|object| (row.seq, object)));
            }
            EntryKind::Rotate(rotate) => voided.extend(rotate.voids),
            _ => {}
        }
    }
    attachments.retain(|(seq, _)| !voided.contains(seq));
    for (_, object) in attachments {
        // An attachment comes after its archive, unless the archive's entry was lost.
        if let Some((_, archive)) = place(&object.archive).and_then(|at| found[at].as_mut()) {
            archive.attached.push(object);
        }
    }
    found
        .into_iter()
        .zip(wanted)
        .map(|(archive, id)| {
            let (seq, mut archive) = archive
                .ok_or_else(|| Error::Request(RequestError::NoSuchArchive(id.to_string())))?;
            contents.complete(seq, &mut archive.entry);
            Ok(archive)
        })
        .collect()
}

impl SealedArchive {
    /// Opens the archive's key with the first identity that fits. `directory` is the source's, and `identity`
    /// is the name of the identities in an error.
    pub fn unlock(
        &self,
        directory: &str,
        identities: &Identities,
        identity: &str,
    ) -> Result<ArchiveKey, Error> {
        let id = self.entry.id;
        let damaged = |what: String| {
            Error::Restore(RestoreError::SegmentDamaged {
                archive: id,
                index: 0,
                key: keys::archive_key(directory, &id),
                what,
            })
        };
        let locked = |source| {
            Error::Restore(RestoreError::Locked {
                archive: id,
                identity: identity.to_owned(),
                source,
            })
        };
        let sealed = BASE64
            .decode(&self.entry.key)
            .map_err(|error| damaged(error.to_string()))?;
        let refused = match ArchiveKey::unseal(&sealed, identities) {
            Ok(key) => return Ok(key),
            Err(refused) => refused,
        };
        for attached in &self.attached {
            let opened = BASE64
                .decode(&attached.sealed)
                .ok()
                .and_then(|sealed| ArchiveKey::unseal(&sealed, identities).ok());
            // A writer has signed that this is the archive's key. The private facts prove it.
            if let Some(key) = opened.filter(|key| self.is_key(key)) {
                return Ok(key);
            }
        }
        Err(locked(refused))
    }

    /// Returns whether this key opens the archive's private facts.
    fn is_key(&self, key: &ArchiveKey) -> bool {
        BASE64
            .decode(&self.entry.private)
            .is_ok_and(|private| key.open_private(&private).is_ok())
    }

    /// Returns whether its key was sealed to exactly these recipients before, according to the fingerprint
    /// beside it. The fingerprint is only a writer's claim. An attachment that is no age file does not count.
    /// More can't be checked without an identity of these recipients.
    pub fn is_sealed_to(&self, recipients: &Sha256) -> bool {
        let has_form = |attached: &Attachment| {
            BASE64
                .decode(&attached.sealed)
                .is_ok_and(|sealed| ArchiveKey::is_sealed_form(&sealed))
        };
        self.entry.recipients == *recipients
            || self
                .attached
                .iter()
                .any(|attached| attached.recipients == *recipients && has_form(attached))
    }
}

/// Returns whether an error of [`SealedArchive::unlock`] means that none of the identities fits.
pub fn opens_nothing(error: &Error) -> bool {
    matches!(
        error,
        Error::Restore(RestoreError::Locked {
            source: SealError::NoIdentityMatches,
            ..
        })
    )
}
