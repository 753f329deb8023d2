//! A store by its URL, for a machine that has no config: `file:///path`, or
//! `s3://bucket/prefix?region=…&endpoint=…&path_style=true`, or `glacier-vault://region/vault?ledger=…`.
//!
//! Nothing is percent-encoded but the URL of a vault's ledger store: the URL is what the recovery kit and `list` show,
//! to the byte.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use super::error::{ConfigError, UrlFault};
use super::store::StoreConfig;
use super::store_names::{
    BUCKET, BUCKET_ELSEWHERE, ENDPOINT, PATH_STYLE, PREFIX, REGION, VAULT, addressing, is_bucket,
    is_bucket_elsewhere, is_endpoint, is_prefix, is_region, is_vault, is_vault_region,
    without_slash,
};
use super::transfers::DEFAULT_UPLOADS;
use crate::store::{DEFAULT_LISTING_BYTES, S3Settings, VaultSettings};

const S3_PARAMETERS: [&str; 6] = [
    "region",
    "endpoint",
    "path_style",
    "profile",
    "credentials_file",
    "ca_file",
];

const VAULT_PARAMETERS: [&str; 5] = [
    "ledger",
    "endpoint",
    "profile",
    "credentials_file",
    "ca_file",
];

const LEDGER: &str = "the URL of a directory or a bucket, percent-encoded";
const PLAIN: &str = "an absolute path without `..`";

impl StoreConfig {
    /// Returns the URL, which identifies the place.
    pub fn url(&self) -> String {
        match self {
            Self::Dir { path, .. } => format!("file://{}", path.display()),
            Self::S3 { settings, .. } => settings.url(),
            Self::Vault {
                settings,
                ledger_store,
                ..
            } => vault_url(settings, &ledger_store.url()),
        }
    }

    /// Returns the URL with all that another machine needs to find the store.
    pub fn address(&self) -> String {
        match self {
            Self::Dir { .. } => self.url(),
            Self::S3 { settings, .. } => settings.address(),
            Self::Vault {
                settings,
                ledger_store,
                ..
            } => vault_url(settings, &ledger_store.address()),
        }
    }

    /// Returns the store at that URL. All that the URL does not say has the config's default.
    pub fn from_url(url: &str) -> Result<Self, ConfigError> {
        let fault = |fault| ConfigError::Url {
            url: url.to_owned(),
            fault,
        };
        if let Some(path) = url.strip_prefix("file://") {
            let path = Path::new(path);
            if !is_plain(path) {
                return Err(fault(UrlFault::Unfit("path", PLAIN)));
            }
            return Ok(Self::Dir {
                // Normalized, because an additional slash makes no other store.
                path: path.components().collect(),
                cold: None,
                listing_bytes: DEFAULT_LISTING_BYTES,
            });
        }
        if let Some(rest) = url.strip_prefix("glacier-vault://") {
            return vault(rest).map_err(fault);
        }
        let rest = url
            .strip_prefix("s3://")
            .ok_or_else(|| fault(UrlFault::Scheme))?;
        Ok(Self::S3 {
            settings: Box::new(s3(rest).map_err(fault)?),
            uploads: DEFAULT_UPLOADS,
        })
    }
}

fn is_plain(path: &Path) -> bool {
    let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    path.is_absolute() && path.components().all(plain)
}

