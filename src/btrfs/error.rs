//! The errors of this edge.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use super::attribute_limit::AttributeLimit;
use super::obstacle::Obstacle;
use super::undeletable::Undeletable;
use super::version::Version;
use crate::model::Uuid;
use crate::process::ProcessError;

/// An operation on btrfs that failed.
#[derive(Debug, thiserror::Error)]
pub enum BtrfsError {
    /// There is nothing at the path.
    #[error("{} does not exist", .path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// Something is at a path that must be free.
    #[error("{} exists already", .path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// Another user could replace files that are made in the directory.
    #[error("others may replace what lies in {}", .path.display())]
    Shared {
        /// The directory.
        path: PathBuf,
    },
    /// The path is on another filesystem.
    #[error("{} is not on a btrfs filesystem", .path.display())]
    NotBtrfs {
        /// The path.
        path: PathBuf,
    },
    /// The path is on btrfs, but not the root of a subvolume.
    #[error("{} is not a btrfs subvolume", .path.display())]
    NotASubvolume {
        /// The path.
        path: PathBuf,
    },
    /// The path is no directory, or is a link to one.
    #[error("{} is not a directory", .path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// What should name something in a directory would lead elsewhere.
    #[error("cannot use {}: its last part is not a plain file name", .path.display())]
    NotAName {
        /// The path with this name.
        path: PathBuf,
    },
    /// `btrfs receive` can't be confined to its target, and is not started.
    #[error("cannot confine `btrfs receive` to {}", .path.display())]
    Unconfined {
        /// The target.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A restore that an older version began in a plain directory goes by the path, which somebody else can change.
    #[error("other users may move {}: an older coldchain made it as a plain directory", .path.display())]
    Movable {
        /// The directory.
        path: PathBuf,
    },
    /// The send parent can't be found: the mount shows a part of a subvolume, and the directory is no
    /// subvolume.
    #[error(
        "{} is a plain directory, as older versions made it, and its mount shows only a part of a subvolume: \
         `btrfs receive` finds no send parent there",
        .path.display()
    )]
    PartlyMounted {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is on a mount that was unmounted meanwhile, or that can't be mounted a second time.
    #[error("{} is not mounted any more, or its mount is unbindable", .path.display())]
    NotMounted {
        /// The directory.
        path: PathBuf,
    },
    /// The root directory is not the root of a mount, as after a `chroot`, so no mount can be made private in
    /// it.
    #[error("cannot confine `btrfs receive`: the root directory `/` is not a mount point")]
    RootIsNoMount,
    /// Root lacks capabilities that `btrfs receive` needs.
    #[error("root lacks what `btrfs receive` needs: {}", names(.missing))]
    NoCapabilities {
        /// The capabilities, without `CAP_`.
        missing: Vec<&'static str>,
    },
    /// The top-level subvolume of a filesystem made before Linux 3.6 has no uuid.
    #[error("the subvolume {} has no uuid: it is the top level of a filesystem that was made before Linux 3.6", .path.display())]
    NoUuid {
        /// The subvolume.
        path: PathBuf,
    },
    /// A writable snapshot can't be sent, and must not be deleted.
    #[error("the subvolume {} is not read-only", .path.display())]
    NotReadOnly {
        /// The subvolume.
        path: PathBuf,
    },
    /// Another subvolume has replaced it.
    #[error("the subvolume {} has the uuid {found}, not {expected}", .path.display())]
    OtherUuid {
        /// The subvolume.
        path: PathBuf,
        /// The uuid that it should have.
        expected: Uuid,
        /// The uuid that it has.
        found: Uuid,
    },
    /// It is a snapshot of another subvolume.
    #[error(
        "the subvolume {} is not a snapshot of the one with the uuid {expected}, but of {}",
        .path.display(), .found.map_or("none".to_owned(), |found| found.to_string())
    )]
    OtherOrigin {
        /// The subvolume.
        path: PathBuf,
        /// The uuid of the subvolume of which it should be a snapshot.
        expected: Uuid,
        /// The uuid of the subvolume of which it is one; `None` if of none.
        found: Option<Uuid>,
    },
    /// Another subvolume has replaced it.
    #[error("the subvolume {} has the id {found}, not {expected}", .path.display())]
    OtherId {
        /// The subvolume.
        path: PathBuf,
        /// The id that it should have.
        expected: u64,
        /// The id that it has.
        found: u64,
    },
    /// The kernel makes no snapshot of a subvolume with an active swapfile.
    #[error("cannot make a snapshot of {}: {} in use", .path.display(), swapfiles(.files))]
    ActiveSwap {
        /// The subvolume.
        path: PathBuf,
        /// The active swapfiles that were found in it.
        files: Vec<PathBuf>,
    },
    /// The mount takes no access control lists: `btrfs receive` would fail at the first one.
    #[error("{} is mounted with `noacl`: it takes no access control lists", .path.display())]
    NoAcl {
        /// The directory.
        path: PathBuf,
    },
    /// An extended attribute needs larger blocks than the filesystem has.
    #[error(
        "cannot restore {}: its attribute {} has {bytes} bytes with its name, and the filesystem of {}, \
         whose nodesize is {}, takes {}",
        .file.display(), .name.display(), .target.display(), .limit.node_bytes, .limit.bytes
    )]
    AttributeTooLong {
        /// The directory of the restore.
        target: PathBuf,
        /// The file, from the subvolume's root.
        file: PathBuf,
        /// The attribute's name.
        name: OsString,
        /// The bytes of its name and value together.
        bytes: u64,
        /// The filesystem's limit.
        limit: AttributeLimit,
    },
    /// It is not at its path any more, and on that filesystem all the same.
    #[error("{} is missing, but its subvolume is elsewhere on the filesystem", .path.display())]
    Moved {
        /// Its old path.
        path: PathBuf,
    },
    /// The kernel does not delete the subvolume.
    #[error("cannot delete the subvolume {}: {why}", .path.display())]
    Undeletable {
        /// The subvolume.
        path: PathBuf,
        /// The reason.
        why: Undeletable,
    },
    /// A call to the kernel failed.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// The action, to be followed by the path.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The program `btrfs` was not found.
    #[error("the program `btrfs` (package btrfs-progs) is in none of these directories: {path}")]
    NoProgram {
        /// The directories that were searched, in the form of `$PATH`.
        path: String,
    },
    /// A program of the system was not found.
    #[error("there is no program `{program}`")]
    NoSystemProgram {
        /// Its name.
        program: String,
    },
    /// `btrfs version` printed no version.
    #[error("`{} version` prints no version of btrfs-progs: {output}", .program.display())]
    NoVersion {
        /// The program.
        program: PathBuf,
        /// What it printed.
        output: String,
    },
    /// The installed version is too old: known bugs of older versions lose data.
    #[error("btrfs-progs {found} is too old: {needed} or newer is needed for {purpose}")]
    TooOld {
        /// The installed version.
        found: Version,
        /// The oldest version that is enough.
        needed: Version,
        /// What the version is needed for.
        purpose: &'static str,
    },
    /// Only root may make snapshots, send and receive.
    #[error("only root may do this (the effective uid is {uid})")]
    NotRoot {
        /// The effective user id.
        uid: u32,
    },
    /// Root lacks the capability `CAP_SYS_ADMIN`.
    #[error("root lacks the capability CAP_SYS_ADMIN")]
    NoSysAdmin,
    /// The process is root of a user namespace only, as in a container or after `unshare -U`.
    #[error("root of a user namespace cannot send or receive subvolumes")]
    InUserNamespace,
    /// A program could not be run to its end.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A snapshot can't be sent because of something in it.
    #[error("cannot {action}: {obstacle}: {stderr}")]
    Unsendable {
        /// The action, with the path.
        action: String,
        /// What the sender failed at.
        obstacle: Obstacle,
        /// The last of what the sender wrote to stderr, control characters escaped.
        stderr: String,
    },
    /// The data of a snapshot can't be put into its stream.
    #[error("cannot {action}: {why}")]
    Unread {
        /// The action, with the path.
        action: String,
        /// What, where and why.
        why: String,
    },
    /// The guard refuses the stream for an estimate.
    #[error("cannot {action}")]
    Refused {
        /// The action, with the path.
        action: String,
        /// What is wrong with the stream.
        #[source]
        source: super::stream::GuardError,
    },
}

/// Returns the subject of a sentence about swapfiles.
fn swapfiles(files: &[PathBuf]) -> String {
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    match names.as_slice() {
        [] => "a swapfile in it is".to_owned(),
        [name] => format!("the swapfile {name} in it is"),
        names => format!("the swapfiles {} in it are", names.join(", ")),
    }
}

/// Returns the names of capabilities with the usual `CAP_`.
pub(super) fn names(missing: &[&str]) -> String {
    let names: Vec<String> = missing.iter().map(|name| format!("CAP_{name}")).collect();
    names.join(", ")
}
