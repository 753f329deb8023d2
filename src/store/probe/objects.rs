//! Tests with tiny objects: stores, reads, lists and thaws them.

use super::report::in_words;
use super::{Digests, Trial};
use crate::model::{Sha256, StorageClass, Tier};
use crate::store::error::{ErrorKind, StoreError};
use crate::store::{Locator, NewObject, ObjectKind, Put, Severity, ThawAnswer, ThawRequest};

/// The content of the test objects. It says what they are to a person who finds one.
pub(super) const FIRST: &[u8] = b"coldchain doctor was here: this may be deleted\n";
const OTHER: &[u8] = b"coldchain doctor was here: this should never have been stored\n";

/// A part of [`FIRST`].
const RANGE: std::ops::Range<usize> = 10..16;

/// More bytes than any test object has.
const MAX_BYTES: u64 = 4096;

impl Trial<'_> {
    /// Stores objects and reads them back.
    pub(super) fn objects(&mut self) {
        let key = format!("{}ledger", self.prefix);
        let put = self.put(&key, FIRST, ObjectKind::Ledger);
        if let Some(Put::Created(at) | Put::Existed(at)) = self.answer("put", put) {
            self.find("put", Severity::Fine, "an object can be stored");
            let steps: [fn(&mut Self, &str, &Locator); 5] = [
                Self::exclusivity,
                Self::read,
                Self::range,
                Self::digest,
                Self::list,
            ];
            for step in steps {
                if !self.is_gone {
                    step(self, &key, &at);
                }
            }
        }
        if let (Some(class), false) = (self.probe.class, self.is_gone) {
            self.class(class);
        }
    }

    fn put(
        &mut self,
        key: &str,
        bytes: &'static [u8],
        role: ObjectKind,
    ) -> Result<Put, StoreError> {
        if self.tried.last().is_none_or(|tried| tried != key) {
            self.tried.push(key.to_owned());
        }
        let object = NewObject::new(key, bytes, Sha256::of(bytes), role);
        self.store.put_if_absent(&object)
    }

    /// Tests that the store never replaces an object.
    fn exclusivity(&mut self, key: &str, at: &Locator) {
        const SUBJECT: &str = "put if absent";
        let put = self.put(key, OTHER, ObjectKind::Ledger);
        let Some(put) = self.answer(SUBJECT, put) else {
            return;
        };
        let newest = self.store.locate(key);
        let stored = self.store.get(&newest, MAX_BYTES);
        let Some(stored) = self.answer(SUBJECT, stored) else {
            return;
        };
        if stored != FIRST || matches!(&put, Put::Created(other) if other != at) {
            let text = "it replaced an object that was there: two machines would destroy each \
                        other's ledger";
            self.find(SUBJECT, Severity::Failure, text);
        } else if put == Put::Created(at.clone()) {
            let text = "it kept the old object, but said that it had stored the new one";
            self.find(SUBJECT, Severity::Failure, text);
        } else if let Some(remark) = self.remark_of("two writers apart") {
            self.find(SUBJECT, Severity::Warning, remark);
        } else {
            let text = "an existing object is not replaced";
            self.find(SUBJECT, Severity::Fine, text);
        }
    }

    fn read(&mut self, _: &str, at: &Locator) {
        let read = self.store.get(at, MAX_BYTES);
        if let Some(bytes) = self.answer("read", read) {
            self.compare("read", &bytes, FIRST, "what was stored comes back");
        }
    }

    fn range(&mut self, _: &str, at: &Locator) {
        let (offset, len) = (RANGE.start as u64, RANGE.len() as u64);
        let read = self.store.get_range(at, offset, len);
        if let Some(bytes) = self.answer("range", read) {
            let fine = "a part of an object can be read";
            self.compare("range", &bytes, &FIRST[RANGE], fine);
        }
    }

    fn compare(&mut self, subject: &'static str, found: &[u8], stored: &[u8], fine: &'static str) {
        if found == stored {
            self.find(subject, Severity::Fine, fine);
        } else {
            let text = "other bytes came back than were stored";
            self.find(subject, Severity::Failure, text);
        }
    }

    /// Tests whether the store keeps the digest that was sent, and returns the right one.
    fn digest(&mut self, _: &str, at: &Locator) {
        const SUBJECT: &str = "checksum";
        let stat = self.store.stat(at);
        let Some(stat) = self.answer(SUBJECT, stat) else {
            return;
        };
        match (stat.sha256, self.probe.digests) {
            (Some(digest), _) if digest == Sha256::of(FIRST) => {
                let text = "it keeps the SHA-256 of what it has";
                self.find(SUBJECT, Severity::Fine, text);
            }
            (Some(_), _) => {
                let text = "the SHA-256 that it keeps is not that of what was stored";
                self.find(SUBJECT, Severity::Failure, text);
            }
            (None, Digests::Kept) => {
                let remark = self.remark_of("SHA-256");
                let text = remark.unwrap_or_else(|| {
                    "it keeps no SHA-256: segments are checked by their size alone until they are \
                     read"
                        .to_owned()
                });
                self.find(SUBJECT, Severity::Warning, text);
            }
            (None, Digests::NotSent) => {}
        }
    }

    fn list(&mut self, key: &str, _: &Locator) {
        let listed = self.store.list(&self.prefix);
        let Some(listed) = self.answer("list", listed) else {
            return;
        };
        let is_ours = |key_of: &str, bytes: u64| key_of == key && bytes == FIRST.len() as u64;
        if listed
            .iter()
            .any(|item| is_ours(&item.key, item.stat.bytes))
        {
            let text = "a listing shows what was just stored";
            self.find("list", Severity::Fine, text);
        } else {
            let text = "a listing does not show what was just stored: every backup would fail \
                        before its commit";
            self.find("list", Severity::Failure, text);
        }
    }

    /// Tests whether a segment goes into the requested class.
    fn class(&mut self, class: StorageClass) {
        const SUBJECT: &str = "storage class";
        let key = format!("{}segment", self.prefix);
        let put = self.put(&key, FIRST, ObjectKind::Segment);
        let Some(Put::Created(at) | Put::Existed(at)) = self.answer(SUBJECT, put) else {
            return;
        };
        let stat = self.store.stat(&at);
        let Some(stat) = self.answer(SUBJECT, stat) else {
            return;
        };
        if stat.class == Some(class) {
            let mut text = format!("segments go into {class}");
            if class.minimum_days() > 0 {
                text = format!(
                    "{text}; AWS bills this try for {} days, a few hundredths of a cent at most",
                    class.minimum_days()
                );
            }
            self.find(SUBJECT, Severity::Fine, text);
            if class.is_cold() {
                self.thaw(class, &at);
            }
            return;
        }
        let text = self.remark_of(class.as_str()).unwrap_or_else(|| {
            let found = stat
                .class
                .map_or("no class that coldchain knows", StorageClass::as_str);
            format!(
                "segments go into {found}, although {class} was asked for: the prices and thaws \
                 of {class} do not apply"
            )
        });
        self.find(SUBJECT, Severity::Warning, text);
    }

    /// Tests whether an object in a cold class can be thawed. For some stores the class is only a name.
    fn thaw(&mut self, class: StorageClass, at: &Locator) {
        const SUBJECT: &str = "thaw";
        let request = ThawRequest {
            tier: Tier::Bulk,
            days: 1,
        };
        let thaw = match self.store.thaw(at, request) {
            Err(error) if error.kind == ErrorKind::Denied => {
                let text = format!("these credentials may not thaw what lies in {class}");
                return self.find(SUBJECT, Severity::Unknown, text);
            }
            Err(error) if error.kind == ErrorKind::Unsupported => {
                let text = format!(
                    "{}; the store can't thaw what it puts into {class}: set another `storage_class`",
                    in_words(&error)
                );
                return self.find(SUBJECT, Severity::Failure, text);
            }
            thaw => self.answer(SUBJECT, thaw),
        };
        match thaw {
            Some(ThawAnswer::Accepted | ThawAnswer::Running) => {
                let text = format!("what lies in {class} can be thawed");
                self.find(SUBJECT, Severity::Fine, text);
            }
            Some(ThawAnswer::NotCold) => {
                let text = format!(
                    "objects in {class} are not cold in this store: the prices and thaws of {class} do not apply"
                );
                self.find(SUBJECT, Severity::Warning, text);
            }
            None => {}
        }
    }
}
