//! What a stream may leave in a subvolume that has to be looked for before the next one is received.

use std::ops::BitOr;

/// Which files a subvolume may hold that are looked for before an incremental is received on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holds {
    /// Fifos.
    pub fifos: bool,
    /// Regular files with the setuid or setgid bit.
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
