//! Kinds of files that have to be looked for in a subvolume before the next stream is received on it.

use std::ops::BitOr;

/// Which of these kinds of files a subvolume may hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holds {
    /// Fifos.
    pub fifos: bool,
    /// Anything but a directory with the setuid or setgid bit.
    pub privileged: bool,
}

impl BitOr for Holds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            fifos: self.fifos | other.fifos,
            privileged: self.privileged | other.privileged,
        }
    }
}
