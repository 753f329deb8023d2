//! Pages of objects and of versions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::clock::iso_date;
use super::config::{Config, Mode};
use super::http::{Answer, Request};
use super::objects::{Objects, Version};
use super::xml::{Failure, document, element, parent, root};

/// What may stand in the query of `ListObjectsV2`; `delimiter` for one.
pub const OBJECTS: &[&str] = &[
    "list-type",
    "prefix",
    "continuation-token",
    "start-after",
    "max-keys",
    "encoding-type",
    "fetch-owner",
];

/// What may stand in the query of `ListObjectVersions`.
pub const VERSIONS: &[&str] = &[
    "versions",
    "prefix",
    "key-marker",
    "version-id-marker",
    "max-keys",
    "encoding-type",
];

pub fn objects(stored: &Objects, config: &Config, request: &Request) -> Result<Answer, Failure> {
    let prefix = request.parameter("prefix").unwrap_or_default();
    let token = request.parameter("continuation-token");
    let after = match token {
        Some(token) => key_of(token).ok_or_else(|| {
            Failure::invalid_argument("The continuation token provided is incorrect")
        })?,
        None => request.parameter("start-after").unwrap_or("").to_owned(),
    };
    let asked = max_keys(request)?;
    let limit = asked.min(config.page_size);
    let current = stored.current(&request.bucket);
    let mut found = current
        .iter()
        .filter(|(key, _)| key.starts_with(prefix) && **key > after);
    let page: Vec<_> = found.by_ref().take(limit).collect();
    // A page of nothing is the last one, or it would never end.
    let last = page.last().filter(|_| found.next().is_some());

    let mut inside = element("Name", &request.bucket) + &element("Prefix", &text(request, prefix));
    inside += &element("MaxKeys", &asked.to_string());
    inside += &element("KeyCount", &page.len().to_string());
    inside += &element("IsTruncated", &last.is_some().to_string());
    inside += &encoding(request);
    if let Some(token) = token {
        inside += &element("ContinuationToken", token);
    }
    if let Some(start) = request.parameter("start-after") {
        inside += &element("StartAfter", &text(request, start));
    }
    if let Some((key, _)) = last {
        inside += &element("NextContinuationToken", &token_of(key));
    }
    for (key, version) in page {
        let entry = element("Key", &text(request, key)) + &about(version);
        inside += &parent("Contents", &entry);
    }
    Ok(document(
        Answer::new(200),
        &root("ListBucketResult", &inside),
    ))
}

pub fn versions(stored: &Objects, config: &Config, request: &Request) -> Result<Answer, Failure> {
    let prefix = request.parameter("prefix").unwrap_or_default();
    let asked = max_keys(request)?;
    let limit = asked.min(config.page_size);
    // By key, the newest first.
    let all: Vec<_> = stored
        .of_bucket(&request.bucket)
        .filter(|(key, _)| key.starts_with(prefix) && !config.is(Mode::ListNoVersions))
        .flat_map(|(key, versions)| {
            let newest = versions.len() - 1;
            let numbered = versions.iter().enumerate().rev();
            numbered.map(move |(at, version)| (key, version, at == newest))
        })
        .collect();
    let key_marker = request.parameter("key-marker").unwrap_or_default();
    let from = match request.parameter("version-id-marker") {
        Some(id) => all
            .iter()
            .position(|(key, version, _)| *key == key_marker && version.id == id)
            .map(|at| at + 1)
            .ok_or_else(|| Failure::invalid_argument("Invalid version id specified"))?,
        None => all.partition_point(|(key, _, _)| !key_marker.is_empty() && *key <= key_marker),
    };
    let left = &all[from..];
    let page = &left[..limit.min(left.len())];
    let last = page.last().filter(|_| page.len() < left.len());

    let mut inside = element("Name", &request.bucket) + &element("Prefix", &text(request, prefix));
    inside += &element("KeyMarker", &text(request, key_marker));
    inside += &element("MaxKeys", &asked.to_string());
    inside += &element("IsTruncated", &last.is_some().to_string());
    inside += &encoding(request);
    if let Some((key, version, _)) = last {
        inside += &element("NextKeyMarker", &text(request, key));
        inside += &element("NextVersionIdMarker", &version.id);
    }
    for (key, version, is_latest) in page {
        let entry = element("Key", &text(request, key))
            + &element("VersionId", &version.id)
            + &element("IsLatest", &is_latest.to_string());
        inside += &if version.is_delete_marker {
            let modified = element("LastModified", &iso_date(version.modified));
            parent("DeleteMarker", &(entry + &modified))
        } else {
            parent("Version", &(entry + &about(version)))
        };
    }
    Ok(document(
        Answer::new(200),
        &root("ListVersionsResult", &inside),
    ))
}

fn about(version: &Version) -> String {
    element("LastModified", &iso_date(version.modified))
        + &element("ETag", &version.etag)
        + &element("Size", &version.body.len().to_string())
        + &element("StorageClass", &version.storage_class)
}

fn max_keys(request: &Request) -> Result<usize, Failure> {
    let asked = request.parameter("max-keys").unwrap_or("1000");
    asked.parse().map_err(|_| {
        let message = "Provided max-keys not an integer or within integer range";
        Failure::invalid_argument(message)
    })
}

/// To a client, a token is nothing but a word.
fn token_of(last_key: &str) -> String {
    format!("1{}", BASE64.encode(last_key))
}

fn key_of(token: &str) -> Option<String> {
    let bytes = BASE64.decode(token.strip_prefix('1')?).ok()?;
    String::from_utf8(bytes).ok()
}

fn encoding(request: &Request) -> String {
    match request.parameter("encoding-type") {
        Some(kind) => element("EncodingType", kind),
        None => String::new(),
    }
}

/// A key as the request wants it. Encoded, a space is `+`, and `/` stays, as on Amazon.
fn text(request: &Request, key: &str) -> String {
    if request.parameter("encoding-type") != Some("url") {
        return key.to_owned();
    }
    key.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' | b'*' => {
                char::from(byte).to_string()
            }
            b' ' => "+".to_owned(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
