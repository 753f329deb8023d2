//! A config file's text, and a store's URL.
//!
//! Every fault names a line that there is. The same text is the same config. A URL that is shown for a
//! bucket leads to that bucket.

use std::path::Path;

use coldchain::config::{Config, ConfigError, StoreConfig, TemplateFacts, parse_size, template};
use coldchain::engine::store_address;

use super::Outcome;
use super::input::{Input, seed};

const FILE: u8 = 0;
const URL: u8 = 1;

pub fn run(data: &[u8]) -> Outcome {
    let mut input = Input::new(data);
    let mode = input.byte() % 2;
    let Ok(text) = std::str::from_utf8(input.rest()) else {
        return Outcome::Refused;
    };
    match mode {
        FILE => file(text),
        _ => url(text),
    }
}

fn file(text: &str) -> Outcome {
    let path = Path::new("c.toml");
    let parsed = Config::parse(text, path);
    match &parsed {
        Ok(config) => {
            assert!(!config.sources.is_empty());
            for source in &config.sources {
                assert!(source.store.is_some() || source.live.is_some());
                assert_eq!(config.store_of(source).is_ok(), source.store.is_some());
                assert!(config.archiving(source.segment_bytes).threads >= 1);
            }
            assert_eq!(Config::parse(text, path).ok().as_ref(), Some(config));
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            if let ConfigError::Invalid { line, .. } = error {
                assert!((1..=text.lines().count().max(1)).contains(line), "{error}");
            }
        }
    }
    Outcome::of(&parsed)
}

fn url(text: &str) -> Outcome {
    // A size is a text of the config too.
    let _ = parse_size(text);
    let parsed = StoreConfig::from_url(text);
    match &parsed {
        Ok(StoreConfig::S3 { settings, .. }) => {
            let address = settings.address();
            let Ok(StoreConfig::S3 {
                settings: led_to, ..
            }) = StoreConfig::from_url(&address)
            else {
                panic!("{address} is a bucket");
            };
            assert_eq!(led_to.address(), address);
            assert_eq!(led_to.url(), settings.url());
        }
        Ok(StoreConfig::Dir { path, .. }) => {
            assert!(path.is_absolute());
            let again = format!("file://{}", path.display());
            assert_eq!(
                StoreConfig::from_url(&again).ok(),
                parsed.as_ref().ok().cloned()
            );
        }
        Ok(vault @ StoreConfig::Vault { .. }) => {
            let address = store_address(vault);
            let again = StoreConfig::from_url(&address).expect("an address is a store's URL");
            assert_eq!(store_address(&again), address);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    Outcome::of(&parsed)
}

/// Every key once.
const EVERY_KEY: &str = r#"
timezone = "America/St_Johns"
state_dir = "/srv/state"
segment_size = "16MiB"
compression = "auto"
compression_levels = [3, 19]
threads = 256
memory_limit = '3GiB'
priority = 'low'
sender = 'btrfs'
self_check = false
prune = "elsewhere"
delete_after = "36h"

[[source]]
name = "home"
subvolume = "/home"
snapshots = "/home/.coldchain"
keep_snapshots_days = 1
keep_snapshots = 2
store = "disk"
archive_as = "old-home"
compressed_data = "inexact"
protocol = 2
segment_size = "1GiB"
[source.schedule]
days = [31, 1]
catch_up = true

[[source]]
name = "vm"
store = "bucket"
schedule = { max_chain_days = 30, max_incrementals = 0, expire_after_days = 1 }

[store.disk]
type = "dir"
path = "/mnt/disk"
cold = "GLACIER"
cold_delay = "1h"

[store.bucket]
type = "s3"
bucket = "my-archives"
prefix = "laptop/2"
region = "eu-central-1"
endpoint = "https://s3.example.org"
path_style = true
profile = "cold"
storage_class = "DEEP_ARCHIVE"
checksum = "crc64nvme"
object_lock = "governance"
tags = { what = "archive" }
encryption = "aws:kms"
kms_key = "alias/cold"
give_up_after = "6h"
uploads = 2

[encryption]
recipients = ["age1a", "ssh-ed25519 AAAA"]

[schedule]
days = [15]
max_incrementals = 5
max_chain_days = 100
expire_after_days = 400
catch_up = false
"#;

pub fn seeds() -> Vec<Vec<u8>> {
    let smallest =
        "store.main = { type = 'dir', path = '/srv' }\n[[source]]\nname = 'home'\nstore = 'main'\n";
    let commented = template(&TemplateFacts {
        recipients: &["age1a"],
        kit: Some(Path::new("/root/kit.txt")),
        timezone: "Europe/Berlin",
        state_dir: None,
        sources: None,
        store: None,
    });
    // As a user makes it a config: without the marks.
    let in_force: String = commented
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut seeds: Vec<Vec<u8>> = [smallest, EVERY_KEY, &commented, &in_force]
        .map(|text| seed(&[FILE], text.as_bytes()))
        .into();
    for url in [
        "file:///mnt//shelf/./archive/",
        "s3://my-archives/laptop/2?region=eu-central-1&endpoint=http://127.0.0.1:8333&path_style=true",
        "s3://tenant:My_archives?endpoint=https://ceph.example.org",
        "s3://my-archives?endpoint=https://s3.example.org/&path_style=false",
        "s3://my-archives/?profile=cold&ca_file=/etc/ca.pem&credentials_file=/root/keys&region=",
        "128MiB",
    ] {
        seeds.push(seed(&[URL], url.as_bytes()));
    }
    seeds
}
