//! DELETE: deletes an object permanently, with every version that the bucket keeps.
//!
//! In a bucket with versions, a delete without a version id only hides the object, which still costs money.
//! So each version is deleted by its own id, delete markers too.

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::types::EncodingType;
use chrono::{DateTime, Utc};

use super::S3Store;
use super::judge::judge;
use super::list::percent_decoded;
use super::lock::{Kept, may_be_lock};
use crate::store::aws::{Answer, ERROR_TYPE, Judged};
use crate::store::aws::{PAGE, Pages};
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::retry::Again;
use crate::store::{Deleted, Locator};

/// The most bytes of memory for the versions of one key. Nothing is stored twice under a key, so there are
/// few.
const MAX_VERSION_BYTES: usize = 16 << 20;

/// What a HEAD shows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyState {
    Nothing,
    /// An object without versions.
    Object,
    /// Versions, the newest of which may be a delete marker.
    Versions,
}

/// What a delete has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// A delete marker, and the versions that it hides.
    Marker,
    /// The version itself, which is locked until this time.
    Locked(DateTime<Utc>),
}

/// A version of a key.
#[derive(Debug, PartialEq, Eq)]
struct KeyVersion {
    is_latest: bool,
    id: String,
}

impl S3Store<'_> {
    pub(super) async fn remove(&self, at: &Locator) -> Result<Deleted, StoreError> {
        let (key, version) = self.parse(Operation::Delete, at)?;
        if version.is_some() {
            // The answer to a delete is the same whether the object existed or not.
            match self.head(Operation::Delete, at).await {
                Err(error) if error.is_not_found() => return Ok(Deleted::Absent),
                Err(error) => return Err(error),
                Ok(_) => {}
            }
            return Ok(match self.delete_one(key, version).await? {
                Left::Locked(until) => Deleted::Retained { until },
                Left::Nothing | Left::Marker => Deleted::Removed,
            });
        }
        match self.kept(key).await? {
            KeyState::Nothing => self.remove_hidden(key).await,
            KeyState::Object => match self.delete_one(key, None).await? {
                Left::Nothing => Ok(Deleted::Removed),
                Left::Locked(until) => Ok(Deleted::Retained { until }),
                // The HEAD did not show that the bucket keeps versions, or it keeps them since then.
                Left::Marker => self.remove_versions(key).await,
            },
            KeyState::Versions => self.remove_versions(key).await,
        }
    }

    /// Asks for a key with a HEAD. The answer shows whether the bucket keeps versions, so that a bucket
    /// without versions gets no further request.
    async fn kept(&self, key: &str) -> Result<KeyState, StoreError> {
        let asked = self
            .persevere(Operation::Delete, key, async |client, _| {
                let request = client
                    .head_object()
                    .bucket(&self.settings.bucket)
                    .key(self.full(key));
                let output = match request.send().await {
                    Ok(output) => output,
                    Err(error) if is_hidden(&error) => return Ok(KeyState::Versions),
                    Err(error) => return Err(judge(&error)),
                };
                if output.e_tag().is_none() && output.content_type() == Some(ERROR_TYPE) {
                    return Err(Judged::error_in_200());
                }
                Ok(match output.version_id() {
                    None | Some("") => KeyState::Object,
                    Some(_) => KeyState::Versions,
                })
            })
            .await;
        match asked {
            Err(error) if error.is_not_found() => {
                self.require_bucket(Operation::Delete, key).await?;
                Ok(KeyState::Nothing)
            }
            asked => asked,
        }
    }

    /// Deletes what a delete marker hides. Amazon says that a marker is one; other services (`SeaweedFS`)
    /// answer as if there had never been an object. If versions may not or can't be listed, that answer
    /// counts.
    async fn remove_hidden(&self, key: &str) -> Result<Deleted, StoreError> {
        match self.versions(key).await {
            Ok(versions) if versions.is_empty() => Ok(Deleted::Absent),
            Ok(_) => self.remove_versions(key).await,
            Err(error) if matches!(error.kind, ErrorKind::Denied | ErrorKind::Unsupported) => {
                Ok(Deleted::Absent)
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes every version of a key, the current one last. Until then the object is listed, so that a later
    /// run can continue after an interruption.
    async fn remove_versions(&self, key: &str) -> Result<Deleted, StoreError> {
        let mut versions = self.versions(key).await?;
        if versions.is_empty() {
            // There was an object a moment ago. It counts as gone only if another HEAD says so.
            return match self.kept(key).await? {
                KeyState::Nothing => Ok(Deleted::Absent),
                KeyState::Object | KeyState::Versions => {
                    let url = self.settings.url();
                    let error =
                        StoreError::new(ErrorKind::Unavailable, Operation::Delete, key, &url);
                    Err(error.because(Answer::said(
                        "it has the object, and lists no version of it",
                    )))
                }
            };
        }
        versions.sort_by_key(|version| version.is_latest);
        for version in versions {
            let id = version.id.as_str();
            if let Left::Locked(until) = self.delete_one(key, Some(id)).await? {
                return Ok(Deleted::Retained { until });
            }
        }
        Ok(Deleted::Removed)
    }

    async fn delete_one(&self, key: &str, version: Option<&str>) -> Result<Left, StoreError> {
        self.persevere(Operation::Delete, key, async |client, _| {
            let request = client
                .delete_object()
                .bucket(&self.settings.bucket)
                .key(self.full(key))
                .set_version_id(version.map(str::to_owned));
            let refused = match request.send().await {
                // With a version id, this header only says that the deleted version was a marker.
                Ok(answer) if version.is_none() && answer.delete_marker() == Some(true) => {
                    return Ok(Left::Marker);
                }
                Ok(_) => return Ok(Left::Nothing),
                Err(error) => judge(&error),
            };
            let Some(version) = version.filter(|_| may_be_lock(refused.answer.status)) else {
                return Err(refused);
            };
            match Box::pin(self.kept_by(client, key, version)).await {
                Some(Kept::Until(until)) => Ok(Left::Locked(until)),
                Some(Kept::LegalHold) => Err(held(&refused)),
                None => Err(refused),
            }
        })
        .await
    }

    /// Returns all versions of exactly this key, delete markers included.
    async fn versions(&self, key: &str) -> Result<Vec<KeyVersion>, StoreError> {
        let full = self.full(key);
        let mut found = Vec::new();
        let mut held = 0;
        let mut pages = Pages::within(self.settings.patience.longest(0));
        let mut from: (Option<String>, Option<String>) = (None, None);
        loop {
            let page = self
                .persevere(Operation::Delete, key, async |client, _| {
                    let request = client
                        .list_object_versions()
                        .bucket(&self.settings.bucket)
                        .prefix(&full)
                        .encoding_type(EncodingType::Url)
                        .max_keys(PAGE)
                        .set_key_marker(from.0.clone())
                        .set_version_id_marker(from.1.clone());
                    let page = request.send().await.map_err(|error| judge(&error))?;
                    let next = (page.next_key_marker(), page.next_version_id_marker());
                    let cut = page.is_truncated() == Some(true)
                        && (next.0.is_none() || next == (from.0.as_deref(), from.1.as_deref()));
                    if cut {
                        let what = "it cut the listing of versions short and gave no way to go on";
                        return Err(Judged::damaged(what));
                    }
                    if page.is_truncated().is_none() {
                        let what = "its listing of versions does not say whether it ends";
                        return Err(Judged::damaged(what));
                    }
                    Ok(page)
                })
                .await?;
            for version in of_key(&page, &full) {
                held += size_of::<KeyVersion>() + version.id.capacity();
                if held > MAX_VERSION_BYTES {
                    let what = format!("it listed {} versions of it and has more", found.len());
                    return Err(self
                        .error(ErrorKind::Endless, Operation::Delete, key)
                        .because(Answer::said(what)));
                }
                found.push(version);
            }
            if page.is_truncated() != Some(true) {
                return Ok(found);
            }
            let key_marker = page.next_key_marker().and_then(percent_decoded);
            from = (key_marker, page.next_version_id_marker().map(str::to_owned));
            pages
                .turn(&from, page.versions().len() + page.delete_markers().len())
                .map_err(|judged| self.final_error(judged, Operation::Delete, key))?;
        }
    }
}

/// Judges a refusal because of a legal hold, which only a person can end.
fn held(refused: &Judged) -> Judged {
    let said = format!("a legal hold keeps this version; {}", refused.answer);
    let advice = "find out who holds it and why; `aws s3api put-object-legal-hold --legal-hold Status=OFF` ends a hold";
    let answer = Answer::said(said).advising(Some(advice.to_owned()));
    Judged::new(ErrorKind::Denied, Again::No, answer)
}

/// Returns whether the answer says that the object is only hidden by a delete marker.
fn is_hidden<E>(error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>) -> bool {
    let marker = error
        .raw_response()
        .and_then(|response| response.headers().get("x-amz-delete-marker"));
    marker == Some("true")
}

/// Returns the versions in a page that are of exactly this key. Other keys may have it as a prefix.
fn of_key(page: &ListObjectVersionsOutput, full: &str) -> Vec<KeyVersion> {
    let is_it = |key: Option<&str>| key.and_then(percent_decoded).as_deref() == Some(full);
    let versions = page
        .versions()
        .iter()
        .map(|version| (version.key(), version.version_id(), version.is_latest()));
    let markers = page
        .delete_markers()
        .iter()
        .map(|marker| (marker.key(), marker.version_id(), marker.is_latest()));
    versions
        .chain(markers)
        .filter(|(key, ..)| is_it(*key))
        .filter_map(|(_, id, is_latest)| {
            Some(KeyVersion {
                is_latest: is_latest == Some(true),
                id: id?.to_owned(),
            })
        })
        .collect()
}
