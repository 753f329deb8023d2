//! What is stored, and deleting it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::config::Bucket;
use super::http::{Answer, Request};
use super::thaw::Restored;
use super::xml::Failure;

/// A version of an object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// `null` in a bucket without versions.
    pub id: String,
    pub is_delete_marker: bool,
    pub body: Arc<Vec<u8>>,
    pub storage_class: String,
    /// With quotes.
    pub etag: String,
    pub modified: DateTime<Utc>,
    /// By the whole header, such as `x-amz-checksum-sha256`.
    pub checksums: BTreeMap<String, String>,
    pub lock: Option<Lock>,
    /// As sent: `a=b&c=d`.
    pub tagging: Option<String>,
    /// Headers that come back as they were sent: content type, encryption, metadata.
    pub headers: BTreeMap<String, String>,
    pub restored: Option<Restored>,
    /// The archive tier of Intelligent-Tiering that it lies in: `ARCHIVE_ACCESS`.
    pub archive_status: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// `GOVERNANCE` or `COMPLIANCE`.
    pub mode: String,
    pub until: DateTime<Utc>,
}

impl Version {
    fn delete_marker(now: DateTime<Utc>) -> Self {
        Self {
            is_delete_marker: true,
            ..Self::plain(Vec::new(), now)
        }
    }

    /// An object with nothing said of it.
    pub fn plain(body: Vec<u8>, now: DateTime<Utc>) -> Self {
        Self {
            id: String::new(),
            is_delete_marker: false,
            body: Arc::new(body),
            storage_class: String::new(),
            etag: String::new(),
            modified: now,
            checksums: BTreeMap::new(),
            lock: None,
            tagging: None,
            headers: BTreeMap::new(),
            restored: None,
            archive_status: None,
        }
    }
}

/// All versions of all keys, by bucket and key, the oldest first.
#[derive(Default)]
pub struct Objects {
    stored: BTreeMap<(String, String), Vec<Version>>,
    last_id: u64,
}

impl Objects {
    /// Keeps a version, and gives it its id.
    pub fn keep(&mut self, bucket: &Bucket, key: &str, mut version: Version) -> String {
        let place = (bucket.name.clone(), key.to_owned());
        let versions = self.stored.entry(place).or_default();
        if bucket.versioned {
            self.last_id += 1;
            version.id = format!("version-{:06}", self.last_id);
        } else {
            "null".clone_into(&mut version.id);
            versions.clear();
        }
        let id = version.id.clone();
        versions.push(version);
        id
    }

    /// Moves what is stored into another class, as a rule of the bucket does.
    pub fn transition(
        &mut self,
        bucket: &str,
        part: &str,
        class: &str,
        archive_status: Option<&'static str>,
    ) {
        let of = self.stored.iter_mut();
        let matching = of.filter(|((in_bucket, key), _)| in_bucket == bucket && key.contains(part));
        for version in matching.flat_map(|(_, versions)| versions) {
            class.clone_into(&mut version.storage_class);
            version.archive_status = archive_status;
            version.restored = None;
        }
    }

    /// The version that is current, unless that is a delete marker.
    pub fn latest(&self, bucket: &str, key: &str) -> Option<&Version> {
        let place = (bucket.to_owned(), key.to_owned());
        let last = self.stored.get(&place)?.last()?;
        (!last.is_delete_marker).then_some(last)
    }