fn s3(rest: &str) -> Result<S3Settings, UrlFault> {
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let prefix = prefix.trim_end_matches('/');
    require(is_prefix(prefix), "prefix", PREFIX)?;
    let mut settings = S3Settings::new(bucket, prefix);
    let mut path_style = None;
    for parameter in each(parameters) {
        let (name, value) = parameter.map_err(|name| unknown(name, &S3_PARAMETERS))?;
        let value_or_default = (!value.is_empty()).then(|| value.to_owned());
        match name {
            "region" => {
                require(value.is_empty() || is_region(value), "region", REGION)?;
                settings.region = value_or_default;
            }
            "endpoint" => {
                require(value.is_empty() || is_endpoint(value), "endpoint", ENDPOINT)?;
                settings.endpoint = value_or_default.map(|url| without_slash(&url).to_owned());
            }
            "path_style" => {
                require(
                    matches!(value, "true" | "false"),
                    "path_style",
                    "true or false",
                )?;
                path_style = Some(value == "true");
            }
            "profile" => settings.profile = value_or_default,
            "credentials_file" => {
                settings.credentials_file = Some(file("credentials_file", value)?);
            }
            "ca_file" => settings.ca_file = Some(file("ca_file", value)?),
            other => return Err(unknown(other, &S3_PARAMETERS)),
        }
    }
    if settings.endpoint.is_some() {
        require(is_bucket_elsewhere(bucket), "bucket", BUCKET_ELSEWHERE)?;
    } else {
        require(is_bucket(bucket), "bucket", BUCKET)?;
    }
    let addressing = addressing(&settings, path_style);
    settings.addressing = addressing.ok_or(UrlFault::Unfit("path_style", PATH_STYLE))?;
    Ok(settings)
}

/// Returns the URL of a vault whose ledgers are in the store with that URL.
fn vault_url(settings: &VaultSettings, ledger: &str) -> String {
    let url = settings.url();
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}ledger={}", encoded(ledger))
}

fn vault(rest: &str) -> Result<StoreConfig, UrlFault> {
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (region, name) = place.split_once('/').unwrap_or((place, ""));
    require(is_vault_region(region), "region", REGION)?;
    require(is_vault(name), "vault", VAULT)?;
    let mut settings = VaultSettings::new(region, name);
    let mut ledger_store = None;
    for parameter in each(parameters) {
        let (name, value) = parameter.map_err(|name| unknown(name, &VAULT_PARAMETERS))?;
        match name {
            "ledger" => {
                let store = decoded(value).and_then(|url| StoreConfig::from_url(&url).ok());
                let store = store.filter(|store| !matches!(store, StoreConfig::Vault { .. }));
                ledger_store = Some(store.ok_or(UrlFault::Unfit("ledger", LEDGER))?);
            }
            "endpoint" => {
                require(is_endpoint(value), "endpoint", ENDPOINT)?;
                settings.endpoint = Some(without_slash(value).to_owned());
            }
            "profile" => {
                settings.profile = (!value.is_empty()).then(|| value.to_owned());
            }
            "credentials_file" => {
                settings.credentials_file = Some(file("credentials_file", value)?);
            }
            "ca_file" => settings.ca_file = Some(file("ca_file", value)?),
            other => return Err(unknown(other, &VAULT_PARAMETERS)),
        }
    }
    let ledger_store = ledger_store.ok_or(UrlFault::NoLedger)?;
    Ok(StoreConfig::vault(settings, DEFAULT_UPLOADS, ledger_store))
}

/// Returns the parameters of a URL; as an error one that has no value.
fn each(parameters: &str) -> impl Iterator<Item = Result<(&str, &str), &str>> {
    let parameters = parameters.split('&').filter(|text| !text.is_empty());
    parameters.map(|parameter| parameter.split_once('=').ok_or(parameter))
}

fn file(name: &'static str, value: &str) -> Result<PathBuf, UrlFault> {
    require(is_plain(Path::new(value)), name, PLAIN)?;
    Ok(value.into())
}

/// Encodes what a parameter can't have. Letters, digits, and what paths and hosts mostly consist of stay readable.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/:._-~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    encoded
}

/// Decodes a parameter; `None` if it is not well-formed.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

fn require(fits: bool, part: &'static str, expected: &'static str) -> Result<(), UrlFault> {
    if fits {
        Ok(())
    } else {
        Err(UrlFault::Unfit(part, expected))
    }
}

