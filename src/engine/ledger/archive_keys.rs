//! Archive keys: an archive's entry holds its key, sealed to the recipients of its time, and entries
//! after it may attach the same key, sealed to others. Whichever opens will do.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::catalog::{Catalog, CatalogError};
use crate::error::{Error, RequestError, RestoreError};
use crate::ledger::{LedgerError, decode_body, split};
use crate::model::entry::{ArchiveEntry, Attachment, EntryKind};
use crate::model::{ArchiveId, LedgerId, Sha256, keys};
use crate::seal::{ArchiveKey, Identities, SealError};

/// An archive as the signed ledger has it.
#[derive(Debug, Clone)]
pub struct SealedArchive {
    /// Its entry.
    pub entry: ArchiveEntry,
    /// Its key, sealed to further recipients.
    pub attached: Vec<Attachment>,
}

/// These archives in their order, from the catalog's verified copy of the ledger.
pub fn sealed_archives(
    ledger: &LedgerId,
    wanted: &[ArchiveId],
    catalog: &Catalog,
) -> Result<Vec<SealedArchive>, Error> {
    let mut found: Vec<Option<SealedArchive>> = vec![None; wanted.len()];
    // By the entry that brings it, until it is known which of these are voided.
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
        match decode_body(body).map_err(LedgerError::from)?.kind {
            EntryKind::Archive(archive) => {
                if let Some(at) = place(&archive.id) {
                    found[at] = Some(SealedArchive {
                        entry: *archive,
                        attached: Vec::new(),
                    });
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
        // It came after its archive, or else that was lost.
        if let Some(archive) = place(&object.archive).and_then(|at| found[at].as_mut()) {
            archive.attached.push(object);
        }
    }
    found
        .into_iter()
        .zip(wanted)
        .map(|(archive, id)| {
            archive.ok_or_else(|| Error::Request(RequestError::NoSuchArchive(id.to_string())))
        })
        .collect()
}

impl SealedArchive {
    /// The archive's key, by whichever of the identities opens it. `directory` is the source's, and
    /// `identity` what to call the identities in an error.
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
            // A writer has signed that it is this archive's. The private facts show that it is.
            if let Some(key) = opened.filter(|key| self.is_key(key)) {
                return Ok(key);
            }
        }
        Err(locked(refused))
    }

    /// Whether the key opens what was sealed to this archive's.
    fn is_key(&self, key: &ArchiveKey) -> bool {
        BASE64
            .decode(&self.entry.private)
            .is_ok_and(|private| key.open_private(&private).is_ok())
    }

    /// Whether its key was sealed to just these recipients before, as the fingerprint beside it says. That
    /// is a writer's word: what is no age file at all belies it, and no more can be told without an
    /// identity of theirs.
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

/// Whether an error of [`SealedArchive::unlock`] means that these identities are not for it.
pub fn opens_nothing(error: &Error) -> bool {
    matches!(
        error,
        Error::Restore(RestoreError::Locked {
            source: SealError::NoIdentityMatches,
            ..
        })
    )
}
