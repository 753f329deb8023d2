//! What kind of failure it is for whoever ran the program, and what to do about it.

use super::error::BtrfsError;

impl BtrfsError {
    /// Whether a program or a privilege is missing, or too old.
    pub fn is_missing_or_old(&self) -> bool {
        matches!(
            self,
            Self::NoProgram { .. }
                | Self::NoVersion { .. }
                | Self::TooOld { .. }
                | Self::NotRoot { .. }
        )
    }

    /// Whether a path that was typed or configured is not what it should be.
    pub fn is_wrong_path(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. }
                | Self::Exists { .. }
                | Self::NotBtrfs { .. }
                | Self::NotASubvolume { .. }
                | Self::NoUuid { .. }
                | Self::NotReadOnly { .. }
                | Self::OtherUuid { .. }
                | Self::OtherId { .. }
        )
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Missing { .. } => "check the path, and whether its filesystem is mounted",
            Self::NotBtrfs { .. } => {
                "check the path, and whether the right filesystem is mounted there"
            }
            Self::NotASubvolume { .. } => {
                "name the root of a subvolume; `btrfs subvolume list` shows those of a filesystem"
            }
            Self::NoProgram { .. } | Self::TooOld { .. } | Self::NoVersion { .. } => {
                "install btrfs-progs from your distribution, 6.2 or later if you can"
            }
            Self::NotRoot { .. } => "run it as root: snapshots, send and receive need it",
            _ => return None,
        };
        Some(text.to_owned())
    }
}
