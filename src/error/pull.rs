//! Why a source can't be pulled.

use std::path::PathBuf;

use super::{Advice, ExitCode, exit};
use crate::model::{PullLocation, SourceName, shell};
use crate::rsync::RsyncError;

/// Why a source can't be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Nothing is configured to be pulled.
    #[error(
        "there is nothing to pull: {} has no [source.pull]",
        source_name.as_ref().map_or("the config".to_owned(), |name| format!("`{name}`"))
    )]
    NothingToPull {
        /// The source; `None` if no source has one.
        source_name: Option<SourceName>,
    },
    /// rsync can't be used at all.
    #[error(transparent)]
    Rsync(#[from] RsyncError),
    /// A run was cut, or failed: the content is neither the old nor the new one.
    #[error(
        "the last pull of `{source_name}` did not end well, so {} is only half up to date", path.display()
    )]
    Unfinished {
        /// The source.
        source_name: SourceName,
        /// The subvolume.
        path: PathBuf,
    },
    /// The subvolume has never been pulled.
    #[error("no pull of `{source_name}` into {} has ended well yet", path.display())]
    NeverPulled {
        /// The source.
        source_name: SourceName,
        /// The subvolume.
        path: PathBuf,
    },
    /// The source has nothing to pull.
    #[error("{from} is empty or not there, and to pull it would empty {}", path.display())]
    Empty {
        /// Where it is pulled from.
        from: Box<PullLocation>,
        /// The subvolume.
        path: PathBuf,
    },
    /// More would be deleted than one run may delete.
    #[error(
        "to pull {from} would delete {deleted} of {entries} entries of {}, and a run may delete {limit}", path.display()
    )]
    ManyDeletions {
        /// The source.
        source_name: SourceName,
        /// Where it is pulled from.
        from: Box<PullLocation>,
        /// The subvolume.
        path: PathBuf,
        /// How many entries would be deleted.
        deleted: u64,
        /// How many entries the last good run has found.
        entries: u64,
        /// How many may be deleted.
        limit: u64,
    },
    /// rsync has come to the limit while it ran: entries went away after they were counted.
    #[error("rsync stopped to delete after {limit} entries of {}", path.display())]
    StoppedDeleting {
        /// The source.
        source_name: SourceName,
        /// The subvolume.
        path: PathBuf,
        /// How many it was to delete at most.
        limit: u64,
    },
    /// No pull has made what is in the subvolume.
    #[error("{} has files that no pull of coldchain is known to have put there", path.display())]
    Foreign {
        /// The source.
        source_name: SourceName,
        /// The subvolume.
        path: PathBuf,
    },
    /// The subvolume was there, and is not any more.
    #[error("the subvolume {} of the last pull of `{source_name}` is not there", path.display())]
    Gone {
        /// The source.
        source_name: SourceName,
        /// The subvolume.
        path: PathBuf,
    },
    /// The subvolume can't be pulled into.
    #[error("cannot pull into {}: {what}", path.display())]
    Unfit {
        /// The subvolume.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Other users could run the setuid programs of what is pulled.
    #[error(
        "other users can enter {} (mode {mode:04o}), and with it what is pulled from {from}, whose setuid programs \
         they could run", path.display()
    )]
    Open {
        /// The directory above.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// Where it is pulled from.
        from: Box<PullLocation>,
    },
    /// The subvolume would be pulled into itself.
    #[error("{from} and {} are inside each other, so rsync would pull its own copy", path.display())]
    IntoItself {
        /// Where it is pulled from.
        from: Box<PullLocation>,
        /// The subvolume.
        path: PathBuf,
    },
    /// Writing in place would change each name of a file.
    #[error("{} has several names, and `inplace` would change all of them", path.display())]
    LinkedFile {
        /// The file.
        path: PathBuf,
    },
    /// Something else has the name of the directory for unfinished files.
    #[error("cannot pull: {} is no directory, so no pull has made it", _0.display())]
    StagingTaken(PathBuf),
    /// The file with patterns can't be used.
    #[error("{} can't be used as `exclude_from`: {what}", path.display())]
    ExcludeFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// rsync failed.
    #[error(
        "cannot pull {from}: rsync {}: {}",
        code.map_or("was killed".to_owned(), |code| format!("ended with exit code {code}")),
        if said.is_empty() { "it said nothing" } else { said }
    )]
    Failed {
        /// Where it is pulled from.
        from: Box<PullLocation>,
        /// What kind of failure that is.
        why: PullFailure,
        /// Its exit code; `None` if a signal ended it.
        code: Option<i32>,
        /// What rsync said.
        said: Box<str>,
    },
}

