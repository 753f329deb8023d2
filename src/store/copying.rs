//! What a store says for a copy that the service makes by itself, without the bytes passing this machine.

use chrono::{DateTime, Utc};

use super::ObjectKind;
use crate::model::Sha256;

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

/// An object to be copied from another store.
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
