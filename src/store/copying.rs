//! What stores say to each other for copies from one to the other.

use std::error::Error;
use std::io;

use chrono::{DateTime, Utc};

use super::{Locator, NewObject, ObjectKind, Store};
use crate::model::Sha256;
use crate::model::digest::Sha256Hasher;

/// A service, and whom it takes its caller for. A service copies by itself only within one and the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its address, in a form that can be compared.
    pub(super) address: String,
    /// The settings that choose the credentials.
    pub(super) credentials: String,
    /// The bucket of the store that was asked.
    pub(super) bucket: String,
}

/// An object as another store of the same service has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// Bucket, key and version, as the service wants them in a header.
    pub(super) path: String,
    /// The tag of the object. The service copies nothing else.
    pub(super) etag: Option<String>,
    pub(super) bytes: u64,
    /// The digest that the service keeps of it.
    pub(super) sha256: Sha256,
}

/// An object to be stored, without its bytes.
#[derive(Debug, Clone, Copy)]
pub struct RemoteObject<'a> {
    /// Its key here.
    pub key: &'a str,
    /// The length that the ledger gives.
    pub bytes: u64,
    /// The digest that the ledger gives.
    pub sha256: Sha256,
    /// Its purpose.
    pub role: ObjectKind,
    /// It can't be deleted or replaced before this time. Only a store that is configured to lock objects uses
    /// this.
    pub retain_until: Option<DateTime<Utc>>,
}

impl<'a> From<&NewObject<'a>> for RemoteObject<'a> {
    fn from(object: &NewObject<'a>) -> Self {
        Self {
            key: object.key,
            bytes: object.bytes.len() as u64,
            sha256: object.sha256,
            role: object.role,
            retain_until: object.retain_until,
        }
    }
}

/// The object could not be read, or not with the length and the digest that it should have.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the object could not be read as it should be")]
pub(super) struct Unread;

/// Returns whether a write failed because the object in the other store could not be read as it should be.
pub(super) fn is_unread(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(<dyn Error + Send + Sync>::is::<Unread>)
}

/// Reads an object of another store in pieces. Gives the last one only if the digest of all is right.
pub(super) struct PieceReader<'a> {
    from: &'a dyn Store,
    at: &'a Locator,
    object: &'a RemoteObject<'a>,
    piece: u64,
    hasher: Sha256Hasher,
    offset: u64,
}

impl<'a> PieceReader<'a> {
    pub(super) fn new(
        from: &'a dyn Store,
        at: &'a Locator,
        object: &'a RemoteObject<'a>,
        piece: u64,
    ) -> Self {
        Self {
            from,
            at,
            object,
            piece,
            hasher: Sha256Hasher::default(),
            offset: 0,
        }
    }
}

impl Iterator for PieceReader<'_> {
    type Item = Result<Vec<u8>, Unread>;

    fn next(&mut self) -> Option<Self::Item> {
        let left = self.object.bytes - self.offset;
        if left == 0 {
            return None;
        }
        let len = self.piece.min(left);
        let Ok(piece) = self.from.get_range(self.at, self.offset, len) else {
            return Some(Err(Unread));
        };
        self.hasher.update(&piece);
        self.offset += len;
        if len == left && self.hasher.clone().finish() != self.object.sha256 {
            return Some(Err(Unread));
        }
        Some(Ok(piece))
    }
}
