//! What several test programs share: filesystems, trees, streams, and a seeded source of chance.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "several test programs share it and none uses all"
)]

pub mod answering;
pub mod bucket;
pub mod busy_tree;
pub mod by_hand;
pub mod clone_range;
pub mod dedupe;
pub mod enumerate;
pub mod faults;
pub mod fed_bucket;
pub mod fill;
pub mod forged;
pub mod forged_contents;
pub mod formats;
pub mod lab;
pub mod lab_contents;
pub mod lab_served;
pub mod lab_vault;
pub mod listener;
pub mod loopfs;
pub mod machine;
pub mod memory_tree;
pub mod passphrase;
pub mod received;
pub mod replicated;
pub mod rng;
pub mod s3_server;
pub mod sandbox;
pub mod servers;
pub mod sigv4;
pub mod stream_builder;
pub mod stub;
pub mod tmpfs;
pub mod tree;
pub mod turns;
pub mod two_chains;
pub mod vault;
pub mod vault_server;
pub mod whole;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Whether an object is a segment, by its key.
pub fn is_segment(key: impl AsRef<str>) -> bool {
    let name = key.as_ref().rsplit('/').next().unwrap_or_default();
    name.ends_with(".zst.age") && !name.starts_with("contents-")
}

/// Every file below a directory, with its bytes.
pub fn files_below(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                files.insert(path, bytes);
            }
        }
    }
    files
}

/// The number in an environment variable: how large a random sample is, or its seed.
pub fn from_env(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var(name);
    value.map_or(otherwise, |text| {
        let number = text.parse();
        number.unwrap_or_else(|_| panic!("{name} is a number, not {text}"))
    })
}
