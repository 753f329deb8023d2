//! Names and URLs that a store's config and a store's URL have: which are allowed, and how messages describe them.

use crate::store::{Addressing, S3Settings, is_key};

pub(super) const BUCKET: &str =
    "a bucket's name: 3 to 63 of a-z, 0-9, `.` and `-`, the first and last no `.` or `-`";
pub(super) const BUCKET_ELSEWHERE: &str = "a bucket's name: 3 to 255 of A-Z, a-z, 0-9, `.`, `_`, `:` and `-`, the first and last a letter or digit";
pub(super) const PATH_STYLE: &str =
    "true or left out: the bucket's name cannot be the name of a host";
pub(super) const PREFIX: &str =
    "a key prefix of A-Z, a-z, 0-9, `.`, `_`, `-`, its parts joined by `/`, none at its ends";
pub(super) const REGION: &str = "a region's name like `eu-central-1`";
pub(super) const ENDPOINT: &str = "a URL that begins with https:// or http:// and names a host";

pub(super) const VAULT: &str = "a vault's name: 1 to 255 of A-Z, a-z, 0-9, `.`, `_` and `-`";

/// Removes slashes at the end of a URL. With them it would be another place, but it is the same service.
pub(super) fn without_slash(endpoint: &str) -> &str {
    endpoint.trim_end_matches('/')
}

/// Returns how requests name the bucket; `None` if the bucket's name does not allow the way that was set.
pub(super) fn addressing(settings: &S3Settings, path_style: Option<bool>) -> Option<Addressing> {
    // Services other than AWS seldom have a host name for every bucket.
    if path_style.unwrap_or(settings.endpoint.is_some()) {
        return Some(Addressing::Path);
    }
    is_bucket(&settings.bucket).then_some(Addressing::VirtualHost)
}

/// Whether AWS allows the name:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
pub(super) fn is_bucket(name: &str) -> bool {
    let edge = |byte: Option<u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    (3..=63).contains(&name.len())
        && edge(name.bytes().next())
        && edge(name.bytes().next_back())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte))
        && !name.contains("..")
}

/// Whether a service other than AWS may allow the name: Backblaze has had A-Z, many have `_`, and Ceph has
/// `tenant:bucket`. Such a name can't be a host's.
pub(super) fn is_bucket_elsewhere(name: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    (3..=255).contains(&name.len())
        && edge(name.bytes().next())
        && edge(name.bytes().next_back())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
        && !name.contains("..")
        // The SDK would take it for something else.
        && !name.starts_with("arn:")
}

/// Whether it is empty, or may be a key. The longest key below it has some 150 bytes.
pub(super) fn is_prefix(prefix: &str) -> bool {
    prefix.is_empty() || (prefix.len() <= 512 && is_key(prefix))
}

pub(super) fn is_region(region: &str) -> bool {
    !region.is_empty()
        && region
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether it may name the region of a vault. The ledger's entries have it, and take 64 characters.
pub(super) fn is_vault_region(region: &str) -> bool {
    is_region(region) && region.len() <= 64
}

pub(super) fn is_endpoint(url: &str) -> bool {
    let host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty()
            && !host.starts_with('/')
            && !host.contains(['?', '#', '@', ' '])
            && host.is_ascii()
    })
}

/// Whether AWS allows the name of a vault:
/// <https://docs.aws.amazon.com/amazonglacier/latest/dev/creating-vaults.html>
pub(super) fn is_vault(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
