//! What a bucket's user may choose.

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
    /// What every key begins with, without a slash at its end; may be empty.
    pub prefix: String,
    /// The bucket's region; `None` takes what the AWS configuration says.
    pub region: Option<String>,
    /// The service's URL; `None` is AWS.
    pub endpoint: Option<String>,
    /// How the bucket is named in requests.
    pub addressing: Addressing,
    /// A profile of the AWS configuration files.
    pub profile: Option<String>,
    /// A file of credentials in the form of `~/.aws/credentials`; it precedes what the AWS
    /// configuration and the environment say.
    pub credentials_file: Option<PathBuf>,
    /// A file of PEM certificates that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Where segments go; everything else is `STANDARD`.
    pub storage_class: StorageClass,
    /// What the service checks an upload by.
    pub checksum: Checksum,
    /// Tags of every object.
    pub tags: BTreeMap<String, String>,
    /// Encryption by the service, beside that of coldchain.
    pub encryption: Encryption,
    /// How objects are locked, if they are.
    pub object_lock: Option<LockMode>,
    /// How long to keep trying.
    pub patience: RetryPolicy,
    /// Bytes of memory that a listing may take.
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

/// What the service checks an upload by, and keeps if it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// `x-amz-checksum-sha256`: the digest that the ledger has, so it costs nothing.
    Sha256,
    /// `x-amz-checksum-crc64nvme`
    Crc64Nvme,
    /// `Content-MD5`, for services that refuse the headers above.
    Md5,
    /// Nothing.
    None,
}

/// Encryption by the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// What the bucket does by default.
    BucketDefault,
    /// `AES256`
    Aes256,
    /// `aws:kms`, with a key's id or ARN, or the account's own key.
    Kms(Option<String>),
}

/// Who may shorten a lock: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Whoever has `s3:BypassGovernanceRetention`.
    Governance,
    /// Nobody.
    Compliance,
}

impl Checksum {
    /// Their names in the config.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("sha256", Self::Sha256),
        ("crc64nvme", Self::Crc64Nvme),
        ("md5", Self::Md5),
        ("none", Self::None),
    ];
}

impl LockMode {
    /// Their names in the config.
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
    /// A bucket with nothing chosen.
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

    /// `s3://bucket/prefix`, with the endpoint if it is not AWS: what makes it this place and no
    /// other.
    pub fn url(&self) -> String {
        self.with_parameters(&[("endpoint", self.endpoint.as_deref())])
    }

    /// The same with all that another machine needs to find it: also the region, and how the bucket
    /// is named.
    pub fn address(&self) -> String {
        // What an address says nothing of is as a config has it by default: by path where there is an endpoint.
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
