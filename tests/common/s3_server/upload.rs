//! PUT of an object.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::{SHA256, digest};

use super::config::{Bucket, Config, Locking, Mode};
use super::digest::{hex, md5};
use super::http::{Answer, Request};
use super::objects::{Lock, Objects, Version};
use super::xml::Failure;

const CHECKSUM: &str = "x-amz-checksum-";
const ENCRYPTION: &str = "x-amz-server-side-encryption";
/// What S3 knows, and how many bytes each has.
const CHECKSUMS: [(&str, usize); 5] = [
    ("crc32", 4),
    ("crc32c", 4),
    ("crc64nvme", 8),
    ("sha1", 20),
    ("sha256", 32),
];

const STORAGE_CLASSES: [&str; 8] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
];

/// What is to be kept, if everything that the request says of it is true.
pub fn verified(
    config: &Config,
    bucket: &Bucket,
    request: &Request,
    body: Vec<u8>,
    now: DateTime<Utc>,
) -> Result<Version, Failure> {
    refuse_what_is_missing(request)?;
    verify_md5(request, &body)?;
    let checksums = verified_checksums(config, request, &body)?;
    let version = made(config, bucket, request, body, now)?;
    Ok(Version {
        checksums,
        ..version
    })
}

/// The version that these headers and that body make, without checksums.
pub fn made(
    config: &Config,
    bucket: &Bucket,
    request: &Request,
    body: Vec<u8>,
    now: DateTime<Utc>,
) -> Result<Version, Failure> {
    let storage_class = storage_class(config, request)?;
    let lock = object_lock(config, bucket, request, now)?;
    let etag = format!("\"{}\"", hex(&md5(&body)));
    let comes_back = |name: &str| {
        name == "content-type" || name.starts_with("x-amz-meta-") || name.starts_with(ENCRYPTION)
    };
    let headers = request.headers.clone();
    Ok(Version {
        id: String::new(),
        is_delete_marker: false,
        body: Arc::new(body),
        storage_class,
        etag,
        modified: now,
        checksums: BTreeMap::new(),
        lock,
        tagging: request.header("x-amz-tagging").map(str::to_owned),
        headers: headers
            .into_iter()
            .filter(|(name, _)| comes_back(name))
            .collect(),
        restored: None,
        archive_status: None,
    })
}

/// Keeps it unless a condition forbids: in one step, so that of two PUTs at once only one wins.
pub fn keep(
    stored: &mut Objects,
    config: &Config,
    bucket: &Bucket,
    request: &Request,
    version: Version,
) -> Result<Answer, Failure> {
    if let Some(condition) = request.header("if-none-match") {
        if config.is(Mode::RefuseIfNoneMatch) || condition != "*" {
            return Err(Failure::not_implemented(Some("If-None-Match")));
        }
        let exists = stored.latest(&bucket.name, &request.key).is_some();
        if exists && !config.is(Mode::IgnoreIfNoneMatch) {
            return Err(Failure::precondition_failed("If-None-Match"));
        }
    }
    let mut answer = Answer::new(200).header("ETag", &version.etag);
    for (name, value) in &version.checksums {
        answer = answer.header(name, value);
    }
    for (name, value) in &version.headers {
        if name.starts_with(ENCRYPTION) {
            answer = answer.header(name, value);
        }
    }
    let id = stored.keep(bucket, &request.key, version);
    if bucket.versioned {
        answer = answer.header("x-amz-version-id", id);
    }
    Ok(answer)
}

/// A header that changes what a PUT means can't be passed over.
fn refuse_what_is_missing(request: &Request) -> Result<(), Failure> {
    for name in ["if-match", "x-amz-trailer"] {
        if request.headers.contains_key(name) {
            return Err(Failure::not_implemented(Some(name)));
        }
    }
    let is_streaming = request
        .header("x-amz-content-sha256")
        .is_some_and(|hash| hash.starts_with("STREAMING-"));
    let encoding = request.header("content-encoding").unwrap_or_default();
    if is_streaming || encoding.contains("aws-chunked") {
        return Err(Failure::not_implemented(Some("Content-Encoding")));
    }
    Ok(())
}

fn storage_class(config: &Config, request: &Request) -> Result<String, Failure> {
    let class = request.header("x-amz-storage-class").unwrap_or("STANDARD");
    if config.is(Mode::IgnoreStorageClass) {
        return Ok("STANDARD".to_owned());
    }
    if STORAGE_CLASSES.contains(&class) {
        return Ok(class.to_owned());
    }
    if config.is(Mode::UnknownClassIsInvalidArgument) {
        return Err(Failure::invalid_argument("Unknown"));
    }
    let message = "The storage class you specified is not valid";
    Err(Failure::new(400, "InvalidStorageClass", message).field("StorageClassRequested", class))
}

