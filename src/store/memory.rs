//! A store in memory with the semantics of a real one, for tests in the same process.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::error::{ErrorKind, Operation, StoreError};
use super::key::check_key;
use super::{
    Deleted, Finding, Listed, Locator, NewObject, Put, Readability, Stat, Store, Swept, ThawAnswer,
    ThawRequest,
};
use crate::model::Sha256;

const URL: &str = "memory:";

/// A store that exists as long as the process. It keeps each object's SHA-256, as S3 does.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<String, Object>>,
    /// The time of its clock; `None` for the system's clock.
    now: Mutex<Option<DateTime<Utc>>>,
}

#[derive(Debug)]
struct Object {
    bytes: Bytes,
    sha256: Sha256,
    modified: DateTime<Utc>,
}

impl Object {
    fn stat(&self) -> Stat {
        Stat {
            bytes: self.bytes.len() as u64,
            sha256: Some(self.sha256),
            modified: self.modified,
            class: None,
        }
    }
}

impl MemoryStore {
    /// Stops its clock at this time.
    pub fn set_now(&self, now: DateTime<Utc>) {
        *self.now.lock().expect("no holder panics") = Some(now);
    }

    fn clock(&self) -> DateTime<Utc> {
        let now = *self.now.lock().expect("no holder panics");
        now.unwrap_or_else(Utc::now)
    }

    fn with<T>(
        &self,
        operation: Operation,
        locator: &Locator,
        act: impl FnOnce(&Object) -> Result<T, ErrorKind>,
    ) -> Result<T, StoreError> {
        let key = locator.0.as_str();
        check_key(operation, URL, key)?;
        let objects = self.objects.lock().expect("no holder panics");
        let object = objects.get(key).ok_or(ErrorKind::NotFound);
        object
            .and_then(act)
            .map_err(|kind| StoreError::new(kind, operation, key, URL))
    }
}

impl Store for MemoryStore {
    fn url(&self) -> String {
        URL.to_owned()
    }

    fn put_if_absent(&self, new: &NewObject<'_>) -> Result<Put, StoreError> {
        check_key(Operation::Put, URL, new.key)?;
        let mut objects = self.objects.lock().expect("no holder panics");
        if objects.contains_key(new.key) {
            return Ok(Put::Existed(self.locate(new.key)));
        }
        let object = Object {
            bytes: new.bytes.clone(),
            sha256: new.sha256,
            modified: self.clock(),
        };
        objects.insert(new.key.to_owned(), object);
        Ok(Put::Created(self.locate(new.key)))
    }

    fn locate(&self, key: &str) -> Locator {
        Locator(key.to_owned())
    }

    fn get(&self, locator: &Locator, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        self.with(Operation::Get, locator, |object| {
            if object.bytes.len() as u64 > max_bytes {
                return Err(ErrorKind::TooLarge);
            }
            Ok(object.bytes.to_vec())
        })
    }

    fn get_range(&self, locator: &Locator, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        self.with(Operation::Get, locator, |object| {
            let start = usize::try_from(offset).map_err(|_| ErrorKind::TooShort)?;
            let len = usize::try_from(len).map_err(|_| ErrorKind::TooShort)?;
            let end = start.checked_add(len).ok_or(ErrorKind::TooShort)?;
            object
                .bytes
                .get(start..end)
                .map(<[u8]>::to_vec)
                .ok_or(ErrorKind::TooShort)
        })
    }

    fn stat(&self, locator: &Locator) -> Result<Stat, StoreError> {
        self.with(Operation::Stat, locator, |object| Ok(object.stat()))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let objects = self.objects.lock().expect("no holder panics");
        Ok(objects
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, object)| Listed {
                key: key.clone(),
                stat: object.stat(),
            })
            .collect())
    }

    fn delete(&self, locator: &Locator) -> Result<Deleted, StoreError> {
        check_key(Operation::Delete, URL, &locator.0)?;
        match self
            .objects
            .lock()
            .expect("no holder panics")
            .remove(&locator.0)
        {
            Some(_) => Ok(Deleted::Removed),
            None => Ok(Deleted::Absent),
        }
    }

    fn readability(&self, locator: &Locator) -> Result<Readability, StoreError> {
        self.stat(locator).map(|_| Readability::Always)
    }

    fn thaw(&self, locator: &Locator, _: ThawRequest) -> Result<ThawAnswer, StoreError> {
        self.with(Operation::Thaw, locator, |_| Ok(ThawAnswer::NotCold))
    }

    fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        Ok(self.clock())
    }

    fn sweep(&self, _: &str) -> Result<Swept, StoreError> {
        Ok(Swept::default())
    }

    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    fn examine(&self) -> Result<Vec<Finding>, StoreError> {
        Ok(Vec::new())
    }
}