/// What kept rsync from pulling everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullFailure {
    /// The host's key is not known here.
    HostKeyUnknown,
    /// The host has another key than the one that is known here.
    HostKeyChanged,
    /// The host does not accept the login.
    LoginDenied,
    /// The host's port is closed.
    PortClosed,
    /// The host's name is not known.
    NameUnknown,
    /// The host does not answer.
    NotReached,
    /// There is no rsync on the other machine.
    NoRsyncThere,
    /// The other machine has no ssh here to be reached by.
    NoSshHere,
    /// There is no such directory.
    NoSuchPath,
    /// Some files could not be read or written.
    PartlyFailed,
    /// There is no room here.
    NoRoom,
    /// The filesystem here is read-only.
    ReadOnlyHere,
    /// Nothing moved for too long.
    TimedOut,
    /// What answers there is not rsync.
    NotRsync,
    /// The connection ended.
    CutOff,
    /// Anything else.
    Unknown,
}

impl PullFailure {
    /// Judges how rsync ended. ssh's own failures have code 255, and those of the remote shell its codes.
    pub fn of(code: Option<i32>, said: &str) -> Self {
        let says = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
        // What ssh says counts before what rsync makes of it.
        let known = [
            (
                Self::HostKeyChanged,
                &["REMOTE HOST IDENTIFICATION HAS CHANGED"][..],
            ),
            (
                Self::HostKeyUnknown,
                &["Host key verification failed", "host key is known"],
            ),
            (
                Self::LoginDenied,
                &["Permission denied (", "Too many authentication failures"],
            ),
            (Self::PortClosed, &["Connection refused"]),
            (Self::NameUnknown, &["Could not resolve hostname"]),
            (
                Self::NotReached,
                &[
                    "Connection timed out",
                    "No route to host",
                    "Network is unreachable",
                    "Connection reset by peer",
                    "kex_exchange_identification",
                ],
            ),
        ];
        // rsync may see the end of the connection before it sees ssh's.
        if matches!(code, Some(10 | 12 | 255))
            && let Some((why, _)) = known.into_iter().find(|(_, texts)| says(texts))
        {
            return why;
        }
        match code {
            Some(127) => Self::NoRsyncThere,
            // The same, where rsync sees the end of the connection before the shell's code.
            Some(12)
                if says(&["not found"])
                    || (says(&["line 1: "]) && says(&["No such file or directory"])) =>
            {
                Self::NoRsyncThere
            }
            _ if says(&["Failed to exec ssh"]) => Self::NoSshHere,
            _ if says(&["No space left on device", "Disk quota exceeded"]) => Self::NoRoom,
            _ if says(&["Read-only file system"]) => Self::ReadOnlyHere,
            Some(30 | 35) => Self::TimedOut,
            Some(23) if says(&["change_dir"]) && says(&["No such file or directory"]) => {
                Self::NoSuchPath
            }
            Some(23) => Self::PartlyFailed,
            Some(2) => Self::NotRsync,
            _ if says(&[
                "is your shell clean",
                "protocol version mismatch",
                "protocol incompatibility",
            ]) =>
            {
                Self::NotRsync
            }
            Some(10 | 12 | 255) => Self::CutOff,
            _ => Self::Unknown,
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::HostKeyUnknown => {
                "log in once by hand with `ssh` as the same user and compare the key that it shows with the host's own; or \
                 add what `ssh-keyscan HOST` prints to known_hosts after you have compared it"
            }
            Self::HostKeyChanged => {
                "find out why the host has another key before you do anything else: it may be another machine. If the key \
                 is right, remove the old one with `ssh-keygen -R HOST`"
            }
            Self::LoginDenied => {
                "check the user, set `identity_file` to a key without a passphrase, and add its public half to \
                 authorized_keys there"
            }
            Self::PortClosed => "check the port, and that sshd runs there",
            Self::NameUnknown => "check the host's name in `from`, and the name service here",
            Self::NotReached => "check that the machine is on and can be reached from here",
            Self::NoRsyncThere => {
                "install rsync there; or set `rsync_path` to its full path, if it is not in the PATH of a shell that is \
                 not interactive"
            }
            Self::NoSshHere => "install ssh here: on Debian it is in the package openssh-client",
            Self::NoSuchPath => {
                "check the path in `from`, and that its filesystem is mounted there"
            }
            Self::PartlyFailed => {
                "let the user there read all of it, for example with rsync_path = \"sudo rsync\"; or leave it out by \
                 `exclude`; or set `allow_unreadable = true` to do without it"
            }
            Self::NoRoom => "free some space here, and run `coldchain pull` again: it continues",
            Self::ReadOnlyHere => "make the filesystem of the subvolume writable",
            Self::TimedOut => {
                "check the line and the other machine; set a longer `timeout` if that is its usual pace"
            }
            Self::NotRsync => {
                "let the shell of that user print nothing unless it is interactive, and check what `rsync_path` starts"
            }
            Self::CutOff => {
                "check the line and the other machine, and run `coldchain pull` again: it continues"
            }
            Self::Unknown => "fix what rsync says, and run `coldchain pull` again: it continues",
        }
    }
}

