//! Uploads of whole archives, each in one request.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_glacier::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_glacier::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_glacier::error::BoxError;
use aws_sdk_glacier::primitives::ByteStream;
use bytes::Bytes;

use super::judge::judge;
use super::vaults::no_vault;
use super::{ACCOUNT, VaultClient};
use crate::model::{Sha256, TreeHash, VaultSegment};
use crate::store::RateLimit;
use crate::store::aws::{Answer, Judged, Meter, metered};
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::retry::Again;

/// The most bytes that one request takes.
const MAX_BYTES: u64 = 4 << 30;

/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 1024;

const TREE_HASH: &str = "x-amz-sha256-tree-hash";
const CONTENT: &str = "x-amz-content-sha256";

/// An archive to be uploaded.
pub(in crate::store::vault) struct ArchiveUpload<'u> {
    /// What it is called in errors.
    pub(in crate::store::vault) subject: &'u str,
    /// Printable ASCII.
    pub(in crate::store::vault) description: &'u str,
    pub(in crate::store::vault) bytes: &'u Bytes,
    /// The digest of the bytes.
    pub(in crate::store::vault) sha256: Sha256,
    /// Counts the bytes that were sent.
    pub(in crate::store::vault) moved: Option<Meter>,
}

impl VaultClient<'_> {
    /// Uploads an archive. A repeated request after a lost answer makes another archive: the service has no way to tell.
    pub(in crate::store::vault) fn upload(
        &self,
        upload: &ArchiveUpload<'_>,
    ) -> Result<VaultSegment, StoreError> {
        let failed = |what: String| {
            let error = self.error(ErrorKind::Unsupported, Operation::Put, upload.subject);
            Err(error.because(what))
        };
        let length = upload.bytes.len() as u64;
        if length == 0 || length > MAX_BYTES {
            return failed(format!(
                "an archive in a vault has 1 byte to 4 GiB, and this one has {length} bytes"
            ));
        }
        let printable = |byte: u8| (32..127).contains(&byte);
        let description = upload.description;
        if description.len() > MAX_DESCRIPTION || !description.bytes().all(printable) {
            return failed(format!(
                "its description is no {MAX_DESCRIPTION} characters of ASCII: {description:?}"
            ));
        }
        self.run(
            self.requests
                .persevere(Operation::Put, upload.subject, async |client, meter| {
                    self.send(client, meter, upload).await
                }),
        )
    }

    async fn send(
        &self,
        client: &aws_sdk_glacier::Client,
        meter: &Meter,
        upload: &ArchiveUpload<'_>,
    ) -> Result<VaultSegment, Judged> {
        let seen = Arc::new(Mutex::new(Hashes::default()));
        let watch = SendingBody {
            bytes: upload.bytes.clone(),
            meters: [Some(meter.clone()), upload.moved.clone()],
            limit: self.limit.clone(),
            seen: Arc::clone(&seen),
        };
        let sent = client
            .upload_archive()
            .account_id(ACCOUNT)
            .vault_name(&self.settings.vault)
            .archive_description(upload.description)
            // The SDK collects a body before it computes its hashes. This one is in memory and copied nowhere; the
            // interceptor puts one in its place that is sent in pieces.
            .body(ByteStream::from(upload.bytes.clone()))
            .customize()
            .interceptor(watch)
            .send()
            .await
            .map_err(|error| no_vault(judge(&error)))?;
        let computed = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(id) = sent.archive_id().and_then(|id| id.parse().ok()) else {
            return Err(Judged::damaged(
                "it gave the archive no id that can be used",
            ));
        };
        let told = sent
            .checksum()
            .and_then(|text| text.parse::<TreeHash>().ok());
        let why = match (computed.tree_hash, told) {
            (Some(ours), _) if computed.sha256 != Some(upload.sha256) => {
                let _ = ours;
                "the bytes in memory are no longer those that were sealed"
            }
            (Some(ours), Some(told)) if ours == told => {
                return Ok(VaultSegment {
                    id,
                    tree_hash: ours,
                });
            }
            (_, None) => "it answered without a tree hash",
            _ => "it answered with another tree hash than that of what was sent",
        };
        // What can't be relied on is not kept. If it can't be deleted, it stays as an archive that no entry names.
        let deleted = client
            .delete_archive()
            .account_id(ACCOUNT)
            .vault_name(&self.settings.vault)
            .archive_id(id.as_str())
            .send()
            .await;
        let left = match deleted {
            Ok(_) => "",
            Err(_) => "; the archive that it stored could not be deleted",
        };
        let answer = Answer::said(format!("{why}{left}"));
        Err(Judged::new(ErrorKind::Corrupted, Again::FewTimes, answer))
    }
}

/// What the SDK computed of a body.
#[derive(Debug, Default)]
struct Hashes {
    tree_hash: Option<TreeHash>,
    sha256: Option<Sha256>,
}

/// Takes the hashes from a signed request, and gives it a body whose progress can be followed.
#[derive(Debug)]
struct SendingBody {
    bytes: Bytes,
    meters: [Option<Meter>; 2],
    limit: Option<RateLimit>,
    seen: Arc<Mutex<Hashes>>,
}

impl Intercept for SendingBody {
    fn name(&self) -> &'static str {
        "SendingBody"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let header = |name: &str| request.headers().get(name);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Hashes {
            tree_hash: header(TREE_HASH).and_then(|text| text.parse().ok()),
            sha256: header(CONTENT).and_then(|text| text.parse().ok()),
        };
        let meters = [self.meters[0].as_ref(), self.meters[1].as_ref()];
        let body = metered(&self.bytes, meters, self.limit.as_ref());
        *request.body_mut() = body.into_inner();
        Ok(())
    }
}
