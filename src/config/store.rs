//! `[store.NAME]`: where objects live.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::duration;
use super::error::{ConfigError, Fault, Unknown};
use super::section::{Field, Section};
use crate::model::StorageClass;
use crate::plan::memory::listing_bytes;
use crate::store::{
    Addressing, Checksum, DEFAULT_LISTING_BYTES, Encryption, LockMode, RetryPolicy, S3Settings,
    is_key,
};

const TYPES: [&str; 2] = ["dir", "s3"];

pub(super) const DIR_KEYS: &[&str] = &["type", "path", "cold", "cold_delay"];

pub(super) const S3_KEYS: &[&str] = &[
    "type",
    "bucket",
    "prefix",
    "region",
    "endpoint",
    "path_style",
    "profile",
    "credentials_file",
    "ca_file",
    "storage_class",
    "checksum",
    "uploads",
    "give_up_after",
    "object_lock",
    "tags",
    "encryption",
    "kms_key",
];

pub(super) const DEFAULT_UPLOADS: usize = 2;
const MAX_UPLOADS: usize = 64;

/// What S3 allows: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>.
const MAX_TAGS: usize = 10;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;

/// A store, by its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// `type = "dir"`: a directory.
    Dir {
        /// Absolute.
        path: PathBuf,
        /// The cold class that it simulates, if any.
        cold: Option<ColdDir>,
        /// Bytes of memory that a listing may take.
        listing_bytes: u64,
    },
    /// `type = "s3"`: a bucket.
    S3 {
        /// Where it is, and how objects are put there.
        settings: Box<S3Settings>,
        /// Segments that are transferred at once, in either direction, 1 to 64. Default: 2.
        uploads: usize,
    },
}

/// A directory that simulates a cold class, for rehearsals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColdDir {
    /// The class.
    pub class: StorageClass,
    /// How long a thaw takes in every tier. Default: what AWS says of the tier.
    pub delay: Option<Duration>,
}

impl StoreConfig {
    /// Segments that are transferred at once, in either direction.
    pub fn uploads(&self) -> usize {
        match self {
            Self::Dir { .. } => 1,
            Self::S3 { uploads, .. } => *uploads,
        }
    }

    /// Returns the same store for a run that may take that many bytes of memory.
    #[must_use]
    pub fn with_memory(mut self, limit: u64) -> Self {
        let bytes = match &mut self {
            Self::Dir { listing_bytes, .. } => listing_bytes,
            Self::S3 { settings, .. } => &mut settings.listing_bytes,
        };
        *bytes = listing_bytes(limit);
        self
    }

    /// The class that segments are put into; `None` for a store without classes.
    pub fn storage_class(&self) -> Option<StorageClass> {
        match self {
            Self::Dir { cold, .. } => cold.map(|cold| cold.class),
            Self::S3 { settings, .. } => Some(settings.storage_class),
        }
    }

    /// Returns whether both name one place, by what the config says of it: options and credentials make no
    /// other place.
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dir { path, .. }, Self::Dir { path: other, .. }) => path == other,
            (
                Self::S3 { settings, .. },
                Self::S3 {
                    settings: other, ..
                },
            ) => {
                (&settings.endpoint, &settings.bucket, &settings.prefix)
                    == (&other.endpoint, &other.bucket, &other.prefix)
            }
            _ => false,
        }
    }

    /// Whether objects are locked, and how.
    pub fn object_lock(&self) -> Option<LockMode> {
        match self {
            Self::Dir { .. } => None,
            Self::S3 { settings, .. } => settings.object_lock,
        }
    }
}

/// Reads all stores, by name.
pub(super) fn read_all(top: &Section<'_>) -> Result<BTreeMap<String, StoreConfig>, ConfigError> {
    let Some(stores) = top.read("store", Field::named_table)? else {
        return Ok(BTreeMap::new());
    };
    let read = |(name, field): (&str, Field<'_>)| {
        // The type first: it decides which keys are known.
        let kind = field.named_table()?.require("type")?;
        let store = match kind.string()? {
            "dir" => read_dir(&field.table(DIR_KEYS)?)?,
            "s3" => read_s3(&field.table(S3_KEYS)?)?,
            other => {
                let unknown = Unknown::among("store type", other, TYPES.into_iter());
                return Err(kind.fault(Fault::Unknown(unknown)));
            }
        };
        Ok((name.to_owned(), store))
    };
    stores.fields().map(read).collect()
}

fn read_dir(section: &Section<'_>) -> Result<StoreConfig, ConfigError> {
    let path = section.require("path")?.absolute_path()?;
    let delay = section.read("cold_delay", |field| duration::read(field, Duration::ZERO))?;
    let class = section.read("cold", |field| {
        let class = storage_class(field)?;
        if class.is_cold() {
            Ok(class)
        } else {
            Err(field.unfit("a class that needs thawing, `GLACIER` or `DEEP_ARCHIVE`"))
        }
    })?;
    if let (None, Some(delay)) = (class, section.get("cold_delay")) {
        return Err(delay.unfit("left out, unless `cold` is set"));
    }
    Ok(StoreConfig::Dir {
        path,
        cold: class.map(|class| ColdDir { class, delay }),
        listing_bytes: DEFAULT_LISTING_BYTES,
    })
}

