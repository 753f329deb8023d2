//! GET and HEAD of an object, and its retention.

use chrono::{DateTime, Utc};

use super::clock::{http_date, iso_date};
use super::config::{Bucket, Config, Locking, Mode};
use super::http::{Answer, Request};
use super::objects::{Objects, Version};
use super::thaw::Thaw;
use super::xml::{Failure, document, element, root};

pub fn get(
    stored: &mut Objects,
    config: &Config,
    request: &Request,
    now: DateTime<Utc>,
) -> Result<Answer, Failure> {
    let version = stored.asked_for(request)?;
    let answer = describe(version, request, now)?;
    let thaw = Thaw::of(version, now);
    if thaw.is_some_and(|thaw| !matches!(thaw, Thaw::Readable { .. })) && !config.is(Mode::NoThaws)
    {
        let message = "The operation is not valid for the object's storage class";
        return Err(Failure::invalid_object_state(
            message,
            &version.storage_class,
        ));
    }
    let length = version.body.len();
    match request.header("range").and_then(parse_range) {
        // RFC 9110, 14.2: a range that can't be understood is as good as none.
        None => Ok(with_checksums(answer, version, request).body(version.body.to_vec())),
        Some(asked) => {
            let (from, to) = asked.within(length).ok_or_else(|| {
                let message = "The requested range is not satisfiable";
                Failure::new(416, "InvalidRange", message)
                    .field("RangeRequested", &request.headers["range"])
                    .field("ActualObjectSize", length.to_string())
            })?;
            // The checksums are those of the whole object, so Amazon keeps them here.
            let mut answer = answer
                .header("Content-Range", format!("bytes {from}-{}/{length}", to - 1))
                .body(version.body[from..to].to_vec());
            answer.status = 206;
            Ok(answer)
        }
    }
}

pub fn head(
    stored: &mut Objects,
    config: &Config,
    request: &Request,
    now: DateTime<Utc>,
) -> Result<Answer, Failure> {
    let version = stored.asked_for(request)?;
    let mut answer = with_checksums(describe(version, request, now)?, version, request);
    answer.length = version.body.len();
    if config.is(Mode::TellNoVersion) {
        answer
            .headers
            .retain(|(name, _)| name != "x-amz-version-id");
    }
    if config.is(Mode::TellNoLock) {
        answer
            .headers
            .retain(|(name, _)| !name.starts_with("x-amz-object-lock-"));
    }
    if config.is(Mode::TellLegalHold) {
        answer = answer.header("x-amz-object-lock-legal-hold", "ON");
    }
    Ok(answer)
}

/// What GET and HEAD say alike.
fn describe(version: &Version, request: &Request, now: DateTime<Utc>) -> Result<Answer, Failure> {
    if let Some(wanted) = request.header("if-match")
        && wanted != "*"
        && wanted.trim_matches('"') != version.etag.trim_matches('"')
    {
        return Err(Failure::precondition_failed("If-Match"));
    }
    let mut answer = Answer::new(200)
        .header("ETag", &version.etag)
        .header("Last-Modified", http_date(version.modified))
        .header("Accept-Ranges", "bytes");
    for (name, value) in &version.headers {
        answer = answer.header(name, value);
    }
    // Amazon doesn't name the class that everything has.
    if version.storage_class != "STANDARD" {
        answer = answer.header("x-amz-storage-class", &version.storage_class);
    }
    if let (Some(status), Some(_)) = (version.archive_status, Thaw::of(version, now)) {
        answer = answer.header("x-amz-archive-status", status);
    }
    if version.id != "null" {
        answer = answer.header("x-amz-version-id", &version.id);
    }
    if let Some(lock) = &version.lock {
        answer = answer
            .header("x-amz-object-lock-mode", &lock.mode)
            .header("x-amz-object-lock-retain-until-date", iso_date(lock.until));
    }
    if let Some(tagging) = &version.tagging {
        let count = tagging.split('&').count();
        answer = answer.header("x-amz-tagging-count", count.to_string());
    }
    if let Some(restore) = Thaw::of(version, now).and_then(Thaw::header) {
        answer = answer.header("x-amz-restore", restore);
    }
    Ok(answer)
}

fn with_checksums(mut answer: Answer, version: &Version, request: &Request) -> Answer {
    if request.header("x-amz-checksum-mode") == Some("ENABLED") && !version.checksums.is_empty() {
        for (name, value) in &version.checksums {
            answer = answer.header(name, value);
        }
        answer = answer.header("x-amz-checksum-type", "FULL_OBJECT");
    }
    answer
}

/// A single range of bytes, as asked for.
#[derive(Debug, Clone, Copy)]
enum ByteRange {
    From(usize),
    /// Both inclusive.
    Between(usize, usize),
    Last(usize),
}

impl ByteRange {
    /// Where it begins and ends, exclusive; `None` if nothing of it is there.
    fn within(self, length: usize) -> Option<(usize, usize)> {
        let (from, to) = match self {
            Self::From(from) => (from, length),
            Self::Between(from, to) => (from, length.min(to.saturating_add(1))),
            Self::Last(last) => (length.saturating_sub(last), length),
        };
        (from < to).then_some((from, to))
    }
}

fn parse_range(header: &str) -> Option<ByteRange> {
    let (from, to) = header.strip_prefix("bytes=")?.split_once('-')?;
    match (from, to) {
        ("", last) => Some(ByteRange::Last(last.parse().ok()?)),
        (from, "") => Some(ByteRange::From(from.parse().ok()?)),
        (from, to) => {
            let (from, to) = (from.parse().ok()?, to.parse().ok()?);
            (from <= to).then_some(ByteRange::Between(from, to))
        }
    }
}

pub fn retention(
    stored: &mut Objects,
    bucket: &Bucket,
    request: &Request,
) -> Result<Answer, Failure> {
    if bucket.locking == Locking::Off {
        let message = "Bucket is missing Object Lock Configuration";
        return Err(Failure::invalid_request(message));
    }
    let version = stored.asked_for(request)?;
    let lock = version.lock.as_ref().ok_or_else(|| {
        let message = "The specified object does not have a ObjectLock configuration";
        Failure::new(404, "NoSuchObjectLockConfiguration", message)
    })?;
    let inside = element("Mode", &lock.mode) + &element("RetainUntilDate", &iso_date(lock.until));
    Ok(document(Answer::new(200), &root("Retention", &inside)))
}
