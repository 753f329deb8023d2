//! HEAD: reads what the service says of an object.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ArchiveStatus, ChecksumMode, ChecksumType};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};

use super::judge::judge;
use super::settings::Checksum;
use super::{S3Store, locator, to_chrono};
use crate::model::{Sha256, StorageClass};
use crate::store::aws::{Answer, ERROR_TYPE, Judged};
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::{Locator, Readability, Stat};

/// The answer to a HEAD.
#[derive(Debug)]
pub(super) struct HeadAnswer {
    pub(super) stat: Stat,
    pub(super) readability: Readability,
    pub(super) locator: Locator,
    pub(super) etag: Option<String>,
    /// When the object's lock ends, if the answer says so.
    pub(super) retained_until: Option<DateTime<Utc>>,
    /// The storage class in the service's own words.
    pub(super) class_name: String,
}

impl S3Store<'_> {
    pub(super) async fn head(
        &self,
        operation: Operation,
        at: &Locator,
    ) -> Result<HeadAnswer, StoreError> {
        let asked = self.look(operation, at).await;
        if asked.as_ref().is_err_and(StoreError::is_not_found) {
            // A HEAD does not say whether the object or the bucket is missing.
            let (key, _) = self.parse(operation, at)?;
            self.require_bucket(operation, key).await?;
        }
        asked
    }

    /// Returns what a HEAD shows. Its error is the same for a missing object and a missing bucket.
    pub(super) async fn look(
        &self,
        operation: Operation,
        at: &Locator,
    ) -> Result<HeadAnswer, StoreError> {
        let (key, version) = self.parse(operation, at)?;
        let output = self
            .persevere(operation, key, async |client, _| {
                let mut request = client
                    .head_object()
                    .bucket(&self.settings.bucket)
                    .key(self.full(key))
                    .set_version_id(version.map(str::to_owned));
                // A service that refuses this header in an upload refuses it here too.
                if matches!(
                    self.settings.checksum,
                    Checksum::Sha256 | Checksum::Crc64Nvme
                ) {
                    request = request.checksum_mode(ChecksumMode::Enabled);
                }
                let output = request.send().await.map_err(|error| judge(&error))?;
                if output.e_tag().is_none() && output.content_type() == Some(ERROR_TYPE) {
                    return Err(Judged::error_in_200());
                }
                Ok(output)
            })
            .await?;
        let class_name = output
            .storage_class()
            .map_or_else(|| "STANDARD".to_owned(), |class| class.as_str().to_owned());
        let stat = Stat {
            bytes: match told_length(output.content_length()) {
                Some(bytes) => bytes,
                None => self.listed_length(operation, key).await?,
            },
            sha256: sha256(&output),
            modified: output.last_modified().map(to_chrono).unwrap_or_default(),
            class: class_name.parse().ok(),
        };
        let now = self.requests.clock().now().unwrap_or_else(Utc::now);
        Ok(HeadAnswer {
            readability: readability(
                stat.class.or_else(|| archived(output.archive_status())),
                output.restore(),
                now,
            ),
            stat,
            locator: locator(key, output.version_id()),
            etag: output.e_tag().map(str::to_owned),
            retained_until: output.object_lock_retain_until_date().map(to_chrono),
            class_name,
        })
    }

    /// Returns the length of an object from a listing, if its HEAD has none, as when a proxy has compressed
    /// the answer or cut it into chunks.
    async fn listed_length(&self, operation: Operation, key: &str) -> Result<u64, StoreError> {
        let listed = Box::pin(self.list_all(key)).await?;
        let object = listed.into_iter().find(|listed| listed.key == key);
        object.map(|listed| listed.stat.bytes).ok_or_else(|| {
            let what = "it does not tell the object's length, and its listing lacks the object";
            self.error(ErrorKind::Unavailable, operation, key)
                .because(Answer::said(what))
        })
    }

    /// Fails if the bucket does not exist, to tell a missing bucket from a missing object.
    pub(super) async fn require_bucket(
        &self,
        operation: Operation,
        key: &str,
    ) -> Result<(), StoreError> {
        let asked = self
            .persevere(operation, key, async |client, _| {
                let request = client.head_bucket().bucket(&self.settings.bucket);
                request.send().await.map_err(|error| judge(&error))
            })
            .await;
        match asked {
            Err(error) if error.is_not_found() => {
                Err(self.error(ErrorKind::NoBucket, operation, key))
            }
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    /// Asks for the service's time. Every answer has it, so this sends the cheapest request.
    pub(super) async fn ask_the_time(&self) -> Result<DateTime<Utc>, StoreError> {
        self.persevere(Operation::Clock, "", async |client, _| {
            let request = client.head_bucket().bucket(&self.settings.bucket);
            let asked = request.send().await.map_err(|error| judge(&error));
            match asked {
                Err(Judged {
                    kind: ErrorKind::NotFound,
                    again,
                    answer,
                    ..
                }) => Err(Judged::new(ErrorKind::NoBucket, again, answer)),
                other => other.map(drop),
            }
        })
        .await?;
        Ok(self.requests.clock().now().unwrap_or_else(Utc::now))
    }
}

/// Returns the bytes in an answer's `Content-Length`. Not every answer has one.
pub(super) fn told_length(header: Option<i64>) -> Option<u64> {
    u64::try_from(header?).ok()
}

/// Returns the SHA-256 of the whole object, if the service keeps it.
fn sha256(output: &HeadObjectOutput) -> Option<Sha256> {
    if output
        .checksum_type()
        .is_some_and(|kind| *kind != ChecksumType::FullObject)
    {
        return None;
    }
    let digest = BASE64.decode(output.checksum_sha256()?).ok()?;
    Some(Sha256(<[u8; 32]>::try_from(digest).ok()?))
}

/// Returns the class that stands for an archive tier of Intelligent-Tiering: it has the same thaw tiers and
/// times. A thawed object has no status: it is in a readable tier.
fn archived(status: Option<&ArchiveStatus>) -> Option<StorageClass> {
    match status? {
        ArchiveStatus::ArchiveAccess => Some(StorageClass::Glacier),
        _ => Some(StorageClass::DeepArchive),
    }
}

/// Returns what the header `x-amz-restore` says of an object in this class: `ongoing-request="false",
/// expiry-date="Fri, 23 Dec 2026 00:00:00 GMT"`.
fn readability(
    class: Option<StorageClass>,
    restore: Option<&str>,
    now: DateTime<Utc>,
) -> Readability {
    let Some(class) = class.filter(|class| class.is_cold()) else {
        return Readability::Always;
    };
    let Some(restore) = restore else {
        return Readability::Cold(class);
    };
    if restore.contains("ongoing-request=\"true\"") {
        return Readability::Thawing(class);
    }
    let until = restore
        .split_once("expiry-date=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .and_then(|(date, _)| DateTime::parse_from_rfc2822(date).ok())
        .map(|date| date.to_utc());
    match until {
        Some(until) if until > now => Readability::Until(class, until),
        _ => Readability::Cold(class),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_a_thaw_is_read_in_every_state() {
        use StorageClass::{DeepArchive, Glacier, GlacierIr};
        let now = "2026-12-22T12:00:00Z".parse().unwrap();
        let thawed = "ongoing-request=\"false\", expiry-date=\"Wed, 23 Dec 2026 00:00:00 GMT\"";
        let until = "2026-12-23T00:00:00Z".parse().unwrap();
        let running = "ongoing-request=\"true\"";
        for (class, header, expected) in [
            (None, None, Readability::Always),
            (Some(GlacierIr), None, Readability::Always),
            (Some(Glacier), None, Readability::Cold(Glacier)),
            (
                Some(DeepArchive),
                Some(running),
                Readability::Thawing(DeepArchive),
            ),
            (
                Some(Glacier),
                Some(thawed),
                Readability::Until(Glacier, until),
            ),
            (
                Some(Glacier),
                Some("ongoing-request=\"false\""),
                Readability::Cold(Glacier),
            ),
        ] {
            assert_eq!(readability(class, header, now), expected, "{header:?}");
        }
        assert_eq!(
            readability(Some(Glacier), Some(thawed), until),
            Readability::Cold(Glacier),
            "its time is over"
        );
    }
}