impl PullError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::NothingToPull { .. } => {
                exit(ExitCode::Usage).hint("add a [source.pull] with `from` to a [[source]]")
            }
            Self::Rsync(error) if error.is_missing_or_old() => {
                exit(ExitCode::Missing).hint_of(error.hint())
            }
            Self::Rsync(error) => exit(ExitCode::Failed).hint_of(error.hint()),
            Self::Unfinished { source_name, path } => exit(ExitCode::Failed).hint(format!(
                "run `coldchain pull {source_name}` until it ends well; if it is not pulled any more, run `rm -r {}`",
                shell::path(&path.join(".coldchain-pull"))
            )),
            Self::NeverPulled { source_name, .. } => {
                exit(ExitCode::Failed).hint(format!("run `coldchain pull {source_name}`"))
            }
            Self::Empty { .. } => exit(ExitCode::Failed)
                .hint("check the path, and that its filesystem is mounted there; nothing was changed here"),
            Self::ManyDeletions { source_name, .. } | Self::StoppedDeleting { source_name, .. } => {
                exit(ExitCode::Failed).hint(format!(
                    "check that the source is complete; if so, run `coldchain pull {source_name} --accept-deletions`"
                ))
            }
            Self::Foreign { source_name, .. } => exit(ExitCode::Usage).hint(format!(
                "set `subvolume` to a new one; or run `coldchain pull {source_name} --accept-deletions` to make this one \
                 equal to the source, which deletes what the source does not have"
            )),
            Self::Gone { path, .. } => exit(ExitCode::Failed).hint(format!(
                "mount its filesystem; if it was deleted on purpose, run `btrfs subvolume create {}`",
                shell::path(path)
            )),
            Self::Unfit { .. } => exit(ExitCode::Usage).hint(
                "set `subvolume` to a writable subvolume of its own, or to a path where coldchain can make one",
            ),
            Self::Open { path, .. } => exit(ExitCode::Usage).hint(format!(
                "run `chmod go-rwx {}`, or set `subvolume` and `snapshots` to paths below a directory that only root can \
                 enter",
                shell::path(path)
            )),
            Self::IntoItself { .. } => exit(ExitCode::Usage).hint(
                "pull from a directory that does not hold the subvolume; or add \"--one-file-system\" to `options` if \
                 the subvolume is on another filesystem",
            ),
            Self::LinkedFile { .. } => exit(ExitCode::Usage).hint(
                "remove `inplace`; or set `subvolume` to a new one, which `inplace` fills without links",
            ),
            Self::StagingTaken(path) => exit(ExitCode::Usage).hint(format!(
                "look at what it is, and remove it: `rm {}`",
                shell::path(path)
            )),
            Self::ExcludeFile { .. } => exit(ExitCode::Usage).hint("fix the file, or remove the line"),
            Self::Failed { why, .. } => exit(match why {
                PullFailure::NoRsyncThere | PullFailure::NoSshHere => ExitCode::Missing,
                _ => ExitCode::Failed,
            })
            .hint(why.hint()),
        }
    }
}
