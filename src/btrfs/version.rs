//! Versions of btrfs-progs.

use std::fmt;

/// A version of btrfs-progs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// Returns a version from its numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Reads the first line of `btrfs version`: `btrfs-progs v6.2`, `v5.15.1`, `v6.7-rc1`.
    pub(super) fn parse(output: &str) -> Option<Self> {
        let text = output.lines().next()?.strip_prefix("btrfs-progs v")?;
        // A release candidate counts as its release.
        let numbers = text.split([' ', '-', '+', '~']).next()?;
        let mut numbers = numbers.split('.').map(str::parse::<u32>);
        let mut next = || numbers.next().unwrap_or(Ok(0)).ok();
        let version = Self::new(next()?, next()?, next()?);
        (version.major > 0).then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        match self.patch {
            0 => Ok(()),
            patch => write!(f, ".{patch}"),
        }
    }
}
