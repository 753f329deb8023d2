//! Copies within one service: the bytes go from bucket to bucket and do not pass this machine.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>. Amazon computes the checksum of a
//! copy from its bytes. Other services may hand on what they know of the source, so a copy there is read once.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, MetadataDirective, ServerSideEncryption, StorageClass as SdkClass,
    TaggingDirective,
};

use super::S3Store;
use super::get::Want;
use super::judge::judge;
use super::put::{encoded, named};
use super::settings::{Checksum, Encryption, S3Settings};
use super::stat::HeadAnswer;
use crate::model::StorageClass;
use crate::model::digest::Sha256Hasher;
use crate::store::aws::{Answer, Judged};
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::retry::{Again, Attempts};
use crate::store::{
    CopySource, Deleted, Locator, ObjectKind, Put, Readability, RemoteObject, Service, Store,
};

/// The longest object that one request copies, in bytes.
const MAX_BYTES: u64 = 5_000_000_000;

/// The slowest copy, in bytes a second, that is waited for. Not every service sends something meanwhile.
const SLOWEST: u64 = 4 << 20;

/// How many bytes of a copy are read at a time.
const PIECE: u64 = 8 << 20;

/// The answer to one request for a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CopyAnswer {
    Copied,
    /// There is an object under the key, or the source has changed.
    Unmet,
    /// The service can't do it, or not with these credentials.
    Refused,
}

/// Whether an object with wrong bytes is of this call, and so may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    ThisCall,
    Before,
}

impl S3Settings {
    /// Returns what has to be equal for a copy within the service.
    pub(super) fn service(&self) -> Service {
        let address = match &self.endpoint {
            Some(endpoint) if !is_amazon(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            _ => String::new(),
        };
        Service {
            address,
            credentials: format!("{:?} {:?}", self.profile, self.credentials_file),
            bucket: self.bucket.clone(),
        }
    }
}

impl Service {
    /// Returns whether the service of one may copy objects of the other by itself.
    fn is_same(&self, other: &Self) -> bool {
        (&self.address, &self.credentials) == (&other.address, &other.credentials)
    }

    /// Returns whether the service computes the checksum of a copy from its bytes, as Amazon's pages say.
    fn computes_checksums(&self) -> bool {
        self.address.is_empty()
    }
}

/// Returns whether an endpoint is one of Amazon's own.
fn is_amazon(endpoint: &str) -> bool {
    let host = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    [".amazonaws.com", ".amazonaws.com.cn"]
        .iter()
        .any(|end| host.ends_with(end))
}

impl S3Store<'_> {
    /// Returns what a copy of this object into another bucket needs.
    pub(super) async fn describe_for_copy(
        &self,
        at: &Locator,
    ) -> Result<Option<CopySource>, StoreError> {
        let (key, version) = self.parse(Operation::Get, at)?;
        let head = self.head(Operation::Get, at).await?;
        if matches!(
            head.readability,
            Readability::Cold(_) | Readability::Thawing(_)
        ) {
            return Err(self.error(ErrorKind::Cold, Operation::Get, key));
        }
        let Some(sha256) = head.stat.sha256 else {
            return Ok(None);
        };
        let mut path = encoded_path(&format!("{}/{}", self.settings.bucket, self.full(key)));
        if let Some(version) = version {
            path.push_str("?versionId=");
            path.push_str(&encoded(version));
        }
        Ok(Some(CopySource {
            path,
            etag: head.etag,
            bytes: head.stat.bytes,
            sha256,
        }))
    }

