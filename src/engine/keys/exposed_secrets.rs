//! Finds secrets in the wrong place: on the machine that is archived.
//!
//! A thief of this machine must not get the secret that opens the archives. And a snapshot must not contain
//! the only copy of the secret that opens it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::engine::context::private_file::directory_of;

/// How much of a file is searched. A kit has a few kilobytes.
const BEGINNING: u64 = 64 << 10;

/// Returns the files that hold an age identity or a root secret and lie directly in the state directory, in
/// the directory of the config, or in a source's subvolume. Skips files that can't be read.
pub fn secrets_in_reach(config: &Config) -> Vec<PathBuf> {
    let sources = config
        .sources
        .iter()
        .filter_map(|source| source.live.as_ref())
        .map(|live| live.subvolume.as_path());
    let mut found = Vec::new();
    for directory in [config.state_dir.as_path(), directory_of(&config.path)]
        .into_iter()
        .chain(sources)
    {
        let Ok(entries) = std::fs::read_dir(directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if is_file && holds_secret(&path) {
                found.push(path.canonicalize().unwrap_or(path));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn holds_secret(path: &Path) -> bool {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BEGINNING).read_to_end(&mut bytes));
    read.is_ok()
        && bytes.split(|byte| *byte == b'\n').any(|line| {
            line.starts_with(b"AGE-SECRET-KEY-1")
                || line.starts_with(b"#   untrusted comment: coldchain secret key")
        })
}
