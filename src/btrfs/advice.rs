//! Classifies failures for the user, and advises what to do about them.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use rustix::process::Signal;

use super::attribute_limit::node_for;
use super::error::{BtrfsError, names};
use super::obstacle::Obstacle;
use super::stream::{GuardError, PathFault, StreamRefusal};
use crate::model::shell;
use crate::process::ProcessError;

/// The texts of `btrfs`, which always runs in the language C.
const NO_SPACE: &str = "No space left on device";
const READ_ONLY: &str = "Read-only file system";
const UNSUPPORTED: &str = "Operation not supported";
const NO_CHROOT: &str = "failed to chroot to ";
/// The first part of the names of attributes that hold access control lists.
const ACL: &str = "system.posix_acl";

/// What `btrfs send` prints if the parent is below another mount than the snapshot.
const APART: [&str; 2] = [
    "not on mount point",
    "not reachable from inside the root subvol",
];

const OVER_QUOTA: &str = "Disk quota exceeded";
const RAISE_QUOTA: &str =
    "raise the limit that `btrfs qgroup show -re` shows, or delete something, and run again";
const WITH_ACL: &str = "mount that filesystem with the option `acl`, and run again";
const MOUNT_WRITABLE: &str = "mount that filesystem writable, and run again";
const FREE_SPACE: &str = "free some space on that filesystem, and run again";

/// What `btrfs send` and coldchain's own sender print while deduplication or a balance runs.
const HELD: [&str; 2] = ["send ioctl failed with -11", "another operation holds it"];

/// What a program prints if it fails because this machine lacks something, whatever its input.
const OF_THIS_MACHINE: [&str; 11] = [
    NO_SPACE,
    READ_ONLY,
    UNSUPPORTED,
    OVER_QUOTA,
    "Cannot allocate memory",
    "Operation not permitted",
    "Permission denied",
    "Too many open files",
    "Input/output error",
    "File too large",
    "File name too long",
];

impl BtrfsError {
    /// Returns whether a program failed because this machine lacks something, and not because of its input.
    pub fn is_of_this_machine(&self) -> bool {
        let Self::Process(ProcessError::Failed { stderr, .. }) = self else {
            return false;
        };
        OF_THIS_MACHINE.iter().any(|lack| stderr.contains(lack))
    }

