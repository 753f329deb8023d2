//! A store by its URL, for a machine that has no config: `file:///path`, or
//! `s3://bucket/prefix?region=…&endpoint=…&path_style=true`.
//!
//! Nothing is percent-encoded: the URL is what the recovery kit and `list` show, to the byte.

use std::path::{Component, Path};

use super::error::{ConfigError, UrlFault};
use super::store::{
    BUCKET, BUCKET_ELSEWHERE, DEFAULT_UPLOADS, ENDPOINT, PATH_STYLE, PREFIX, REGION, StoreConfig,
    addressing, is_bucket, is_bucket_elsewhere, is_endpoint, is_prefix, is_region, without_slash,
};
use crate::store::{DEFAULT_LISTING_BYTES, S3Settings};

const PARAMETERS: [&str; 6] = [
    "region",
    "endpoint",
    "path_style",
    "profile",
    "credentials_file",
    "ca_file",
];

impl StoreConfig {
    /// Returns the store at that URL. All that the URL does not say has the config's default.
    pub fn from_url(url: &str) -> Result<Self, ConfigError> {
        let fault = |fault| ConfigError::Url {
            url: url.to_owned(),
            fault,
        };
        if let Some(path) = url.strip_prefix("file://") {
            let path = Path::new(path);
            if !is_plain(path) {
                return Err(fault(UrlFault::Unfit(
                    "path",
                    "an absolute path without `..`",
                )));
            }
            return Ok(Self::Dir {
                // Normalized, because an additional slash makes no other store.
                path: path.components().collect(),
                cold: None,
                listing_bytes: DEFAULT_LISTING_BYTES,
            });
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
    for parameter in parameters.split('&').filter(|text| !text.is_empty()) {
        let (name, value) = parameter
            .split_once('=')
            .ok_or_else(|| unknown(parameter))?;
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
            "credentials_file" | "ca_file" => {
                let name = if name == "ca_file" {
                    "ca_file"
                } else {
                    "credentials_file"
                };
                require(
                    is_plain(Path::new(value)),
                    name,
                    "an absolute path without `..`",
                )?;
                let file = Some(value.into());
                match name {
                    "ca_file" => settings.ca_file = file,
                    _ => settings.credentials_file = file,
                }
            }
            other => return Err(unknown(other)),
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

fn require(fits: bool, part: &'static str, expected: &'static str) -> Result<(), UrlFault> {
    if fits {
        Ok(())
    } else {
        Err(UrlFault::Unfit(part, expected))
    }
}

fn unknown(name: &str) -> UrlFault {
    UrlFault::Unknown {
        name: name.to_owned(),
        known: &PARAMETERS,
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

    #[test]
    fn what_is_no_store_is_said() {
        let said = |url: &str| StoreConfig::from_url(url).unwrap_err().to_string();
        assert_eq!(
            said("/mnt/shelf"),
            "`/mnt/shelf` is no store's URL: it begins neither with file:// nor with s3://"
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
