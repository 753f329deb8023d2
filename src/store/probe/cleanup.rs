//! Deletes the objects of a test.

use std::mem;

use super::objects::FIRST;
use super::report::in_words;
use super::{Deletes, Trial};
use crate::model::Sha256;
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::{Deleted, Finding, NewObject, ObjectKind, Put, Severity};

/// The most versions of a test key. A store that wrongly replaces objects makes fewer.
const MOST_VERSIONS: usize = 8;

impl Trial<'_> {
    /// Deletes the test objects, whether the steps succeeded or not.
    pub(super) fn clean(&mut self) {
        const SUBJECT: &str = "delete";
        let mut left = Vec::new();
        let mut refused = None;
        let mut is_deleted = false;
        for key in mem::take(&mut self.tried) {
            match self.remove(&key) {
                Ok(versions) => is_deleted |= versions > 0,
                Err(error) => {
                    left.push(key);
                    refused = Some(error);
                }
            }
        }
        let left = left.join(", ");
        match refused {
            None if is_deleted => {
                self.find(SUBJECT, Severity::Fine, "an object can be deleted");
                if self.probe.deletes == Deletes::Elsewhere {
                    let text = "`prune` is \"elsewhere\", but these credentials can delete \
                                archives: remove that permission from them";
                    self.find("prune", Severity::Warning, text);
                }
            }
            // Nothing could be stored, which is already a finding.
            None => {}
            Some(error) if is_denied_delete(&error) && is_locked(&error) => {
                let text = format!("the bucket's own lock holds every new object; left: {left}");
                self.find(SUBJECT, Severity::Fine, text);
            }
            Some(error) if is_denied_delete(&error) => {
                let text = format!(
                    "these credentials can't delete: good for `prune = \"elsewhere\"`; left: {left}"
                );
                self.find(SUBJECT, Severity::Fine, text);
                if self.probe.deletes == Deletes::Here {
                    let text = "`prune` is \"after-backup\", but these credentials can't delete: \
                                expired archives would stay, and cost money";
                    self.find("prune", Severity::Warning, text);
                }
            }
            Some(error) => {
                let mut finding = Finding::failed(SUBJECT, &error);
                finding.text = format!("{}; maybe left in the store: {left}", finding.text);
                self.findings.push(finding);
            }
        }
    }

    /// Deletes all versions of a key, and returns how many there were. A store that replaces objects may have
    /// made several.
    fn remove(&self, key: &str) -> Result<usize, StoreError> {
        let newest = self.store.locate(key);
        for versions in 0..MOST_VERSIONS {
            match self.store.stat(&newest) {
                Ok(_) => {}
                Err(error) if error.is_not_found() => return Ok(versions),
                Err(error) => return Err(error),
            }
            // A put of an existing object returns its version, which can be deleted permanently. A delete
            // without a version would only hide the object.
            let object = NewObject::new(key, FIRST, Sha256::of(FIRST), ObjectKind::Ledger);
            let (Put::Created(at) | Put::Existed(at)) = self.store.put_if_absent(&object)?;
            if let Deleted::Retained { until } = self.store.delete(&at)? {
                let url = self.store.url();
                let error = StoreError::new(ErrorKind::Denied, Operation::Delete, key, &url);
                return Err(error.because(format!("an object lock keeps it until {until}")));
            }
        }
        let url = self.store.url();
        let error = StoreError::new(ErrorKind::Failed, Operation::Delete, key, &url);
        Err(error.because("it is still there after each delete"))
    }
}

fn is_denied_delete(error: &StoreError) -> bool {
    error.operation == Operation::Delete && error.kind == ErrorKind::Denied
}

/// Returns whether a lock prevented the delete. The text has the end of the lock, or, if that may not be
/// read, what AWS says: "Access Denied because object protected by object lock".
fn is_locked(error: &StoreError) -> bool {
    in_words(error).contains("object lock")
}
