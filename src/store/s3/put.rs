//! PUT if absent, and the check of what a service may have ignored.

use std::sync::PoisonError;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ObjectLockMode, ServerSideEncryption, StorageClass as SdkClass,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use crc_fast::CrcAlgorithm;
use md5::{Digest as _, Md5};

use super::judge::{judge, refuses_checksum};
use super::learned::{IfNoneMatch, Learned};
use super::settings::{Checksum, Encryption, LockMode};
use super::stat::HeadAnswer;
use super::{S3Store, locator};
use crate::model::StorageClass;
use crate::store::aws::{Answer, Judged};
use crate::store::aws::{Meter, metered};
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::retry::{Again, Attempts};
use crate::store::{Locator, NewObject, ObjectKind, Put, RemoteObject};

/// The answer to one PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Stored,
    Existed,
}

impl S3Store<'_> {
    pub(super) fn remarks_so_far(&self) -> Vec<String> {
        self.learned().remarks.iter().cloned().collect()
    }

    pub(super) fn learned(&self) -> std::sync::MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remark(&self, text: impl Into<String>) {
        self.learned().remarks.insert(text.into());
    }

    /// Stores an object unless there is one, and checks that it is stored as intended.
    pub(super) async fn put(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        let at = locator(object.key, None);
        let condition = self.learned().condition;
        let looks_first = match condition {
            IfNoneMatch::Kept => false,
            IfNoneMatch::Ignored | IfNoneMatch::Refused => true,
            // A segment's key has random bits and its own digest. No other object is ever put there.
            IfNoneMatch::Unknown => object.role == ObjectKind::Ledger,
        };
        if looks_first {
            match self.head(Operation::Put, &at).await {
                Ok(head) => return Ok(Put::Existed(head.locator)),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        let checksum = self.checksum(object);
        let (sent, head) = self.send_and_look(object, &checksum, &at).await?;
        if sent == Sent::Existed {
            return Ok(Put::Existed(head.locator));
        }
        self.compare(&object.into(), &head).await?;
        if self.learned().condition == IfNoneMatch::Unknown && object.role == ObjectKind::Ledger {
            self.learn_condition(object, &checksum).await?;
        }
        Ok(Put::Created(head.locator))
    }

    /// Sends an object until a HEAD shows it.
    async fn send_and_look(
        &self,
        object: &NewObject<'_>,
        checksum: &Header,
        at: &Locator,
    ) -> Result<(Sent, HeadAnswer), StoreError> {
        let patience = &self.settings.patience;
        let mut attempts = Attempts::new(patience);
        loop {
            let sent = self
                .persevere(Operation::Put, object.key, async |client, meter| {
                    self.send_whole(client, meter, object, checksum).await
                })
                .await?;
            match self.head(Operation::Put, at).await {
                Ok(head) => return Ok((sent, head)),
                Err(error) if !error.is_not_found() => return Err(error),
                Err(_) => {}
            }
            // This happens when a service answers 200 with an error inside.
            let since = attempts.since();
            let again = Again::Wait(None);
            let Some(pause) = attempts.next_pause(again, patience.give_up_after) else {
                let answer = Answer::said("it answered that the object is stored, and has none");
                return Err(self
                    .error(ErrorKind::Unavailable, Operation::Put, object.key)
                    .because(answer.after(attempts.failures(), since)));
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends one PUT of an object that is in memory.
    async fn send_whole(
        &self,
        client: &Client,
        meter: &Meter,
        object: &NewObject<'_>,
        checksum: &Header,
    ) -> Result<Sent, Judged> {
        let body = metered(
            &object.bytes,
            [Some(meter), object.moved.clone().map(Meter::from).as_ref()],
            self.limit.as_ref(),
        );
        self.send(client, &object.into(), body, checksum).await
    }

    /// Sends one PUT.
    pub(super) async fn send(
        &self,
        client: &Client,
        object: &RemoteObject<'_>,
        body: ByteStream,
        checksum: &Header,
    ) -> Result<Sent, Judged> {
        let condition = self.learned().condition;
        let length = i64::try_from(object.bytes).expect("no object is as long");
        let mut request = client
            .put_object()
            .bucket(&self.settings.bucket)
            .key(self.full(object.key))
            .content_length(length)
            .content_type("application/octet-stream")
            .body(body);
        if condition != IfNoneMatch::Refused {
            request = request.if_none_match("*");
        }
        request = match checksum {
            Header::Sha256(value) => request
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                .checksum_sha256(value),
            Header::Crc64Nvme(value) => request
                .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
                .checksum_crc64_nvme(value),
            Header::Md5(value) => request.content_md5(value),
            Header::None => request,
        };
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
        // The signature need not hash the body again: a checksum, if there is one, is in a header. Over TLS
        // nothing else can change the body, and the stored object is compared later.
        let sent = request.customize().disable_payload_signing().send().await;
        let Err(error) = sent else {
            return Ok(Sent::Stored);
        };
        let judged = judge(&error);
        if judged.answer.status == Some(412) {
            return Ok(Sent::Existed);
        }
        if judged.answer.status == Some(501) && condition == IfNoneMatch::Unknown {
            self.note_condition(IfNoneMatch::Refused);
            return Err(Judged {
                again: Again::FewTimes,
                ..judged
            });
        }
        if self.settings.object_lock.is_some() && judged.answer.is("InvalidRequest") {
            let hint = "; `object_lock` is set: was the bucket made with Object Lock?";
            let answer = Answer::said(format!("{}{hint}", judged.answer));
            return Err(Judged::new(ErrorKind::Unsupported, Again::No, answer));
        }
        if refuses_checksum(&judged.answer) {
            let hint = "; set `checksum` of this store to \"md5\" or \"none\"";
            let answer = Answer::said(format!("{}{hint}", judged.answer));
            let answer = Box::new(answer);
            return Err(Judged { answer, ..judged });
        }
        Err(judged)
    }

    /// Puts the same object once more: a service that overwrites it ignores the condition.
    async fn learn_condition(
        &self,
        object: &NewObject<'_>,
        checksum: &Header,
    ) -> Result<(), StoreError> {
        let again = self
            .persevere(Operation::Put, object.key, async |client, meter| {
                self.send_whole(client, meter, object, checksum).await
            })
            .await?;
        self.note_condition(match again {
            Sent::Existed => IfNoneMatch::Kept,
            Sent::Stored => IfNoneMatch::Ignored,
        });
        Ok(())
    }

    fn note_condition(&self, condition: IfNoneMatch) {
        let verb = match condition {
            IfNoneMatch::Ignored => "ignores",
            IfNoneMatch::Refused => "refuses",
            IfNoneMatch::Kept | IfNoneMatch::Unknown => {
                self.learned().condition = condition;
                return;
            }
        };
        self.learned().condition = condition;
        self.remark(format!(
            "the store {verb} If-None-Match, so it can't tell two writers apart: each object is \
             looked for before it is put; let only one machine at a time archive into it"
        ));
    }

    /// Compares the stored object with what was sent.
    pub(super) async fn compare(
        &self,
        object: &RemoteObject<'_>,
        head: &HeadAnswer,
    ) -> Result<(), StoreError> {
        let wrong = |what: String| {
            Err(self
                .error(ErrorKind::Corrupted, Operation::Put, object.key)
                .because(Answer::said(what)))
        };
        let sent = object.bytes;
        if head.stat.bytes != sent {
            return wrong(format!(
                "it has {} bytes, {sent} were sent",
                head.stat.bytes
            ));
        }
        match head.stat.sha256 {
            Some(stored) if stored != object.sha256 => {
                return wrong("its SHA-256 is not that of what was sent".to_owned());
            }
            None if self.settings.checksum == Checksum::Sha256 => self.remark(
                "the store takes SHA-256 checksums and keeps none: segments are checked by their \
                 size alone until they are read",
            ),
            _ => {}
        }
        self.require_settings(object.key, object.role, object.retain_until, head)
            .await
    }

    /// Compares class and lock of a stored object with those that were asked for.
    pub(super) async fn require_settings(
        &self,
        key: &str,
        role: ObjectKind,
        retain_until: Option<DateTime<Utc>>,
        head: &HeadAnswer,
    ) -> Result<(), StoreError> {
        let class = self.class_of(role);
        if head.class_name != class.as_str() {
            self.remark(format!(
                "the store puts objects into {}, although {class} was asked for: prices and thaws \
                 are those of {}",
                head.class_name, head.class_name
            ));
        }
        if let (Some(mode), Some(until)) = (self.settings.object_lock, retain_until) {
            self.require_lock(key, head, mode, until).await?;
        }
        Ok(())
    }

    pub(super) fn class_of(&self, role: ObjectKind) -> StorageClass {
        match role {
            ObjectKind::Segment => self.settings.storage_class,
            ObjectKind::Ledger => StorageClass::Standard,
        }
    }

    /// Returns the tags as a query string, as the header requires.
    pub(super) fn tagging(&self) -> String {
        let pairs = self.settings.tags.iter();
        let pairs = pairs.map(|(key, value)| format!("{}={}", encoded(key), encoded(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    fn checksum(&self, object: &NewObject<'_>) -> Header {
        match self.settings.checksum {
            Checksum::Sha256 => Header::Sha256(BASE64.encode(object.sha256.0)),
            Checksum::Crc64Nvme => {
                let crc = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &object.bytes);
                Header::Crc64Nvme(BASE64.encode(crc.to_be_bytes()))
            }
            Checksum::Md5 => Header::Md5(BASE64.encode(Md5::digest(&object.bytes))),
            Checksum::None => Header::None,
        }
    }
}

/// The checksum header of an upload.
pub(super) enum Header {
    Sha256(String),
    Crc64Nvme(String),
    Md5(String),
    None,
}

/// Returns a lock's mode as the SDK names it.
pub(super) fn named(mode: LockMode) -> ObjectLockMode {
    match mode {
        LockMode::Governance => ObjectLockMode::Governance,
        LockMode::Compliance => ObjectLockMode::Compliance,
    }
}

/// Percent-encodes all but unreserved characters.
pub(super) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_may_have_any_character() {
        assert_eq!(encoded("a b&c=ü"), "a%20b%26c%3D%C3%BC");
        assert_eq!(encoded("plain-._~9"), "plain-._~9");
    }
}
