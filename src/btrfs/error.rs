//! What can go wrong at this edge.

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
        /// Where it should be.
        path: PathBuf,
    },
    /// Something is where nothing may be.
    #[error("{} exists already", .path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// What is made in a directory could be replaced by somebody else.
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
    /// Something else than a directory, or a link to one.
    #[error("{} is not a directory", .path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// What should name something in a directory would lead elsewhere.
    #[error("cannot use {}: its last part is not a plain file name", .path.display())]
    NotAName {
        /// The path that it would be.
        path: PathBuf,
    },
    /// `btrfs receive` can't be kept away from everything but its target, and is not started then.
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
    /// The send parent can't be found: the mount shows a part of a subvolume, and what lies in it was not made as one.
    #[error(
        "{} is a plain directory, as older versions made it, and its mount shows only a part of a subvolume: \
         `btrfs receive` finds no send parent there",
        .path.display()
    )]
    PartlyMounted {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is on a mount that was taken away meanwhile, or that can't be mounted a second time.
    #[error("{} is not mounted any more, or its mount is unbindable", .path.display())]
    NotMounted {
        /// The directory.
        path: PathBuf,
    },
    /// A `chroot` leads to a directory that is not the root of a mount, and no mount can be made private in it.
    #[error("cannot confine `btrfs receive`: the root directory `/` is not a mount point")]
    RootIsNoMount,
    /// Root has been left without what `btrfs receive` needs.
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
    /// A snapshot that can be written can't be sent, nor is it one that may be deleted.
    #[error("the subvolume {} is not read-only", .path.display())]
    NotReadOnly {
        /// The subvolume.
        path: PathBuf,
    },
    /// It was replaced by another.
    #[error("the subvolume {} has the uuid {found}, not {expected}", .path.display())]
    OtherUuid {
        /// The subvolume.
        path: PathBuf,
        /// The uuid that it should have.
        expected: Uuid,
        /// The uuid that it has.
        found: Uuid,
    },
    /// It is a snapshot of something else.
    #[error(
        "the subvolume {} is not a snapshot of the one with the uuid {expected}, but of {}",
        .path.display(), .found.map_or("none".to_owned(), |found| found.to_string())
    )]
    OtherOrigin {
        /// The subvolume.
        path: PathBuf,
        /// The uuid of the subvolume that it should have been taken of.
        expected: Uuid,
        /// The uuid of the one that it was taken of.
        found: Option<Uuid>,
    },
    /// It was replaced by another.
    #[error("the subvolume {} has the id {found}, not {expected}", .path.display())]
    OtherId {
        /// The subvolume.
        path: PathBuf,
        /// The id that it should have.
        expected: u64,
        /// The id that it has.
        found: u64,
    },
    /// The kernel makes no snapshot of a subvolume with a swapfile in use.
    #[error("cannot make a snapshot of {}: {} in use", .path.display(), swapfiles(.files))]
    ActiveSwap {
        /// The subvolume.
        path: PathBuf,
        /// Those that were found in it.
        files: Vec<PathBuf>,
    },
    /// `btrfs receive` fails at the first access control list.
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
        /// The directory that is restored into.
        target: PathBuf,
        /// The file, from the subvolume's root.
        file: PathBuf,
        /// The attribute's name.
        name: OsString,
        /// Of name and value.
        bytes: u64,
        /// What the filesystem takes.
        limit: AttributeLimit,
    },
    /// It is not at its path any more, and on that filesystem all the same.
    #[error("{} is missing, but its subvolume is elsewhere on the filesystem", .path.display())]
    Moved {
        /// Where it was.
        path: PathBuf,
    },
    /// The kernel does not delete it.
    #[error("cannot delete the subvolume {}: {why}", .path.display())]
    Undeletable {
        /// The subvolume.
        path: PathBuf,
        /// What is in the way.
        why: Undeletable,
    },
    /// A call to the kernel failed.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was being done, to be followed by the path.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// There is no `btrfs`.
    #[error("the program `btrfs` (package btrfs-progs) is in none of these directories: {path}")]
    NoProgram {
        /// Where it was looked for, in the form of `$PATH`.
        path: String,
    },
    /// A program of the system is not there.
    #[error("there is no program `{program}`")]
    NoSystemProgram {
        /// Its name.
        program: String,
    },
    /// `btrfs version` did not say one.
    #[error("`{} version` prints no version of btrfs-progs: {output}", .program.display())]
    NoVersion {
        /// The program.
        program: PathBuf,
        /// What it printed.
        output: String,
    },
    /// Known bugs of the older versions lose data.
    #[error("btrfs-progs {found} is too old: {needed} or newer is needed for {purpose}")]
    TooOld {
        /// What is installed.
        found: Version,
        /// The least.
        needed: Version,
        /// What for.
        purpose: &'static str,
    },
    /// Snapshots, send and receive need it.
    #[error("only root may do this (the effective uid is {uid})")]
    NotRoot {
        /// Who it is.
        uid: u32,
    },
    /// Root has been left without what makes it root.
    #[error("root lacks the capability CAP_SYS_ADMIN")]
    NoSysAdmin,
    /// Root of a container or of `unshare -U`.
    #[error("root of a user namespace cannot send or receive subvolumes")]
    InUserNamespace,
    /// A program could not be run to its end.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A snapshot can't be sent because of something in it.
    #[error("cannot {action}: {obstacle}: {stderr}")]
    Unsendable {
        /// What was to be done, with the path.
        action: String,
        /// What is in the way.
        obstacle: Obstacle,
        /// The last of what the sender wrote to stderr, control characters escaped.
        stderr: String,
    },
    /// A stream for an estimate that the guard refuses.
    #[error("cannot {action}")]
    Refused {
        /// What was being done, with the path.
        action: String,
        /// What is wrong with the stream.
        #[source]
        source: super::stream::GuardError,
    },
}

/// The subject of a sentence about swapfiles.
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

/// The names of capabilities, as everybody writes them.
pub(super) fn names(missing: &[&str]) -> String {
    let names: Vec<String> = missing.iter().map(|name| format!("CAP_{name}")).collect();
    names.join(", ")
}
