//! Versions of rsync.

use std::fmt;

/// A version of rsync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RsyncVersion(pub u32, pub u32, pub u32);

impl RsyncVersion {
    /// Reads the first line of `rsync --version`: `rsync  version 3.2.7  protocol version 31`, also with `v3.4.1`.
    pub(super) fn parse(output: &str) -> Option<Self> {
        let line = output.lines().next()?.strip_prefix("rsync")?;
        let version = line.split_whitespace().nth(1)?;
        // A release candidate counts as its release.
        let numbers = version
            .trim_start_matches('v')
            .split(['p', '-', '+'])
            .next()?;
        let mut numbers = numbers.split('.').map(str::parse::<u32>);
        let mut next = || numbers.next().unwrap_or(Ok(0)).ok();
        Some(Self(next()?, next()?, next()?))
    }
}

impl fmt::Display for RsyncVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_form_of_a_version_is_read() {
        for (output, expected) in [
            (
                "rsync  version 3.2.7  protocol version 31\nCopyright",
                Some(RsyncVersion(3, 2, 7)),
            ),
            (
                "rsync  version v3.4.1  protocol version 32",
                Some(RsyncVersion(3, 4, 1)),
            ),
            (
                "rsync  version 3.3.0pre1  protocol version 31",
                Some(RsyncVersion(3, 3, 0)),
            ),
            ("rsync  version 3.1  protocol", Some(RsyncVersion(3, 1, 0))),
            ("openrsync: protocol version 29", None),
            ("hello", None),
            ("", None),
        ] {
            assert_eq!(RsyncVersion::parse(output), expected, "{output}");
        }
    }
}
