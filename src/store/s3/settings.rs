//! The settings of a bucket.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::model::StorageClass;
use crate::store::{DEFAULT_LISTING_BYTES, RetryPolicy};

/// Where the bucket is, and how objects are put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// The bucket's name.
    pub bucket: String,
    /// The prefix of every key, without a slash at its end. May be empty.
    pub prefix: String,
    /// The bucket's region; `None` for that of the AWS configuration.
    pub region: Option<String>,
    /// The service's URL; `None` for AWS.
    pub endpoint: Option<String>,
    /// How the bucket is named in requests.
    pub addressing: Addressing,
    /// A profile of the AWS configuration files.
    pub profile: Option<String>,
    /// A file of credentials in the form of `~/.aws/credentials`. It has precedence over the AWS
    /// configuration and the environment.
    pub credentials_file: Option<PathBuf>,
    /// A file of PEM certificates that are trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// The class of segments. All other objects are `STANDARD`.
    pub storage_class: StorageClass,
    /// How the service checks an upload.
    pub checksum: Checksum,
    /// Tags of every object.
    pub tags: BTreeMap<String, String>,
    /// Encryption by the service, in addition to coldchain's.
    pub encryption: Encryption,
    /// How objects are locked; `None` for no locks.
    pub object_lock: Option<LockMode>,
    /// How long to retry.
    pub patience: RetryPolicy,
    /// The most bytes of memory for a listing.
    pub listing_bytes: u64,
}

/// How the bucket is named in requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// `https://endpoint/bucket/key`
    Path,
    /// `https://bucket.endpoint/key`
    VirtualHost,
}

/// How the service checks an upload. It keeps the checksum if it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// `x-amz-checksum-sha256`: the digest that the ledger has, so it costs nothing.
    Sha256,
    /// `x-amz-checksum-crc64nvme`
    Crc64Nvme,
    /// `Content-MD5`, for services that refuse the headers above.
    Md5,
    /// No checksum.
    None,
}

/// Encryption by the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// The bucket's default.
    BucketDefault,
    /// `AES256`
    Aes256,
    /// `aws:kms`, with a key's id or ARN, or the account's own key.
    Kms(Option<String>),
}

/// Who may shorten a lock. See <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Any user with `s3:BypassGovernanceRetention`.
    Governance,
    /// No user.
    Compliance,
}

impl Checksum {
    /// The names in the config.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("sha256", Self::Sha256),
        ("crc64nvme", Self::Crc64Nvme),
        ("md5", Self::Md5),
        ("none", Self::None),
    ];
}

impl LockMode {
    /// The names in the config.
    pub const NAMES: [(&'static str, Self); 2] = [
        ("governance", Self::Governance),
        ("compliance", Self::Compliance),
    ];
}

impl FromStr for Checksum {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        by_name(&Self::NAMES, text)
    }
}

impl FromStr for LockMode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        by_name(&Self::NAMES, text)
    }
}

fn by_name<T: Copy>(names: &[(&str, T)], text: &str) -> Result<T, ()> {
    let found = names.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or(())
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, _) = Self::NAMES
            .iter()
            .find(|(_, mode)| mode == self)
            .expect("every mode has a name");
        f.write_str(name)
    }
}

impl S3Settings {
    /// Returns the default settings for a bucket.
    pub fn new(bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: prefix.into(),
            region: None,
            endpoint: None,
            addressing: Addressing::VirtualHost,
            profile: None,
            credentials_file: None,
            ca_file: None,
            storage_class: StorageClass::Standard,
            checksum: Checksum::Sha256,
            tags: BTreeMap::new(),
            encryption: Encryption::BucketDefault,
            object_lock: None,
            patience: RetryPolicy::default(),
            listing_bytes: DEFAULT_LISTING_BYTES,
        }
    }

    /// Returns `s3://bucket/prefix`, with the endpoint if it is not AWS. This identifies the place.
    pub fn url(&self) -> String {
        self.with_parameters(&[("endpoint", self.endpoint.as_deref())])
    }

    /// Returns the URL with all that another machine needs to find the bucket: also the region, and how the
    /// bucket is named.
    pub fn address(&self) -> String {
        // Leave out what is the default of a config: requests by path if there is an endpoint.
        let path_style = match (self.addressing, &self.endpoint) {
            (Addressing::Path, _) => Some("true"),
            (Addressing::VirtualHost, Some(_)) => Some("false"),
            (Addressing::VirtualHost, None) => None,
        };
        self.with_parameters(&[
            ("region", self.region.as_deref()),
            ("endpoint", self.endpoint.as_deref()),
            ("path_style", path_style),
        ])
    }

    fn with_parameters(&self, parameters: &[(&str, Option<&str>)]) -> String {
        let mut url = format!("s3://{}", self.bucket);
        if !self.prefix.is_empty() {
            url.push('/');
            url.push_str(&self.prefix);
        }
        let mut separator = '?';
        for (name, value) in parameters {
            if let Some(value) = value {
                url.extend([separator]);
                url.push_str(name);
                url.push('=');
                url.push_str(value);
                separator = '&';
            }
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_tells_the_place_and_an_address_how_to_get_there() {
        let mut settings = S3Settings::new("my-archives", "");
        assert_eq!(settings.url(), "s3://my-archives");
        settings.prefix = "laptop".to_owned();
        settings.region = Some("eu-central-1".to_owned());
        assert_eq!(settings.url(), "s3://my-archives/laptop");
        assert_eq!(
            settings.address(),
            "s3://my-archives/laptop?region=eu-central-1"
        );
        settings.endpoint = Some("http://127.0.0.1:8333".to_owned());
        assert_eq!(
            settings.address(),
            "s3://my-archives/laptop?region=eu-central-1&endpoint=http://127.0.0.1:8333&path_style=false"
        );
        settings.addressing = Addressing::Path;
        assert_eq!(
            settings.url(),
            "s3://my-archives/laptop?endpoint=http://127.0.0.1:8333"
        );
        assert_eq!(
            settings.address(),
            "s3://my-archives/laptop?region=eu-central-1&endpoint=http://127.0.0.1:8333&path_style=true"
        );
    }
}