fn read_s3(section: &Section<'_>) -> Result<StoreConfig, ConfigError> {
    let (is_name, expected): (fn(&str) -> bool, _) = if section.get("endpoint").is_some() {
        (is_bucket_elsewhere, BUCKET_ELSEWHERE)
    } else {
        (is_bucket, BUCKET)
    };
    let mut settings = S3Settings::new(
        section.require("bucket")?.matching(is_name, expected)?,
        section
            .read("prefix", |field| field.matching(is_prefix, PREFIX))?
            .unwrap_or_default(),
    );
    settings.region = section.read("region", |field| field.matching(is_region, REGION))?;
    let endpoint = section.read("endpoint", |field| field.matching(is_endpoint, ENDPOINT))?;
    settings.endpoint = endpoint.map(|endpoint| without_slash(&endpoint).to_owned());
    let path_style = section.read("path_style", Field::boolean)?;
    let addressing = addressing(&settings, path_style);
    settings.addressing = addressing.ok_or_else(|| {
        let field = section.require("path_style");
        field.map_or_else(|missing| missing, |field| field.unfit(PATH_STYLE))
    })?;
    settings.profile = section.read("profile", Field::owned_string)?;
    settings.credentials_file = section.read("credentials_file", Field::absolute_path)?;
    settings.ca_file = section.read("ca_file", Field::absolute_path)?;
    settings.storage_class = section
        .read("storage_class", storage_class)?
        .unwrap_or(StorageClass::Standard);
    settings.checksum = section
        .read("checksum", |field| {
            named(field, "checksum", &Checksum::NAMES)
        })?
        .unwrap_or(Checksum::Sha256);
    settings.object_lock = section.read("object_lock", |field| {
        named(field, "lock mode", &LockMode::NAMES)
    })?;
    if settings.object_lock.is_some() && settings.checksum == Checksum::None {
        let field = section.require("checksum")?;
        return Err(field.unfit("another one: S3 locks no object without a checksum"));
    }
    settings.tags = section.read("tags", tags)?.unwrap_or_default();
    settings.encryption = encryption(section)?;
    if let Some(give_up_after) = section.read("give_up_after", |field| {
        duration::read(field, Duration::from_secs(1))
    })? {
        settings.patience = RetryPolicy {
            give_up_after,
            ..settings.patience
        };
    }
    let uploads = section.read("uploads", |field| {
        field.integer("an integer", 1..=MAX_UPLOADS)
    })?;
    Ok(StoreConfig::S3 {
        settings: Box::new(settings),
        uploads: uploads.unwrap_or(DEFAULT_UPLOADS),
    })
}

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

fn encryption(section: &Section<'_>) -> Result<Encryption, ConfigError> {
    let key = section.read("kms_key", Field::owned_string)?;
    let kind = section.read("encryption", |field| {
        named(
            field,
            "encryption",
            &[
                ("AES256", Encryption::Aes256),
                ("aws:kms", Encryption::Kms(key.clone())),
            ],
        )
    })?;
    if let (Some(field), None | Some(Encryption::Aes256)) = (section.get("kms_key"), &kind) {
        return Err(field.unfit("left out, unless `encryption` is \"aws:kms\""));
    }
    Ok(kind.unwrap_or(Encryption::BucketDefault))
}

fn storage_class(field: &Field<'_>) -> Result<StorageClass, ConfigError> {
    let names = StorageClass::OF_S3.map(|class| (class.as_str(), class));
    named(field, "storage class", &names)
}

/// Reads one of a few names, and returns its value.
fn named<T: Clone>(
    field: &Field<'_>,
    what: &'static str,
    names: &[(&'static str, T)],
) -> Result<T, ConfigError> {
    let text = field.string()?;
    let found = names.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| value.clone()).ok_or_else(|| {
        let known = names.iter().map(|(name, _)| *name);
        field.fault(Fault::Unknown(Unknown::among(what, text, known)))
    })
}

fn tags(field: &Field<'_>) -> Result<BTreeMap<String, String>, ConfigError> {
    let table = field.named_table()?;
    let mut tags = BTreeMap::new();
    for (key, value) in table.fields() {
        let fits = |text: &str, max: usize| text.chars().count() <= max;
        let value = value.matching(
            |value| !key.is_empty() && fits(key, MAX_TAG_KEY) && fits(value, MAX_TAG_VALUE),
            "a tag with a key of 1 to 128 characters and a value of at most 256",
        )?;
        tags.insert(key.to_owned(), value);
    }
    if tags.len() > MAX_TAGS {
        return Err(field.unfit("a table of at most 10 tags"));
    }
    Ok(tags)
}

pub(super) const BUCKET: &str =
    "a bucket's name: 3 to 63 of a-z, 0-9, `.` and `-`, the first and last no `.` or `-`";
pub(super) const BUCKET_ELSEWHERE: &str = "a bucket's name: 3 to 255 of A-Z, a-z, 0-9, `.`, `_`, `:` and `-`, the first and last a letter or digit";
pub(super) const PATH_STYLE: &str =
    "true or left out: the bucket's name cannot be the name of a host";
pub(super) const PREFIX: &str =
    "a key prefix of A-Z, a-z, 0-9, `.`, `_`, `-`, its parts joined by `/`, none at its ends";
pub(super) const REGION: &str = "a region's name like `eu-central-1`";
pub(super) const ENDPOINT: &str = "a URL that begins with https:// or http:// and names a host";

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
