//! Uploads and deletes of segments.

use super::client::ArchiveUpload;
use super::description::describe;
use super::{KnownSegment, VaultStore};
use crate::model::{VaultArchiveId, VaultLocator};
use crate::store::aws::Meter;
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::{Deleted, Locator, NewObject, Put};

impl VaultStore<'_> {
    /// Uploads a segment, whether or not there is one with its key: a vault has no such condition. If the answer to an
    /// earlier request was lost, its archive is one that no entry names.
    pub(super) fn put_segment(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        let Some(ledger) = self.ledger() else {
            let error = self.error(ErrorKind::Unsupported, Operation::Put, object.key);
            return Err(error.because("the vault was not told which ledger its segments belong to"));
        };
        let segment = self.client.upload(&ArchiveUpload {
            subject: object.key,
            description: &describe(ledger, object.key, &object.sha256),
            bytes: &object.bytes,
            sha256: object.sha256,
            moved: object.moved.clone().map(Meter::from),
        })?;
        let locator = VaultLocator {
            key: object.key.to_owned(),
            segment,
        };
        let uploaded = KnownSegment {
            locator: locator.clone(),
            bytes: object.bytes.len() as u64,
            stored: self.client.time(),
        };
        self.state()
            .uploaded
            .insert(object.key.to_owned(), uploaded);
        Ok(Put::Created(Locator(locator.to_string())))
    }

    pub(super) fn delete_segment(&self, at: &VaultLocator) -> Result<Deleted, StoreError> {
        if self.deleted(Operation::Delete)?.contains(&at.segment.id) || !self.is_ours(at)? {
            return Ok(Deleted::Absent);
        }
        let deleted = self.client.delete(&at.key, at.segment.id.as_str())?;
        self.note_deleted(at)?;
        Ok(deleted)
    }

    /// Returns whether the archive belongs to our ledger, as far as anything tells; an error if nothing does. An id in
    /// an entry is a claim: a stolen key of a writer could sign that of another machine's archive. An inventory that
    /// should show the archive, and has none of ours with this id, outweighs it.
    fn is_ours(&self, at: &VaultLocator) -> Result<bool, StoreError> {
        let id = &at.segment.id;
        let showing = self.showing(Operation::Delete)?;
        let known = self.known_segment(Operation::Delete, &at.key)?;
        let known = known.filter(|known| known.locator.segment.id == *id);
        match (showing, known) {
            (Some(showing), _) if showing.with_key(&at.key).iter().any(|it| it.id == *id) => {
                Ok(true)
            }
            (Some(showing), Some(known)) => Ok(showing.may_lack(known.stored)),
            (None, Some(_)) => Ok(true),
            (Some(_), None) => Ok(false),
            (None, None) => Err(self
                .error(ErrorKind::NoId, Operation::Delete, &at.key)
                .because(format!("no entry and no inventory has the id {id}"))),
        }
    }

    fn note_deleted(&self, at: &VaultLocator) -> Result<(), StoreError> {
        let id: &VaultArchiveId = &at.segment.id;
        {
            let mut state = self.state();
            if let Some(deleted) = &mut state.deleted {
                deleted.insert(id.clone());
            }
            let uploaded = state.uploaded.get(&at.key);
            if uploaded.is_some_and(|uploaded| uploaded.locator.segment.id == *id) {
                state.uploaded.remove(&at.key);
            }
        }
        self.kept
            .deleted
            .add(id, self.client.time())
            .map_err(|error| self.io_error(Operation::Delete, &at.key, error))
    }
}
