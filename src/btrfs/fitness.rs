//! Checks whether a filesystem can hold a restore, by its mount options and its geometry.

use std::os::fd::{AsFd as _, AsRawFd as _};

use rustix::io::Errno;

use super::attribute_limit::{AttributeLimit, BESIDE_ATTRIBUTE};
use super::error::BtrfsError;
use super::held::HeldDirectory;
use super::sys;

/// The property that `btrfs property set DIR compression` sets.
const COMPRESSION: &str = "btrfs.compression";

impl HeldDirectory {
    /// Refuses a filesystem that can't hold a restore, and returns warnings about one that holds it less
    /// well. Finds nothing if the mounts can't be read.
    pub fn fitness(&self) -> Result<Vec<String>, BtrfsError> {
        let options = self.mount_options().unwrap_or_default();
        let has = |option| options.split(',').any(|set| set == option);
        if has("noacl") {
            return Err(BtrfsError::NoAcl {
                path: self.path().to_owned(),
            });
        }
        // The first option includes the second.
        let without_checksums = ["nodatacow", "nodatasum"].into_iter();
        let warning = without_checksums.filter(|option| has(option)).map(|option| {
            format!(
                "{} is mounted with `{option}`: what is restored has no checksums there, so btrfs can't find damage in it; \
                 mount it without that option before you restore",
                self.path().display()
            )
        });
        Ok(warning.take(1).collect())
    }

    /// Returns the options of its filesystem, as `/proc` shows them.
    fn mount_options(&self) -> Option<String> {
        let of_file = format!("/proc/self/fdinfo/{}", self.as_fd().as_raw_fd());
        let of_file = std::fs::read_to_string(of_file).ok()?;
        let mount = of_file
            .lines()
            .find_map(|line| line.strip_prefix("mnt_id:"))?
            .trim();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let is_it = |line: &&str| line.split(' ').next() == Some(mount);
        // After the dash: type, device, options.
        let (_, of_filesystem) = mounts.lines().find(is_it)?.split_once(" - ")?;
        of_filesystem.split(' ').nth(2).map(str::to_owned)
    }

    /// Returns the limit on an attribute on its filesystem.
    pub fn attribute_limit(&self) -> Result<AttributeLimit, BtrfsError> {
        let info = sys::fs_info(self).map_err(|source| BtrfsError::Io {
            action: "read the identity of the filesystem of",
            path: self.path().to_owned(),
            source,
        })?;
        let node_bytes = u64::from(info.node_bytes);
        Ok(AttributeLimit {
            bytes: node_bytes.saturating_sub(BESIDE_ATTRIBUTE),
            node_bytes,
        })
    }

    /// Removes the compression property from a subvolume that has just inherited it, and returns its value.
    /// Received files would otherwise have it as an extended attribute that was not archived.
    pub fn drop_compression(&self) -> Result<Option<String>, BtrfsError> {
        let mut value = [0; 64];
        let dropped = rustix::fs::fgetxattr(self, COMPRESSION, &mut value).and_then(|length| {
            rustix::fs::fremovexattr(self, COMPRESSION)?;
            Ok(String::from_utf8_lossy(&value[..length]).into_owned())
        });
        match dropped {
            Ok(value) => Ok(Some(value)),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => Err(BtrfsError::Io {
                action: "take the compression property off",
                path: self.path().to_owned(),
                source: errno.into(),
            }),
        }
    }
}