fn unknown(name: &str, known: &'static [&'static str]) -> UrlFault {
    UrlFault::Unknown {
        name: name.to_owned(),
        known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_and_a_bucket_read_as_they_are_written() {
        assert_eq!(
            StoreConfig::from_url("file:///mnt/shelf/archive").unwrap(),
            StoreConfig::Dir {
                path: "/mnt/shelf/archive".into(),
                cold: None,
                listing_bytes: DEFAULT_LISTING_BYTES,
            }
        );
        assert_eq!(
            StoreConfig::from_url("file:///mnt//shelf/./archive/").unwrap(),
            StoreConfig::from_url("file:///mnt/shelf/archive").unwrap()
        );
        for address in [
            "s3://my-archives",
            "s3://my-archives/laptop/2",
            "s3://my-archives/laptop?region=eu-central-1",
            "s3://my-archives?region=us-east-1&endpoint=http://127.0.0.1:8333&path_style=true",
            "s3://my-archives?endpoint=https://s3.example.org&path_style=false",
            "s3://my-archives?path_style=true",
            "s3://tenant:My_Archives/laptop?endpoint=https://ceph.example.org&path_style=true",
        ] {
            let StoreConfig::S3 { settings, .. } = StoreConfig::from_url(address).unwrap() else {
                panic!("{address} is a bucket");
            };
            assert_eq!(settings.address(), address);
        }
        let with_slash = StoreConfig::from_url("s3://my-archives?endpoint=https://s3.example.org/");
        let without = StoreConfig::from_url("s3://my-archives?endpoint=https://s3.example.org");
        assert_eq!(with_slash.unwrap(), without.unwrap());
        let url = "s3://my-archives/?profile=cold&ca_file=/etc/ca.pem&credentials_file=/root/keys&region=";
        let StoreConfig::S3 { settings, uploads } = StoreConfig::from_url(url).unwrap() else {
            panic!("{url} is a bucket");
        };
        assert_eq!(settings.profile.as_deref(), Some("cold"));
        assert_eq!(settings.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!(
            settings.credentials_file.as_deref(),
            Some(Path::new("/root/keys"))
        );
        assert_eq!((settings.region, uploads), (None, DEFAULT_UPLOADS));
    }

    /// A vault in the default state, with its ledger store.
    fn vault(settings: VaultSettings, ledger: &str) -> StoreConfig {
        let ledger = StoreConfig::from_url(ledger).unwrap();
        StoreConfig::vault(settings, DEFAULT_UPLOADS, ledger)
    }

    #[test]
    fn a_vault_reads_as_it_is_written_with_its_ledger_store() {
        let region = "eu-central-1";
        for (ledger, in_url) in [
            ("file:///mnt/shelf", "file:///mnt/shelf"),
            (
                "file:///mnt/a b&c=d%2F?#ü",
                "file:///mnt/a%20b%26c%3Dd%252F%3F%23%C3%BC",
            ),
            ("s3://my-archives/laptop", "s3://my-archives/laptop"),
            (
                "s3://my-archives?endpoint=http://127.0.0.1:8333",
                "s3://my-archives%3Fendpoint%3Dhttp://127.0.0.1:8333",
            ),
        ] {
            let store = vault(VaultSettings::new(region, "My.Vault_1-"), ledger);
            let url = store.url();
            assert_eq!(
                url,
                format!("glacier-vault://eu-central-1/My.Vault_1-?ledger={in_url}")
            );
            assert_eq!(StoreConfig::from_url(&url).unwrap(), store);
            assert_eq!(StoreConfig::from_url(&store.address()).unwrap().url(), url);
        }
        let mut settings = VaultSettings::new(region, "v");
        settings.endpoint = Some("http://127.0.0.1:5601".to_owned());
        let store = vault(settings.clone(), "s3://my-archives?region=eu-west-1");
        assert_eq!(
            store.address(),
            "glacier-vault://eu-central-1/v?endpoint=http://127.0.0.1:5601\
             &ledger=s3://my-archives%3Fregion%3Deu-west-1"
        );
        settings.profile = Some("cold".to_owned());
        settings.credentials_file = Some("/root/keys".into());
        settings.ca_file = Some("/etc/ca.pem".into());
        let url = "glacier-vault://eu-central-1/v?ledger=file:///l&profile=cold&ca_file=/etc/ca.pem\
                   &credentials_file=/root/keys&endpoint=http://127.0.0.1:5601/";
        let read = StoreConfig::from_url(url).unwrap();
        assert_eq!(read, vault(settings, "file:///l"));
    }

    #[test]
    fn what_is_no_vault_is_said() {
        let said = |rest: &str| {
            let url = format!("glacier-vault://{rest}");
            let error = StoreConfig::from_url(&url).unwrap_err().to_string();
            let lead = format!("`{url}` is no store's URL: ");
            error.strip_prefix(&lead).unwrap().to_owned()
        };
        let ledger = "its ledger must be the URL of a directory or a bucket, percent-encoded";
        let name = "its vault must be a vault's name: 1 to 255 of A-Z, a-z, 0-9, `.`, `_` and `-`";
        let missing = "it does not say which store has the ledger";
        for (rest, message) in [
            ("", "its region must be a region's name like `eu-central-1`"),
            ("eu-central-1", name),
            ("eu-central-1/a/b?ledger=file:///l", name),
            ("eu-central-1/v", missing),
            ("eu-central-1/v?profile=", missing),
            ("eu-central-1/v?ledger=", ledger),
            ("eu-central-1/v?ledger=/l", ledger),
            ("eu-central-1/v?ledger=file:///l%", ledger),
            ("eu-central-1/v?ledger=file:///l%2", ledger),
            ("eu-central-1/v?ledger=file:///l%+2", ledger),
            ("eu-central-1/v?ledger=file:///l%FF", ledger),
            ("eu-central-1/v?ledger=file:///l%é", ledger),
            (
                "eu-central-1/v?ledger=glacier-vault://eu-central-1/w%3Fledger%3Dfile:///l",
                ledger,
            ),
            (
                "eu-central-1/v?ledger=file:///l&path_style=true",
                "it has the unknown parameter `path_style`",
            ),
            (
                "eu-central-1/v?ledger=file:///l&ca_file=x",
                "its ca_file must be an absolute path without `..`",
            ),
        ] {
            assert_eq!(said(rest), message, "{rest}");
        }
        let url = "glacier-vault://eu-central-1/v?vault=w";
        let hint = StoreConfig::from_url(url).unwrap_err().hint().unwrap();
        assert_eq!(
            hint,
            "such a URL takes ledger, endpoint, profile, credentials_file, ca_file"
        );
    }

    #[test]
    fn what_is_no_store_is_said() {
        let said = |url: &str| StoreConfig::from_url(url).unwrap_err().to_string();
        assert_eq!(
            said("/mnt/shelf"),
            "`/mnt/shelf` is no store's URL: it begins with none of file://, s3:// and glacier-vault://"
        );
        assert_eq!(
            said("file://mnt/shelf"),
            "`file://mnt/shelf` is no store's URL: its path must be an absolute path without `..`"
        );
        assert_eq!(
            said("s3://my-archives?endpoint=127.0.0.1"),
            "`s3://my-archives?endpoint=127.0.0.1` is no store's URL: its endpoint must be a URL that begins \
             with https:// or http:// and names a host"
        );
        assert_eq!(
            said("s3://my-archives?class=COLD"),
            "`s3://my-archives?class=COLD` is no store's URL: it has the unknown parameter `class`"
        );
        for url in [
            "s3://",
            "s3://A",
            "s3://My_Archives",
            "s3://tenant:archives",
            "s3://tenant:archives?endpoint=https://ceph.example.org&path_style=false",
            "s3://arn:aws:s3:x?endpoint=https://ceph.example.org",
            "s3://_archives?endpoint=https://ceph.example.org",
            "s3://my-archives/../x",
            "s3://my-archives?region",
            "file:///a/../b",
            "",
        ] {
            assert!(StoreConfig::from_url(url).is_err(), "{url}");
        }
    }
}
