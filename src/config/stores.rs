//! `[store.NAME]`: where objects live.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::duration;
use super::error::{ConfigError, Fault, Unknown};
use super::section::{Field, Section};
use super::store::{ColdDir, StoreConfig};
use super::store_names::{
    BUCKET, BUCKET_ELSEWHERE, ENDPOINT, PATH_STYLE, PREFIX, REGION, addressing, is_bucket,
    is_bucket_elsewhere, is_endpoint, is_prefix, is_region, without_slash,
};
use super::transfers::{patience, uploads};
use super::vault;
use crate::model::StorageClass;
use crate::store::{Checksum, DEFAULT_LISTING_BYTES, Encryption, LockMode, S3Settings};

const TYPES: [&str; 3] = ["dir", "s3", "glacier-vault"];

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

/// What S3 allows: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>.
const MAX_TAGS: usize = 10;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;

/// Reads all stores, by name.
pub(super) fn read_all(top: &Section<'_>) -> Result<BTreeMap<String, StoreConfig>, ConfigError> {
    let Some(stores) = top.read("store", Field::named_table)? else {
        return Ok(BTreeMap::new());
    };
    let mut read = BTreeMap::new();
    let mut vaults = Vec::new();
    for (name, field) in stores.fields() {
        // The type first: it decides which keys are known.
        let kind = field.named_table()?.require("type")?;
        let store = match kind.string()? {
            "dir" => read_dir(&field.table(DIR_KEYS)?)?,
            "s3" => read_s3(&field.table(S3_KEYS)?)?,
            "glacier-vault" => {
                vaults.push((name, field.table(vault::KEYS)?));
                continue;
            }
            other => {
                let unknown = Unknown::among("store type", other, TYPES.into_iter());
                return Err(kind.fault(Fault::Unknown(unknown)));
            }
        };
        read.insert(name.to_owned(), store);
    }
    // Each names one of the others, wherever in the file that is.
    let names: BTreeSet<&str> = vaults.iter().map(|(name, _)| *name).collect();
    let others = read.clone();
    for (name, section) in &vaults {
        let store = vault::read(name, section, &others, &names)?;
        read.insert((*name).to_owned(), store);
    }
    Ok(read)
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
    settings.patience = patience(section, &settings.patience)?;
    Ok(StoreConfig::S3 {
        settings: Box::new(settings),
        uploads: uploads(section)?,
    })
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
