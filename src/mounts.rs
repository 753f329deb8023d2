//! What is mounted where, as the kernel says it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A mount that this process sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub at: PathBuf,
    /// The type of its filesystem, such as `btrfs`.
    pub kind: String,
    /// Whether it is mounted to be read alone.
    pub is_read_only: bool,
}

/// Returns the mounts that this process sees, in their order: of two at one place, the second hides the first. Empty
/// without `/proc`.
pub fn mounts() -> Vec<Mount> {
    parsed(&fs::read("/proc/self/mountinfo").unwrap_or_default())
}

fn parsed(mountinfo: &[u8]) -> Vec<Mount> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    let mounts = lines.filter_map(|line| {
        let mut words = line.split(|byte| *byte == b' ');
        let at = PathBuf::from(OsString::from_vec(unescaped(words.nth(4)?)));
        let mut options = words.next()?.split(|byte| *byte == b',');
        // Any number of optional words come before the dash.
        let kind = words.skip_while(|word| *word != b"-").nth(1)?;
        Some(Mount {
            at,
            kind: String::from_utf8_lossy(kind).into_owned(),
            is_read_only: options.any(|option| option == b"ro"),
        })
    });
    mounts.collect()
}

/// Takes back what the kernel escapes in a path, such as `\040` for a space.
pub fn unescaped(mut escaped: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(escaped.len());
    while let [first, rest @ ..] = escaped {
        let octal = rest.first_chunk::<3>().and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match octal {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                escaped = &rest[3..];
            }
            _ => {
                bytes.push(*first);
                escaped = rest;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_whatever_their_names_are() {
        let text =
            b"21 1 0:19 /root / rw,relatime shared:1 master:2 - btrfs /dev/vda rw,subvol=/root\n\
            30 21 0:20 / /mnt/a\\040b\\134 ro,nosuid - fuse.x x rw\n\
            broken\n";
        let mount = |at: &str, kind: &str, is_read_only| Mount {
            at: at.into(),
            kind: kind.to_owned(),
            is_read_only,
        };
        assert_eq!(
            parsed(text),
            [
                mount("/", "btrfs", false),
                mount("/mnt/a b\\", "fuse.x", true)
            ]
        );
        assert_eq!(unescaped(b"/plain\\"), b"/plain\\");
        assert!(
            mounts()
                .iter()
                .any(|mount| mount.at == std::path::Path::new("/proc"))
        );
    }
}