fn object_lock(
    config: &Config,
    bucket: &Bucket,
    request: &Request,
    now: DateTime<Utc>,
) -> Result<Option<Lock>, Failure> {
    if config.is(Mode::IgnoreObjectLock) {
        return Ok(None);
    }
    let (mode, until) = match (
        request.header("x-amz-object-lock-mode"),
        request.header("x-amz-object-lock-retain-until-date"),
    ) {
        (Some(mode), Some(until)) => (mode, until),
        (None, None) => {
            return Ok(match &bucket.locking {
                Locking::ByDefault { mode, days } => Some(Lock {
                    mode: mode.clone(),
                    until: now + TimeDelta::days((*days).into()),
                }),
                Locking::Off | Locking::On => None,
            });
        }
        _ => {
            let message = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must \
                           both be supplied";
            return Err(Failure::invalid_argument(message));
        }
    };
    if bucket.locking == Locking::Off {
        let message = "Bucket is missing Object Lock Configuration";
        return Err(Failure::invalid_request(message));
    }
    if !["GOVERNANCE", "COMPLIANCE"].contains(&mode) {
        return Err(Failure::invalid_argument("Unknown wormMode directive."));
    }
    let has_checksum = request.headers.contains_key("content-md5")
        || request
            .headers
            .keys()
            .any(|name| name.starts_with(CHECKSUM));
    // A copy has no body that it could be of.
    if !has_checksum && request.header("x-amz-copy-source").is_none() {
        let message = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object \
                       requests with Object Lock parameters";
        return Err(Failure::invalid_request(message));
    }
    let until = DateTime::parse_from_rfc3339(until).map_err(|_| {
        let message = "The retain until date must be provided in ISO 8601 format";
        Failure::invalid_argument(message)
    })?;
    let until = until.to_utc();
    if until <= now {
        let message = "The retain until date must be in the future!";
        return Err(Failure::invalid_argument(message));
    }
    Ok(Some(Lock {
        mode: mode.to_owned(),
        until,
    }))
}

/// Compares the MD5 of the body with `Content-MD5` if that was sent.
fn verify_md5(request: &Request, body: &[u8]) -> Result<(), Failure> {
    let Some(sent) = request.header("content-md5") else {
        return Ok(());
    };
    let found = md5(body);
    let Some(sent) = BASE64.decode(sent).ok().filter(|sent| sent.len() == 16) else {
        let message = "The Content-MD5 you specified was invalid.";
        return Err(Failure::new(400, "InvalidDigest", message));
    };
    if sent != found {
        let message = "The Content-MD5 you specified did not match what we received.";
        return Err(bad_digest(message)
            .field("ExpectedDigest", hex(&sent))
            .field("CalculatedDigest", BASE64.encode(found)));
    }
    Ok(())
}

/// The checksums that were sent, each under its header, those that can be computed here compared.
fn verified_checksums(
    config: &Config,
    request: &Request,
    body: &[u8],
) -> Result<BTreeMap<String, String>, Failure> {
    // Part of what is signed, so no store can pass over it.
    if let Some(signed) = request.header("x-amz-content-sha256")
        && signed.len() == 64
        && signed != hex(digest(&SHA256, body).as_ref())
    {
        let message =
            "The provided 'x-amz-content-sha256' header does not match what was computed.";
        return Err(Failure::new(400, "XAmzContentSHA256Mismatch", message));
    }
    let mut checksums = BTreeMap::new();
    if config.is(Mode::IgnoreChecksums) {
        return Ok(checksums);
    }
    for (name, length) in CHECKSUMS {
        let header = format!("{CHECKSUM}{name}");
        let Some(sent) = request.header(&header) else {
            continue;
        };
        let bytes = BASE64.decode(sent).ok();
        let Some(bytes) = bytes.filter(|bytes| bytes.len() == length) else {
            let message = format!("Value for {header} header is invalid.");
            return Err(Failure::invalid_request(message));
        };
        let is_right = match name {
            "sha256" => bytes == digest(&SHA256, body).as_ref(),
            "crc32c" => bytes == crc32c::crc32c(body).to_be_bytes(),
            // Nothing here computes it.
            _ => true,
        };
        if !is_right {
            let upper = name.to_uppercase();
            let message =
                format!("The {upper} you specified did not match the calculated checksum.");
            return Err(bad_digest(&message));
        }
        checksums.insert(header.clone(), sent.to_owned());
    }
    if request.headers.contains_key("x-amz-sdk-checksum-algorithm") && checksums.is_empty() {
        let message = "x-amz-sdk-checksum-algorithm specified, but no corresponding \
                       x-amz-checksum-* or x-amz-trailer headers were found.";
        return Err(Failure::invalid_request(message));
    }
    Ok(checksums)
}

fn bad_digest(message: &str) -> Failure {
    Failure::new(400, "BadDigest", message)
}
