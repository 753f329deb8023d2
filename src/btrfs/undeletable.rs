//! Why the kernel does not delete a subvolume: it answers most of the reasons with the same error.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{IFlags, Mode, OFlags};

use super::error::BtrfsError;
use super::neighbours::nested_subvolumes;
use super::sys::trees;

/// What keeps a subvolume from being deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undeletable {
    /// It is what a mount without `subvol=` shows.
    #[error("it is the default subvolume of its filesystem")]
    Default,
    /// It is not empty in this sense.
    #[error("the subvolume {} lies in it", .0.display())]
    Holds(PathBuf),
    /// `chattr +i` or `+a` was used on it, or on the directory that it lies in.
    #[error("{} has the attribute `{attribute}`", .path.display())]
    Protected {
        /// The directory.
        path: PathBuf,
        /// As `chattr` calls it.
        attribute: char,
    },
    /// A `btrfs send` reads it, or sends another against it.
    #[error("a `btrfs send` is reading it")]
    Sent,
}

impl Undeletable {
    /// What to do about it, before the next run.
    pub(super) fn hint(&self, subvolume: &Path) -> String {
        match self {
            Self::Default => format!(
                "set another default with `btrfs subvolume set-default`, such as `btrfs subvolume set-default 5 {}`",
                subvolume.parent().unwrap_or(subvolume).display()
            ),
            Self::Holds(path) => {
                let delete = format!("btrfs subvolume delete {}", path.display());
                format!("if you don't need that, {}", run_within(subvolume, &delete))
            }
            Self::Protected { path, attribute } => {
                let chattr = format!("chattr -{attribute} {}", path.display());
                if path == subvolume {
                    run_within(subvolume, &chattr)
                } else {
                    format!("run `{chattr}`")
                }
            }
            Self::Sent => "let it end, or end it".to_owned(),
        }
    }
}

/// How to run a command that changes something in a read-only subvolume.
fn run_within(subvolume: &Path, command: &str) -> String {
    let set = format!("btrfs property set {} ro", subvolume.display());
    format!("run `{set} false`, `{command}` and `{set} true`")
}

/// The error for a subvolume that the kernel did not delete.
pub(super) fn undeletable(path: &Path, subvolume_id: u64, source: io::Error) -> BtrfsError {
    match reason(path, subvolume_id, &source) {
        Some(why) => BtrfsError::Undeletable {
            path: path.to_owned(),
            why,
        },
        None => BtrfsError::Io {
            action: "delete the subvolume",
            path: path.to_owned(),
            source,
        },
    }
}

fn reason(path: &Path, subvolume_id: u64, source: &io::Error) -> Option<Undeletable> {
    match source.kind() {
        io::ErrorKind::DirectoryNotEmpty => {
            let nested = nested_subvolumes(path).ok()?;
            nested.into_iter().next().map(Undeletable::Holds)
        }
        io::ErrorKind::PermissionDenied => {
            let directory = path.parent()?;
            let open = |path: &Path| {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                rustix::fs::open(path, flags, Mode::empty())
            };
            let subvolume = open(path).ok()?;
            if trees::default_subvolume(&subvolume).ok()? == Some(subvolume_id) {
                return Some(Undeletable::Default);
            }
            let of_it = protection(&subvolume, path);
            let of_directory = || protection(open(directory).ok()?, directory);
            of_it.or_else(of_directory).or(Some(Undeletable::Sent))
        }
        _ => None,
    }
}

fn protection(directory: impl AsFd, path: &Path) -> Option<Undeletable> {
    let flags = rustix::fs::ioctl_getflags(directory).ok()?;
    let attribute = if flags.contains(IFlags::IMMUTABLE) {
        'i'
    } else if flags.contains(IFlags::APPEND) {
        'a'
    } else {
        return None;
    };
    Some(Undeletable::Protected {
        path: path.to_owned(),
        attribute,
    })
}
