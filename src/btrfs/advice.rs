//! What kind of failure it is for whoever ran the program, and what to do about it.

use super::error::BtrfsError;
use super::guard::{GuardError, PathFault, Refusal};

/// As `btrfs` says it, which is always run in the language C.
const NO_SPACE: &str = "No space left on device";
const READ_ONLY: &str = "Read-only file system";

impl BtrfsError {
    /// Whether a program or a privilege is missing, or too old.
    pub fn is_missing_or_old(&self) -> bool {
        matches!(
            self,
            Self::NoProgram { .. }
                | Self::NoSystemProgram { .. }
                | Self::NoVersion { .. }
                | Self::TooOld { .. }
                | Self::NotRoot { .. }
                | Self::Unconfined { .. }
                | Self::NoSysAdmin
                | Self::InUserNamespace
        )
    }

    /// Whether a path that was typed or configured is not what it should be.
    pub fn is_wrong_path(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. }
                | Self::Exists { .. }
                | Self::Shared { .. }
                | Self::NotBtrfs { .. }
                | Self::NotADirectory { .. }
                | Self::NotAName { .. }
                | Self::Movable { .. }
                | Self::NotASubvolume { .. }
                | Self::NoUuid { .. }
                | Self::NotReadOnly { .. }
                | Self::OtherUuid { .. }
                | Self::OtherOrigin { .. }
                | Self::OtherId { .. }
        )
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Missing { .. } => "check the path, and whether its filesystem is mounted",
            Self::Shared { .. } => {
                "name a directory that only root may write to, or one with the sticky bit, as /tmp has it"
            }
            Self::NotBtrfs { .. } => {
                "check the path, and whether the right filesystem is mounted there"
            }
            Self::NotASubvolume { .. } => {
                "name the root of a subvolume; `btrfs subvolume list` shows those of a filesystem"
            }
            Self::NoProgram { .. } | Self::TooOld { .. } | Self::NoVersion { .. } => {
                "install btrfs-progs from your distribution, 6.2 or later if you can"
            }
            Self::Failed { stderr, .. } if stderr.contains(NO_SPACE) => {
                "free some space on that filesystem, and run again"
            }
            Self::Failed { stderr, .. } if stderr.contains(READ_ONLY) => {
                "mount that filesystem writable, and run again"
            }
            Self::NotRoot { .. } => "run it as root: snapshots, send and receive need it",
            Self::Unconfined { .. } => {
                "run it as root outside of containers, on Linux 5.14 or newer, with the capabilities CAP_SYS_ADMIN, CAP_SYS_CHROOT, CAP_SETPCAP, CAP_MKNOD, CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID and CAP_SETFCAP"
            }
            Self::Movable { .. } => {
                "restore into another directory, or first make every directory above it root's, with `chown root:` and `chmod go-w`"
            }
            Self::NoSysAdmin => {
                "allow CAP_SYS_ADMIN: in `CapabilityBoundingSet=` of a systemd unit, by `--cap-add SYS_ADMIN` for a container; snapshots, send and receive need it"
            }
            Self::InUserNamespace => {
                "run it as root of the machine itself, outside of the user namespace"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

impl GuardError {
    /// What to do next about a stream that was to be archived.
    pub fn hint(&self) -> &'static str {
        match self.refusal {
            Refusal::Empty | Refusal::CutHeader { .. } | Refusal::Magic => {
                "nothing was committed; this is no send stream: see what its sender has to say"
            }
            Refusal::NotFull { .. }
            | Refusal::NotIncremental { .. }
            | Refusal::WrongSendParent { .. }
            | Refusal::ChangedSendParent { .. } => {
                "nothing was committed; send what was asked for: after `c` a full stream, after `i DATE` one of `btrfs send -p` with that date's snapshot"
            }
            Refusal::TooManySpecialFiles { .. } => {
                "nothing was committed; divide the source into several subvolumes, and archive each"
            }
            Refusal::Path {
                fault: PathFault::PathTooLong | PathFault::ClonedTooLong,
                ..
            } => "nothing was committed; shorten this path in the source, then make a new snapshot",
            Refusal::OnSpecial { .. } | Refusal::ThroughSpecial { .. } => {
                "nothing was committed; `btrfs send` prints no such stream: find out who made it"
            }
            _ => {
                "nothing was committed, and the next run starts anew; a sender that was stopped, frozen or suspended prints such a stream"
            }
        }
    }
}
