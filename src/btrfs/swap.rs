//! Active swapfiles: the kernel makes no snapshot of a subvolume that has one.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::mounts::unescaped;

/// Returns the active swapfiles in this subvolume, without those in nested ones. Does not find a deleted
/// swapfile.
pub fn active_swapfiles(subvolume: &Path) -> Vec<PathBuf> {
    let Ok(swaps) = fs::read("/proc/swaps") else {
        return Vec::new();
    };
    // Each subvolume has its own device number, the same in every mount.
    let device = |path: &Path| fs::metadata(path).map(|stat| stat.dev()).ok();
    let here = device(subvolume);
    let mut files = paths(&swaps);
    files.retain(|file| here.is_some() && device(file) == here);
    files
}

/// Returns the paths of the files in `/proc/swaps`, which has blanks and backslashes in octal.
fn paths(swaps: &[u8]) -> Vec<PathBuf> {
    let lines = swaps.split(|byte| *byte == b'\n').skip(1);
    lines
        .filter_map(|line| {
            let mut words = line.split(u8::is_ascii_whitespace);
            let path = words.next()?;
            let kind = words.find(|word| !word.is_empty())?;
            (kind == b"file").then(|| PathBuf::from(OsString::from_vec(unescaped(path))))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_under_their_names_and_disks_are_not() {
        let swaps = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
            /dev/sda2                               partition\t8388604\t\t0\t\t-2\n\
            /a\\040b/sw\\011x\\134                         file\t\t20476\t\t0\t\t-3\n\
            /swap\xff                               file\t\t20476\t\t0\t\t-4\n";
        assert_eq!(
            paths(swaps),
            [
                PathBuf::from("/a b/sw\tx\\"),
                PathBuf::from(OsString::from_vec(b"/swap\xff".to_vec()))
            ]
        );
        assert_eq!(paths(b"Filename\n"), [""; 0].map(PathBuf::from));
    }
}