    /// Copies an object of another bucket, if the service can do it by itself and the copy can be trusted.
    pub(super) fn copy_from(
        &self,
        from: &dyn Store,
        at: &Locator,
        object: &RemoteObject<'_>,
    ) -> Result<Option<Put>, StoreError> {
        let Some(service) = from.service() else {
            return Ok(None);
        };
        if !self.may_copy(&service, object) {
            return Ok(None);
        }
        let here = Store::locate(self, object.key);
        match self.run(self.look(Operation::Put, &here)) {
            Ok(head) => return self.run(self.judge_copy(object, head, Origin::Before)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        let Some(source) = from.copy_source(at)? else {
            self.note_no_copies(&service);
            return Ok(None);
        };
        if (source.bytes, source.sha256) != (object.bytes, object.sha256) {
            // The caller finds out what is wrong with it when it reads it.
            return Ok(None);
        }
        self.run(self.copy(&service, &source, object, &here))
    }

    /// Returns whether to try at all, by what is known without a request.
    fn may_copy(&self, from: &Service, object: &RemoteObject<'_>) -> bool {
        let own = self.settings.service();
        let class = self.class_of(object.role);
        own.is_same(from)
            // What else there is to copy is small, and its key need not tell its content.
            && object.role == ObjectKind::Segment
            && object.bytes <= MAX_BYTES
            && self.settings.checksum == Checksum::Sha256
            && (own.computes_checksums() || !class.is_cold())
            && !self.learned().no_copies_from.contains(&from.bucket)
    }

    fn note_no_copies(&self, from: &Service) {
        self.learned().no_copies_from.insert(from.bucket.clone());
    }

    /// Has the object copied until a HEAD shows it, and proves that it is the right one.
    async fn copy(
        &self,
        service: &Service,
        source: &CopySource,
        object: &RemoteObject<'_>,
        here: &Locator,
    ) -> Result<Option<Put>, StoreError> {
        let patience = &self.settings.patience;
        let mut attempts = Attempts::new(patience);
        let silence = Duration::from_secs(object.bytes / SLOWEST);
        let mut requests = 0_u32;
        loop {
            let asked =
                self.persevere_through(silence, Operation::Put, object.key, async |client, _| {
                    requests += 1;
                    self.ask_for_copy(client, source, object).await
                });
            // The future is too large for the stack of many threads.
            let sent = Box::pin(asked).await?;
            let is_refused = sent != CopyAnswer::Copied;
            let head = match self.look(Operation::Put, here).await {
                Ok(head) => head,
                Err(error) if error.is_not_found() && is_refused => {
                    self.note_no_copies(service);
                    return Ok(None);
                }
                Err(error) if error.is_not_found() => {
                    let since = attempts.since();
                    let again = Again::Wait(None);
                    let Some(pause) = attempts.next_pause(again, patience.give_up_after) else {
                        let said = "it answered that the object is copied, and has none";
                        return Err(self
                            .error(ErrorKind::Unavailable, Operation::Put, object.key)
                            .because(Answer::said(said).after(attempts.failures(), since)));
                    };
                    tokio::time::sleep(pause).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            // There was nothing before, and a request whose answer was lost may have been obeyed.
            let origin = if sent == CopyAnswer::Copied || requests > 1 {
                Origin::ThisCall
            } else {
                Origin::Before
            };
            let keeps_digest = head.stat.sha256.is_some();
            let judged = self.judge_copy(object, head, origin).await?;
            if judged.is_none() || !keeps_digest {
                // A later check of an object without a digest would have to read it.
                self.note_no_copies(service);
            }
            return Ok(judged);
        }
    }

    /// Sends one request for a copy.
    async fn ask_for_copy(
        &self,
        client: &Client,
        source: &CopySource,
        object: &RemoteObject<'_>,
    ) -> Result<CopyAnswer, Judged> {
        let is_conditional = !self.learned().refuses_copy_condition;
        let mut request = client
            .copy_object()
            .bucket(&self.settings.bucket)
            .key(self.full(object.key))
            .copy_source(&source.path)
            .set_copy_source_if_match(source.etag.clone())
            .metadata_directive(MetadataDirective::Replace)
            .tagging_directive(TaggingDirective::Replace)
            .content_type("application/octet-stream")
            .checksum_algorithm(ChecksumAlgorithm::Sha256);
        if is_conditional {
            request = request.if_none_match("*");
        }
        // Without it the copy would have the class of the bucket's default, which is this one.
        let class = self.class_of(object.role);
        if class != StorageClass::Standard {
            request = request.storage_class(SdkClass::from(class.as_str()));
        }
        if !self.settings.tags.is_empty() {
            request = request.tagging(self.tagging());
        }
        request = match &self.settings.encryption {
            Encryption::BucketDefault => request,
            Encryption::Aes256 => request.server_side_encryption(ServerSideEncryption::Aes256),
            Encryption::Kms(key) => request
                .server_side_encryption(ServerSideEncryption::AwsKms)
                .set_ssekms_key_id(key.clone()),
        };
        if let (Some(mode), Some(until)) = (self.settings.object_lock, object.retain_until) {
            let until = aws_sdk_s3::primitives::DateTime::from_secs(until.timestamp());
            request = request
                .object_lock_mode(named(mode))
                .object_lock_retain_until_date(until);
        }
        // The SDK leaves it out for an empty body, and not every service takes a PUT without it.
        let request = request.customize().mutate_request(|request| {
            request.headers_mut().insert("content-length", "0");
        });
        let Err(error) = request.send().await else {
            return Ok(CopyAnswer::Copied);
        };
        let judged = judge_copy_error(judge(&error));
        if judged.answer.status == Some(412) {
            return Ok(CopyAnswer::Unmet);
        }
        if judged.kind == ErrorKind::Unsupported && is_conditional {
            // It may be the condition that the service does not know.
            self.learned().refuses_copy_condition = true;
            return Err(Judged {
                again: Again::FewTimes,
                ..judged
            });
        }
        match judged.kind {
            ErrorKind::Denied
            | ErrorKind::Failed
            | ErrorKind::TooLarge
            | ErrorKind::Unsupported
            | ErrorKind::WrongRegion => Ok(CopyAnswer::Refused),
            _ => Err(judged),
        }
    }

    /// Proves that what is under the key has the right bytes. If it has not, deletes it if it is of this call.
    async fn judge_copy(
        &self,
        object: &RemoteObject<'_>,
        head: HeadAnswer,
        origin: Origin,
    ) -> Result<Option<Put>, StoreError> {
        if self.has_right_bytes(object, &head).await? {
            self.require_settings(object.key, object.role, object.retain_until, &head)
                .await?;
            return Ok(Some(match origin {
                Origin::ThisCall => Put::Created(head.locator),
                Origin::Before => Put::Existed(head.locator),
            }));
        }
        let said = "its bytes are not those that the ledger names";
        let corrupted = || {
            self.error(ErrorKind::Corrupted, Operation::Put, object.key)
                .because(Answer::said(said))
        };
        if origin == Origin::Before {
            return Err(corrupted());
        }
        match Box::pin(self.remove(&head.locator)).await {
            Ok(Deleted::Removed | Deleted::Absent) => {
                self.remark(
                    "the store made a copy with other bytes than the object has: objects are read \
                     and stored again instead",
                );
                Ok(None)
            }
            Ok(Deleted::Retained { .. }) => Err(corrupted()),
            Err(error) => Err(corrupted().advising(Some(format!(
                "delete {} in {}: the store made a wrong copy there, and deleting it failed: {error}",
                object.key, self.url
            )))),
        }
    }

    async fn has_right_bytes(
        &self,
        object: &RemoteObject<'_>,
        head: &HeadAnswer,
    ) -> Result<bool, StoreError> {
        let kept = head.stat.sha256;
        if head.stat.bytes != object.bytes || kept.is_some_and(|kept| kept != object.sha256) {
            return Ok(false);
        }
        if kept.is_some() && self.settings.service().computes_checksums() {
            return Ok(true);
        }
        let mut hasher = Sha256Hasher::default();
        let mut offset = 0;
        while offset < object.bytes {
            let len = PIECE.min(object.bytes - offset);
            let want = Want::Range { offset, len };
            match self.fetch(&head.locator, want).await {
                Ok(piece) => hasher.update(&piece),
                Err(error) if matches!(error.kind, ErrorKind::TooShort | ErrorKind::Cold) => {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
            offset += len;
        }
        Ok(hasher.finish() == object.sha256)
    }
}

/// Judges the error of a copy. Amazon may begin its answer with 200 and end it with an error.
fn judge_copy_error(judged: Judged) -> Judged {
    if judged.answer.is("ObjectNotInActiveTierError") {
        return Judged {
            kind: ErrorKind::Cold,
            again: Again::No,
            ..judged
        };
    }
    match (judged.answer.status, judged.answer.code.as_deref()) {
        (Some(200), Some("AccessDenied")) => Judged {
            kind: ErrorKind::Denied,
            ..judged
        },
        (Some(200), _) if judged.kind == ErrorKind::Failed => Judged {
            kind: ErrorKind::Unavailable,
            again: Again::Wait(None),
            ..judged
        },
        _ => judged,
    }
}

/// Percent-encodes a path, but not its slashes.
fn encoded_path(path: &str) -> String {
    path.split('/').map(encoded).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_amazon_s_own_addresses_count_as_amazon() {
        for (endpoint, expected) in [
            ("https://s3.eu-central-1.amazonaws.com", true),
            ("https://s3.cn-north-1.amazonaws.com.cn/", true),
            ("https://vpce-1.s3.us-east-1.vpce.amazonaws.com:443", true),
            ("http://127.0.0.1:8333", false),
            ("https://s3.amazonaws.com.example.org", false),
            ("https://example.org/s3.amazonaws.com", false),
        ] {
            assert_eq!(is_amazon(endpoint), expected, "{endpoint}");
        }
    }

    #[test]
    fn one_service_is_one_address_and_one_set_of_credentials() {
        let here = S3Settings::new("home", "");
        let there = S3Settings::new("copy", "laptop");
        assert!(here.service().is_same(&there.service()));
        assert!(here.service().computes_checksums());
        let regional = S3Settings {
            endpoint: Some("https://s3.eu-central-1.amazonaws.com".to_owned()),
            ..there.clone()
        };
        assert!(here.service().is_same(&regional.service()));
        let own = |endpoint: &str| S3Settings {
            endpoint: Some(endpoint.to_owned()),
            ..there.clone()
        };
        let one = own("http://127.0.0.1:8333").service();
        assert!(!here.service().is_same(&one));
        assert!(!one.computes_checksums());
        assert!(one.is_same(&own("http://127.0.0.1:8333/").service()));
        assert!(!one.is_same(&own("http://127.0.0.1:9000").service()));
        let other_profile = S3Settings {
            profile: Some("offsite".to_owned()),
            ..there.clone()
        };
        assert!(!here.service().is_same(&other_profile.service()));
        let other_file = S3Settings {
            credentials_file: Some("/etc/coldchain/offsite".into()),
            ..there
        };
        assert!(!here.service().is_same(&other_file.service()));
    }

    #[test]
    fn a_path_keeps_its_slashes_alone() {
        assert_eq!(
            encoded_path("b/a b/000000-ab.zst.age"),
            "b/a%20b/000000-ab.zst.age"
        );
    }

    #[test]
    fn an_error_after_200_is_one_that_may_pass() {
        let answer = |code: &str| Answer {
            status: Some(200),
            code: Some(code.to_owned()),
            ..Answer::default()
        };
        let judged = |code| {
            let failed = Judged::new(ErrorKind::Failed, Again::No, answer(code));
            let judged = judge_copy_error(failed);
            (judged.kind, judged.again)
        };
        let wait = (ErrorKind::Unavailable, Again::Wait(None));
        assert_eq!(judged("SomethingElse"), wait);
        assert_eq!(judged("AccessDenied"), (ErrorKind::Denied, Again::No));
        let cold = (ErrorKind::Cold, Again::No);
        assert_eq!(judged("ObjectNotInActiveTierError"), cold);
    }
}
