//! How a service of AWS is reached.

use std::path::PathBuf;

use crate::store::RetryPolicy;
use crate::store::error::{ErrorKind, Operation, StoreError};

/// What the settings of a store say about the way to its service.
#[derive(Debug, Clone)]
pub(in crate::store) struct ServiceAccess {
    /// The store's URL, for errors.
    pub(in crate::store) url: String,
    pub(in crate::store) service: ServiceNames,
    /// The region; `None` for that of the AWS configuration.
    pub(in crate::store) region: Option<String>,
    /// The service's URL; `None` for AWS.
    pub(in crate::store) endpoint: Option<String>,
    pub(in crate::store) profile: Option<String>,
    pub(in crate::store) credentials_file: Option<PathBuf>,
    pub(in crate::store) ca_file: Option<PathBuf>,
    pub(in crate::store) patience: RetryPolicy,
}

/// The names that the AWS configuration has for a service.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct ServiceNames {
    /// Its id in profiles.
    pub(in crate::store) id: &'static str,
    /// The environment variable with its endpoint.
    pub(in crate::store) endpoint_variable: &'static str,
    /// What the store is called in advice, such as "the bucket".
    pub(in crate::store) place: &'static str,
}

impl ServiceAccess {
    /// Returns an error of opening the store.
    pub(super) fn failed(&self, kind: ErrorKind) -> StoreError {
        StoreError::new(kind, Operation::Open, "", &self.url)
    }
}
