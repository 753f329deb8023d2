//! Checks whether a filesystem can hold a restore, by its mount options and its geometry.

use std::os::fd::{AsFd as _, AsRawFd as _};

use rustix::io::Errno;

use super::attribute_limit::{AttributeLimit, BESIDE_ATTRIBUTE};
use super::error::BtrfsError;
use super::held::HeldDirectory;
use super::stream::{COMPRESSION, DEFAULT_ACL, HandedDown};
use super::sys;

/// The longest value of an extended attribute on Linux (`XATTR_SIZE_MAX`), in bytes.
const LONGEST_VALUE: usize = 64 << 10;

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
        let value = self.take_off("take the compression property off", COMPRESSION)?;
        Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    }

    /// Removes the default ACL that it may have inherited. What is received in it would otherwise have access rights that
    /// were not archived.
    pub fn drop_default_acl(&self) -> Result<(), BtrfsError> {
        self.take_off("take the default ACL off", DEFAULT_ACL)
            .map(drop)
    }

    /// Returns what it hands down to each file that is made in it.
    pub fn handed_down(&self) -> Result<HandedDown, BtrfsError> {
        HandedDown::read(|name| self.attribute("read what new files inherit from", name))
    }

    fn take_off(&self, action: &'static str, name: &str) -> Result<Option<Vec<u8>>, BtrfsError> {
        let value = self.attribute(action, name)?;
        if value.is_some() {
            rustix::fs::fremovexattr(self, name)
                .map_err(|errno| self.attribute_error(action, errno))?;
        }
        Ok(value)
    }

    /// Returns the value of an extended attribute; `None` if it has none of this name.
    fn attribute(&self, action: &'static str, name: &str) -> Result<Option<Vec<u8>>, BtrfsError> {
        let mut value = vec![0; LONGEST_VALUE];
        match rustix::fs::fgetxattr(self, name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                Ok(Some(value))
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => Err(self.attribute_error(action, errno)),
        }
    }

    fn attribute_error(&self, action: &'static str, errno: Errno) -> BtrfsError {
        BtrfsError::Io {
            action,
            path: self.path().to_owned(),
            source: errno.into(),
        }
    }
}
