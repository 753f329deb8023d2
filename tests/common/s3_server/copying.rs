//! PUT with `x-amz-copy-source`: an object of another bucket, or of this one, under another key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};

use super::clock::iso_date;
use super::config::{Bucket, Config, Mode};
use super::faults::FaultKind;
use super::http::{Answer, Request};
use super::mishaps::flip;
use super::objects::{Objects, Version};
use super::thaw::Thaw;
use super::upload;
use super::xml::{Failure, document, element, root};

/// The header that the checksum of a copy comes back in.
const SHA256_HEADER: &str = "x-amz-checksum-sha256";

pub fn copy(
    stored: &mut Objects,
    config: &Config,
    bucket: &Bucket,
    request: &Request,
    now: DateTime<Utc>,
    fault: Option<&FaultKind>,
) -> Result<Answer, Failure> {
    if config.is(Mode::NoCopies) {
        return Err(Failure::not_implemented(Some("x-amz-copy-source")));
    }
    if config.is(Mode::RefuseCopyCondition) && request.header("if-none-match").is_some() {
        return Err(Failure::not_implemented(Some("If-None-Match")));
    }
    for name in ["x-amz-metadata-directive", "x-amz-tagging-directive"] {
        // What would be taken over from the source is of no use to an archive.
        if request.header(name) != Some("REPLACE") {
            return Err(Failure::not_implemented(Some(name)));
        }
    }
    let source = source(stored, config, request)?;
    if let Some(wanted) = request.header("x-amz-copy-source-if-match")
        && wanted.trim_matches('"') != source.etag.trim_matches('"')
    {
        return Err(Failure::precondition_failed("x-amz-copy-source-If-Match"));
    }
    let thaw = Thaw::of(&source, now);
    if thaw.is_some_and(|thaw| !matches!(thaw, Thaw::Readable { .. })) && !config.is(Mode::NoThaws)
    {
        let message = "The source object of the COPY action is not in the active tier and is only \
                       stored in Amazon S3 Glacier.";
        return Err(Failure::new(403, "ObjectNotInActiveTierError", message));
    }
    let mut body = source.body.to_vec();
    if fault == Some(&FaultKind::FlippedByte) {
        flip(&mut body);
    }
    let checksum = BASE64.encode(digest(&SHA256, &body));
    let mut version = upload::made(config, bucket, request, body, now)?;
    if config.is(Mode::CopiesCarryChecksums) {
        version.checksums = source.checksums;
        version.etag = source.etag;
    } else if !config.is(Mode::CopiesLoseChecksums)
        && !config.is(Mode::IgnoreChecksums)
        && request.header("x-amz-checksum-algorithm") == Some("SHA256")
    {
        let header = SHA256_HEADER.to_owned();
        version.checksums.insert(header, checksum);
    }
    let inside = element("ETag", &version.etag) + &element("LastModified", &iso_date(now));
    let kept = upload::keep(stored, config, bucket, request, version)?;
    Ok(document(kept, &root("CopyObjectResult", &inside)))
}

/// The object that `/BUCKET/KEY?versionId=ID` names.
fn source(stored: &mut Objects, config: &Config, request: &Request) -> Result<Version, Failure> {
    let named = request.header("x-amz-copy-source").unwrap_or_default();
    let (path, version) = match named.split_once("?versionId=") {
        Some((path, version)) => (path, Some(version)),
        None => (named, None),
    };
    let (bucket, key) = path
        .trim_start_matches('/')
        .split_once('/')
        .ok_or_else(|| Failure::invalid_argument("Invalid copy source object key"))?;
    if !config.buckets.iter().any(|known| known.name == bucket) {
        let message = "The specified bucket does not exist";
        return Err(Failure::new(404, "NoSuchBucket", message).field("BucketName", bucket));
    }
    let mut asked = Request {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        ..request.clone()
    };
    asked.query.clear();
    if let Some(version) = version {
        let id = version.to_owned();
        asked.query.insert("versionId".to_owned(), id);
    }
    stored.asked_for(&asked).cloned()
}