    /// Returns whether the kernel refused to send because deduplication runs, or, before Linux 5.17, a
    /// balance.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Process(ProcessError::Failed { stderr, .. }) if HELD.iter().any(|held| stderr.contains(held)))
    }

    /// Returns whether a program may succeed the next time: it was killed, or lacked something for a moment.
    pub fn is_passing(&self) -> bool {
        const FOR_A_MOMENT: [&str; 3] = [
            "Cannot allocate memory",
            "Too many open files",
            "Resource temporarily unavailable",
        ];
        let Self::Process(ProcessError::Failed { status, stderr, .. }) = self else {
            return false;
        };
        status.code().is_none()
            || self.is_held()
            || FOR_A_MOMENT.iter().any(|lack| stderr.contains(lack))
    }

    /// Returns whether the operation was not begun because the run is ending.
    pub fn is_stopping(&self) -> bool {
        matches!(self, Self::Process(ProcessError::Stopping { .. }))
    }

    /// Returns whether the filesystem has too little space.
    pub fn is_lack_of_space(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(
                source.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded
            ),
            Self::Process(ProcessError::Failed { stderr, .. }) => {
                stderr.contains(NO_SPACE) || stderr.contains(OVER_QUOTA)
            }
            _ => false,
        }
    }

    /// Returns whether a program is missing or too old, or a privilege is missing.
    pub fn is_missing_or_old(&self) -> bool {
        if let Self::Process(ProcessError::Failed { stderr, .. }) = self {
            return stderr.starts_with(NO_CHROOT);
        }
        matches!(
            self,
            Self::NoProgram { .. }
                | Self::NoSystemProgram { .. }
                | Self::NoVersion { .. }
                | Self::TooOld { .. }
                | Self::NotRoot { .. }
                | Self::Unconfined { .. }
                | Self::RootIsNoMount
                | Self::NoCapabilities { .. }
                | Self::NoSysAdmin
                | Self::InUserNamespace
        )
    }

    /// Returns whether a typed or configured path is wrong.
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
                | Self::PartlyMounted { .. }
                | Self::NotMounted { .. }
                | Self::NoAcl { .. }
                | Self::AttributeTooLong { .. }
                | Self::OtherUuid { .. }
                | Self::OtherOrigin { .. }
                | Self::OtherId { .. }
        )
    }

    /// Returns what the user can do next.
    #[expect(
        clippy::too_many_lines,
        reason = "an arm for each error, and no rule that would put them in fewer"
    )]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Undeletable { path, why } => {
                return Some(why.hint(path));
            }
            Self::Missing { .. } => "check the path, and whether its filesystem is mounted",
            Self::Shared { .. } => {
                "name a directory that only root may write to, or one with the sticky bit, as /tmp has it"
            }
            Self::NotBtrfs { .. } => {
                "check the path, and whether the right filesystem is mounted there"
            }
            Self::NoUuid { path } => {
                let name = shell::path(&path.join("NAME"));
                let path = shell::path(path);
                return Some(format!(
                    "archive a subvolume inside it instead; `btrfs subvolume snapshot {path} {name}` makes one with the \
                     same content"
                ));
            }
            Self::NotASubvolume { .. } => {
                "name the root of a subvolume; `btrfs subvolume list` shows those of a filesystem"
            }
            Self::NoProgram { .. } | Self::TooOld { .. } | Self::NoVersion { .. } => {
                "install btrfs-progs from your distribution, 6.2 or later if you can"
            }
            Self::Unsendable {
                obstacle: Obstacle::Unreadable { .. },
                ..
            } => {
                "replace that file by a good copy, or delete it: the next date's snapshot is archived in place of this one. \
                 `btrfs scrub` finds out whether more is damaged"
            }
            Self::Unsendable {
                obstacle: Obstacle::PathTooLong { .. },
                ..
            } => {
                "shorten this path in the source: the next date's snapshot is archived in place of this one"
            }
            Self::Process(ProcessError::Failed { stderr, .. }) if stderr.contains(NO_SPACE) => {
                FREE_SPACE
            }
            Self::Process(ProcessError::Failed { stderr, .. }) if stderr.contains(READ_ONLY) => {
                MOUNT_WRITABLE
            }
            Self::ActiveSwap { files, .. } => {
                let file = files
                    .first()
                    .map_or("FILE".into(), |file| shell::path(file));
                return Some(format!(
                    "run `swapoff {file}`, and make a new swapfile in a subvolume of its own, which snapshots of this one do \
                     not include"
                ));
            }
            Self::Moved { .. } => {
                "check whether the directory of the snapshots is mounted, and whether `snapshots` in the config names it"
            }
            Self::NoAcl { .. } => WITH_ACL,
            Self::AttributeTooLong { bytes, .. } => {
                return node_for(*bytes).map(|node| {
                    format!("restore onto a btrfs that was made with `mkfs.btrfs --nodesize {node}`, or with a larger nodesize")
                });
            }
            Self::Process(ProcessError::Failed { stderr, .. })
                if stderr.contains(ACL) && stderr.contains(UNSUPPORTED) =>
            {
                WITH_ACL
            }
            Self::Process(ProcessError::Failed { status, .. })
                if status.signal() == Some(Signal::XFSZ.as_raw()) =>
            {
                "allow larger files (`ulimit -f unlimited`, `LimitFSIZE=` of a systemd unit), and run again"
            }
            Self::Process(ProcessError::Failed { stderr, .. }) if stderr.contains(OVER_QUOTA) => {
                RAISE_QUOTA
            }
            Self::Process(ProcessError::Failed { stderr, .. })
                if APART.iter().any(|apart| stderr.contains(apart)) =>
            {
                "take `sender = \"btrfs\"` out of the config: coldchain's own sender can send against a snapshot below another mount"
            }
            Self::Io { source, action, .. } => match source.kind() {
                ErrorKind::QuotaExceeded => RAISE_QUOTA,
                ErrorKind::PermissionDenied if *action == "create the subvolume" => {
                    "check with `lsattr -d` whether the directory above it is immutable, then run `chattr -i` on that"
                }
                ErrorKind::ReadOnlyFilesystem => MOUNT_WRITABLE,
                ErrorKind::StorageFull => FREE_SPACE,
                _ => return None,
            },
            Self::Process(ProcessError::Spawn { .. }) if !Path::new("/dev/null").exists() => {
                "there is no /dev/null, which every program needs: mount /dev, and run again"
            }
            Self::NotRoot { .. } => "run it as root: snapshots, send and receive need it",
            Self::Unconfined { source, .. } if source.kind() == ErrorKind::NotFound => {
                "make one of these directories, or run `chown root:` and `chmod go-w` on one"
            }
            Self::Unconfined { .. } => {
                "run it as root outside of containers and other sandboxes, on Linux 5.14 or newer; a sandbox must allow the capability CAP_SETPCAP and the system calls openat2, open_tree, mount_setattr, move_mount, unshare, mount and chroot"
            }
            Self::Process(ProcessError::Failed { stderr, .. }) if stderr.starts_with(NO_CHROOT) => {
                "a sandbox must allow the capability CAP_SYS_CHROOT and the system call chroot"
            }
            Self::NotMounted { .. } => {
                "mount that filesystem, or run `mount --make-private` on its mount point, and run again"
            }
            Self::RootIsNoMount => {
                "run it outside of the chroot, or run `mount --rbind ROOT ROOT` before `chroot ROOT`"
            }
            Self::NoCapabilities { missing } => {
                let names = names(missing);
                let devices = if missing.contains(&"MKNOD") {
                    " without `PrivateDevices=`"
                } else {
                    ""
                };
                return Some(format!(
                    "allow {names}: in `CapabilityBoundingSet=` of a systemd unit{devices}, by `--cap-add` for a container"
                ));
            }
            Self::PartlyMounted { .. } => {
                "mount the filesystem as a whole (`mount -o subvolid=5 DEVICE DIR`), and name the same directory below that mount with `--to`; or delete what was restored there, and run again"
            }
            Self::Movable { .. } => {
                "restore into another directory, or first run `chown root:` and `chmod go-w` on every directory above it"
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
    /// Returns what the user can do next about a stream that could not be archived.
    pub fn hint(&self) -> &'static str {
        match self.refusal {
            StreamRefusal::Empty | StreamRefusal::CutHeader { .. } | StreamRefusal::Magic => {
                "read the messages of the sender: this is not a send stream. If the sender does not have the snapshot of `i DATE`, run `coldchain decide --full`, which asks for a full stream. Nothing was committed"
            }
            StreamRefusal::NotFull { .. } => "send a full stream after `c`; nothing was committed",
            StreamRefusal::NotIncremental { .. }
            | StreamRefusal::WrongSendParent { .. }
            | StreamRefusal::ChangedSendParent { .. } => {
                "nothing was committed; after `i DATE` send with `btrfs send -p` and that date's snapshot. If it is gone or was changed, run `coldchain decide --full`, which asks for a full stream"
            }
            StreamRefusal::CompressedData => {
                "nothing was committed; send without `--compressed-data`"
            }
            StreamRefusal::TooManySpecialFiles { .. } => {
                "nothing was committed; divide the source into several subvolumes, and archive each"
            }
            StreamRefusal::Path {
                fault: PathFault::PathTooLong | PathFault::ClonedTooLong,
                ..
            } => "nothing was committed; shorten this path in the source, then make a new snapshot",
            StreamRefusal::OnSpecial { .. } | StreamRefusal::ThroughSpecial { .. } => {
                "find out what made this stream: `btrfs send` prints no such stream; nothing was committed"
            }
            _ => {
                "run again, which starts from the beginning: a sender that was stopped, frozen or suspended prints such a stream; nothing was committed"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn what_a_machine_lacks_is_told_from_what_a_stream_has_wrong() {
        let failed = |stderr: &str| {
            BtrfsError::Process(ProcessError::Failed {
                program: "btrfs",
                action: "receive".to_owned(),
                status: ExitStatus::from_raw(1 << 8),
                stderr: stderr.to_owned(),
            })
        };
        for (stderr, expected) in [
            (
                "lsetxattr f user.long failed: No space left on device",
                true,
            ),
            ("chown f failed: Operation not permitted", true),
            ("unlink f failed: No such file or directory", false),
            ("rename a to b failed: Directory not empty", false),
        ] {
            assert_eq!(failed(stderr).is_of_this_machine(), expected, "{stderr}");
        }
        for (stderr, expected) in [
            (
                "cannot have the kernel send /s: it is being deduplicated, or another operation holds it; try again",
                true,
            ),
            (
                "send ioctl failed with -11: Resource temporarily unavailable",
                true,
            ),
            ("send ioctl failed with -5: Input/output error", false),
        ] {
            assert_eq!(failed(stderr).is_held(), expected, "{stderr}");
            assert_eq!(failed(stderr).is_passing(), expected, "{stderr}");
        }
        // The system allows no more threads.
        let no_thread = failed("could not listen for signals: Resource temporarily unavailable");
        assert!(!no_thread.is_held() && no_thread.is_passing());
        let path = Path::new("/x").to_owned();
        assert!(!BtrfsError::Missing { path }.is_of_this_machine());
    }
}