    /// What a request is about, by its `versionId` if it has one.
    pub fn asked_for(&mut self, request: &Request) -> Result<&mut Version, Failure> {
        let place = (request.bucket.clone(), request.key.clone());
        let missing = Failure::no_such_key(&request.key);
        let versions = self.stored.get_mut(&place);
        let Some(id) = request.parameter("versionId") else {
            let last = versions.and_then(|versions| versions.last_mut());
            let last = last.ok_or_else(|| missing.clone())?;
            if last.is_delete_marker {
                return Err(missing
                    .header("x-amz-delete-marker", "true")
                    .header("x-amz-version-id", &last.id));
            }
            return Ok(last);
        };
        let version = versions
            .and_then(|versions| versions.iter_mut().find(|version| version.id == id))
            .ok_or_else(|| {
                let message = "The specified version does not exist.";
                Failure::new(404, "NoSuchVersion", message).field("VersionId", id)
            })?;
        if version.is_delete_marker {
            let message = "The specified method is not allowed against this resource.";
            return Err(Failure::new(405, "MethodNotAllowed", message)
                .header("x-amz-delete-marker", "true"));
        }
        Ok(version)
    }

    pub fn of_bucket(&self, bucket: &str) -> impl Iterator<Item = (&str, &[Version])> {
        self.stored
            .range((bucket.to_owned(), String::new())..)
            .take_while(move |((within, _), _)| within == bucket)
            .map(|((_, key), versions)| (key.as_str(), versions.as_slice()))
    }

    pub fn current(&self, bucket: &str) -> BTreeMap<String, Version> {
        self.of_bucket(bucket)
            .filter_map(|(key, versions)| Some((key, versions.last()?)))
            .filter(|(_, last)| !last.is_delete_marker)
            .map(|(key, last)| (key.to_owned(), last.clone()))
            .collect()
    }

    pub fn versions(&self, bucket: &str, key: &str) -> Vec<Version> {
        let place = (bucket.to_owned(), key.to_owned());
        self.stored.get(&place).cloned().unwrap_or_default()
    }

    pub fn damage(&mut self, bucket: &str, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let place = (bucket.to_owned(), key.to_owned());
        let versions = self.stored.get_mut(&place);
        let last = versions.and_then(|versions| versions.last_mut());
        change(Arc::make_mut(&mut last.expect("it is stored").body));
    }

    pub fn hide(&mut self, bucket: &str, key: &str, now: DateTime<Utc>) {
        self.last_id += 1;
        let marker = Version {
            id: format!("version-{:06}", self.last_id),
            ..Version::delete_marker(now)
        };
        let place = (bucket.to_owned(), key.to_owned());
        self.stored.entry(place).or_default().push(marker);
    }

    pub fn lose(&mut self, bucket: &str, key: &str) {
        let lost = self.stored.remove(&(bucket.to_owned(), key.to_owned()));
        assert!(lost.is_some(), "{key} isn't stored");
    }
}

pub fn delete(
    stored: &mut Objects,
    bucket: &Bucket,
    request: &Request,
    now: DateTime<Utc>,
) -> Result<Answer, Failure> {
    let place = (bucket.name.clone(), request.key.clone());
    let answer = Answer::new(204);
    let Some(id) = request.parameter("versionId") else {
        if !bucket.versioned {
            stored.stored.remove(&place);
            return Ok(answer);
        }
        let id = stored.keep(bucket, &request.key, Version::delete_marker(now));
        return Ok(answer
            .header("x-amz-delete-marker", "true")
            .header("x-amz-version-id", id));
    };
    let answer = answer.header("x-amz-version-id", id);
    let Some(versions) = stored.stored.get_mut(&place) else {
        return Ok(answer);
    };
    let Some(at) = versions.iter().position(|version| version.id == id) else {
        return Ok(answer);
    };
    let may_bypass = request.header("x-amz-bypass-governance-retention") == Some("true");
    if versions[at]
        .lock
        .as_ref()
        .is_some_and(|lock| now < lock.until && !(may_bypass && lock.mode == "GOVERNANCE"))
    {
        let message = "Access Denied because object protected by object lock.";
        return Err(Failure::access_denied(message));
    }
    let removed = versions.remove(at);
    if versions.is_empty() {
        stored.stored.remove(&place);
    }
    Ok(if removed.is_delete_marker {
        answer.header("x-amz-delete-marker", "true")
    } else {
        answer
    })
}
