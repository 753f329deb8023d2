//! A sample of each error of pulls.

use std::path::PathBuf;

use super::mail;
use crate::error::{Error, PullError, PullFailure};
use crate::model::PullLocation;
use crate::process::ProcessError;
use crate::rsync::{RsyncError, RsyncVersion};

fn from() -> PullLocation {
    "ann@nas%%2222:/srv/mail".parse().unwrap()
}

pub(super) fn samples() -> Vec<Error> {
    let path = || PathBuf::from("/backup/mail");
    let mut samples = vec![
        PullError::NothingToPull { source_name: None },
        PullError::NothingToPull {
            source_name: Some(mail()),
        },
        PullError::StagingTaken(path().join(".coldchain-pull")),
        PullError::Rsync(RsyncError::NoProgram {
            path: "/usr/bin:/bin".to_owned(),
        }),
        PullError::Rsync(RsyncError::NoVersion {
            program: "/usr/bin/rsync".into(),
            output: "openrsync: protocol version 29".to_owned(),
        }),
        PullError::Rsync(RsyncError::TooOld {
            found: RsyncVersion(3, 1, 2),
            needed: RsyncVersion(3, 1, 3),
        }),
        PullError::Rsync(RsyncError::Process(ProcessError::Stopping {
            action: "pull /srv".to_owned(),
        })),
        PullError::Unfinished {
            source_name: mail(),
            path: path(),
        },
        PullError::NeverPulled {
            source_name: mail(),
            path: path(),
        },
        PullError::Empty {
            from: Box::new(from()),
            path: path(),
        },
        PullError::ManyDeletions {
            source_name: mail(),
            from: Box::new(from()),
            path: path(),
            deleted: 700,
            entries: 1000,
            limit: 500,
        },
        PullError::StoppedDeleting {
            source_name: mail(),
            path: path(),
            limit: 500,
        },
        PullError::Foreign {
            source_name: mail(),
            path: path(),
        },
        PullError::Gone {
            source_name: mail(),
            path: path(),
        },
        PullError::Unfit {
            path: path(),
            what: "WHAT",
        },
        PullError::Open {
            path: "/backup".into(),
            mode: 0o755,
            from: Box::new(from()),
        },
        PullError::IntoItself {
            from: Box::new(from()),
            path: path(),
        },
        PullError::LinkedFile { path: path() },
        PullError::ExcludeFile {
            path: path(),
            what: "WHAT".to_owned(),
        },
    ];
    samples.extend(failures().map(|(code, said, why)| {
        assert_eq!(PullFailure::of(code, said), why, "{said}");
        PullError::Failed {
            from: Box::new(from()),
            why,
            code,
            said: said.into(),
        }
    }));
    samples.into_iter().map(Error::Pull).collect()
}

/// How rsync ends, what it says, and what that is.
fn failures() -> [(Option<i32>, &'static str, PullFailure); 18] {
    [
        (
            Some(255),
            "No ED25519 host key is known for nas and you have requested strict checking.; Host key verification \
             failed.; rsync: connection unexpectedly closed",
            PullFailure::HostKeyUnknown,
        ),
        (
            Some(255),
            "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!; Host key verification failed.",
            PullFailure::HostKeyChanged,
        ),
        (
            Some(255),
            "ann@nas: Permission denied (publickey).",
            PullFailure::LoginDenied,
        ),
        (
            Some(255),
            "ssh: connect to host nas port 2222: Connection refused",
            PullFailure::PortClosed,
        ),
        (
            Some(255),
            "ssh: Could not resolve hostname nas: Name or service not known",
            PullFailure::NameUnknown,
        ),
        (
            Some(255),
            "ssh: connect to host nas port 2222: No route to host",
            PullFailure::NotReached,
        ),
        (
            Some(127),
            "bash: line 1: rsync: command not found",
            PullFailure::NoRsyncThere,
        ),
        (
            Some(14),
            "rsync: [Receiver] Failed to exec ssh: No such file or directory (2)",
            PullFailure::NoSshHere,
        ),
        (
            Some(23),
            "rsync: [sender] change_dir \"/srv/mail\" failed: No such file or directory (2)",
            PullFailure::NoSuchPath,
        ),
        (
            Some(23),
            "rsync: [sender] send_files failed to open \"/srv/mail/key\": Permission denied (13)",
            PullFailure::PartlyFailed,
        ),
        (
            Some(11),
            "rsync: [receiver] write failed on \"/sys/a\": No space left on device (28)",
            PullFailure::NoRoom,
        ),
        (
            Some(23),
            "rsync: [generator] recv_generator: mkdir \"/sys/a\" failed: Read-only file system (30)",
            PullFailure::ReadOnlyHere,
        ),
        (
            Some(30),
            "[Receiver] io timeout after 1800 seconds -- exiting",
            PullFailure::TimedOut,
        ),
        (
            Some(2),
            "protocol version mismatch -- is your shell clean?",
            PullFailure::NotRsync,
        ),
        (
            Some(12),
            "rsync: connection unexpectedly closed (1234 bytes received so far) [receiver]",
            PullFailure::CutOff,
        ),
        (
            Some(255),
            "client_loop: send disconnect: Broken pipe",
            PullFailure::CutOff,
        ),
        (Some(22), "out of memory", PullFailure::Unknown),
        (None, "", PullFailure::Unknown),
    ]
}
